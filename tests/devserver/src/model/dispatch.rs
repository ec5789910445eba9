//! Between the wire and the backends: whose token it is, whether its policies allow the call, which
//! mount answers, and the wrapping of the answer.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::Kind;
use super::mounts::Backend;
use super::policy::Acl;
use super::{Call, Model, Op, hcl, kv1};
use crate::json::Json;
use std::time::Duration;

/// Where a path leads.
enum Target {
    Mount(String),
    Auth(String),
}

impl Call {
    /// Declares the end point's parameters: what the path captures and what may be given, and refuses
    /// values that do not convert.
    pub(crate) fn accept(&mut self, captured: &[&'static str], schema: &[(&'static str, Kind)]) -> Result<(), Fault> {
        self.captured = captured.to_vec();
        self.known = Some(schema.iter().map(|(name, _)| *name).collect());
        let listed = matches!(self.op, Op::Read | Op::List | Op::Scan | Op::Delete);
        self.fields.check(schema).map_err(|e| {
            // In a query a list can only be one of texts.
            let e = if listed { e.replace("[]interface {}", "[]string") } else { e };
            Fault::bad(format!("Field validation failed: {e}"))
        })
    }

    fn parameter_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let Some(known) = &self.known else { return warnings };
        let given = || self.fields.0.keys().map(String::as_str);
        let unknown: Vec<&str> = given().filter(|n| !known.contains(n) && !self.captured.contains(n)).collect();
        if !unknown.is_empty() {
            warnings.push(format!("Endpoint ignored these unrecognized parameters: [{}]", unknown.join(" ")));
        }
        let replaced: Vec<&str> = given().filter(|n| self.captured.contains(n)).collect();
        if !replaced.is_empty() {
            warnings.push(format!(
                "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [{}]",
                replaced.join(" ")
            ));
        }
        warnings
    }
}

impl Model {
    pub(crate) fn dispatch(&mut self, mut call: Call) -> Outcome {
        if call.path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Fault::bad("relative paths not supported"));
        }
        if call.path.ends_with('/') && matches!(call.op, Op::Create | Op::Update | Op::Patch) {
            return Err(Fault::bad("cannot write to a path ending in '/'"));
        }
        self.forget_expired(call.now);
        if matches!(call.path.as_str(), "sys/wrapping/unwrap" | "sys/wrapping/lookup" | "sys/wrapping/rewrap") {
            self.valid_wrapping_token(&call)?;
        }
        let used = if self.needs_no_token(&call.path) { None } else { self.authorize(&mut call)? };
        let outcome = self.route(&mut call);
        if let Some(token) = used.filter(|token| self.tokens.get(token).is_some_and(|t| t.num_uses < 0)) {
            // That was its last use.
            self.revoke_tree(&token);
        }
        match outcome? {
            Answer::Body(body) => {
                let mut body = *body;
                let warnings = call.parameter_warnings();
                body.warnings.splice(0..0, warnings);
                if call.wrap > 0 && body.wrap_info == Json::Null {
                    body = self.wrap(&call.path, call.now, call.wrap, body);
                }
                Ok(body.into())
            }
            other => Ok(other),
        }
    }

    /// The paths that need no token.
    fn needs_no_token(&self, path: &str) -> bool {
        let login = path.strip_prefix("auth/").and_then(|rest| rest.strip_suffix("/login"));
        path == "sys/wrapping/lookup"
            || path == "sys/internal/ui/mounts"
            || path.starts_with("sys/internal/ui/mounts/")
            || login.is_some_and(|mount| {
                self.auths.get(&format!("{mount}/")).is_some_and(super::auths::AuthMount::has_login)
            })
    }

    /// Checks the token and its policies, counts the use, and settles create or update.
    fn authorize(&mut self, call: &mut Call) -> Result<Option<String>, Fault> {
        let id = call.token.clone().ok_or_else(Fault::no_token)?;
        let acl = self.acl_of(&id).ok_or_else(Fault::no_token)?;
        let existing = if call.op == Op::Update { self.exists(call) } else { Ok(None) };
        if matches!(existing, Ok(Some(false))) {
            call.op = Op::Create;
        }
        let allowed = existing.map(|_| acl.allows(call.op, &call.path, needs_sudo(&call.path)));
        if let Some(token) = self.tokens.get_mut(&id) {
            match token.num_uses {
                0 => {}
                1 => token.num_uses = -1,
                _ => token.num_uses -= 1,
            }
        }
        let failure = match allowed {
            Ok(true) => return Ok(Some(id)),
            Ok(false) => Fault::denied(),
            Err(fault) => fault,
        };
        if self.tokens.get(&id).is_some_and(|t| t.num_uses < 0) {
            self.revoke_tree(&id);
        }
        Err(failure)
    }

    /// What a token may do; none for one that is unknown or dead.
    pub(crate) fn acl_of(&self, id: &str) -> Option<Acl> {
        let token = self.tokens.get(id)?;
        if token.policies.iter().any(|name| name == "root") {
            return Some(Acl::root());
        }
        let mut acl = Acl::default();
        for name in &token.policies {
            if name == super::wrapping::POLICY {
                acl.add(&hcl::parse(super::wrapping::RULES).unwrap_or_default());
            } else if let Some(policy) = self.policies.get(name) {
                acl.add(&policy.rules);
            }
        }
        Some(acl)
    }

    /// Seal and step-down have a handler of their own, with the same checks.
    pub(crate) fn seal_or_step_down(&mut self, now: Duration, request: &super::Request, path: &str) -> Outcome {
        if self.sealed {
            return if path == "sys/seal" { Ok(Answer::Nothing) } else { Err(Fault::new(503, "Vault is sealed")) };
        }
        if path == "sys/step-down" {
            // Without a cluster there is nothing to step down from, and nobody is asked who they are.
            return Ok(Answer::Nothing);
        }
        self.forget_expired(now);
        let id = request.value("X-Vault-Token").unwrap_or_default();
        let acl = self.acl_of(id).ok_or_else(Fault::no_token)?;
        if !acl.allows(Op::Update, path, true) {
            return Err(Fault::denied());
        }
        self.seal();
        Ok(Answer::Nothing)
    }

    /// The mount that a path belongs to, and the rest of the path.
    fn target(&self, path: &str) -> Option<(Target, String)> {
        let slashed = format!("{path}/");
        let longest = |names: Vec<&String>, path: &str| {
            let fits = |name: &&String| path.starts_with(name.as_str());
            names.into_iter().filter(fits).max_by_key(|name| name.len()).cloned()
        };
        let cut = |name: &str, path: &str| path.strip_prefix(name).unwrap_or_default().to_owned();
        if let Some(rest) = path.strip_prefix("auth/") {
            let slashed = slashed.strip_prefix("auth/").unwrap_or_default();
            let name = longest(self.auths.keys().collect(), slashed)?;
            let rest = cut(&name, rest);
            return Some((Target::Auth(name), rest));
        }
        let name = longest(self.mounts.keys().collect(), &slashed)?;
        let rest = cut(&name, path);
        Some((Target::Mount(name), rest))
    }

    /// Whether what would be written exists already; none where the server doesn't ask.
    fn exists(&self, call: &Call) -> Result<Option<bool>, Fault> {
        let Some((target, rest)) = self.target(&call.path) else { return Ok(None) };
        match target {
            Target::Auth(name) => match self.auths.get(&name) {
                Some(auth) => auth.exists(&rest, &call.fields),
                None => Ok(None),
            },
            Target::Mount(name) => match self.mounts.get(&name).map(|mount| &mount.backend) {
                Some(Backend::Kv2(store)) => store.exists(&rest, &call.fields),
                Some(Backend::Kv1(store)) => Ok(Some(store.has(&rest))),
                Some(Backend::Cubbyhole) => {
                    let store = call.token.as_ref().and_then(|t| self.cubbyholes.get(t));
                    Ok(Some(store.is_some_and(|store| store.has(&rest))))
                }
                _ => Ok(None),
            },
        }
    }

    fn route(&mut self, call: &mut Call) -> Outcome {
        let Some((target, rest)) = self.target(&call.path) else {
            return Err(Fault::new(404, format!("no handler for route {:?}. route entry not found.", call.path)));
        };
        let limit = self.max_entry;
        match target {
            Target::Auth(name) if name == "token/" => self.token_end_point(call, &rest),
            Target::Auth(name) => self.approle_end_point(call, &name, &rest),
            Target::Mount(name) => match self.mounts.get_mut(&name).map(|mount| &mut mount.backend) {
                Some(Backend::Kv2(store)) => store.handle(call, &rest, limit),
                Some(Backend::Kv1(store)) => kv1::handle(store, call, &rest, limit, kv1::LEASE),
                Some(Backend::Cubbyhole) => {
                    let owner = call.token.clone().unwrap_or_default();
                    let store = self.cubbyholes.entry(owner).or_default();
                    if rest.is_empty() && call.op == Op::Read {
                        return Err(Fault::wrapped(500, "missing path"));
                    }
                    kv1::handle(store, call, &rest, limit, 0)
                }
                Some(Backend::Identity) => Err(Fault::unsupported_path()),
                Some(Backend::System) | None => self.sys_end_point(call, &rest),
            },
        }
    }

    /// Hands out a wrapping token in place of an answer.
    fn wrap(&mut self, path: &str, now: Duration, ttl: i64, body: Body) -> Body {
        let info = self.new_wrapping_token(path, now, ttl, body);
        Body { wrap_info: info, ..Body::data(Json::Null) }
    }
}

fn needs_sudo(path: &str) -> bool {
    ["sys/auth/", "sys/audit", "sys/raw", "sys/config/", "auth/token/accessors", "auth/token/revoke-orphan"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
        || matches!(path, "sys/remount" | "sys/rotate")
}
