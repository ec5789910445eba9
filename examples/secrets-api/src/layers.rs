//! What each request passes before the API: a name of its own, and a place under the limit.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use crate::shutdown::End;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request where its caller has not, and says the name in the answer.
pub async fn request_id(mut request: Request, next: Next) -> Response {
    let named = request.headers().get(&REQUEST_ID).filter(|name| !name.is_empty() && name.len() <= 128).cloned();
    let name = named.unwrap_or_else(random_name);
    request.headers_mut().insert(REQUEST_ID, name.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, name);
    response
}

fn random_name() -> HeaderValue {
    let mut bytes = [0; 16];
    // A name that is not random is still a name.
    let _ = getrandom::fill(&mut bytes);
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    HeaderValue::from_str(&digits).unwrap_or(HeaderValue::from_static("none"))
}

/// How many requests are served at once.
#[derive(Clone)]
pub struct Limit(Arc<Semaphore>);

impl Limit {
    /// So many.
    pub fn new(requests: usize) -> Self {
        Self(Arc::new(Semaphore::new(requests)))
    }
}

/// Turns a request away at once where too many are served: waiting would only make the crowd larger.
///
/// Those who ask whether the service is well are let in.
pub async fn limit(State(limit): State<Limit>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/api/") {
        return next.run(request).await;
    }
    match limit.0.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => {
            let message = "too many requests are served; try again in a second";
            let mut response =
                problem(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "OVERLOADED", message);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

/// Ends streams of events with the service: their listeners would hold it up for as long as they like.
pub async fn end_streams(State(end): State<End>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        return response.map(|body| Body::from_stream(body.into_data_stream().take_until(end.begins())));
    }
    response
}

/// The answer where the API has no end point.
pub async fn nothing_there() -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", "ROUTE_NOT_FOUND", "/openapi.json lists what is there")
}

/// An error as the API writes them.
fn problem(status: StatusCode, error: &str, code: &str, message: &str) -> Response {
    let body = format!(r#"{{"error":"{error}","code":"{code}","message":"{code}: {message}"}}"#);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}
