//! The metadata of KVv2 keys: reading, writing, patching, deleting and listing it.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::{self, Fields, Kind};
use super::kv2::{Key, Store};
use super::text::{go_duration, is_printable, rfc3339};
use super::{Call, Op, kv2_list};
use crate::json::Json;
use std::collections::BTreeMap;

/// The parameters under `metadata/`.
pub(crate) const METADATA: &[(&str, Kind)] = &[
    ("cas_required", Kind::Bool),
    ("custom_metadata", Kind::Map),
    ("delete_version_after", Kind::Seconds),
    ("max_versions", Kind::Int),
    ("metadata_cas", Kind::Int),
    ("metadata_cas_required", Kind::Bool),
    ("after", Kind::Text),
    ("limit", Kind::Int),
];

impl Key {
    fn describe(&self) -> Json {
        let mut versions: Vec<(String, Json)> =
            self.versions.iter().map(|(number, version)| (number.to_string(), version.describe())).collect();
        versions.sort_by(|a, b| a.0.cmp(&b.0));
        Json::object([
            ("cas_required", Json::Bool(self.config.cas_required)),
            ("created_time", Json::Text(rfc3339(self.created))),
            ("current_metadata_version", Json::int(self.metadata_version)),
            ("current_version", Json::int(self.current)),
            ("custom_metadata", self.custom()),
            ("delete_version_after", Json::text(go_duration(self.config.delete_after))),
            ("max_versions", Json::int(self.config.max_versions)),
            ("metadata_cas_required", Json::Bool(self.config.metadata_cas_required)),
            ("oldest_version", Json::int(self.oldest)),
            ("updated_time", Json::Text(rfc3339(self.updated))),
            ("versions", Json::Object(versions)),
        ])
    }
}

impl Store {
    pub(crate) fn metadata_end_point(&mut self, call: &mut Call, part: &str, path: &str) -> Outcome {
        let detailed = part != "metadata";
        match call.op {
            Op::List | Op::Scan => self.list(call, path, detailed),
            _ if detailed => Err(Fault::unsupported_operation()),
            Op::Read => {
                call.accept(&["path"], METADATA)?;
                match self.find(path) {
                    Some((key, _)) => Ok(Body::data(key.describe()).into()),
                    None => Ok(Answer::Missing),
                }
            }
            Op::Create | Op::Update => self.write_metadata(call, path),
            Op::Patch => self.patch_metadata(call, path),
            Op::Delete => {
                self.keys.remove(path.strip_suffix('/').unwrap_or(path));
                Ok(Answer::Nothing)
            }
            Op::Head => Err(Fault::unsupported_operation()),
        }
    }

    fn list(&self, call: &mut Call, path: &str, detailed: bool) -> Outcome {
        call.accept(&["path"], METADATA)?;
        let names = if call.op == Op::List {
            kv2_list::page(kv2_list::children(self.keys.keys(), path), &call.fields)
        } else {
            kv2_list::descendants(&self.keys.keys().collect::<Vec<_>>(), path)
        };
        if names.is_empty() {
            return match call.op {
                Op::List => Ok(Answer::Missing),
                _ => Ok(Body::data(Json::Object(Vec::new())).into()),
            };
        }
        let mut data = Vec::new();
        if detailed {
            let info = |name: &String| match self.find(&format!("{path}{name}")) {
                Some((key, _)) => key.describe(),
                None => Json::Object(Vec::new()),
            };
            data.push(("key_info", Json::map(names.iter().map(|name| (name.clone(), info(name))))));
        }
        data.push(("keys", Json::texts(names)));
        Ok(Body::data(Json::object(data)).into())
    }

    fn check_and_set_metadata(&self, fields: &Fields, key: Option<&Key>) -> Result<(), Fault> {
        match fields.int("metadata_cas") {
            None if self.config.metadata_cas_required || key.is_some_and(|k| k.config.metadata_cas_required) => {
                Err(Fault::bad("metadata check-and-set parameter required for this call"))
            }
            Some(cas) if u64::try_from(cas).ok() != Some(key.map_or(0, |key| key.metadata_version)) => {
                Err(Fault::bad("metadata check-and-set parameter does not match the current version"))
            }
            _ => Ok(()),
        }
    }

    fn write_metadata(&mut self, call: &mut Call, path: &str) -> Outcome {
        call.accept(&["path"], METADATA)?;
        let custom = custom(&call.fields, false)?;
        if !changes_anything(&call.fields) {
            return Ok(Answer::Nothing);
        }
        self.check_and_set_metadata(&call.fields, self.keys.get(path))?;
        let now = call.now;
        let key = self.keys.entry(path.to_owned()).or_insert_with(|| Key::new(now));
        key.config.take(&call.fields);
        if let Some(custom) = custom {
            key.custom = custom;
        }
        key.metadata_version += 1;
        Ok(Answer::Nothing)
    }

    fn patch_metadata(&mut self, call: &mut Call, path: &str) -> Outcome {
        call.accept(&["path"], METADATA)?;
        let custom = custom(&call.fields, true)?;
        let Some(key) = self.keys.get(path) else { return Ok(Answer::MissingBare) };
        if !changes_anything(&call.fields) {
            return Ok(Answer::Nothing);
        }
        self.check_and_set_metadata(&call.fields, Some(key))?;
        let changes = call.fields.map("custom_metadata").unwrap_or_default();
        for (name, value) in &changes {
            let kind = match value {
                Json::Number(_) => "number",
                Json::Bool(_) => "bool",
                _ => continue,
            };
            return Err(Fault::wrapped(
                500,
                format!("json: cannot unmarshal {kind} into Go struct field .custom_metadata.{name} of type string"),
            ));
        }
        let Some(key) = self.keys.get_mut(path) else { return Ok(Answer::MissingBare) };
        key.config.take(&call.fields);
        match custom {
            None => {}
            Some(None) => key.custom = None,
            Some(Some(_)) => {
                let mut all = key.custom.take().unwrap_or_default();
                for (name, value) in changes {
                    match value {
                        Json::Text(text) => drop(all.insert(name, text)),
                        _ => drop(all.remove(&name)),
                    }
                }
                key.custom = Some(all);
            }
        }
        key.metadata_version += 1;
        Ok(Answer::Nothing)
    }
}

/// Whether a request names anything that it could change.
fn changes_anything(fields: &Fields) -> bool {
    fields.seconds("delete_version_after").is_some()
        || ["max_versions", "cas_required", "custom_metadata", "metadata_cas_required"]
            .iter()
            .any(|name| fields.has(name))
}

/// The custom metadata that a request gives: not given, emptied, or pairs within the limits. In a patch
/// a null takes its key away.
#[expect(clippy::option_option, reason = "three states, each with its own effect")]
fn custom(fields: &Fields, patch: bool) -> Result<Option<Option<BTreeMap<String, String>>>, Fault> {
    const WHAT: &str = "custom_metadata validation failed";
    let Some(given) = fields.get("custom_metadata") else { return Ok(None) };
    let Some(pairs) = fields::map(given).map_err(Fault::bad)? else { return Ok(Some(None)) };
    let mut all = BTreeMap::new();
    for (name, value) in pairs {
        let text = fields::text(&value, "").map_err(|e| Fault::bad(format!("{WHAT}: {e}")))?;
        all.insert(name, (text, value));
    }
    let mut errors = Vec::new();
    if all.len() > 64 {
        errors.push(format!("payload must contain at most 64 keys, provided {}", all.len()));
    }
    for (name, (text, value)) in &all {
        if patch && *value == Json::Null {
            continue;
        }
        if errors.len() == 1 && all.len() > 64 {
            break;
        }
        if name.is_empty() || name.len() > 128 {
            errors.push(format!("length of key {name:?} is {} but must be 0 < len(key) <= 128", name.len()));
        }
        if text.is_empty() || text.len() > 512 {
            errors
                .push(format!("length of value for key {name:?} is {} but must be 0 < len(value) <= 512", text.len()));
        }
        if !name.chars().all(is_printable) {
            errors.push(format!("key {name:?} ({name}) contains unprintable characters"));
        }
        if !text.chars().all(is_printable) {
            errors.push(format!("value for key {name:?} contains unprintable characters"));
        }
    }
    if errors.is_empty() {
        let all: BTreeMap<String, String> = all.into_iter().map(|(k, (text, _))| (k, text)).collect();
        return Ok(Some(Some(all)));
    }
    let plural = if errors.len() == 1 { "error" } else { "errors" };
    let list: String = errors.iter().map(|e| format!("\t* {WHAT}: {e}\n")).collect();
    Err(Fault::bad(format!("{} {plural} occurred:\n{list}\n", errors.len())))
}
