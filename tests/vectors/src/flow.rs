//! What flows.json says, as types. An unknown field is an error, so that a slip makes no flow weaker.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(rename = "about")]
    _about: String,
    pub defaults: Defaults,
    pub cases: Vec<Flow>,
}

/// What holds for every flow that does not say otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defaults {
    pub env: BTreeMap<String, String>,
}

/// One client, its calls, and the requests that must be seen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flow {
    pub name: String,
    #[serde(rename = "about")]
    _about: Option<String>,
    #[serde(default)]
    pub env: BTreeMap<String, Option<String>>,
    #[serde(default = "one")]
    pub nodes: usize,
    #[serde(default)]
    pub unreachable: Vec<usize>,
    #[serde(default)]
    pub any_order: bool,
    #[serde(default)]
    pub needs: Vec<String>,
    pub steps: Vec<Value>,
    #[serde(default)]
    pub exchanges: Vec<Exchange>,
}

const fn one() -> usize {
    1
}

/// What a face calls; absent options are null in the document that it gets.
#[derive(Deserialize, Serialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Call {
    Read {
        uri: String,
    },
    ReadText {
        uri: String,
    },
    Write {
        uri: String,
        value: Value,
    },
    Rotate {
        uri: String,
        value: Value,
    },
    Delete {
        uri: String,
    },
    Versions {
        uri: String,
    },
    Kv2Read {
        mount: String,
        path: String,
        version: Option<u64>,
    },
    Kv2Write {
        mount: String,
        path: String,
        value: Value,
        cas: Option<u64>,
    },
    Kv2Delete {
        mount: String,
        path: String,
        #[serde(default)]
        versions: Vec<u64>,
    },
    Kv2Versions {
        mount: String,
        path: String,
    },
    Request {
        method: String,
        path: String,
        body: Option<Value>,
    },
    LookupSelf {},
    RenewSelf {
        increment: Option<u64>,
    },
    Close {},
    AdmitPrefix {
        uri: String,
    },
}

/// What a call must come to.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    /// An error with one of these codes.
    Codes(Vec<String>),
    /// A result with these fields.
    Fields(Map<String, Value>),
}

/// A step as it is judged; the face gets [`Step::shown`].
pub(crate) struct Step {
    pub shown: Value,
    pub parallel: usize,
    /// One for each of the parallel calls, in any order, or one for all of them.
    pub wants: Vec<Want>,
}

impl Step {
    pub fn new(call: Call, want: Want) -> Result<Self, String> {
        let shown = serde_json::to_value(call).map_err(|error| error.to_string())?;
        Ok(Self { shown, parallel: 1, wants: vec![want] })
    }

    pub fn parse(step: Value) -> Result<Self, String> {
        let Value::Object(mut step) = step else { return Err("a step is an object".to_owned()) };
        let parallel = match step.remove("parallel") {
            None => 1,
            Some(count) => count.as_u64().and_then(|count| usize::try_from(count).ok()).ok_or("parallel: no number")?,
        };
        let wants = match step.remove("want") {
            Some(Value::Array(wants)) if wants.len() == parallel => {
                wants.into_iter().map(Want::parse).collect::<Result<_, _>>()?
            }
            Some(want) => vec![Want::parse(want)?],
            None => return Err("a step wants something".to_owned()),
        };
        let call: Call = serde_json::from_value(Value::Object(step)).map_err(|error| error.to_string())?;
        let mut shown = serde_json::to_value(call).map_err(|error| error.to_string())?;
        if parallel != 1
            && let Some(shown) = shown.as_object_mut()
        {
            shown.insert("parallel".to_owned(), parallel.into());
        }
        Ok(Self { shown, parallel, wants })
    }
}

impl Want {
    pub fn code(code: &str) -> Self {
        Self::Codes(vec![code.to_owned()])
    }

    fn parse(want: Value) -> Result<Self, String> {
        let Value::Object(mut fields) = want else { return Err(format!("want: {want} is no object")) };
        match fields.remove("code") {
            None => Ok(Self::Fields(fields)),
            Some(_) if !fields.is_empty() => Err("want: a code and more".to_owned()),
            Some(Value::String(code)) => Ok(Self::Codes(vec![code])),
            Some(codes) => serde_json::from_value(codes).map(Self::Codes).map_err(|error| error.to_string()),
        }
    }
}

/// A request that must be seen, and what the server does about it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    #[serde(default)]
    pub node: Node,
    pub method: String,
    /// None stands for any, which only the tenant's cases use.
    pub target: Option<String>,
    /// Absent: the token of the environment. Null: no token.
    #[serde(default, deserialize_with = "present")]
    pub token: Option<Option<String>>,
    pub namespace: Option<String>,
    /// Whether the answer must be asked for wrapped.
    #[serde(default)]
    pub wrap: bool,
    /// How far a state must be asked for.
    pub index: Option<String>,
    pub body: Option<Value>,
    #[serde(default)]
    pub times: Times,
    pub answer: Option<Answer>,
    pub fault: Option<Fault>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Which node must be asked.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Node {
    Index(usize),
    Word(Any),
}

impl Default for Node {
    fn default() -> Self {
        Self::Index(0)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Any {
    Any,
}

/// How often a request must be seen.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Times {
    Exactly(u32),
    Word(Any),
    Range { at_least: Option<u32>, at_most: Option<u32> },
}

impl Default for Times {
    fn default() -> Self {
        Self::Exactly(1)
    }
}

impl Times {
    pub fn range(self) -> (u32, u32) {
        match self {
            Self::Exactly(times) => (times, times),
            Self::Word(Any::Any) => (0, u32::MAX),
            Self::Range { at_least, at_most } => (at_least.unwrap_or(0), at_most.unwrap_or(u32::MAX)),
        }
    }
}

/// What the server answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub json: Option<Value>,
    pub text: Option<String>,
    pub repeat: Option<String>,
    #[serde(default)]
    pub count: usize,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub announce: Option<u64>,
    #[serde(default)]
    pub until_close: bool,
}

impl Answer {
    /// An answer in JSON.
    pub fn json(status: u16, json: Value) -> Self {
        Self {
            status,
            headers: BTreeMap::new(),
            json: Some(json),
            text: None,
            repeat: None,
            count: 0,
            kind: None,
            announce: None,
            until_close: false,
        }
    }

    /// The body and its type, where there is one.
    pub fn body(&self) -> Option<(Vec<u8>, &str)> {
        let (bytes, kind) = match (&self.json, &self.text, &self.repeat) {
            (Some(json), ..) => (json.to_string().into_bytes(), "application/json"),
            (None, Some(text), _) => (text.clone().into_bytes(), "text/html"),
            (None, None, Some(text)) => (text.repeat(self.count).into_bytes(), "application/json"),
            (None, None, None) => return None,
        };
        Some((bytes, self.kind.as_deref().unwrap_or(kind)))
    }
}

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    Close,
    Reset,
    Silence,
    Truncate,
    Garbage,
}
