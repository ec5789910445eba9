//! The outermost layer: what the server does with method, path, query and body before any backend is
//! asked, and the end points that answer even while it is sealed.

use super::answer::{Answer, Fault, errors, response};
use super::fields::Fields;
use super::text::{is_printable, parse_duration};
use super::{Call, Model, Op, Request, Response};
use crate::json::{Json, parse};
use std::collections::BTreeMap;
use std::time::Duration;

/// The greatest body.
pub(crate) const MAX_BODY: usize = 32 << 20;

pub(crate) fn handle(model: &mut Model, now: Duration, request: &Request) -> Response {
    let mut response = answer(model, now, request);
    if let Some(namespace) = request.value("X-Vault-Namespace").filter(|_| has_api_headers(&response)) {
        response.headers.push(("X-Vault-Namespace".into(), namespace.into()));
    }
    if request.method == "HEAD" {
        response.body.clear();
    }
    response
}

fn has_api_headers(response: &Response) -> bool {
    response.headers.iter().any(|(name, _)| name == "Cache-Control")
}

fn answer(model: &mut Model, now: Duration, request: &Request) -> Response {
    let (raw, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let Some(bytes) = decode(raw).filter(|_| raw.starts_with('/')) else {
        let headers = vec![
            ("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned()),
            ("Connection".to_owned(), "close".to_owned()),
        ];
        return Response { status: 400, headers, body: b"400 Bad Request".to_vec() };
    };
    if request.body.len() > MAX_BODY {
        // Refused by the listener, before the layer that sets the other headers.
        let mut refused = errors(413, Some("http: request body too large"));
        refused.headers.retain(|(name, _)| name == "Content-Type");
        return refused;
    }
    let path = String::from_utf8_lossy(&bytes).into_owned();
    if !path.chars().all(is_printable) {
        return Response { status: 400, headers: Vec::new(), body: Vec::new() };
    }
    if raw.starts_with("//") {
        return errors(404, None);
    }
    if let Some(location) = redirect(raw) {
        return moved(request, &location, query);
    }
    let Some(path) = path.strip_prefix("/v1/") else {
        return if model.sealed && raw.starts_with("/v1") { sealed() } else { errors(404, None) };
    };
    if let Some(response) = unsealed_end_point(model, now, request, path, query) {
        return response;
    }
    let op = match operation(&request.method, query) {
        Ok(op) => op,
        Err(status) => return errors(status, None),
    };
    if model.sealed {
        return sealed();
    }
    if request.value("X-Vault-Namespace").is_some_and(|n| !matches!(n.trim_matches('/'), "" | "root")) {
        return errors(404, Some("namespace not found"));
    }
    match call(now, request, path, query, op) {
        Ok(call) => {
            let valid_text = std::str::from_utf8(&bytes).is_ok();
            let outcome = if !valid_text && matches!(call.op, Op::Update | Op::Create | Op::Patch) {
                Err(Fault::wrapped(500, "string field contains invalid UTF-8"))
            } else {
                model.dispatch(call)
            };
            finish(model, outcome)
        }
        Err(fault) => errors(fault.status, Some(&fault.text)),
    }
}

fn finish(model: &mut Model, outcome: Result<Answer, Fault>) -> Response {
    match outcome {
        Ok(Answer::Nothing) => response(204, None),
        Ok(Answer::Missing) => errors(404, None),
        Ok(Answer::MissingBare) => response(404, None),
        Ok(Answer::Body(body)) => {
            let (status, bare, id) = (body.status, body.unwrapped || body.status != 200, model.ids.uuid());
            let mut response = response(status, Some(&body.write(id)));
            if bare {
                // Where a backend picks the status, the server leaves out the final newline.
                response.body.pop();
            }
            response
        }
        Ok(Answer::Plain(status, json)) => response(status, Some(&json)),
        Err(fault) => errors(fault.status, Some(&fault.text)),
    }
}

fn sealed() -> Response {
    errors(503, Some("Vault is sealed"))
}

/// Undoes percent-encoding; none where an escape is malformed.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
            out.push(high * 16 + low);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

/// Where a path is redirected to, if it is: to its cleaned form, to `/ui/`, to the slash of a subtree.
fn redirect(raw: &str) -> Option<String> {
    match raw {
        "/" => return Some("/ui/".into()),
        "/v1/sys" => return Some("/v1/sys/".into()),
        _ => {}
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut clean = format!("/{}", segments.join("/"));
    if raw.ends_with('/') && clean != "/" {
        clean.push('/');
    }
    (clean != raw).then_some(clean)
}

fn moved(request: &Request, location: &str, query: &str) -> Response {
    let location = if query.is_empty() { location.to_owned() } else { format!("{location}?{query}") };
    let mut moved = response(307, None);
    moved.headers.retain(|(name, _)| name != "Content-Type");
    if matches!(request.method.as_str(), "GET" | "HEAD") {
        moved.headers.push(("Content-Type".into(), "text/html; charset=utf-8".into()));
    }
    if request.method == "GET" {
        let shown = location.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let shown = shown.replace('"', "&#34;").replace('\'', "&#39;");
        moved.body = format!("<a href=\"{shown}\">Temporary Redirect</a>.\n\n").into_bytes();
    }
    moved.headers.push(("Location".into(), location));
    moved
}

/// The end points that have a handler of their own and answer a sealed server too.
fn unsealed_end_point(
    model: &mut Model,
    now: Duration,
    request: &Request,
    path: &str,
    query: &str,
) -> Option<Response> {
    let method = request.method.as_str();
    let allowed: &[&str] = match path {
        "sys/health" => &["GET", "HEAD"],
        "sys/seal-status" | "sys/leader" => &["GET"],
        "sys/init" => &["GET", "PUT", "POST"],
        "sys/unseal" | "sys/seal" | "sys/step-down" => &["PUT", "POST"],
        _ => return None,
    };
    if !allowed.contains(&method) {
        return Some(errors(405, None));
    }
    let outcome = match path {
        "sys/health" => Ok(model.health(now, &pairs(query))),
        "sys/seal-status" => Ok(Answer::Plain(200, model.seal_status())),
        "sys/leader" => Ok(Answer::Plain(200, Json::object([("ha_enabled", Json::Bool(false))]))),
        "sys/init" if method != "GET" => body_fields(request).and_then(|fields| model.initialize(&fields)),
        "sys/init" => Ok(Answer::Plain(200, Json::object([("initialized", Json::Bool(model.initialized))]))),
        "sys/unseal" => body_fields(request).and_then(|fields| model.unseal_key(&fields)),
        _ => model.seal_or_step_down(now, request, path),
    };
    Some(finish(model, outcome))
}

fn operation(method: &str, query: &str) -> Result<Op, u16> {
    match method {
        "GET" => {
            let query = pairs(query);
            let mut op = Op::Read;
            for (name, asked) in [("list", Op::List), ("scan", Op::Scan)] {
                match query.get(name).map(String::as_str) {
                    None | Some("" | "0" | "f" | "F" | "false" | "FALSE" | "False") => {}
                    Some("1" | "t" | "T" | "true" | "TRUE" | "True") if op == Op::Read => op = asked,
                    Some(_) => return Err(400),
                }
            }
            Ok(op)
        }
        "POST" | "PUT" => Ok(Op::Update),
        "LIST" => Ok(Op::List),
        "SCAN" => Ok(Op::Scan),
        "DELETE" => Ok(Op::Delete),
        "PATCH" => Ok(Op::Patch),
        "HEAD" | "OPTIONS" => Ok(Op::Head),
        _ => Err(405),
    }
}

/// Builds the call.
fn call(now: Duration, request: &Request, path: &str, query: &str, op: Op) -> Result<Call, Fault> {
    let mut path = path.to_owned();
    let fields = match op {
        Op::Create | Op::Update => body_fields(request)?,
        Op::Patch => {
            let media = request.value("Content-Type").unwrap_or_default();
            let media = media.split(';').next().unwrap_or_default().trim();
            match media {
                "" => return Err(Fault::bad("mime: no media type")),
                "application/merge-patch+json" => {}
                other => {
                    let text = format!("PATCH requires Content-Type of application/merge-patch+json, provided {other}");
                    return Err(Fault::new(415, text));
                }
            }
            body_fields(request)?
        }
        Op::Head => Fields::default(),
        Op::Read | Op::List | Op::Scan | Op::Delete => {
            let mut all = BTreeMap::new();
            for (name, value) in pair_list(query) {
                let steers = matches!(name.as_str(), "list" | "scan") && !value.is_empty();
                if !steers {
                    all.entry(name).or_insert_with(Vec::new).push(Json::Text(value));
                }
            }
            // A parameter that is given twice is a list.
            let one = |mut values: Vec<Json>| match values.len() {
                1 => values.remove(0),
                _ => Json::List(values),
            };
            Fields(all.into_iter().map(|(name, values)| (name, one(values))).collect())
        }
    };
    if matches!(op, Op::List | Op::Scan) && !path.ends_with('/') {
        path.push('/');
    }
    if request.method == "OPTIONS" {
        return Err(Fault::bad("cannot handle internal-only request operation"));
    }
    let token = request
        .value("X-Vault-Token")
        .map(str::to_owned)
        .or_else(|| request.value("Authorization").and_then(|v| v.strip_prefix("Bearer ")).map(str::to_owned));
    let token = token.filter(|token| !token.is_empty());
    let wrap = match request.value("X-Vault-Wrap-TTL").map(parse_duration) {
        None => 0,
        Some(Ok(ttl)) if ttl < 0 => {
            return Err(Fault::bad("error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative"));
        }
        Some(Ok(ttl)) => ttl,
        Some(Err(e)) => return Err(Fault::bad(format!("error parsing X-Vault-Wrap-TTL header: {e}"))),
    };
    Ok(Call { op, path, fields, token, now, wrap, known: None, captured: Vec::new() })
}

/// The parameters in a body: JSON, or a form where the header says so and it doesn't look like JSON.
fn body_fields(request: &Request) -> Result<Fields, Fault> {
    let form = request.value("Content-Type").is_some_and(|v| v.starts_with("application/x-www-form-urlencoded"));
    if form && !request.body.starts_with(b"{") {
        let text = String::from_utf8_lossy(&request.body);
        return Ok(Fields(pairs(&text).into_iter().map(|(k, v)| (k, Json::Text(v))).collect()));
    }
    let value = parse(&request.body).map_err(|e| {
        let refused = e.starts_with("exceeded maximum number");
        let what = if refused { "refused JSON input due to high complexity" } else { "failed to decode JSON input" };
        Fault::bad(format!("{what}: {e}"))
    })?;
    let kind = match value {
        None | Some(Json::Null) => return Ok(Fields::default()),
        Some(Json::Object(pairs)) => return Ok(Fields(pairs.into_iter().collect())),
        Some(Json::List(_)) => "array",
        Some(Json::Text(_)) => "string",
        Some(Json::Number(_)) => "number",
        Some(Json::Bool(_)) => "bool",
    };
    Err(Fault::bad(format!(
        "failed to decode JSON input: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
    )))
}

/// A query or form; the first of several equal names counts.
pub(crate) fn pairs(text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, value) in pair_list(text) {
        out.entry(name).or_insert(value);
    }
    out
}

/// All pairs; those that are malformed, or have a semicolon, are dropped as Go drops them.
fn pair_list(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |s: &str| decode(&s.replace('+', " ")).map(|b| String::from_utf8_lossy(&b).into_owned());
        if let (Some(name), Some(value)) = (plain(name), plain(value)) {
            out.push((name, value));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unclean_paths_are_redirected_and_clean_ones_are_not() {
        assert_eq!(redirect("/v1/secret//data/a").as_deref(), Some("/v1/secret/data/a"));
        assert_eq!(redirect("/v1/secret/data/x/../a").as_deref(), Some("/v1/secret/data/a"));
        assert_eq!(redirect("/v1/secret/data/..").as_deref(), Some("/v1/secret"));
        assert_eq!(redirect("/v1/a/./").as_deref(), Some("/v1/a/"));
        assert_eq!(redirect("/../../x").as_deref(), Some("/x"));
        assert_eq!(redirect("/v1/secret/data/%2e%2e/a"), None);
        assert_eq!(redirect("/v1/secret/data/a/"), None);
    }
}
