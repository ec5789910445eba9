//! How a PDP's answer is read: AuthZEN 1.0, sections 5.5, 6.2 and 7.2. Whatever is no decision is an error.
//!
//! A permit may come with obligations that limit the grant which is made of it. The standard leaves their place
//! open, so they are looked for in three places of `context`, and where one stands in several, the smallest holds:
//!
//! ```json
//! {"decision": true, "context": {"ttl_seconds": 60, "max_uses": 3}}
//! {"decision": true, "context": {"obligations": {"ttl_seconds": 60, "max_uses": 3}}}
//! {"decision": true, "context": {"obligations": [{"id": "ttl_seconds", "value": 60}, {"type": "grant", "max_uses": 3}]}}
//! ```
//!
//! In the list, an entry names the obligation by `id`, `type` or `name` and has its `value` beside it, or is an
//! object that has the obligation as a member. Everything else in `context` is ignored.
//!
//! | obligation | what is taken | what is an error |
//! |---|---|---|
//! | `ttl_seconds` | a number from 0 on, fractions too; more than a day counts as a day, 0 allows this one use alone | negative, no number |
//! | `max_uses` | an integer from 1 on (3.0 is one); more than 1,000,000 counts as that | 0, negative, a fraction, no number |
//!
//! A null counts as absent. An obligation of a denial is not looked at. Numbers that JSON can't hold (NaN, infinity)
//! make the answer malformed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::unreachable;
use crate::error::{Error, Result};

/// The longest that a grant lasts, whatever the PDP says.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The most uses of a grant, whatever the PDP says.
const MAX_USES: u32 = 1_000_000;
/// The longest name of a decision or a policy that is put on record, in bytes.
const MAX_NAME: usize = 256;

/// What a PDP has decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub permit: bool,
    /// How long a permit holds, a day at most; none where the PDP does not say.
    pub ttl: Option<Duration>,
    /// How often a permit may be used, 1 to 1,000,000; none where the PDP does not say.
    pub max_uses: Option<u32>,
    /// The PDP's name of the decision: `context.decision_id`, else `context.id`, up to 256 bytes.
    pub decision_id: Option<String>,
    /// The version of the policy: `context.policy_version`, up to 256 bytes.
    pub policy_version: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    // A boolean that is there: serde refuses a text, a null, and a field that comes twice.
    decision: bool,
    #[serde(default)]
    context: Value,
    // What is ignored; without it serde would take the list `[true]` for an answer.
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Answers {
    evaluations: Vec<Answer>,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

/// The decision of one question.
pub(super) fn one(body: &[u8]) -> Result<Decision> {
    decision(serde_json::from_slice(body).map_err(malformed)?)
}

/// The decisions of so many questions; those that are left out are denials.
pub(super) fn many(body: &[u8], count: usize) -> Result<Vec<Decision>> {
    let Answers { evaluations, .. } = serde_json::from_slice(body).map_err(malformed)?;
    if evaluations.len() > count {
        return Err(unreachable("it answers more questions than were asked"));
    }
    let mut decisions = evaluations.into_iter().map(decision).collect::<Result<Vec<_>>>()?;
    decisions.resize_with(count, Decision::default);
    Ok(decisions)
}

fn malformed(_: serde_json::Error) -> Error {
    // What serde says may repeat the answer.
    unreachable("its answer is no decision")
}

fn decision(answer: Answer) -> Result<Decision> {
    let Answer { decision: permit, context, .. } = answer;
    let mut decision = Decision {
        permit,
        decision_id: name(&context, "decision_id").or_else(|| name(&context, "id")),
        policy_version: name(&context, "policy_version"),
        ..Decision::default()
    };
    if permit {
        obligations(&context, &mut decision)?;
    }
    Ok(decision)
}

fn name(context: &Value, field: &str) -> Option<String> {
    let text = match context.get(field)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (1..=MAX_NAME).contains(&text.len()).then_some(text)
}

fn obligations(context: &Value, decision: &mut Decision) -> Result<()> {
    members(context, decision)?;
    match context.get("obligations") {
        None | Some(Value::Null) => Ok(()),
        Some(all @ Value::Object(_)) => members(all, decision),
        Some(Value::Array(list)) => list.iter().try_for_each(|entry| {
            members(entry, decision)?;
            let named = ["id", "type", "name"].iter().filter_map(|field| entry.get(field)?.as_str());
            let value = entry.get("value").unwrap_or(&Value::Null);
            named.into_iter().try_for_each(|name| note(name, value, decision))
        }),
        Some(_) => Err(unreachable("its obligations are neither an object nor a list")),
    }
}

fn members(object: &Value, decision: &mut Decision) -> Result<()> {
    ["ttl_seconds", "max_uses"].iter().try_for_each(|name| match object.get(name) {
        Some(value) => note(name, value, decision),
        None => Ok(()),
    })
}

/// Takes the smaller of what is known and what is found.
fn note(name: &str, value: &Value, decision: &mut Decision) -> Result<()> {
    match (name, value) {
        (_, Value::Null) => {}
        ("ttl_seconds", value) => {
            let ttl = seconds(value).ok_or_else(|| unreachable("its ttl_seconds is no number from 0 on"))?;
            decision.ttl = Some(decision.ttl.map_or(ttl, |known| known.min(ttl)));
        }
        ("max_uses", value) => {
            let uses = uses(value).ok_or_else(|| unreachable("its max_uses is no integer from 1 on"))?;
            decision.max_uses = Some(decision.max_uses.map_or(uses, |known| known.min(uses)));
        }
        _ => {}
    }
    Ok(())
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(MAX_TTL).min(MAX_TTL))
}

fn uses(value: &Value) -> Option<u32> {
    let uses = value.as_f64().filter(|uses| *uses >= 1.0 && uses.fract() == 0.0)?;
    // A cast from a float saturates.
    Some((uses as u32).min(MAX_USES))
}
