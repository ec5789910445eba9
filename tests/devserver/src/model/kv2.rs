//! KV version 2: versions of a value, their soft deletion and destruction, check-and-set, and the
//! settings of the mount.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::{self, Fields, Kind};
use super::kv1::too_large;
use super::text::{go_duration, rfc3339};
use super::token::later;
use super::{Call, Op};
use crate::json::Json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many versions are kept where nothing says otherwise.
const DEFAULT_VERSIONS: u32 = 10;

/// One KVv2 mount.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) config: Config,
    pub(crate) keys: BTreeMap<String, Key>,
}

/// Settings; a mount and a key have the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) max_versions: u32,
    pub(crate) cas_required: bool,
    pub(crate) metadata_cas_required: bool,
    pub(crate) delete_after: i64,
}

/// A key: its metadata and its versions.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) config: Config,
    pub(crate) custom: Option<BTreeMap<String, String>>,
    pub(crate) created: Duration,
    pub(crate) updated: Duration,
    pub(crate) current: u64,
    pub(crate) oldest: u64,
    pub(crate) metadata_version: u64,
    pub(crate) versions: BTreeMap<u64, Version>,
}

/// One version; a destroyed one has no value.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    created: Duration,
    deleted: Option<Duration>,
    destroyed: bool,
    value: Json,
}

impl Version {
    fn is_gone(&self, now: Duration) -> bool {
        self.destroyed || self.deleted.is_some_and(|at| at <= now)
    }

    fn deletion_time(&self) -> Json {
        Json::Text(self.deleted.map(rfc3339).unwrap_or_default())
    }

    pub(crate) fn describe(&self) -> Json {
        Json::object([
            ("created_time", Json::Text(rfc3339(self.created))),
            ("deletion_time", self.deletion_time()),
            ("destroyed", Json::Bool(self.destroyed)),
        ])
    }
}

impl Key {
    pub(crate) fn new(now: Duration) -> Key {
        Key {
            config: Config::default(),
            custom: None,
            created: now,
            updated: now,
            current: 0,
            oldest: 0,
            metadata_version: 0,
            versions: BTreeMap::new(),
        }
    }

    pub(crate) fn custom(&self) -> Json {
        let pairs = |all: &BTreeMap<String, String>| Json::map(all.iter().map(|(k, v)| (k.as_str(), Json::text(v))));
        self.custom.as_ref().filter(|all| !all.is_empty()).map_or(Json::Null, pairs)
    }

    /// The metadata of one version, as reads and writes of data return it.
    fn version_metadata(&self, number: u64, version: &Version) -> Json {
        Json::object([
            ("created_time", Json::Text(rfc3339(version.created))),
            ("custom_metadata", self.custom()),
            ("deletion_time", version.deletion_time()),
            ("destroyed", Json::Bool(version.destroyed)),
            ("version", Json::int(number)),
        ])
    }

    /// When a version that begins to live now is deleted by itself.
    fn deletion_due(&self, now: Duration, config: &Config) -> Option<Duration> {
        let delete_after = match (config.delete_after, self.config.delete_after) {
            (mount, _) if mount < 0 => 0,
            (0, key) => key,
            (mount, 0) => mount,
            (mount, key) => mount.min(key),
        };
        (delete_after > 0).then(|| later(now, delete_after))
    }

    /// Adds a version and drops those beyond the limit.
    fn add(&mut self, now: Duration, value: Json, config: &Config) -> Json {
        let deleted = self.deletion_due(now, config);
        let version = Version { created: now, deleted, destroyed: false, value };
        self.current += 1;
        self.updated = now;
        let answer = self.version_metadata(self.current, &version);
        self.versions.insert(self.current, version);
        let max = match self.config.max_versions.max(config.max_versions) {
            0 => u64::from(DEFAULT_VERSIONS),
            max => u64::from(max),
        };
        if self.current - self.oldest >= max {
            self.oldest = self.current - max + 1;
            self.versions = self.versions.split_off(&self.oldest);
        }
        answer
    }
}

impl Store {
    /// Whether a write would find its key; also the place where the server first checks a write's types.
    pub(crate) fn exists(&self, rest: &str, fields: &Fields) -> Result<Option<bool>, Fault> {
        let (part, key) = rest.split_once('/').unwrap_or((rest, ""));
        let schema = match part {
            "data" => DATA,
            "metadata" => super::kv2_metadata::METADATA,
            _ => return Ok(None),
        };
        if key.is_empty() {
            return Ok(None);
        }
        fields.check(schema).map_err(Fault::bad)?;
        Ok(Some(self.keys.contains_key(key)))
    }

    pub(crate) fn handle(&mut self, call: &mut Call, rest: &str, limit: Option<usize>) -> Outcome {
        if rest == "config" {
            return self.configure(call);
        }
        let Some((part, key)) = rest.split_once('/') else {
            return Ok(if matches!(rest, "data" | "metadata" | "delete" | "undelete" | "destroy") {
                warned("Non-listing operations on the root of a K/V v2 mount are not supported.".into())
            } else {
                invalid_path(call.op)
            });
        };
        match (part, call.op) {
            ("data", Op::Read) => self.read(call, key),
            ("data", Op::Create | Op::Update) => self.write(call, key, limit),
            ("data", Op::Patch) => self.patch(call, key, limit),
            ("data", Op::Delete) => self.change_versions(call, key, None, |version, now, _| {
                if !version.is_gone(now) {
                    version.deleted = Some(now);
                }
            }),
            ("subkeys", Op::Read) => self.subkeys(call, key),
            ("delete", Op::Create | Op::Update) => {
                self.change_versions(call, key, Some("No version number provided"), |version, now, _| {
                    if !version.is_gone(now) {
                        version.deleted = Some(now);
                    }
                })
            }
            ("undelete", Op::Create | Op::Update) => {
                self.change_versions(call, key, Some("No version number provided"), |version, _, due| {
                    if !version.destroyed {
                        version.deleted = due;
                    }
                })
            }
            ("destroy", Op::Create | Op::Update) => {
                self.change_versions(call, key, Some("no version number provided"), |version, _, _| {
                    version.destroyed = true;
                    version.value = Json::Null;
                })
            }
            ("metadata" | "detailed-metadata", _) => self.metadata_end_point(call, part, key),
            ("data" | "subkeys" | "delete" | "undelete" | "destroy", _) => Err(Fault::unsupported_operation()),
            _ => Ok(invalid_path(call.op)),
        }
    }

    fn configure(&mut self, call: &mut Call) -> Outcome {
        let schema: &[(&'static str, Kind)] = &[
            ("max_versions", Kind::Int),
            ("cas_required", Kind::Bool),
            ("metadata_cas_required", Kind::Bool),
            ("delete_version_after", Kind::SignedSeconds),
        ];
        call.accept(&[], schema)?;
        match call.op {
            Op::Read => Ok(Body::data(Json::object([
                ("cas_required", Json::Bool(self.config.cas_required)),
                ("delete_version_after", Json::text(go_duration(self.config.delete_after))),
                ("max_versions", Json::int(self.config.max_versions)),
                ("metadata_cas_required", Json::Bool(self.config.metadata_cas_required)),
            ]))
            .into()),
            Op::Create | Op::Update => {
                self.config.take(&call.fields);
                Ok(Answer::Nothing)
            }
            _ => Err(Fault::unsupported_operation()),
        }
    }

    /// The key that a path means (a final slash is ignored there), and whether its values are found
    /// under the path too (there it isn't).
    pub(crate) fn find(&self, path: &str) -> Option<(&Key, bool)> {
        let bare = path.strip_suffix('/').unwrap_or(path);
        self.keys.get(bare).map(|key| (key, bare == path))
    }

    /// The version that a request asks for, or the current one.
    fn asked_version(&self, call: &Call, path: &str) -> Result<Option<(&Key, u64, &Version)>, Fault> {
        let Some((key, found)) = self.find(path) else { return Ok(None) };
        let asked = call.fields.int("version").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        let number = asked.unwrap_or(key.current);
        let Some(version) = key.versions.get(&number) else { return Ok(None) };
        if !found && !version.is_gone(call.now) {
            return Err(Fault::wrapped(500, "could not find version data"));
        }
        Ok(Some((key, number, version)))
    }

    fn read(&self, call: &mut Call, path: &str) -> Outcome {
        call.accept(&["path"], DATA)?;
        let Some((key, number, version)) = self.asked_version(call, path)? else { return Ok(Answer::Missing) };
        let gone = version.is_gone(call.now);
        let value = if gone { Json::Null } else { version.value.clone() };
        let metadata = key.version_metadata(number, version);
        let body = Body::data(Json::object([("data", value), ("metadata", metadata)]));
        Ok(body.status(if gone { 404 } else { 200 }).into())
    }

    fn write(&mut self, call: &mut Call, path: &str, limit: Option<usize>) -> Outcome {
        call.accept(&["path"], DATA)?;
        let value = given_value(&call.fields)?;
        let held = self.keys.get(path);
        self.check_and_set(&call.fields, held)?;
        too_large(&value, limit)?;
        let (config, now) = (self.config.clone(), call.now);
        let key = self.keys.entry(path.to_owned()).or_insert_with(|| Key::new(now));
        if key.current == 0 && key.versions.is_empty() && key.metadata_version == 0 {
            key.created = now;
        }
        Ok(Body::data(key.add(now, value, &config)).into())
    }

    fn patch(&mut self, call: &mut Call, path: &str, limit: Option<usize>) -> Outcome {
        call.accept(&["path"], DATA)?;
        let patch = given_value(&call.fields)?;
        let Some(key) = self.keys.get(path) else { return Ok(Answer::MissingBare) };
        self.check_and_set(&call.fields, Some(key))?;
        let Some(version) = key.versions.get(&key.current) else { return Ok(Answer::MissingBare) };
        if version.is_gone(call.now) {
            let metadata = key.version_metadata(key.current, version);
            return Ok(Body::data(metadata).status(404).into());
        }
        if version.value == Json::Null {
            return Err(Fault::wrapped(500, "resource does not exist"));
        }
        let merged = merge(version.value.clone(), patch);
        too_large(&merged, limit)?;
        let (config, now) = (self.config.clone(), call.now);
        match self.keys.get_mut(path) {
            Some(key) => Ok(Body::data(key.add(now, merged, &config)).into()),
            None => Ok(Answer::MissingBare),
        }
    }

    fn check_and_set(&self, fields: &Fields, key: Option<&Key>) -> Result<(), Fault> {
        let options = fields.map("options").unwrap_or_default();
        let cas = options.into_iter().find(|(name, _)| name == "cas").map(|(_, value)| value);
        let Some(cas) = cas else {
            let required = self.config.cas_required || key.is_some_and(|key| key.config.cas_required);
            return match required {
                true => Err(Fault::bad("check-and-set parameter required for this call")),
                false => Ok(()),
            };
        };
        let cas = fields::int(&cas, "").map_err(|_| Fault::bad("error parsing check-and-set parameter"))?;
        if u64::try_from(cas).ok() != Some(key.map_or(0, |key| key.current)) {
            return Err(Fault::bad("check-and-set parameter did not match the current version"));
        }
        Ok(())
    }

    /// Changes the versions named in the request, or the current one where `missing` is none.
    fn change_versions(
        &mut self,
        call: &mut Call,
        path: &str,
        missing: Option<&str>,
        change: impl Fn(&mut Version, Duration, Option<Duration>),
    ) -> Outcome {
        let numbers = match missing {
            None => {
                call.accept(&["path"], DATA)?;
                None
            }
            Some(text) => {
                call.accept(&["path"], &[("versions", Kind::Ints)])?;
                let numbers = call.fields.ints("versions");
                if numbers.is_empty() {
                    return Err(Fault::bad(text));
                }
                Some(numbers)
            }
        };
        let bare = path.strip_suffix('/').unwrap_or(path);
        let Some(key) = self.keys.get_mut(bare) else { return Ok(Answer::Nothing) };
        let due = key.deletion_due(call.now, &self.config);
        let numbers = match numbers {
            None => vec![key.current],
            Some(numbers) => numbers.into_iter().filter_map(|n| u64::try_from(n).ok()).collect(),
        };
        for number in numbers {
            if let Some(version) = key.versions.get_mut(&number) {
                change(version, call.now, due);
            }
        }
        Ok(Answer::Nothing)
    }

    fn subkeys(&self, call: &mut Call, path: &str) -> Outcome {
        call.accept(&["path"], &[("version", Kind::Int), ("depth", Kind::Int)])?;
        let Some((key, number, version)) = self.asked_version(call, path)? else { return Ok(Answer::Missing) };
        let gone = version.is_gone(call.now);
        let depth = call.fields.int("depth").unwrap_or(0);
        let subkeys = match &version.value {
            Json::Object(_) if !gone => names_only(&version.value, if depth == 0 { i64::MAX } else { depth.max(1) }),
            _ => Json::Null,
        };
        let metadata = key.version_metadata(number, version);
        let body = Body::data(Json::object([("metadata", metadata), ("subkeys", subkeys)]));
        Ok(body.status(if gone { 404 } else { 200 }).into())
    }
}

impl Config {
    /// Takes over the parameters that are given.
    pub(crate) fn take(&mut self, fields: &Fields) -> bool {
        let max = fields.int("max_versions").and_then(|n| u32::try_from(n & 0xffff_ffff).ok());
        let (cas, metadata_cas) = (fields.boolean("cas_required"), fields.boolean("metadata_cas_required"));
        let delete_after = fields.seconds("delete_version_after");
        self.max_versions = max.unwrap_or(self.max_versions);
        self.cas_required = cas.unwrap_or(self.cas_required);
        self.metadata_cas_required = metadata_cas.unwrap_or(self.metadata_cas_required);
        self.delete_after = delete_after.unwrap_or(self.delete_after);
        max.is_some() || cas.is_some() || metadata_cas.is_some() || delete_after.is_some()
    }
}

/// The parameters under `data/`.
const DATA: &[(&str, Kind)] = &[("data", Kind::Map), ("options", Kind::Map), ("version", Kind::Int)];

fn given_value(fields: &Fields) -> Result<Json, Fault> {
    let given = fields.get("data").ok_or_else(|| Fault::bad("no data provided"))?;
    // Conversion was checked by `accept`; null stays null.
    let map = fields::map(given).map_err(Fault::bad)?;
    Ok(map.map_or(Json::Null, Json::Object).with_float_numbers())
}

/// JSON merge patch (RFC 7396).
pub(crate) fn merge(target: Json, patch: Json) -> Json {
    let Json::Object(changes) = patch else { return patch };
    let mut all: BTreeMap<String, Json> = match target {
        Json::Object(pairs) => pairs.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    for (name, change) in changes {
        let change = if let Json::List(_) = change { without_nulls(change) } else { change };
        let held = all.remove(&name);
        if change != Json::Null {
            all.insert(name, merge(held.unwrap_or(Json::Null), change));
        }
    }
    Json::map(all)
}

/// A list as a patch brings it in: the objects in it lose their nulls, the list itself does not.
fn without_nulls(value: Json) -> Json {
    match value {
        Json::List(items) => Json::List(items.into_iter().map(without_nulls).collect()),
        Json::Object(pairs) => Json::Object(
            pairs.into_iter().filter(|(_, v)| *v != Json::Null).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        other => other,
    }
}

/// The names of a value's keys down to a depth; what is no object, or an empty one, is null.
fn names_only(value: &Json, depth: i64) -> Json {
    match value {
        Json::Object(pairs) if depth > 0 && !pairs.is_empty() => {
            Json::object(pairs.iter().map(|(name, inner)| (name.clone(), names_only(inner, depth - 1))))
        }
        _ => Json::Null,
    }
}

fn warned(text: String) -> Answer {
    Body::data(Json::Null).status(404).warn([text]).into()
}

/// The hint for who treats a KVv2 mount like a KVv1 one.
fn invalid_path(op: Op) -> Answer {
    let command = match op {
        Op::List => "list",
        Op::Scan => "scan",
        Op::Create | Op::Update => "put",
        Op::Delete => "delete",
        Op::Patch => "patch",
        Op::Read | Op::Head => "get",
    };
    warned(format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the OpenBao CLI, use 'bao kv {command}' for this operation."
    ))
}
