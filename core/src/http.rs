//! Requests and answers as plain data: what core asks a host to send, and what came back.
//!
//! The types are our own and small, so that a host needs no HTTP library to speak with core. Their
//! `Debug` shows methods, addresses and sizes, never a header that holds a token, and never a body.

use std::borrow::Cow;
use std::fmt;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::config::Origin;

/// The longest answer that a host reads, in bytes: 32 MiB, OpenBao's own limit for a request.
///
/// A host stops reading there and reports [`FailureKind::TooLarge`].
pub const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// The longest time a host may take to open a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The methods of OpenBao's API.
///
/// Lists are sent as `GET` with `?list=true`, which every proxy and every `fetch` lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// The method as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A request body, shared by all tries of one call and wiped with the last of them.
#[derive(Clone)]
pub struct Body(Arc<Zeroizing<Vec<u8>>>);

impl Body {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted, {} bytes]", self.0.len())
    }
}

/// A body that does not pass through memory, such as a snapshot: between the server and a reader or
/// writer of the caller's. All tries of one call share it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Transfer {
    /// The host writes the body of a success here, instead of into the [`Response`], and applies no
    /// limit of [`MAX_ANSWER_BYTES`] to it. Any other answer is read as usual.
    Download(Sink),
    /// The host sends this as the body of the request, from its beginning.
    Upload(Source),
}

/// Where a download goes.
pub struct Sink(Arc<Mutex<dyn Write + Send>>);

impl Sink {
    /// The sink, and the writer for whoever wants it back.
    pub(crate) fn new<W: Write + Send + 'static>(writer: W) -> (Self, Arc<Mutex<W>>) {
        let shared = Arc::new(Mutex::new(writer));
        (Self(shared.clone()), shared)
    }

    /// Writes one piece.
    ///
    /// # Errors
    /// [`FailureKind::Caller`], with what the writer said.
    pub fn write(&self, piece: &[u8]) -> Result<(), Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(piece).map_err(Failure::caller)
    }
}

impl Clone for Sink {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// Where an upload comes from.
pub struct Source(Arc<Mutex<dyn ReadSeek>>);

impl Source {
    pub(crate) fn new(reader: impl Read + Seek + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }

    /// Goes back to the beginning, and says how many bytes there are.
    ///
    /// # Errors
    /// [`FailureKind::Caller`], with what the reader said.
    pub fn rewind(&self) -> Result<u64, Failure> {
        let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let length = reader.seek(SeekFrom::End(0)).map_err(Failure::caller)?;
        reader.rewind().map_err(Failure::caller)?;
        Ok(length)
    }

    /// Reads the next piece into the buffer: how long it is, 0 at the end.
    ///
    /// # Errors
    /// [`FailureKind::Caller`], with what the reader said.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer).map_err(Failure::caller)
    }
}

impl Clone for Source {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// One header of a request.
#[derive(Clone)]
pub struct Header {
    name: &'static str,
    value: HeaderValue,
}

#[derive(Clone)]
enum HeaderValue {
    Plain(Cow<'static, str>),
    Shared(Arc<str>),
    Secret(Arc<SecretString>),
}

impl Header {
    pub(crate) fn plain(name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        Self { name, value: HeaderValue::Plain(value.into()) }
    }

    pub(crate) fn shared(name: &'static str, value: Arc<str>) -> Self {
        Self { name, value: HeaderValue::Shared(value) }
    }

    pub(crate) fn secret(name: &'static str, value: Arc<SecretString>) -> Self {
        Self { name, value: HeaderValue::Secret(value) }
    }

    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value as it goes onto the wire; a token, where [`Header::is_secret`] says so.
    #[must_use]
    pub fn expose(&self) -> &str {
        match &self.value {
            HeaderValue::Plain(text) => text,
            HeaderValue::Shared(text) => text,
            HeaderValue::Secret(secret) => secret.expose_secret(),
        }
    }

    /// Whether the value must be kept out of every log.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.value, HeaderValue::Secret(_))
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            HeaderValue::Plain(text) => write!(f, "{}: {text}", self.name),
            HeaderValue::Shared(text) => write!(f, "{}: {text}", self.name),
            HeaderValue::Secret(_) => write!(f, "{}: [redacted]", self.name),
        }
    }
}

/// One request that a host sends once, without following redirects and without retrying.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) node: Origin,
    pub(crate) target: Arc<str>,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Option<Body>,
    pub(crate) transfer: Option<Transfer>,
    pub(crate) closes: bool,
}

impl Request {
    /// A request to an address of its own, a PDP say: one that OpenBao's rules of retry have nothing to do with.
    ///
    /// `target` is path and query, escaped as they go onto the wire.
    ///
    /// ```
    /// use baokit_core::{config::Origin, http::{Method, Request}};
    ///
    /// # fn main() -> baokit_core::Result<()> {
    /// let request = Request::new(Method::Get, Origin::parse("https://issuer.example")?, "/jwks.json")
    ///     .with_header("accept", "application/json");
    /// assert_eq!(request.url(), "https://issuer.example:443/jwks.json");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new(method: Method, node: Origin, target: impl Into<Arc<str>>) -> Self {
        Self { method, node, target: target.into(), headers: Vec::new(), body: None, transfer: None, closes: false }
    }

    /// The same with one header more, which may be shown. Its name is in lower case.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push(Header::plain(name, value));
        self
    }

    /// The same with one header more, which is never shown: `authorization`, say.
    #[must_use]
    pub fn with_secret_header(mut self, name: &'static str, value: SecretString) -> Self {
        self.headers.push(Header::secret(name, Arc::new(value)));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, bytes: Zeroizing<Vec<u8>>) -> Self {
        self.body = Some(Body::new(bytes));
        self
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The node that is asked.
    #[must_use]
    pub fn node(&self) -> &Origin {
        &self.node
    }

    /// Path and query, escaped as they go onto the wire.
    ///
    /// A host whose URL parser would change a byte of it must fail the request as
    /// [`FailureKind::BeforeSend`] instead of sending it.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The whole address: node and target.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.node.as_str(), self.target)
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The body, where there is one.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// Whether the connection is to be closed after this request: what answers at the same address, a load
    /// balancer perhaps, may then have another node serve the next one.
    ///
    /// A host says so to the server (`Connection: close`), where it can.
    #[must_use]
    pub fn closes_connection(&self) -> bool {
        self.closes
    }

    /// The body that does not pass through memory, where there is one.
    ///
    /// A host that can't do it must fail the request as [`FailureKind::BeforeSend`].
    #[must_use]
    pub fn transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref()
    }
}

/// One answer, whatever its status.
#[derive(Clone)]
pub struct Response {
    status: u16,
    content_type: Option<String>,
    location: Option<String>,
    retry_after: Option<Duration>,
    index: Option<String>,
    body: Zeroizing<Vec<u8>>,
}

impl Response {
    /// An answer with this status and body, without headers.
    #[must_use]
    pub fn new(status: u16, body: Zeroizing<Vec<u8>>) -> Self {
        Self { status, content_type: None, location: None, retry_after: None, index: None, body }
    }

    /// Adds a header; those that core has no use for are dropped here, so a host passes all.
    #[must_use]
    pub fn header(mut self, name: &str, value: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(value) else { return self };
        if name.eq_ignore_ascii_case("content-type") {
            self.content_type = Some(text.to_owned());
        } else if name.eq_ignore_ascii_case("location") {
            self.location = Some(text.to_owned());
        } else if name.eq_ignore_ascii_case("retry-after") {
            // OpenBao sends seconds; RFC 9110 also allows a date, which is left out here, since
            // acting on it would trust the server's clock.
            self.retry_after = text.trim().parse().ok().map(Duration::from_secs);
        } else if name.eq_ignore_ascii_case("x-vault-index") {
            self.index = Some(text.to_owned());
        }
        self
    }

    /// The same answer with this body.
    #[must_use]
    pub fn with_body(mut self, body: Zeroizing<Vec<u8>>) -> Self {
        self.body = body;
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header `content-type`, where there is one.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    pub(crate) fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// The header `retry-after`, where it says seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// How far the node was that answered.
    pub(crate) fn index(&self) -> Option<&str> {
        self.index.as_deref()
    }

    /// The body; it may hold a secret.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, [redacted, {} bytes])", self.status, self.body.len())
    }
}

/// Why a request got no answer, by how far it had come: that decides what may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// No connection was made.
    Connect,
    /// The TLS handshake was refused by either side, so the request was not carried out.
    Tls,
    /// The host could not send the request; no byte of it left.
    BeforeSend,
    /// The connection broke after bytes may have left.
    AfterSend,
    /// The answer began and did not end.
    Body,
    /// The answer was longer than [`MAX_ANSWER_BYTES`].
    TooLarge,
    /// The limit of this request passed.
    Timeout,
    /// The caller's own reader or writer failed; see [`Transfer`].
    Caller,
}

/// A request that got no answer.
#[derive(Clone, Debug)]
pub struct Failure {
    kind: FailureKind,
    reason: Cow<'static, str>,
}

impl Failure {
    /// A failure of this kind. `reason` is shown to people: pass what the operating system or the
    /// TLS library said, never a header or a body.
    #[must_use]
    pub fn new(kind: FailureKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, reason: reason.into() }
    }

    fn caller(error: std::io::Error) -> Self {
        Self::new(FailureKind::Caller, error.to_string())
    }

    /// How far the request had come.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    pub(crate) fn into_reason(self) -> Cow<'static, str> {
        self.reason
    }
}
