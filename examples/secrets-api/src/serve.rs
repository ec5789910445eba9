//! Connections: so many at once, each with time limits against those who are slow, and served to their end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use baokit::axum::ClientCertificate;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::shutdown::End;

/// How long a client has to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may be idle, and how long a client has to send a request's head.
const IDLE: Duration = Duration::from_secs(30);
/// Longest head of a request, in bytes: an access token and a proof have 24 KiB at most.
const MAX_HEAD: usize = 64 * 1024;

/// Serves until the end begins, and then what is in flight. Says whether all of it was answered.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Router,
    most: usize,
    end: &End,
) -> Result<(), &'static str> {
    let (places, graceful) = (Arc::new(Semaphore::new(most)), GracefulShutdown::new());
    loop {
        // The place first: whoever is one too many waits in the system's queue, and costs nothing here.
        let accepted = async { (places.clone().acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = end.begins() => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, say: give them time to come back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let connection = connection(stream, peer, tls.clone(), app.clone(), graceful.watcher(), end.clone());
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    let answered = timeout(end.limit(), graceful.shutdown()).await;
    answered.map_err(|_| "requests that were still in flight are cut off")
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    app: Router,
    watcher: Watcher,
    end: End,
) {
    // An answer is written at once: there is nothing to wait for that could share its packet.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = tls else { return requests(stream, peer, None, app, watcher).await };
    let shaken = tokio::select! {
        shaken = timeout(HANDSHAKE, acceptor.accept(stream)) => shaken,
        () = end.begins() => return,
    };
    let Ok(Ok(stream)) = shaken else { return };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.map(|certificate| ClientCertificate(Arc::from(certificate.as_ref())));
    requests(stream, peer, certificate, app, watcher).await;
}

/// Answers the requests of a connection, which carry what is known of who is at its other end.
async fn requests<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    certificate: Option<ClientCertificate>,
    app: Router,
    watcher: Watcher,
) {
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        app.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(MAX_HEAD);
    // A connection that breaks is its client's business.
    let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await;
}
