//! The secret mounts: what one is, and the end points under `sys/mounts`.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::Kind;
use super::ids::Ids;
use super::text::parse_duration;
use super::token::SYSTEM_TTL;
use super::{Call, Model, Op, VERSION, kv1, kv2};
use crate::json::Json;
use std::collections::BTreeMap;

/// What answers below a mount.
#[derive(Clone)]
pub(crate) enum Backend {
    Kv1(kv1::Store),
    Kv2(kv2::Store),
    Cubbyhole,
    Identity,
    System,
}

/// A mount.
#[derive(Clone)]
pub(crate) struct Mount {
    pub(crate) info: MountInfo,
    pub(crate) backend: Backend,
}

/// What the tables of mounts show.
#[derive(Clone, Debug)]
pub(crate) struct MountInfo {
    kind: String,
    pub(crate) accessor: String,
    uuid: String,
    description: String,
    pub(crate) options: Option<BTreeMap<String, String>>,
    local: bool,
    default_lease: i64,
    max_lease: i64,
    passthrough: Option<&'static str>,
    pub(crate) is_auth: bool,
}

impl MountInfo {
    pub(crate) fn new(kind: &str, description: &str, ids: &mut Ids) -> MountInfo {
        MountInfo {
            kind: kind.to_owned(),
            accessor: ids.mount(kind),
            uuid: ids.uuid(),
            description: description.to_owned(),
            options: Some(BTreeMap::new()),
            local: false,
            default_lease: 0,
            max_lease: 0,
            passthrough: None,
            is_auth: false,
        }
    }

    /// Takes over what a request to mount something says.
    pub(crate) fn configure(&mut self, call: &Call) -> Result<(), Fault> {
        self.local = call.fields.boolean("local").unwrap_or(false);
        for (name, value) in call.fields.map("config").unwrap_or_default() {
            let seconds = || match &value {
                Json::Text(text) | Json::Number(text) => parse_duration(text).map_err(Fault::bad),
                _ => Ok(0),
            };
            match name.as_str() {
                "default_lease_ttl" => self.default_lease = seconds()?,
                "max_lease_ttl" => self.max_lease = seconds()?,
                _ => return Err(Fault::bad(format!("mount option {name:?} is not modelled by the dev server"))),
            }
        }
        Ok(())
    }

    fn options(&self) -> Json {
        let pairs = |all: &BTreeMap<String, String>| Json::map(all.iter().map(|(k, v)| (k.as_str(), Json::text(v))));
        self.options.as_ref().map_or(Json::Null, pairs)
    }

    pub(crate) fn describe(&self) -> Json {
        let mut config = vec![
            ("default_lease_ttl", Json::int(self.default_lease)),
            ("force_no_cache", Json::Bool(false)),
            ("max_lease_ttl", Json::int(self.max_lease)),
        ];
        if let Some(header) = self.passthrough {
            config.push(("passthrough_request_headers", Json::texts([header])));
        }
        if self.is_auth {
            config.push(("token_type", Json::text("default-service")));
        }
        let mut all = vec![
            ("accessor", Json::text(&self.accessor)),
            ("config", Json::map(config)),
            ("description", Json::text(&self.description)),
            ("external_entropy_access", Json::Bool(false)),
            ("local", Json::Bool(self.local)),
            ("options", self.options()),
            ("plugin_version", Json::text("")),
            ("running_plugin_version", Json::Text(format!("v{VERSION}+builtin.bao"))),
            ("running_sha256", Json::text("")),
            ("seal_wrap", Json::Bool(self.kind == "system")),
            ("type", Json::text(&self.kind)),
            ("uuid", Json::text(&self.uuid)),
        ];
        if matches!(self.kind.as_str(), "kv" | "approle") {
            all.push(("deprecation_status", Json::text("supported")));
        }
        Json::map(all)
    }

    pub(crate) fn tuning(&self) -> Json {
        let or_system = |ttl: i64| Json::int(if ttl > 0 { ttl } else { SYSTEM_TTL });
        let mut all = vec![
            ("default_lease_ttl", or_system(self.default_lease)),
            ("description", Json::text(&self.description)),
            ("force_no_cache", Json::Bool(false)),
            ("max_lease_ttl", or_system(self.max_lease)),
        ];
        if self.options.as_ref().is_some_and(|options| !options.is_empty()) {
            all.push(("options", self.options()));
        }
        if self.is_auth {
            all.push(("token_type", Json::text("default-service")));
        }
        Json::map(all)
    }
}

/// The parameters of a request to mount something.
pub(crate) const MOUNT: &[(&str, Kind)] = &[
    ("type", Kind::Text),
    ("description", Kind::Text),
    ("config", Kind::Map),
    ("local", Kind::Bool),
    ("seal_wrap", Kind::Bool),
    ("external_entropy_access", Kind::Bool),
    ("plugin_name", Kind::Text),
    ("plugin_version", Kind::Text),
    ("options", Kind::Pairs),
];

/// The mounts of a new dev server.
pub(crate) fn initial(ids: &mut Ids) -> BTreeMap<String, Mount> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, mut info: MountInfo, backend: Backend| {
        if !matches!(backend, Backend::Kv2(_)) {
            info.options = None;
        }
        all.insert(name.to_owned(), Mount { info, backend });
    };
    let mut sys = MountInfo::new("system", "system endpoints used for control, policy and debugging", ids);
    sys.passthrough = Some("Accept");
    add("sys/", sys, Backend::System);
    let mut identity = MountInfo::new("identity", "identity store", ids);
    identity.passthrough = Some("Authorization");
    add("identity/", identity, Backend::Identity);
    let mut cubbyhole = MountInfo::new("cubbyhole", "per-token private secret storage", ids);
    cubbyhole.local = true;
    add("cubbyhole/", cubbyhole, Backend::Cubbyhole);
    let mut secret = MountInfo::new("kv", "key/value secret storage", ids);
    secret.options = Some(BTreeMap::from([("version".to_owned(), "2".to_owned())]));
    add("secret/", secret, Backend::Kv2(kv2::Store::default()));
    all
}

/// Refuses a path that is taken, or lies above or below one that is.
pub(crate) fn checked_mount_path<'a>(name: &str, mut taken: impl Iterator<Item = &'a String>) -> Result<(), Fault> {
    match taken.find(|held| name.starts_with(held.as_str()) || held.starts_with(name)) {
        Some(held) => Err(Fault::bad(format!("path is already in use at {held}"))),
        None => Ok(()),
    }
}

impl Model {
    pub(crate) fn mount_table(&self) -> Json {
        Json::map(self.mounts.iter().map(|(name, mount)| (name.as_str(), mount.info.describe())))
    }

    /// Everything under `sys/mounts`; `rest` is what follows it.
    pub(crate) fn sys_mounts(&mut self, call: &mut Call, rest: &str) -> Outcome {
        let (path, tune) = match rest.strip_suffix("/tune") {
            Some(path) => (path, true),
            None => (rest, false),
        };
        let name = format!("{}/", path.trim_matches('/'));
        match (call.op, tune) {
            (Op::Read, _) if rest.is_empty() => Ok(Body::data(self.mount_table()).flat().into()),
            (Op::Read, false) => match self.mounts.get(&name) {
                Some(mount) => Ok(Body::data(mount.info.describe()).flat().into()),
                None => Err(Fault::bad(format!("No secret engine mount at {name}"))),
            },
            (Op::Read, true) => match self.mounts.get(&name) {
                Some(mount) => Ok(Body::data(mount.info.tuning()).flat().into()),
                None => Err(Fault::bad(format!("cannot fetch sysview for path {name:?}"))),
            },
            (Op::Update | Op::Create, true) => self.tune(call, &name),
            (Op::Update | Op::Create, false) if !rest.is_empty() => self.mount(call, name),
            (Op::Delete, false) if !rest.is_empty() => {
                if matches!(name.as_str(), "sys/" | "cubbyhole/" | "identity/" | "auth/") {
                    return Err(Fault::bad(format!("cannot unmount {name:?}")));
                }
                self.mounts.remove(&name);
                Ok(Answer::Nothing)
            }
            _ => Err(Fault::unsupported_operation()),
        }
    }

    fn mount(&mut self, call: &mut Call, name: String) -> Outcome {
        call.accept(&["path"], MOUNT)?;
        let fields = &call.fields;
        let kind = fields.text("type").unwrap_or_default();
        let mut options = fields.pairs("options");
        match kind.as_str() {
            "" => return Err(Fault::bad("backend type must be specified as a string")),
            "kv" | "generic" => {}
            "kv-v1" => drop(options.insert("version".into(), "1".into())),
            "kv-v2" => drop(options.insert("version".into(), "2".into())),
            // Real types that the model lacks are refused in the same words as made-up ones.
            other => return Err(Fault::bad(format!("plugin not found in the catalog: {other}"))),
        }
        if ["sys/", "cubbyhole/", "identity/", "auth/"].iter().any(|p| name.starts_with(p)) {
            return Err(Fault::bad(format!("cannot mount {name:?}")));
        }
        checked_mount_path(&name, self.mounts.keys())?;
        let backend = match options.get("version").map(String::as_str) {
            Some("2") => Backend::Kv2(kv2::Store::default()),
            None | Some("" | "0" | "1") => Backend::Kv1(kv1::Store::default()),
            Some(_) => return Err(Fault::bad("nil backend of type \"kv\" returned from factory")),
        };
        let mut info = MountInfo::new("kv", &fields.text("description").unwrap_or_default(), &mut self.ids);
        info.options = Some(options);
        info.configure(call)?;
        self.mounts.insert(name, Mount { info, backend });
        Ok(Answer::Nothing)
    }

    fn tune(&mut self, call: &Call, name: &str) -> Outcome {
        let Some(mount) = self.mounts.get_mut(name) else {
            return Err(Fault::bad(format!("tune of path {name:?} failed: no mount entry found")));
        };
        for (field, value) in &call.fields.0 {
            let seconds = || call.fields.seconds(field).unwrap_or(0);
            match field.as_str() {
                "description" => {
                    mount.info.description = super::fields::text(value, "").map_err(Fault::bad)?;
                }
                "default_lease_ttl" => mount.info.default_lease = seconds(),
                "max_lease_ttl" => mount.info.max_lease = seconds(),
                // An upgrade and the rest of tuning would have to be acted upon.
                "options"
                | "audit_non_hmac_request_keys"
                | "audit_non_hmac_response_keys"
                | "listing_visibility"
                | "passthrough_request_headers"
                | "allowed_response_headers"
                | "token_type"
                | "user_lockout_config"
                | "plugin_version" => {
                    return Err(Fault::bad(format!("tuning {field:?} is not modelled by the dev server")));
                }
                _ => {}
            }
        }
        Ok(Answer::Nothing)
    }
}
