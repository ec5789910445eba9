//! The end points under `sys` that have no file of their own: state, seal, capabilities, the mounts as
//! the user interface asks for them.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::{Fields, Kind};
use super::{Call, Model, Op, VERSION};
use crate::json::Json;
use std::collections::BTreeMap;
use std::time::Duration;

impl Model {
    pub(crate) fn health(&self, now: Duration, query: &BTreeMap<String, String>) -> Answer {
        let (usual, name) = if !self.initialized {
            (501, "uninitcode")
        } else if self.sealed {
            (503, "sealedcode")
        } else {
            (200, "activecode")
        };
        let codes =
            ["uninitcode", "sealedcode", "activecode", "standbycode", "performancestandbycode", "drsecondarycode"];
        let code =
            |name: &str| query.get(name).map(|code| code.parse::<u16>().ok().filter(|c| (100..1000).contains(c)));
        if codes.iter().any(|name| code(name) == Some(None)) {
            return Answer::Plain(400, Json::object([("errors", Json::List(Vec::new()))]));
        }
        let status = code(name).flatten().unwrap_or(usual);
        let mode = Json::text(if self.sealed { "unknown" } else { "disabled" });
        let mut all = vec![
            ("initialized", Json::Bool(self.initialized)),
            ("sealed", Json::Bool(self.sealed)),
            ("standby", Json::Bool(self.sealed)),
            ("replication_performance_mode", mode.clone()),
            ("replication_dr_mode", mode),
            ("server_time_utc", Json::int(now.as_secs())),
            ("version", Json::text(VERSION)),
        ];
        if !self.sealed {
            all.push(("cluster_name", Json::text(&self.cluster_name)));
            all.push(("cluster_id", Json::text(&self.cluster_id)));
        }
        Answer::Plain(status, Json::object(all))
    }

    pub(crate) fn seal_status(&self) -> Json {
        let shares = i32::from(self.initialized);
        let mut all = vec![
            ("type", Json::text("shamir")),
            ("initialized", Json::Bool(self.initialized)),
            ("sealed", Json::Bool(self.sealed)),
            ("t", Json::int(shares)),
            ("n", Json::int(shares)),
            ("progress", Json::int(0)),
            ("nonce", Json::text("")),
            ("recovery_seal", Json::Bool(false)),
            ("version", Json::text(VERSION)),
            ("commit_date", Json::text("2026-10-26T20:32:27Z")),
            ("migration", Json::Bool(false)),
        ];
        if !self.sealed {
            all.push(("cluster_name", Json::text(&self.cluster_name)));
            all.push(("cluster_id", Json::text(&self.cluster_id)));
        }
        all.push(("storage_type", Json::text("inmem")));
        Json::object(all)
    }

    /// `sys/init`: the model is made initialised, or told not to be; no request changes that.
    pub(crate) fn initialize(&self, fields: &Fields) -> Outcome {
        let text = if fields.int("secret_shares").unwrap_or(0) < 1 {
            "invalid seal configuration: shares must be at least one"
        } else if self.initialized {
            "Vault is already initialized"
        } else {
            "initialisation is not modelled by the dev server"
        };
        Err(Fault::bad(text))
    }

    /// `sys/unseal`: the model holds no key, so no key fits; [`Model::unseal`] opens it.
    pub(crate) fn unseal_key(&mut self, fields: &Fields) -> Outcome {
        if fields.boolean("reset") == Some(true) {
            return Ok(Answer::Plain(200, self.seal_status()));
        }
        let key = fields.text("key").filter(|key| !key.is_empty());
        let key =
            key.ok_or_else(|| Fault::bad("'key' must be specified in request body as JSON, or 'reset' set to true"))?;
        let is_hex = key.len() % 2 == 0 && key.chars().all(|c| c.is_ascii_hexdigit());
        let size = if is_hex { Some(key.len() / 2) } else { super::policies::base64(&key).map(|b| b.len()) };
        match size {
            None => Err(Fault::bad("'key' must be a valid hex or base64 string")),
            Some(_) if !self.sealed => Ok(Answer::Plain(200, self.seal_status())),
            Some(..16) => Err(Fault::bad("invalid key: key is shorter than minimum 16 bytes")),
            Some(_) => Err(Fault::bad("the dev server is unsealed by its own call, not by a key")),
        }
    }

    pub(crate) fn sys_end_point(&mut self, call: &mut Call, rest: &str) -> Outcome {
        if matches!(rest, "mounts/" | "auth/") {
            return Err(Fault::unsupported_path());
        }
        if rest == "internal/ui/mounts/" {
            return Err(Fault::new(404, "unsupported path"));
        }
        let below = |head: &str| match rest.strip_prefix(head) {
            Some("") => Some(String::new()),
            Some(tail) => tail.strip_prefix('/').map(str::to_owned),
            None => None,
        };
        if let Some(rest) = below("mounts") {
            return self.sys_mounts(call, &rest);
        }
        if let Some(rest) = below("auth") {
            return self.sys_auth(call, &rest);
        }
        if let Some(rest) = below("policies/acl") {
            return self.sys_policies(call, &rest, false);
        }
        if let Some(rest) = below("policy") {
            return self.sys_policies(call, &rest, true);
        }
        if let Some(what) = below("wrapping") {
            return self.wrapping_end_point(call, &what);
        }
        if let Some(path) = below("internal/ui/mounts") {
            return self.ui_mounts(call, &path);
        }
        match (rest, call.op) {
            ("capabilities-self", Op::Update | Op::Create) => self.capabilities(call),
            ("capabilities-self", _) => Err(Fault::unsupported_operation()),
            _ => Err(Fault::unsupported_path()),
        }
    }

    fn capabilities(&mut self, call: &mut Call) -> Outcome {
        call.accept(&[], &[("token", Kind::Text), ("path", Kind::Texts), ("paths", Kind::Texts)])?;
        let mut paths = call.fields.texts("paths").unwrap_or_default();
        if paths.is_empty() {
            paths = call.fields.texts("path").unwrap_or_default();
        }
        if paths.is_empty() {
            return Err(Fault::bad("paths must be supplied"));
        }
        let own = call.token.clone().unwrap_or_default();
        let acl = self.acl_of(&own).ok_or_else(Fault::no_token)?;
        let mut all: BTreeMap<String, Json> =
            paths.iter().map(|path| (path.clone(), Json::texts(acl.names(path)))).collect();
        if let [only] = paths.as_slice() {
            all.insert("capabilities".into(), Json::texts(acl.names(only)));
        }
        Ok(Body::data(Json::map(all)).flat().into())
    }

    /// The mounts that a caller may know of.
    fn ui_mounts(&mut self, call: &mut Call, path: &str) -> Outcome {
        if call.op != Op::Read {
            return Err(Fault::unsupported_operation());
        }
        let acl = call.token.as_deref().and_then(|token| self.acl_of(token));
        let visible = |name: &str| acl.as_ref().is_some_and(|acl| acl.touches(name));
        if path.is_empty() {
            let secret = self.mounts.iter().filter(|(name, _)| visible(name));
            let auth = self.auths.iter().filter(|(name, _)| visible(&format!("auth/{name}")));
            return Ok(Body::data(Json::object([
                ("auth", Json::map(auth.map(|(name, mount)| (name.as_str(), mount.info.describe())))),
                ("secret", Json::map(secret.map(|(name, mount)| (name.as_str(), mount.info.describe())))),
            ]))
            .into());
        }
        let slashed = format!("{}/", path.trim_end_matches('/'));
        if acl.is_none() {
            return Err(Fault::no_token());
        }
        let found = if let Some(below) = slashed.strip_prefix("auth/") {
            let found = self.auths.iter().filter(|(name, _)| below.starts_with(name.as_str()));
            let found = found.filter(|(name, _)| visible(&format!("auth/{name}")));
            found.max_by_key(|(name, _)| name.len()).map(|(name, mount)| (name, &mount.info))
        } else {
            let found = self.mounts.iter().filter(|(name, _)| slashed.starts_with(name.as_str()));
            let found = found.max_by_key(|(name, _)| name.len()).filter(|(name, _)| visible(name));
            found.map(|(name, mount)| (name, &mount.info))
        };
        match found {
            Some((name, info)) => {
                let mut all = vec![("path".to_owned(), Json::text(name))];
                if let Json::Object(pairs) = info.describe() {
                    all.extend(pairs);
                }
                Ok(Body::data(Json::map(all)).into())
            }
            None => Err(Fault::new(
                403,
                format!(
                    "preflight capability check returned 403, please ensure client's policies grant access to path {slashed:?}"
                ),
            )),
        }
    }
}
