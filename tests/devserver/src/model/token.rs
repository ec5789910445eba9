//! Tokens: what one is, and the end points under `auth/token` but for renewal.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::Kind;
use super::text::{parse_duration, rfc3339, short_duration};
use super::{Call, Model, Op};
use crate::json::Json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Time to live where none is asked for, and the most there can be (32 days).
pub(crate) const SYSTEM_TTL: i64 = 768 * 3600;

/// A token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) accessor: String,
    pub(crate) policies: Vec<String>,
    pub(crate) path: String,
    pub(crate) display_name: String,
    pub(crate) meta: Option<BTreeMap<String, String>>,
    pub(crate) entity: String,
    pub(crate) parent: Option<String>,
    pub(crate) orphan: bool,
    /// Uses left: 0 is without limit, -1 is in its last use.
    pub(crate) num_uses: i64,
    /// Uses at creation, which renewals report.
    pub(crate) uses_given: i64,
    pub(crate) created: Duration,
    pub(crate) ttl: i64,
    /// Explicit maximum, 0 for none.
    pub(crate) explicit_max: i64,
    /// Maximum from the role that it came from, 0 for none.
    pub(crate) role_max: i64,
    pub(crate) period: i64,
    pub(crate) renewable: bool,
    pub(crate) expires: Option<Duration>,
    pub(crate) renewed: Option<Duration>,
}

impl Token {
    pub(crate) fn new(id: String, accessor: String, now: Duration, ttl: i64) -> Token {
        Token {
            id,
            accessor,
            policies: Vec::new(),
            path: "auth/token/create".into(),
            display_name: "token".into(),
            meta: None,
            entity: String::new(),
            parent: None,
            orphan: true,
            num_uses: 0,
            uses_given: 0,
            created: now,
            ttl,
            explicit_max: 0,
            role_max: 0,
            period: 0,
            renewable: false,
            expires: (ttl > 0).then(|| later(now, ttl)),
            renewed: None,
        }
    }

    pub(crate) fn root(id: &str, accessor: String) -> Token {
        let mut token = Token::new(id.to_owned(), accessor, Duration::ZERO, 0);
        token.policies = vec!["root".into()];
        token
    }

    pub(crate) fn wrapping(id: String, accessor: String, now: Duration, ttl: i64) -> Token {
        let mut token = Token::new(id, accessor, now, ttl);
        token.policies = vec![super::wrapping::POLICY.into()];
        token.num_uses = 1;
        token
    }

    /// What `lookup` shows.
    fn describe(&self, now: Duration, with_id: bool) -> Json {
        let left = self.expires.map_or(0, |end| end.saturating_sub(now).as_secs());
        let mut pairs = vec![
            ("accessor", Json::text(&self.accessor)),
            ("creation_time", Json::int(self.created.as_secs())),
            ("creation_ttl", Json::int(self.ttl)),
            ("display_name", Json::text(&self.display_name)),
            ("entity_id", Json::text(&self.entity)),
            ("expire_time", self.expires.map_or(Json::Null, |end| Json::Text(rfc3339(end)))),
            ("explicit_max_ttl", Json::int(self.explicit_max)),
            ("id", Json::text(if with_id { self.id.as_str() } else { "" })),
            ("issue_time", Json::Text(rfc3339(self.created))),
            ("meta", texts(self.meta.as_ref())),
            ("num_uses", Json::int(self.num_uses)),
            ("orphan", Json::Bool(self.orphan)),
            ("path", Json::text(&self.path)),
            ("policies", Json::texts(&self.policies)),
            ("renewable", Json::Bool(self.renewable)),
            ("ttl", Json::int(left)),
            ("type", Json::text("service")),
        ];
        if let Some(at) = self.renewed {
            pairs.push(("last_renewal", Json::Text(rfc3339(at))));
            pairs.push(("last_renewal_time", Json::int(at.as_secs())));
        }
        if self.period > 0 {
            pairs.push(("period", Json::int(self.period)));
        }
        Json::map(pairs)
    }

    /// The `auth` part of the answer that hands out or renews it.
    pub(crate) fn auth(&self, lease: i64) -> Json {
        Json::object([
            ("client_token", Json::text(&self.id)),
            ("accessor", Json::text(&self.accessor)),
            ("policies", Json::texts(&self.policies)),
            ("token_policies", Json::texts(&self.policies)),
            ("metadata", texts(self.meta.as_ref())),
            ("lease_duration", Json::int(lease)),
            ("renewable", Json::Bool(self.renewable)),
            ("entity_id", Json::text(&self.entity)),
            ("token_type", Json::text("service")),
            ("orphan", Json::Bool(self.orphan)),
            ("mfa_requirement", Json::Null),
            ("num_uses", Json::int(self.uses_given)),
        ])
    }
}

fn texts(meta: Option<&BTreeMap<String, String>>) -> Json {
    meta.map_or(Json::Null, |meta| Json::map(meta.iter().map(|(k, v)| (k.as_str(), Json::text(v)))))
}

pub(crate) fn later(now: Duration, seconds: i64) -> Duration {
    now.saturating_add(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Policy names as the server keeps them: lower case, sorted, once each, with `default` but for root.
pub(crate) fn policy_names(names: Vec<String>, with_default: bool) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|n| n.trim().to_lowercase()).filter(|n| !n.is_empty()).collect();
    if names.iter().any(|n| n == "root") {
        return vec!["root".into()];
    }
    if with_default {
        names.push("default".into());
    }
    names.sort();
    names.dedup();
    names
}

impl Model {
    pub(crate) fn forget_expired(&mut self, now: Duration) {
        let dead: Vec<String> = self
            .tokens
            .values()
            .filter(|token| token.expires.is_some_and(|end| end <= now))
            .map(|token| token.id.clone())
            .collect();
        for id in dead {
            self.revoke_tree(&id);
        }
    }

    /// Revokes a token and all that descend from it.
    pub(crate) fn revoke_tree(&mut self, id: &str) {
        let mut doomed = vec![id.to_owned()];
        while let Some(id) = doomed.pop() {
            self.tokens.remove(&id);
            self.cubbyholes.remove(&id);
            self.wrapped.remove(&id);
            let children = self.tokens.values().filter(|t| t.parent.as_deref() == Some(id.as_str()));
            doomed.extend(children.map(|t| t.id.clone()));
        }
    }

    pub(crate) fn missing_policy_warnings(&self, names: &[String]) -> Vec<String> {
        names
            .iter()
            .filter(|name| *name != "root" && !self.policies.contains_key(*name))
            .map(|name| format!("Policy {name:?} does not exist"))
            .collect()
    }

    pub(crate) fn token_end_point(&mut self, call: &mut Call, rest: &str) -> Outcome {
        let write = matches!(call.op, Op::Update | Op::Create);
        let own = call.token.clone().unwrap_or_default();
        match (rest, call.op) {
            ("create", _) if write => self.create_token(call, false),
            ("create-orphan", _) if write => self.create_token(call, true),
            ("lookup-self", Op::Read) => {
                call.accept(&[], &[("token", Kind::Text)])?;
                self.look_up(&own, call.now)
            }
            ("lookup", Op::Read) | ("lookup-self" | "lookup", Op::Update | Op::Create) => {
                call.accept(&[], &[("token", Kind::Text)])?;
                let asked = call.fields.text("token").filter(|t| !t.is_empty() && rest == "lookup");
                self.look_up(&asked.unwrap_or(own), call.now)
            }
            ("lookup-accessor", _) if write => {
                call.accept(&[], &[("accessor", Kind::Text)])?;
                let token = self.by_accessor(call)?;
                let token = token.ok_or_else(|| Fault::wrapped(400, "invalid accessor"))?;
                Ok(Body::data(token.describe(call.now, false)).into())
            }
            ("renew-self", _) if write => {
                call.accept(&[], &[("token", Kind::Text), ("increment", Kind::Seconds)])?;
                self.renew(call, &own)
            }
            ("renew", _) if write => {
                call.accept(&[], &[("token", Kind::Text), ("increment", Kind::Seconds)])?;
                match call.fields.text("token").filter(|token| !token.is_empty()) {
                    Some(token) => self.renew(call, &token),
                    None => Err(Fault::bad("missing token ID")),
                }
            }
            ("revoke-self", _) if write => {
                self.revoke_tree(&own);
                Ok(Answer::Nothing)
            }
            ("revoke", _) if write => {
                call.accept(&[], &[("token", Kind::Text)])?;
                match call.fields.text("token").filter(|token| !token.is_empty()) {
                    Some(token) => self.revoke_tree(&token),
                    None => return Err(Fault::bad("missing token ID")),
                }
                Ok(Answer::Nothing)
            }
            ("revoke-accessor", _) if write => {
                call.accept(&[], &[("accessor", Kind::Text)])?;
                let Some(id) = self.by_accessor(call)?.map(|token| token.id.clone()) else {
                    let warning = "No token found with this accessor".to_owned();
                    return Ok(Body::data(Json::Null).warn([warning]).into());
                };
                self.revoke_tree(&id);
                Ok(Answer::Nothing)
            }
            // There are no roles, and none can be made.
            ("roles/", Op::List) => Ok(Answer::Missing),
            (role, Op::Read) if role.starts_with("roles/") => Ok(Answer::Missing),
            (role, _) if role.starts_with("roles/") => {
                Err(Fault::bad("token roles are not modelled by the dev server"))
            }
            ("accessors/", Op::List) => {
                let keys = self.tokens.values().map(|token| token.accessor.clone());
                Ok(Body::data(Json::object([("keys", Json::texts(keys))])).into())
            }
            (
                "create" | "create-orphan" | "lookup-self" | "lookup" | "lookup-accessor" | "renew-self" | "renew"
                | "revoke-self" | "revoke" | "revoke-accessor" | "accessors/",
                _,
            ) => Err(Fault::unsupported_operation()),
            _ => Err(Fault::unsupported_path()),
        }
    }

    fn by_accessor(&self, call: &Call) -> Result<Option<&Token>, Fault> {
        let wanted = call.fields.text("accessor").filter(|accessor| !accessor.is_empty());
        let wanted = wanted.ok_or_else(|| Fault::bad("missing accessor_id"))?;
        Ok(self.tokens.values().find(|token| token.accessor == wanted))
    }

    fn look_up(&self, id: &str, now: Duration) -> Outcome {
        let token = self.tokens.get(id).ok_or_else(|| Fault::new(403, "bad token"))?;
        Ok(Body::data(token.describe(now, true)).into())
    }

    fn create_token(&mut self, call: &mut Call, orphan: bool) -> Outcome {
        call.accept(
            &[],
            &[
                ("id", Kind::Text),
                ("policies", Kind::Any),
                ("meta", Kind::Pairs),
                ("no_parent", Kind::Bool),
                ("no_default_policy", Kind::Bool),
                ("lease", Kind::Text),
                ("ttl", Kind::Text),
                ("explicit_max_ttl", Kind::Text),
                ("display_name", Kind::Text),
                ("num_uses", Kind::Int),
                ("period", Kind::Text),
                ("renewable", Kind::Bool),
                ("type", Kind::Text),
                ("entity_alias", Kind::Text),
                ("format", Kind::Text),
            ],
        )?;
        let fields = &call.fields;
        let own = call.token.clone().unwrap_or_default();
        let parent = self.tokens.get(&own).ok_or_else(Fault::no_token)?.clone();
        let is_root = parent.policies.iter().any(|name| name == "root");
        let sudo = is_root || self.acl_of(&own).is_some_and(|acl| acl.allows(Op::Update, &call.path, true));
        let id = fields.text("id").filter(|id| !id.is_empty());
        let num_uses = fields.int("num_uses").unwrap_or(0);
        if num_uses < 0 {
            return Err(Fault::bad("number of uses cannot be negative"));
        }
        match fields.text("type").as_deref() {
            None | Some("" | "service") => {}
            Some("batch") => return Err(Fault::bad("batch tokens are not modelled by the dev server")),
            Some(_) => return Err(Fault::bad("invalid 'token_type' value")),
        }
        if let Some(id) = &id {
            if !sudo {
                return Err(Fault::bad("root or sudo privileges required to specify token id"));
            }
            if id.starts_with("s.") {
                return Err(Fault::bad("custom token ID cannot have the 's.' prefix"));
            }
            if id.contains('.') {
                return Err(Fault::bad("custom token ID cannot have a '.' in the value"));
            }
        }
        // A text here is one name, commas and all.
        let asked = match fields.get("policies") {
            Some(Json::Text(one)) => vec![one.clone()],
            _ => fields.texts("policies").unwrap_or_default(),
        };
        let with_default = !fields.boolean("no_default_policy").unwrap_or(false);
        let policies = if asked.is_empty() {
            parent.policies.clone()
        } else {
            let policies = policy_names(asked, with_default);
            let inherited = |name: &String| name == "default" || parent.policies.contains(name);
            if !sudo && !policies.iter().all(inherited) {
                return Err(Fault::bad("child policies must be subset of parent"));
            }
            policies
        };
        let no_parent = orphan || fields.boolean("no_parent").unwrap_or(false);
        if no_parent && !sudo && !orphan {
            return Err(Fault::bad("root or sudo privileges required to create orphan token"));
        }
        let seconds = |name: &str| match fields.text(name) {
            None => Ok(0),
            Some(text) => match parse_duration(&text) {
                Ok(s) if s < 0 => Err(Fault::bad(format!("{name} must be positive"))),
                other => other.map_err(Fault::bad),
            },
        };
        let (explicit_max, period) = (seconds("explicit_max_ttl")?, seconds("period")?);
        let asked_ttl = match seconds("ttl")? {
            0 => seconds("lease")?,
            ttl => ttl,
        };
        let mut warnings = Vec::new();
        if id.is_some() {
            warnings.push(CUSTOM_ID.to_owned());
        }
        let max = if explicit_max > 0 { explicit_max.min(SYSTEM_TTL) } else { SYSTEM_TTL };
        let is_root_token = policies.iter().any(|name| name == "root");
        let ttl = if period > 0 {
            if period > max {
                warnings.push(capped("period of", period, max, "period value"));
            }
            period.min(max)
        } else if asked_ttl > max {
            warnings.push(capped("TTL of", asked_ttl, max, "TTL value"));
            max
        } else if asked_ttl == 0 && !is_root_token {
            SYSTEM_TTL.min(max)
        } else {
            asked_ttl
        };
        warnings.extend(self.missing_policy_warnings(&policies));
        let id = id.unwrap_or_else(|| self.ids.token());
        if self.tokens.contains_key(&id) {
            return Err(Fault::bad("cannot create a token with a duplicate ID"));
        }
        let mut token = Token::new(id, self.ids.letters(24), call.now, ttl);
        token.policies = policies;
        token.path = format!("auth/token/create{}", if orphan { "-orphan" } else { "" });
        token.display_name = display_name(fields.text("display_name").unwrap_or_default());
        token.meta = fields.has("meta").then(|| fields.pairs("meta")).filter(|meta| !meta.is_empty());
        token.parent = (!no_parent).then_some(own);
        token.orphan = no_parent;
        token.num_uses = num_uses;
        token.uses_given = num_uses;
        token.explicit_max = explicit_max;
        token.period = period;
        token.renewable = ttl > 0 && fields.boolean("renewable").unwrap_or(true);
        let auth = token.auth(ttl);
        self.tokens.insert(token.id.clone(), token);
        Ok(Body::auth(auth).warn(warnings).into())
    }
}

/// What the server says to a caller who picks the id of a token.
const CUSTOM_ID: &str = "Supplying a custom ID for the token uses the weaker SHA1 hashing instead of the more secure SHA2-256 HMAC for token obfuscation. SHA1 hashed tokens on the wire leads to less secure lookups.";

/// The warning that a time to live was cut.
pub(crate) fn capped(what: &str, asked: i64, max: i64, value: &str) -> String {
    let (asked, max) = (short_duration(asked), short_duration(max));
    format!("{what} \"{asked}\" exceeded the effective max_ttl of \"{max}\"; {value} is capped accordingly")
}

fn display_name(given: String) -> String {
    if given.is_empty() {
        return "token".into();
    }
    let clean: String = given.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("token-{}", clean.trim_end_matches('-')).to_lowercase()
}
