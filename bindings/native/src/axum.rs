//! The Secrets API as an axum router, to be served alone or merged into another application.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::{ConnectInfo, Request, State};
use ::axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use ::axum::http::{HeaderName, HeaderValue, StatusCode};
use ::axum::response::Response;
use ::axum::routing::any;
use baokit_service::audit::Subscription;
use baokit_service::{Caller, api};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::service::SecretsApi;

/// How long a caller has to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream of events is silent at most: proxies and browsers take one that is for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// The certificate that a client has shown, in DER: an extension that whoever ends TLS puts into its requests.
#[derive(Clone, Debug)]
pub struct ClientCertificate(pub Arc<[u8]>);

/// A router of the API's end points: `/healthz`, `/readyz`, `/metrics`, `/openapi.json`, `/api/secrets`, and those below
/// that [`baokit_service::api`] lists. An application that has one of these paths itself panics when it merges the router;
/// it may have others, and `nest` moves all below a prefix of its own.
///
/// It reads these extensions of a request, where they are there: [`ConnectInfo`] for the peer's address,
/// [`ClientCertificate`], and [`Caller`] where a layer before it has authenticated the caller; no token is looked at
/// then. A body over [`api::Request::MAX_BODY`] bytes is refused, and one that takes longer than 30 s.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::net::SocketAddr;
///
/// use baokit::{Client, Enforcer, SecretsApi};
///
/// let api = SecretsApi::new(Enforcer::from_env(Client::from_env()?)?);
/// let app = axum::Router::new().merge(baokit::axum::router(api));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
/// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
/// # Ok(())
/// # }
/// ```
pub fn router(api: SecretsApi) -> Router {
    routes(Served { api, places: None })
}

/// The same, with so many requests served at once. One more is answered 503 at once: waiting would only make the crowd
/// larger. Those who ask whether the service is well are let in.
///
/// A request takes its place when its body is there, so that whoever sends slowly holds up nobody. What all bodies
/// together may take is bounded by the connections, each with a body of [`api::Request::MAX_BODY`] at most.
pub fn limited(api: SecretsApi, most: usize) -> Router {
    routes(Served { api, places: Some(Arc::new(Semaphore::new(most))) })
}

#[derive(Clone)]
struct Served {
    api: SecretsApi,
    places: Option<Arc<Semaphore>>,
}

fn routes(served: Served) -> Router {
    let mut paths: Vec<_> = api::paths().collect();
    paths.dedup();
    paths.into_iter().fold(Router::new(), |router, path| router.route(path, any(answer))).with_state(served)
}

async fn answer(State(Served { api, places }): State<Served>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = timeout(BODY_TIMEOUT, read(&parts.headers, body)).await else { return late() };
    let places = places.filter(|_| parts.uri.path().starts_with("/api/"));
    let place = places.as_ref().map(|places| places.try_acquire());
    if matches!(place, Some(Err(_))) {
        return overloaded();
    }
    let mut asked = api::Request::new(parts.method.as_str(), parts.uri.path(), parts.uri.query().unwrap_or_default());
    // A header that is no text can't be one that is looked at; left out, it authenticates nobody.
    let text = |(name, value)| Some((HeaderName::as_str(name), HeaderValue::to_str(value).ok()?));
    asked.headers = parts.headers.iter().filter_map(text).collect();
    asked.peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let certificate = parts.extensions.get::<ClientCertificate>();
    asked.certificate = certificate.map(|certificate| &*certificate.0);
    asked.caller = parts.extensions.get::<Caller>().cloned();
    asked.body = body;
    wire(api.handle(asked).await)
}

/// The body, into one allocation that is wiped; one byte over the limit where it is longer.
async fn read(headers: &::axum::http::HeaderMap, body: Body) -> Zeroizing<Vec<u8>> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let limit = api::Request::MAX_BODY + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.unwrap_or_default().min(limit)));
    let mut stream = body.into_data_stream();
    while bytes.len() < limit
        && let Some(chunk) = stream.next().await
    {
        // A body that broke off must not be taken for a whole one.
        let Ok(chunk) = chunk else { return Zeroizing::default() };
        let room = limit - bytes.len();
        bytes.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
    }
    bytes
}

/// The rest of the body may come at any time, so the connection is of no more use.
fn late() -> Response {
    const TEXT: &str =
        r#"{"error":"invalid_request","code":"BODY_TIMEOUT","message":"BODY_TIMEOUT: the body took longer than 30 s"}"#;
    problem(StatusCode::REQUEST_TIMEOUT, TEXT, (CONNECTION, "close"))
}

fn overloaded() -> Response {
    const TEXT: &str = r#"{"error":"temporarily_unavailable","code":"OVERLOADED","message":"OVERLOADED: too many requests are served; try again in a second"}"#;
    problem(StatusCode::SERVICE_UNAVAILABLE, TEXT, (RETRY_AFTER, "1"))
}

/// An error of this host's own, as the API writes them.
fn problem(status: StatusCode, text: &'static str, (name, value): (HeaderName, &'static str)) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

fn wire(answer: api::Response) -> Response {
    let body = match answer.body {
        api::Body::Bytes(bytes) => Body::from(Bytes::from_owner(Owned(bytes))),
        api::Body::Events(subscription) => events(subscription),
        _ => Body::empty(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Bytes that are wiped when the connection is done with them.
struct Owned(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn events(subscription: Subscription) -> Body {
    let next = |mut subscription: Subscription| async move {
        let text = match timeout(SILENCE, subscription.next()).await {
            Ok(delivery) => Bytes::from(delivery.to_server_sent_event()),
            // A comment, which every reader of such streams passes over.
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        Some((Ok::<_, Infallible>(text), subscription))
    };
    Body::from_stream(stream::unfold(subscription, next))
}
