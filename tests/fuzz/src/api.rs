//! Requests to the Secrets API, in front of the dev server's model.

// The world is of one thread.
#![allow(clippy::arc_with_non_send_sync)]

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use baokit_core::http::Response as Answer;
use baokit_core::uri::Provider;
use baokit_core::{Client, Settings};
use baokit_devserver::model::{Model, Request as Asked};
use baokit_service::api::{Body, Request, Response, SecretsApi};
use baokit_service::enforcer::Enforcer;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::Judged;
use crate::world::{START, World, at_once, settings};

/// Stands in the values of the seeds.
const CANARY: &str = "c4n4ry-4f1d-9e";

struct Stage {
    world: World,
    api: SecretsApi<World>,
    model: Rc<RefCell<Model>>,
    /// The server as each request finds it.
    fresh: Model,
}

thread_local!(static STAGE: OnceCell<Stage> = const { OnceCell::new() });

fn stage() -> Stage {
    let now = std::time::Duration::from_secs(START);
    let mut fresh = Model::new(7, "root");
    for version in 1..=2 {
        let body = format!(r#"{{"data":{{"token":"{CANARY}-{version}","user":"app"}}}}"#);
        let answer = fresh.handle(now, &Asked::new("POST", "/v1/secret/data/app/api").token("root").body(body));
        assert_eq!(answer.status, 200);
    }
    let model = Rc::new(RefCell::new(fresh.clone()));
    let server = model.clone();
    let world = World::new(move |request, now| {
        let mut asked = Asked::new(request.method().as_str(), request.target());
        for header in request.headers() {
            asked = asked.header(header.name(), header.expose());
        }
        if let Some(body) = request.body() {
            asked = asked.body(body.as_ref().to_vec());
        }
        let answer = server.borrow_mut().handle(now, &asked);
        let response = Answer::new(answer.status, Zeroizing::new(answer.body));
        answer.headers.iter().fold(response, |response, (name, value)| response.header(name, value.as_bytes()))
    });
    let lookup = |key: &str| match key {
        "OPENBAO_URL" => Some("https://bao.example:8200".to_owned()),
        "OPENBAO_TOKEN" => Some("root".to_owned()),
        "TENANT_ALLOWED_MOUNTS" => Some("secret".to_owned()),
        _ => None,
    };
    let of_client = Settings::from_lookup(Provider::OpenBao, lookup).expect("the settings are legal");
    let client = Arc::new(Client::new(world.clone(), of_client));
    let api = SecretsApi::new(Arc::new(Enforcer::new(client, world.clone(), settings(&[]))));
    let stage = Stage { world, api, model, fresh };
    let (status, text) = stage.ask(Request::new("GET", "/api/secrets/value", "uri=openbao%2Bkv2://secret/app/api"));
    assert!(status == 200 && text.contains(CANARY), "a secret is read: {text}");
    stage
}

impl Stage {
    fn ask(&self, request: Request<'_>) -> (u16, String) {
        self.world.begin();
        self.model.borrow_mut().clone_from(&self.fresh);
        let Response { status, headers, body, .. } = at_once(self.api.handle(request));
        assert!(status != 500 && status != 502, "{status}");
        assert!((200..=599).contains(&status), "{status}");
        let header = |name: &str| headers.iter().find(|(there, _)| *there == name).map(|(_, value)| value.as_str());
        assert_eq!(header("cache-control"), Some("no-store"));
        for (_, value) in &headers {
            assert!(value.bytes().all(|byte| (32..127).contains(&byte)), "no header's value");
        }
        let Body::Bytes(bytes) = body else { return (status, String::new()) };
        let text = String::from_utf8(bytes.to_vec()).expect("an answer is text");
        if header("content-type") == Some("application/json") {
            let said: Value = serde_json::from_str(&text).expect("it is JSON");
            assert!(
                status < 400 || ["error", "code", "message"].iter().all(|name| said[name].is_string() || status == 503)
            );
        }
        (status, text)
    }
}

/// A request line, `GET /api/secrets/value?uri=…`, and below it headers, `name: value`.
pub fn query(data: &[u8]) -> Judged {
    let Ok(text) = std::str::from_utf8(data) else { return Judged::NoInput };
    let mut lines = text.split('\n');
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return Judged::NoInput };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request::new(method, path, query);
    request.headers = lines.filter_map(|line| line.split_once(": ")).collect();
    STAGE.with(|cell| cell.get_or_init(stage).ask(request));
    Judged::Worth
}

/// A path below `/api/secrets`, and after the first line's end the body of a POST.
pub fn body(data: &[u8]) -> Judged {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return Judged::NoInput };
    let (path, body) = (&data[..end], &data[end + 1..]);
    let Ok(path) = std::str::from_utf8(path) else { return Judged::NoInput };
    let path = format!("/api/secrets{path}");
    let mut request = Request::new("POST", &path, "");
    request.headers = vec![("content-type", "application/json")];
    request.body = Zeroizing::new(body.to_vec());
    let (status, answer) = STAGE.with(|cell| cell.get_or_init(stage).ask(request));
    // What names a secret may be repeated; what is in it may not.
    let named = serde_json::from_slice::<Value>(body).is_ok_and(|body| names_canary(&body));
    assert!(named || !answer.contains(CANARY), "{status}: an answer repeats a value");
    Judged::Worth
}

/// Whether it stands somewhere else than in a value.
fn names_canary(body: &Value) -> bool {
    match body {
        Value::String(text) => text.contains(CANARY),
        Value::Array(list) => list.iter().any(names_canary),
        Value::Object(members) => {
            members.iter().any(|(name, member)| name.contains(CANARY) || (name != "value" && names_canary(member)))
        }
        _ => false,
    }
}
