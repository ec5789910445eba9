//! The answers that a cluster gives and a single dev server does not, byte for byte as OpenBao's.

use std::time::Duration;

use baokit_devserver::model::Response;

/// An answer of the API.
pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Response {
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Response { status, headers, body: body.into() }
}

fn errors(status: u16, text: &str) -> Response {
    json(status, serde_json::json!({ "errors": [text] }).to_string())
}

/// A node without a leader to pass the request on to.
pub(crate) fn no_leader() -> Response {
    errors(500, "local node not active but active cluster node not found")
}

/// A leader that found out, while it carried a request out, that it is none.
pub(crate) fn lost_leadership() -> Response {
    errors(500, "1 error occurred:\n\t* node is not the leader\n\n")
}

pub(crate) fn sealed() -> Response {
    errors(503, "Vault is sealed")
}

/// A standby that is behind the index of a request, and was not told to pass it on.
pub(crate) fn behind() -> Response {
    let mut answer = json(429, r#"{"errors":[]}"#);
    answer.headers.push(("Retry-After".to_owned(), "1".to_owned()));
    answer
}

/// A rate limit quota; most of them say nothing of when to come again.
pub(crate) fn quota(path: &str, retry_after: Option<Duration>) -> Response {
    let mut answer = errors(429, &format!("request path \"{path}\": rate limit quota exceeded"));
    if let Some(wait) = retry_after {
        answer.headers.push(("Retry-After".to_owned(), wait.as_secs().to_string()));
    }
    answer
}

/// What a standby says of what only the leader can store, and can't be passed on.
pub(crate) fn internal_error() -> Response {
    errors(500, "internal error")
}

/// A proxy that reaches no server.
pub(crate) fn unavailable(retry_after: Option<Duration>) -> Response {
    let mut headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    if let Some(wait) = retry_after {
        headers.push(("Retry-After".to_owned(), wait.as_secs().to_string()));
    }
    Response { status: 503, headers, body: b"<html><body>503 Service Unavailable</body></html>".to_vec() }
}

/// A redirect as a standby gives it: to the leader's own address, with an empty body.
pub(crate) fn redirect(address: &str, target: &str) -> Response {
    let location = ("Location".to_owned(), format!("{address}{target}"));
    Response { status: 307, headers: vec![location], body: Vec::new() }
}

/// What a standby says that has not heard of a policy yet.
pub(crate) fn denied() -> Response {
    errors(403, "1 error occurred:\n\t* permission denied\n\n")
}

/// What a standby says that has not heard of a mount yet.
pub(crate) fn no_route(path: &str) -> Response {
    errors(404, &format!("no handler for route \"{path}\". route entry not found."))
}

/// `sys/health`: 200 of an active node, 429 of a standby, 503 of a sealed one.
pub(crate) fn health(sealed: bool, standby: bool) -> Response {
    let status = if sealed {
        503
    } else if standby {
        429
    } else {
        200
    };
    let body = serde_json::json!({
        "initialized": true, "sealed": sealed, "standby": sealed || standby, "version": "2.7.2",
        "replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
    });
    json(status, body.to_string())
}

/// `sys/leader`: what the node believes.
pub(crate) fn leader(is_self: bool, address: &str) -> Response {
    let body = serde_json::json!({
        "ha_enabled": true, "is_self": is_self, "leader_address": address, "leader_cluster_address": "",
    });
    json(200, body.to_string())
}

/// `sys/seal-status`, which a sealed node answers as well.
pub(crate) fn seal_status(sealed: bool) -> Response {
    let body = serde_json::json!({ "type": "shamir", "initialized": true, "sealed": sealed, "t": 1, "n": 1 });
    json(200, body.to_string())
}
