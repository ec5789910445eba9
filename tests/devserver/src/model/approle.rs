//! AppRole: roles and secret ids, and the end points that keep them.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::{Fields, Kind};
use super::text::rfc3339;
use super::token::later;
use super::{Call, Model, Op};
use crate::json::{Json, parse};
use std::collections::BTreeMap;
use std::time::Duration;

/// One AppRole mount.
#[derive(Clone, Default)]
pub(crate) struct AppRole {
    pub(crate) roles: BTreeMap<String, Role>,
}

#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) role_id: String,
    pub(crate) entity: String,
    pub(crate) bind_secret_id: bool,
    pub(crate) secret_num_uses: i64,
    pub(crate) secret_ttl: i64,
    pub(crate) policies: Vec<String>,
    pub(crate) ttl: i64,
    pub(crate) max_ttl: i64,
    pub(crate) explicit_max: i64,
    pub(crate) period: i64,
    pub(crate) num_uses: i64,
    pub(crate) no_default_policy: bool,
    pub(crate) token_type: String,
    pub(crate) secrets: BTreeMap<String, SecretId>,
}

#[derive(Clone)]
pub(crate) struct SecretId {
    pub(crate) accessor: String,
    pub(crate) num_uses: i64,
    ttl: i64,
    created: Duration,
    pub(crate) expires: Option<Duration>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// The parameters of a role.
const ROLE: &[(&str, Kind)] = &[
    ("bind_secret_id", Kind::Bool),
    ("bound_cidr_list", Kind::Texts),
    ("secret_id_bound_cidrs", Kind::Texts),
    ("secret_id_num_uses", Kind::Int),
    ("secret_id_ttl", Kind::Seconds),
    ("period", Kind::Seconds),
    ("policies", Kind::Texts),
    ("role_id", Kind::Text),
    ("local_secret_ids", Kind::Bool),
    ("token_bound_cidrs", Kind::Texts),
    ("token_explicit_max_ttl", Kind::Seconds),
    ("token_max_ttl", Kind::Seconds),
    ("token_no_default_policy", Kind::Bool),
    ("token_num_uses", Kind::Int),
    ("token_period", Kind::Seconds),
    ("token_policies", Kind::Texts),
    ("token_ttl", Kind::Seconds),
    ("token_type", Kind::Text),
];

/// What ties a role or secret id to addresses would have to be enforced.
const ADDRESSES: [&str; 5] =
    ["bound_cidr_list", "secret_id_bound_cidrs", "token_bound_cidrs", "cidr_list", "token_strictly_bind_ip"];

fn refuse_addresses(fields: &Fields) -> Result<(), Fault> {
    match ADDRESSES.iter().find(|name| fields.has(name)) {
        Some(name) => Err(Fault::bad(format!("{name:?} is not modelled by the dev server"))),
        None => Ok(()),
    }
}

impl AppRole {
    pub(crate) fn exists(&self, rest: &str, fields: &Fields) -> Result<Option<bool>, Fault> {
        match rest.strip_prefix("role/") {
            Some(name) if !name.contains('/') => {
                fields.check(ROLE).map_err(Fault::bad)?;
                Ok(Some(self.roles.contains_key(&name.to_lowercase())))
            }
            _ => Ok(None),
        }
    }
}

impl SecretId {
    fn describe(&self) -> Json {
        let end = self.expires.map_or("0001-01-01T00:00:00Z".to_owned(), rfc3339);
        Json::map([
            ("cidr_list", Json::List(Vec::new())),
            ("creation_time", Json::Text(rfc3339(self.created))),
            ("expiration_time", Json::Text(end)),
            ("last_updated_time", Json::Text(rfc3339(self.created))),
            ("metadata", Json::map(self.metadata.iter().map(|(k, v)| (k.as_str(), Json::text(v))))),
            ("secret_id_accessor", Json::text(&self.accessor)),
            ("secret_id_num_uses", Json::int(self.num_uses)),
            ("secret_id_ttl", Json::int(self.ttl)),
            ("token_bound_cidrs", Json::List(Vec::new())),
        ])
    }
}

impl Model {
    fn role_mut(&mut self, mount: &str, name: &str) -> Option<&mut Role> {
        self.auths.get_mut(mount)?.approle.as_mut()?.roles.get_mut(name)
    }

    pub(crate) fn approle_end_point(&mut self, call: &mut Call, mount: &str, rest: &str) -> Outcome {
        if rest == "login" {
            return self.log_in(call, mount);
        }
        if rest == "role/" || rest == "role" {
            if call.op != Op::List {
                return Err(Fault::unsupported_operation());
            }
            let approle = self.auths.get(mount).and_then(|auth| auth.approle.as_ref());
            let names: Vec<&String> = approle.into_iter().flat_map(|a| a.roles.keys()).collect();
            if names.is_empty() {
                return Ok(Answer::Missing);
            }
            return Ok(Body::data(Json::object([("keys", Json::texts(names))])).into());
        }
        let Some(rest) = rest.strip_prefix("role/") else { return Err(Fault::unsupported_path()) };
        let (name, part) = rest.split_once('/').unwrap_or((rest, ""));
        let name = name.to_lowercase();
        let write = matches!(call.op, Op::Update | Op::Create);
        match (part, call.op) {
            ("", _) if write => self.write_role(call, mount, &name),
            ("", Op::Read) => match self.role_mut(mount, &name) {
                Some(role) => Ok(Body::data(role.describe()).into()),
                None => Ok(Answer::Missing),
            },
            ("", Op::Delete) => {
                if let Some(approle) = self.auths.get_mut(mount).and_then(|auth| auth.approle.as_mut()) {
                    approle.roles.remove(&name);
                }
                Ok(Answer::Nothing)
            }
            ("role-id", Op::Read) => match self.role_mut(mount, &name) {
                Some(role) => Ok(Body::data(Json::object([("role_id", Json::text(&role.role_id))])).into()),
                None => Ok(Answer::Missing),
            },
            ("role-id", _) if write => self.set_role_id(call, mount, &name),
            ("secret-id" | "custom-secret-id", _) if write => self.new_secret_id(call, mount, &name, part),
            ("secret-id/", Op::List) => {
                let role = self.role_mut(mount, &name).ok_or_else(|| Fault::bad(no_role(&name).text))?;
                if role.secrets.is_empty() {
                    return Ok(Answer::Missing);
                }
                let keys = role.secrets.values().map(|secret| secret.accessor.clone());
                Ok(Body::data(Json::object([("keys", Json::texts(keys))])).into())
            }
            (
                "secret-id/lookup" | "secret-id/destroy" | "secret-id-accessor/lookup" | "secret-id-accessor/destroy",
                _,
            ) if write => self.secret_id_by(call, mount, &name, part),
            (
                ""
                | "role-id"
                | "secret-id"
                | "secret-id/"
                | "custom-secret-id"
                | "secret-id/lookup"
                | "secret-id/destroy"
                | "secret-id-accessor/lookup"
                | "secret-id-accessor/destroy",
                _,
            ) => Err(Fault::unsupported_operation()),
            _ => Err(Fault::unsupported_path()),
        }
    }

    fn set_role_id(&mut self, call: &mut Call, mount: &str, name: &str) -> Outcome {
        call.accept(&["role_name"], &[("role_id", Kind::Text)])?;
        let wanted = call.fields.text("role_id").unwrap_or_default();
        if wanted.is_empty() {
            return Err(Fault::bad("missing role_id"));
        }
        self.free_role_id(mount, name, &wanted)?;
        let role = self.role_mut(mount, name).ok_or_else(Fault::unsupported_path)?;
        role.role_id = wanted;
        Ok(Answer::Nothing)
    }

    fn free_role_id(&self, mount: &str, name: &str, wanted: &str) -> Result<(), Fault> {
        let approle = self.auths.get(mount).and_then(|auth| auth.approle.as_ref());
        let mut others = approle.into_iter().flat_map(|a| a.roles.iter()).filter(|(n, _)| *n != name);
        if others.any(|(_, role)| role.role_id == wanted) {
            return Err(Fault::wrapped(500, "role_id already in use"));
        }
        Ok(())
    }

    fn write_role(&mut self, call: &mut Call, mount: &str, name: &str) -> Outcome {
        call.accept(&["role_name"], ROLE)?;
        refuse_addresses(&call.fields)?;
        let fields = &call.fields;
        let held = self.role_mut(mount, name).cloned();
        let mut role = match held {
            Some(role) => role,
            None => Role::new(self.ids.uuid(), self.ids.uuid()),
        };
        role.take(fields)?;
        if let Some(wanted) = fields.text("role_id").filter(|id| !id.is_empty()) {
            self.free_role_id(mount, name, &wanted)?;
            role.role_id = wanted;
        }
        if let Some(approle) = self.auths.get_mut(mount).and_then(|auth| auth.approle.as_mut()) {
            approle.roles.insert(name.to_owned(), role);
        }
        Ok(Answer::Nothing)
    }

    fn new_secret_id(&mut self, call: &mut Call, mount: &str, name: &str, part: &str) -> Outcome {
        call.accept(
            &["role_name"],
            &[("secret_id", Kind::Text), ("metadata", Kind::Text), ("num_uses", Kind::Int), ("ttl", Kind::Seconds)],
        )?;
        refuse_addresses(&call.fields)?;
        let (fresh, accessor) = (self.ids.uuid(), self.ids.uuid());
        let fields = &call.fields;
        let now = call.now;
        let role = self.role_mut(mount, name).ok_or_else(|| no_role(name))?;
        let secret = if part == "secret-id" { fresh } else { fields.text("secret_id").unwrap_or_default() };
        if secret.is_empty() {
            return Err(Fault::bad("missing secret_id"));
        }
        let num_uses = fields.int("num_uses").unwrap_or(role.secret_num_uses);
        if num_uses < 0 {
            return Err(Fault::bad("num_uses cannot be negative"));
        }
        if role.secret_num_uses > 0 && (num_uses > role.secret_num_uses || num_uses == 0) {
            return Err(Fault::bad("num_uses cannot be higher than the role's secret_id_num_uses"));
        }
        let ttl = fields.seconds("ttl").unwrap_or(role.secret_ttl);
        if role.secret_ttl > 0 && (ttl > role.secret_ttl || ttl == 0) {
            return Err(Fault::bad("ttl cannot be longer than the role's secret_id_ttl"));
        }
        let metadata = match fields.text("metadata").filter(|text| !text.is_empty()) {
            None => BTreeMap::new(),
            Some(text) => match parse(text.as_bytes()) {
                Ok(Some(Json::Object(pairs))) => pairs
                    .into_iter()
                    .map(|(k, v)| super::fields::text(&v, &k).map(|v| (k, v)))
                    .collect::<Result<_, _>>()
                    .map_err(Fault::bad)?,
                _ => {
                    return Err(Fault::bad(
                        "failed to parse metadata: failed to parse the input: invalid <key,value> format",
                    ));
                }
            },
        };
        if role.secrets.contains_key(&secret) {
            return Err(Fault::wrapped(500, "failed to store secret_id: SecretID is already registered"));
        }
        let answer = Json::map([
            ("secret_id", Json::text(&secret)),
            ("secret_id_accessor", Json::text(&accessor)),
            ("secret_id_num_uses", Json::int(num_uses)),
            ("secret_id_ttl", Json::int(ttl)),
        ]);
        let expires = (ttl > 0).then(|| later(now, ttl));
        role.secrets.insert(secret, SecretId { accessor, num_uses, ttl, created: now, expires, metadata });
        Ok(Body::data(answer).into())
    }

    fn secret_id_by(&mut self, call: &mut Call, mount: &str, name: &str, part: &str) -> Outcome {
        let by_accessor = part.starts_with("secret-id-accessor");
        let field = if by_accessor { "secret_id_accessor" } else { "secret_id" };
        call.accept(&["role_name"], &[("secret_id", Kind::Text), ("secret_id_accessor", Kind::Text)])?;
        let wanted = call.fields.text(field).filter(|text| !text.is_empty());
        let wanted = wanted.ok_or_else(|| Fault::bad(format!("missing {field}")))?;
        let role = self.role_mut(mount, name).ok_or_else(|| Fault::wrapped(500, no_role(name).text))?;
        let fits = |id: &String, secret: &SecretId| if by_accessor { secret.accessor == wanted } else { *id == wanted };
        let found = role.secrets.iter().find(|(id, secret)| fits(id, secret)).map(|(id, _)| id.clone());
        match (found, part.ends_with("lookup")) {
            (Some(id), true) => match role.secrets.get(&id) {
                Some(secret) => Ok(Body::data(secret.describe()).into()),
                None => Ok(Answer::Nothing),
            },
            (Some(id), false) => {
                role.secrets.remove(&id);
                Ok(Answer::Nothing)
            }
            (None, lookup) if by_accessor => {
                let text = format!("failed to find accessor entry for secret_id_accessor: {wanted:?}");
                if !lookup {
                    return Err(Fault::wrapped(500, text));
                }
                Ok(Body::data(Json::object([("error", Json::Text(text))])).status(404).into())
            }
            (None, _) => Ok(Answer::Nothing),
        }
    }
}

fn no_role(name: &str) -> Fault {
    Fault::new(404, format!("role {name:?} does not exist"))
}

impl Role {
    fn new(role_id: String, entity: String) -> Role {
        Role {
            role_id,
            entity,
            bind_secret_id: true,
            secret_num_uses: 0,
            secret_ttl: 0,
            policies: Vec::new(),
            ttl: 0,
            max_ttl: 0,
            explicit_max: 0,
            period: 0,
            num_uses: 0,
            no_default_policy: false,
            token_type: "default".into(),
            secrets: BTreeMap::new(),
        }
    }

    /// Takes over the parameters that are given.
    fn take(&mut self, fields: &Fields) -> Result<(), Fault> {
        let set = |to: &mut i64, value: Option<i64>| *to = value.unwrap_or(*to);
        set(&mut self.secret_num_uses, fields.int("secret_id_num_uses"));
        set(&mut self.secret_ttl, fields.seconds("secret_id_ttl"));
        set(&mut self.ttl, fields.seconds("token_ttl"));
        set(&mut self.max_ttl, fields.seconds("token_max_ttl"));
        set(&mut self.explicit_max, fields.seconds("token_explicit_max_ttl"));
        set(&mut self.period, fields.seconds("token_period").or(fields.seconds("period")));
        set(&mut self.num_uses, fields.int("token_num_uses"));
        if self.secret_num_uses < 0 {
            return Err(Fault::bad("secret_id_num_uses cannot be negative"));
        }
        if self.num_uses < 0 {
            return Err(Fault::bad("'token_num_uses' cannot be negative"));
        }
        if let Some(policies) = fields.texts("token_policies").or(fields.texts("policies")) {
            self.policies = policies.iter().map(|name| name.to_lowercase()).collect();
        }
        self.no_default_policy = fields.boolean("token_no_default_policy").unwrap_or(self.no_default_policy);
        self.bind_secret_id = fields.boolean("bind_secret_id").unwrap_or(self.bind_secret_id);
        if fields.boolean("local_secret_ids") == Some(true) {
            return Err(Fault::bad("\"local_secret_ids\" is not modelled by the dev server"));
        }
        match fields.text("token_type").as_deref() {
            None => {}
            Some("" | "default") => self.token_type = "default".into(),
            Some("service") => self.token_type = "service".into(),
            Some("batch" | "default-batch") if self.period > 0 => {
                return Err(Fault::bad(
                    "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
                ));
            }
            Some("batch" | "default-batch") => {
                return Err(Fault::bad("batch tokens are not modelled by the dev server"));
            }
            Some(other) => return Err(Fault::bad(format!("invalid 'token_type' value {other:?}"))),
        }
        if self.max_ttl > 0 && self.ttl > self.max_ttl {
            return Err(Fault::bad("'token_ttl' cannot be greater than 'token_max_ttl'"));
        }
        if !self.bind_secret_id {
            // Without a secret id only addresses could bind the role, and those are not modelled.
            return Err(Fault::wrapped(500, "at least one constraint should be enabled on the role"));
        }
        Ok(())
    }

    fn describe(&self) -> Json {
        Json::map([
            ("bind_secret_id", Json::Bool(self.bind_secret_id)),
            ("local_secret_ids", Json::Bool(false)),
            ("secret_id_bound_cidrs", Json::Null),
            ("secret_id_num_uses", Json::int(self.secret_num_uses)),
            ("secret_id_ttl", Json::int(self.secret_ttl)),
            ("token_bound_cidrs", Json::List(Vec::new())),
            ("token_explicit_max_ttl", Json::int(self.explicit_max)),
            ("token_max_ttl", Json::int(self.max_ttl)),
            ("token_no_default_policy", Json::Bool(self.no_default_policy)),
            ("token_num_uses", Json::int(self.num_uses)),
            ("token_period", Json::int(self.period)),
            ("token_policies", Json::texts(&self.policies)),
            ("token_strictly_bind_ip", Json::Bool(false)),
            ("token_ttl", Json::int(self.ttl)),
            ("token_type", Json::text(&self.token_type)),
        ])
    }
}
