//! The host: one request over reqwest, both clocks, the system's randomness. It decides nothing.

use std::error::Error as StdError;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, io, iter};

use baokit_core::config::MAX_CREDENTIAL;
use baokit_core::http::{CONNECT_TIMEOUT, Failure, FailureKind, MAX_ANSWER_BYTES, Method, Request, Response, Transfer};
use baokit_core::{Code, Error, Host, Notice, Now, Result, Settings};
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::tls;
use crate::transfer::{ReaderFailed, Upload, download};

/// Answers are read into a buffer of this size unless the server announces a longer one.
const BODY_CAPACITY: usize = 4 * 1024;

/// The native host of one client: reqwest, tokio's timer, and the system's clocks and randomness. A program does not
/// make one; it is named in the type [`Sys`](crate::Sys).
pub struct NativeHost {
    http: reqwest::Client,
    start: Instant,
}

impl NativeHost {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        if let Some(node) = settings.nodes().iter().find(|node| Url::parse(node.as_str()).is_err()) {
            let error = Error::new(Code::InvalidSetting).about(format!("URL {node}"));
            return Err(error.because("its host is no legal name"));
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(settings)?)
            // Core follows redirects and repeats requests, by its own rules.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // A proxy that the environment names would see every token.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(settings.pool_size())
            .user_agent(concat!("baokit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::new(Code::InvalidSetting).about("TLS").because(innermost(&error)))?;
        Ok(Self { http, start: Instant::now() })
    }

    async fn exchange(&self, request: &Request) -> Result<Response, Failure> {
        let response = self.http.execute(wire(request)?).await.map_err(|error| failure(&error))?;
        let mut answer = Response::new(response.status().as_u16(), Zeroizing::new(Vec::new()));
        for (name, value) in response.headers() {
            answer = answer.header(name.as_str(), value.as_bytes());
        }
        match request.transfer() {
            Some(Transfer::Download(sink)) if response.status().is_success() => {
                download(response, sink).await?;
                Ok(answer)
            }
            _ => Ok(answer.with_body(body(response).await?)),
        }
    }
}

impl Host for NativeHost {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: self.start.elapsed(), wall }
    }

    fn random(&self, buffer: &mut [u8]) {
        // Where the system has no randomness, TLS has long failed; jitter alone would not need it.
        if let Err(error) = getrandom::fill(buffer) {
            tracing::error!(%error, "the system's random source failed");
        }
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let start = Instant::now();
        let result = self.exchange(&request).await;
        let (method, node, target) = (request.method().as_str(), request.node().as_str(), request.target());
        let elapsed = start.elapsed();
        match &result {
            Ok(response) => tracing::debug!(method, node, target, status = response.status(), ?elapsed, "answered"),
            Err(failure) => tracing::debug!(method, node, target, kind = ?failure.kind(), ?elapsed, "not answered"),
        }
        result
    }

    async fn load(&self, path: &str) -> Result<SecretString, Failure> {
        let path = path.to_owned();
        // Not tokio's own files, which leave what they read in buffers that nobody wipes.
        let read = tokio::task::spawn_blocking(move || credential(&path));
        read.await.unwrap_or_else(|_| Err(Failure::new(FailureKind::Caller, "the runtime is at its end")))
    }

    fn notice(&self, notice: &Notice<'_>) {
        tracing::warn!("{notice}");
    }

    fn closes_connections(&self) -> bool {
        true
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The text of a small file that holds a credential. What is no file, a pipe say, could hold up a thread for ever.
fn credential(path: &str) -> Result<SecretString, Failure> {
    let refused = |reason: String| Failure::new(FailureKind::Caller, reason);
    let failed = |error: io::Error| refused(error.to_string());
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(refused("it is no regular file".to_owned()));
    }
    let longest = MAX_CREDENTIAL + "\r\n".len();
    // One byte more tells a file that is too long; another keeps the vector from growing, and leaving a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(longest + 2));
    fs::File::open(path).map_err(failed)?.take(longest as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > longest {
        return Err(refused(format!("it is longer than {MAX_CREDENTIAL} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| refused("it is not text".to_owned()))?;
    Ok(text.into())
}

fn wire(request: &Request) -> Result<reqwest::Request, Failure> {
    let unsendable = |reason| Failure::new(FailureKind::BeforeSend, reason);
    let url = Url::parse(&request.url()).map_err(|_| unsendable("the address is no URL"))?;
    if url.path() != request.target().split('?').next().unwrap_or_default()
        || url.query() != request.target().split_once('?').map(|(_, query)| query)
    {
        return Err(unsendable("the URL parser would change the path"));
    }
    let method = match request.method() {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
        _ => return Err(unsendable("a method that this host does not know")),
    };
    let mut wire = reqwest::Request::new(method, url);
    let headers: &mut HeaderMap = wire.headers_mut();
    for header in request.headers() {
        let mut value = HeaderValue::from_str(header.expose())
            .map_err(|_| unsendable("a header with characters that none may have"))?;
        value.set_sensitive(header.is_secret());
        headers.insert(HeaderName::from_static(header.name()), value);
    }
    if request.closes_connection() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(body) = request.body() {
        // Shared, not copied: the one copy is core's, which wipes it.
        *wire.body_mut() = Some(Bytes::from_owner(body.clone()).into());
    }
    if let Some(Transfer::Upload(source)) = request.transfer() {
        *wire.body_mut() = Some(reqwest::Body::wrap(Upload::new(source)?));
    }
    Ok(wire)
}

async fn body(mut response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let too_large =
        || Failure::new(FailureKind::TooLarge, format!("the answer is longer than {MAX_ANSWER_BYTES} bytes"));
    let announced = response.content_length().unwrap_or_default();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > MAX_ANSWER_BYTES {
        return Err(too_large());
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced.max(BODY_CAPACITY)));
    while let Some(chunk) =
        response.chunk().await.map_err(|error| Failure::new(FailureKind::Body, innermost(&error)))?
    {
        if body.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
            return Err(too_large());
        }
        if body.len() + chunk.len() > body.capacity() {
            // A vector that grows by itself leaves its old copy behind, unwiped.
            let mut longer = Zeroizing::new(Vec::with_capacity(2 * (body.len() + chunk.len())));
            longer.extend_from_slice(&body);
            body = longer;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// How far a request had come, as far as reqwest tells.
fn failure(error: &reqwest::Error) -> Failure {
    if let Some(ReaderFailed(failure)) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return failure.clone();
    }
    let kind = if error.is_builder() {
        FailureKind::BeforeSend
    } else if is_tls(error) {
        FailureKind::Tls
    } else if error.is_connect() {
        FailureKind::Connect
    } else {
        FailureKind::AfterSend
    };
    Failure::new(kind, innermost(error))
}

/// A handshake that failed. With TLS 1.3 a server judges the client's certificate only after the
/// client believes that the handshake is done, so the alerts that do that count as well; any other
/// alert can come in the middle of an answer.
fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).filter_map(rustls_error).any(|cause| error.is_connect() || refuses_certificate(cause))
}

fn refuses_certificate(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return false };
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

/// An `io::Error` hides what it wraps from `source`, and may wrap another of its kind.
fn rustls_error<'a>(mut cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    while let Some(wrapper) = cause.downcast_ref::<io::Error>() {
        cause = wrapper.get_ref()?;
    }
    cause.downcast_ref()
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    iter::successors(error.source(), |error: &&(dyn StdError + 'static)| (*error).source())
}

/// What the operating system or the TLS library said; the layers above only repeat the address.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "the HTTP library gave no reason".to_owned(), ToString::to_string)
}
