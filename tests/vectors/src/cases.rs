//! All cases of all files: what a face is shown of each, and what it must come to.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::flow::{Answer, Call, Exchange, File, Flow, Node, Step, Times, Want};

/// The kinds, in the order of the table.
pub(crate) const KINDS: [&str; 6] = ["uri", "pointer", "path", "tenant", "config", "flow"];

const URI: &str = include_str!("../uri.json");
const POINTER: &str = include_str!("../pointer.json");
const PATH: &str = include_str!("../path.json");
const TENANT: &str = include_str!("../tenant.json");
const CONFIG: &str = include_str!("../config.json");
const FLOWS: &str = include_str!("../flows.json");

/// One case.
pub(crate) struct Case {
    pub id: String,
    pub kind: &'static str,
    pub name: String,
    pub needs: Vec<String>,
    /// What a face gets beside id, kind, name and needs.
    shown: Map<String, Value>,
    pub expected: Expected,
}

/// What a case must come to.
pub(crate) enum Expected {
    /// As uri.json or pointer.json says.
    Parse(Value),
    /// As config.json says.
    Settings(Value),
    /// As the flow says.
    Play(Play),
}

/// A client, its calls and the requests that must be seen.
pub(crate) struct Play {
    pub provider: &'static str,
    /// Without the URL.
    pub env: BTreeMap<String, String>,
    pub nodes: usize,
    pub unreachable: Vec<usize>,
    pub any_order: bool,
    /// The code with which making the client must fail.
    pub refusal: Option<String>,
    pub steps: Vec<Step>,
    pub exchanges: Vec<Exchange>,
}

impl Case {
    /// What a face gets.
    pub fn shown(&self) -> Value {
        let mut shown = self.shown.clone();
        shown.extend(object(json!({"id": self.id, "kind": self.kind, "name": self.name, "needs": self.needs})));
        Value::Object(shown)
    }
}

/// Every case, or what is wrong with the files.
pub(crate) fn load() -> Result<Vec<Case>, String> {
    let flows: File = serde_json::from_str(FLOWS).map_err(|error| format!("flows.json: {error}"))?;
    let defaults = flows.defaults.env;
    let mut cases = Vec::new();
    for (kind, text, make) in [
        ("uri", URI, uri as fn(&Value, &BTreeMap<String, String>) -> Made),
        ("pointer", POINTER, pointer),
        ("path", PATH, path),
        ("tenant", TENANT, tenant),
        ("config", CONFIG, config),
    ] {
        let document: Value = serde_json::from_str(text).map_err(|error| format!("{kind}.json: {error}"))?;
        let list = document.get("cases").and_then(Value::as_array).ok_or_else(|| format!("{kind}.json: no cases"))?;
        for (index, raw) in list.iter().enumerate() {
            let name = raw.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let (needs, shown, expected) =
                make(raw, &defaults).map_err(|error| format!("{kind}.json: {name}: {error}"))?;
            let needs = needs.into_iter().map(str::to_owned).collect();
            cases.push(Case { id: format!("{kind}-{index}"), kind, name, needs, shown: object(shown), expected });
        }
    }
    for (index, raw) in flows.cases.into_iter().enumerate() {
        let (name, needs) = (raw.name.clone(), raw.needs.clone());
        let play = flow(raw, &defaults).map_err(|error| format!("flows.json: {name}: {error}"))?;
        let (shown, expected) = (object(play.shown()), Expected::Play(play));
        cases.push(Case { id: format!("flow-{index}"), kind: "flow", name, needs, shown, expected });
    }
    Ok(cases)
}

type Made = Result<(Vec<&'static str>, Value, Expected), String>;

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn text<'a>(case: &'a Value, field: &str) -> Result<&'a str, String> {
    case.get(field).and_then(Value::as_str).ok_or_else(|| format!("no {field}"))
}

fn code(case: &Value) -> Option<&str> {
    case.get("code").and_then(Value::as_str)
}

fn uri(case: &Value, _: &BTreeMap<String, String>) -> Made {
    let kind = case.get("as").and_then(Value::as_str);
    let shown = json!({
        "input": text(case, "input")?,
        "legacy": case.get("legacy").and_then(Value::as_bool).unwrap_or_default(),
        "mount": case.get("mount"),
        "as": kind.unwrap_or("secret"),
    });
    let needs = if kind.is_some() { vec!["prefix"] } else { Vec::new() };
    Ok((needs, shown, Expected::Parse(case.clone())))
}

fn pointer(case: &Value, _: &BTreeMap<String, String>) -> Made {
    let is_ref = case.get("ref").and_then(Value::as_bool).unwrap_or_default();
    let shown = json!({"input": text(case, "input")?, "as": if is_ref { "ref" } else { "pointer" }});
    Ok((if is_ref { vec!["ref"] } else { Vec::new() }, shown, Expected::Parse(case.clone())))
}

fn config(case: &Value, _: &BTreeMap<String, String>) -> Made {
    let provider = case.get("provider").and_then(Value::as_str);
    let expect = case.get("expect").cloned().unwrap_or_default();
    let has = |field: &str| expect.get(field).is_some_and(|value| !value.is_null());
    let mut needs = Vec::new();
    if provider.is_some() {
        needs.push("provider");
    }
    if has("ca") || has("client_certificate") {
        needs.push("files");
    }
    let warnings = expect.get("warnings").and_then(Value::as_array);
    if expect.get("verify_tls") == Some(&Value::Bool(false))
        || warnings.is_some_and(|warnings| warnings.iter().any(|warning| warning == "TLS_NOT_VERIFIED"))
    {
        needs.push("verify_tls");
    }
    let shown = json!({"env": case.get("env"), "provider": provider.unwrap_or("openbao+kv2")});
    Ok((needs, shown, Expected::Settings(case.clone())))
}

/// The answer of a server that holds nothing.
fn nothing(target: Option<String>) -> Exchange {
    Exchange {
        node: Node::default(),
        method: "GET".to_owned(),
        target,
        token: None,
        namespace: None,
        wrap: false,
        index: None,
        body: None,
        times: Times::default(),
        answer: Some(Answer::json(404, json!({"errors": []}))),
        fault: None,
    }
}

/// A path is shown to the server by a read, or refused before anything is sent.
fn path(case: &Value, env: &BTreeMap<String, String>) -> Made {
    let input = || text(case, "input").map(str::to_owned);
    let wire = case.get("wire").and_then(Value::as_str);
    let at = |pattern: &str| wire.map(|wire| pattern.replace('*', wire));
    let (call, target, absent) = match text(case, "kind")? {
        "mount" => (
            Call::Kv2Read { mount: input()?, path: "x".to_owned(), version: None },
            at("/v1/*/data/x"),
            "SECRET_NOT_FOUND",
        ),
        "secret" => (
            Call::Kv2Read { mount: "secret".to_owned(), path: input()?, version: None },
            at("/v1/secret/data/*"),
            "SECRET_NOT_FOUND",
        ),
        "api" => (Call::Request { method: "GET".to_owned(), path: input()?, body: None }, at("/v1/*"), "NOT_FOUND"),
        kind => return Err(format!("unknown kind {kind}")),
    };
    let step = Step::new(call, Want::code(code(case).unwrap_or(absent)))?;
    let exchanges = target.map(|target| nothing(Some(target))).into_iter().collect();
    let play = Play { steps: vec![step], exchanges, ..Play::with(env.clone()) };
    Ok((Vec::new(), play.shown(), Expected::Play(play)))
}

/// The guard is asked by a read with the client that has these mounts.
fn tenant(case: &Value, defaults: &BTreeMap<String, String>) -> Made {
    let tenant = text(case, "tenant")?;
    let mounts = case.get("mounts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut play = Play::with(defaults.clone());
    play.env.insert("TENANT_ID".to_owned(), tenant.to_owned());
    play.env.insert("TENANT_ALLOWED_MOUNTS".to_owned(), mounts.collect::<Vec<_>>().join(","));
    let uri = text(case, "input")?.to_owned();
    let mut needs = Vec::new();
    let is_prefix = case.get("as").is_some();
    let want = match code(case) {
        Some("INVALID_SETTING") => {
            play.refusal = Some("INVALID_SETTING".to_owned());
            Want::code("INVALID_SETTING")
        }
        Some(code) => Want::code(code),
        None if is_prefix => Want::Fields(Map::new()),
        // No client of a server serves it, whatever the guard says.
        None if uri.starts_with("yaml:") => Want::code("UNSUPPORTED_ENGINE"),
        None => {
            play.exchanges.push(nothing(None));
            Want::code("SECRET_NOT_FOUND")
        }
    };
    if uri.starts_with("hashicorp") {
        play.provider = "hashicorp+kv2";
        needs.push("provider");
        if let Some(token) = play.env.remove("OPENBAO_TOKEN") {
            play.env.insert("HASHICORP_TOKEN".to_owned(), token);
        }
    }
    let call = if is_prefix { Call::AdmitPrefix { uri } } else { Call::Read { uri } };
    if is_prefix {
        needs.push("prefix");
    }
    play.steps.push(Step::new(call, want)?);
    let mut shown = play.shown();
    // An empty id counts as unset in an environment, so it can only be given in code.
    if tenant.is_empty() {
        needs.push("tenant_code");
        shown = json!({"provider": play.provider, "steps": shown.get("steps"), "tenant": tenant});
    }
    Ok((needs, shown, Expected::Play(play)))
}

fn flow(flow: Flow, defaults: &BTreeMap<String, String>) -> Result<Play, String> {
    let mut env = defaults.clone();
    for (key, value) in flow.env {
        match value {
            Some(value) => env.insert(key, value),
            None => env.remove(&key),
        };
    }
    let steps = flow.steps.into_iter().map(Step::parse).collect::<Result<Vec<_>, _>>()?;
    if steps.is_empty() {
        return Err("no steps".to_owned());
    }
    for exchange in &flow.exchanges {
        exchange.check(flow.nodes, env.contains_key("OPENBAO_TOKEN"))?;
    }
    if flow.unreachable.iter().any(|node| *node >= flow.nodes) {
        return Err("unreachable: no such node".to_owned());
    }
    Ok(Play {
        nodes: flow.nodes,
        unreachable: flow.unreachable,
        any_order: flow.any_order,
        steps,
        exchanges: flow.exchanges,
        ..Play::with(env)
    })
}

impl Exchange {
    fn check(&self, nodes: usize, has_token: bool) -> Result<(), String> {
        if matches!(self.node, Node::Index(node) if node >= nodes) {
            return Err("no such node".to_owned());
        }
        if self.target.is_none() {
            return Err("an exchange without a target".to_owned());
        }
        if self.token.is_none() && !has_token {
            return Err("an exchange without a token, where the environment has none".to_owned());
        }
        if self.answer.is_none() && matches!(self.fault, None | Some(crate::flow::Fault::Truncate)) {
            return Err("an exchange without an answer".to_owned());
        }
        Ok(())
    }
}

impl Play {
    fn with(env: BTreeMap<String, String>) -> Self {
        Self {
            provider: "openbao+kv2",
            env,
            nodes: 1,
            unreachable: Vec::new(),
            any_order: false,
            refusal: None,
            steps: Vec::new(),
            exchanges: Vec::new(),
        }
    }

    fn shown(&self) -> Value {
        let steps: Vec<_> = self.steps.iter().map(|step| &step.shown).collect();
        json!({"provider": self.provider, "steps": steps})
    }

    /// The key under which the client looks for its nodes.
    pub fn url_key(&self) -> &'static str {
        if self.provider == "hashicorp+kv2" { "HASHICORP_URL" } else { "OPENBAO_URL" }
    }

    /// The token of the environment.
    pub fn token(&self) -> Option<String> {
        self.env.get("OPENBAO_TOKEN").or_else(|| self.env.get("HASHICORP_TOKEN")).cloned()
    }
}
