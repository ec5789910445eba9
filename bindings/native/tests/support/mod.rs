//! A server that behaves as no OpenBao would: it answers with whatever bytes a test gives it, over
//! plain TCP or TLS, and keeps every byte that it was sent.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

/// What happens to a connection once a request has arrived.
#[derive(Clone)]
pub enum Behaviour {
    /// These bytes go back, then the connection is closed.
    Bytes(Vec<u8>),
    /// Nothing ever goes back.
    Silence,
    /// The connection is closed at once.
    Close,
    /// Over TLS, a fatal alert goes back, as from a server that fails in the middle of its work.
    Alert,
}

/// A whole answer with a length that fits.
pub fn answer(status: u16, headers: &str, body: &[u8]) -> Behaviour {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    Behaviour::Bytes([head.as_bytes(), body].concat())
}

pub fn json(status: u16, body: &str) -> Behaviour {
    answer(status, "Content-Type: application/json\r\n", body.as_bytes())
}

/// The server of one test; it stops with this value.
pub struct Hostile {
    pub url: String,
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    gone: Arc<Notify>,
    task: AbortHandle,
}

impl Hostile {
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::serve(behaviour, None).await
    }

    pub async fn serve(behaviour: Behaviour, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let gone = Arc::new(Notify::new());
        let bell = gone.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(TlsAcceptor::from);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behaviour, log, acceptor, bell) = (behaviour.clone(), log.clone(), acceptor.clone(), bell.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => converse(stream, behaviour, &log, &bell).await,
                        Some(acceptor) => {
                            let alerts = matches!(behaviour, Behaviour::Alert);
                            if let Ok(mut stream) = acceptor.accept(stream).await {
                                converse(&mut stream, behaviour, &log, &bell).await;
                                if alerts {
                                    // What is not TLS makes the server's half give up with an alert.
                                    let (mut tcp, mut tls) = stream.into_inner();
                                    let _ = tls.read_tls(&mut &b"\x17\x03\x03\x00\x10 not a TLS record"[..]);
                                    let _ = tls.process_new_packets();
                                    let mut alert = Vec::new();
                                    let _ = tls.write_tls(&mut alert);
                                    let _ = tcp.write_all(&alert).await;
                                }
                            }
                        }
                    }
                });
            }
        });
        Self { url: format!("{scheme}://127.0.0.1:{port}"), port, seen, gone, task: task.abort_handle() }
    }

    /// Ends when a client has closed a connection that this server was silent on.
    pub async fn client_gone(&self) {
        self.gone.notified().await;
    }

    /// Head and body of every request, as they came.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Behaviour,
    log: &Mutex<Vec<String>>,
    gone: &Notify,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            log.lock().unwrap().push(text);
            break;
        }
    }
    match behaviour {
        Behaviour::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Behaviour::Silence => {
            while let Ok(1..) = stream.read(&mut buffer).await {}
            gone.notify_one();
        }
        Behaviour::Close | Behaviour::Alert => {}
    }
}

/// A private authority, and what it signed.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for this name, and its key, as PEM texts.
    pub fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server that shows a certificate for this name, and asks for one of `clients` where given.
    pub fn server(&self, name: &str, clients: Option<&Self>) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap(),
                )
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}
