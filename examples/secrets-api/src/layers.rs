//! What each request passes before the API, and each answer after it: a name of its own, and the service's end.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

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

/// Ends streams of events with the service: their listeners would hold it up for as long as they like.
pub async fn end_streams(State(end): State<End>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        return response.map(|body| Body::from_stream(body.into_data_stream().take_until(end.begins())));
    }
    response
}

/// The answer where the API has no end point, as the API writes its errors.
pub async fn nothing_there() -> Response {
    const TEXT: &str = r#"{"error":"not_found","code":"ROUTE_NOT_FOUND","message":"ROUTE_NOT_FOUND: /openapi.json lists what is there"}"#;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::NOT_FOUND, headers, TEXT).into_response()
}
