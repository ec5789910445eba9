//! KV version 1: one value for each path. The cubbyhole of a token is the same with another lease.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::Kind;
use super::text::parse_duration;
use super::token::SYSTEM_TTL;
use super::{Call, Op, kv2_list};
use crate::json::Json;
use std::collections::BTreeMap;

/// The lease that an answer of KVv1 states.
pub(crate) const LEASE: i64 = SYSTEM_TTL;

/// The values by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store(BTreeMap<String, Json>);

impl Store {
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}

pub(crate) fn handle(store: &mut Store, call: &mut Call, path: &str, limit: Option<usize>, lease: i64) -> Outcome {
    match call.op {
        Op::Read => {
            call.accept(&["path"], &[])?;
            let Some(value) = store.0.get(path) else { return Ok(Answer::Missing) };
            let given = value.get("ttl").or(value.get("lease")).filter(|_| lease > 0);
            let seconds = match given {
                Some(Json::Text(text) | Json::Number(text)) => parse_duration(text).unwrap_or(lease),
                _ => lease,
            };
            let mut body = Body::data(value.clone());
            body.lease = u64::try_from(seconds).unwrap_or(0);
            Ok(body.into())
        }
        Op::Create | Op::Update => {
            if path.is_empty() {
                return Err(Fault::bad("missing path"));
            }
            if call.fields.0.is_empty() {
                return Err(Fault::bad("missing data fields"));
            }
            let value = Json::map(std::mem::take(&mut call.fields.0));
            too_large(&value, limit)?;
            store.0.insert(path.to_owned(), value);
            Ok(Answer::Nothing)
        }
        Op::Delete => {
            store.0.remove(path);
            Ok(Answer::Nothing)
        }
        Op::List => {
            call.accept(&["path"], &[("after", Kind::Text), ("limit", Kind::Int)])?;
            let keys = kv2_list::children(store.0.keys(), path);
            let keys = kv2_list::page(keys, &call.fields);
            if keys.is_empty() {
                return Ok(Answer::Missing);
            }
            Ok(Body::data(Json::object([("keys", Json::texts(keys))])).into())
        }
        Op::Scan => {
            call.accept(&["path"], &[("after", Kind::Text), ("limit", Kind::Int)])?;
            let keys = kv2_list::descendants(&store.0.keys().collect::<Vec<_>>(), path);
            Ok(Body::data(Json::object([("keys", Json::texts(keys))])).into())
        }
        Op::Patch | Op::Head => Err(Fault::unsupported_operation()),
    }
}

/// The failure of a storage that limits its entries.
pub(crate) fn too_large(value: &Json, limit: Option<usize>) -> Result<(), Fault> {
    let Some(limit) = limit else { return Ok(()) };
    let size = value.write().len();
    if size <= limit {
        return Ok(());
    }
    let text = format!("put failed due to value being too large; got {size} bytes, max {limit} bytes");
    Err(Fault::wrapped(500, text))
}
