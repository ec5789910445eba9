//! The end points that keep policies: `sys/policies/acl` and the older `sys/policy`.

use super::answer::{Answer, Body, Fault, Outcome};
use super::fields::Kind;
use super::policy::Rule;
use super::text::rfc3339;
use super::{Call, Model, Op, hcl};
use crate::json::Json;
use std::collections::BTreeMap;
use std::time::Duration;

/// A policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    source: String,
    pub(crate) rules: Vec<Rule>,
    version: u64,
    cas_required: bool,
    pub(crate) modified: Duration,
}

/// The rules of the server's default policy.
const DEFAULT: &str = r#"
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/lookup" { capabilities = ["update"] }
path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/wrapping/wrap" { capabilities = ["update"] }
path "sys/wrapping/lookup" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
path "sys/tools/hash" { capabilities = ["update"] }
path "sys/tools/hash/*" { capabilities = ["update"] }
path "identity/oidc/provider/+/authorize" { capabilities = ["read", "update"] }
"#;

pub(crate) fn initial() -> BTreeMap<String, Policy> {
    let rules = hcl::parse(DEFAULT).unwrap_or_default();
    let default = Policy { source: DEFAULT.into(), rules, version: 1, ..Policy::default() };
    BTreeMap::from([("default".to_owned(), default)])
}

impl Model {
    /// Both families; `old` is `sys/policy`, whose answers repeat their data at the top.
    pub(crate) fn sys_policies(&mut self, call: &mut Call, rest: &str, old: bool) -> Outcome {
        let lists = matches!(call.op, Op::List) || (old && call.op == Op::Read);
        if rest.is_empty() {
            return if lists { self.list_policies(call, old) } else { Err(Fault::unsupported_operation()) };
        }
        let lower = rest.to_lowercase();
        let name = lower.as_str();
        match call.op {
            Op::Read => self.read_policy(call, name, old),
            Op::Update | Op::Create => self.write_policy(call, name),
            Op::Delete => match name {
                "root" => Err(Fault::bad("cannot delete \"root\" policy")),
                "default" => Err(Fault::bad("cannot delete default policy")),
                _ => {
                    self.policies.remove(name);
                    Ok(Answer::Nothing)
                }
            },
            _ => Err(Fault::unsupported_operation()),
        }
    }

    fn list_policies(&self, call: &mut Call, old: bool) -> Outcome {
        call.accept(&[], &[])?;
        let names = Json::texts(self.policies.keys().map(String::as_str).chain(["root"]));
        if old {
            return Ok(Body::data(Json::object([("keys", names.clone()), ("policies", names)])).flat().into());
        }
        Ok(Body::data(Json::object([("keys", names)])).into())
    }

    fn read_policy(&self, call: &mut Call, name: &str, old: bool) -> Outcome {
        call.accept(&["name"], &[])?;
        let root = Policy::default();
        let policy = match (name, self.policies.get(name)) {
            ("root", _) => &root,
            (_, Some(policy)) => policy,
            _ => return Ok(Answer::Missing),
        };
        let mut all = vec![
            ("allow_slashes_in_identity_templates", Json::Bool(false)),
            ("allow_wildcards_in_identity_templates", Json::Bool(false)),
            ("cas_required", Json::Bool(policy.cas_required)),
            ("name", Json::text(name)),
            (if old { "rules" } else { "policy" }, Json::text(&policy.source)),
            ("version", Json::int(policy.version)),
        ];
        if name != "root" {
            all.push(("modified", Json::Text(rfc3339(policy.modified))));
        }
        let body = Body::data(Json::map(all));
        Ok(if old { body.flat() } else { body }.into())
    }

    fn write_policy(&mut self, call: &mut Call, name: &str) -> Outcome {
        call.accept(&["name"], &[("policy", Kind::Text), ("cas", Kind::Int), ("cas_required", Kind::Bool)])?;
        for unmodelled in
            ["ttl", "expiration", "allow_slashes_in_identity_templates", "allow_wildcards_in_identity_templates"]
        {
            if call.fields.has(unmodelled) {
                return Err(Fault::bad(format!("{unmodelled:?} is not modelled by the dev server")));
            }
        }
        if name == "root" {
            return Err(Fault::bad("cannot update \"root\" policy"));
        }
        let given = call.fields.text("policy").filter(|text| !text.is_empty());
        let given = given.ok_or_else(|| Fault::bad("'policy' parameter not supplied or empty"))?;
        // A policy may come in base64.
        let source = match base64(&given).and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) => text,
            None => given,
        };
        let rules = hcl::parse(&source).map_err(|e| Fault::bad(format!("failed to parse policy: {e}")))?;
        let held = self.policies.get(name);
        let version = held.map_or(0, |policy| policy.version);
        let demanded = call.fields.boolean("cas_required");
        let cas_required = demanded.unwrap_or(held.is_some_and(|policy| policy.cas_required));
        match call.fields.int("cas") {
            None if cas_required || held.is_some_and(|policy| policy.cas_required) => {
                return Err(Fault::bad("check-and-set parameter required for this call"));
            }
            // -1 asks that there be none yet.
            Some(-1) if held.is_none() => {}
            Some(cas) if u64::try_from(cas) != Ok(version) => {
                return Err(Fault::bad(format!(
                    "check-and-set parameter {cas} did not match the current version {version}"
                )));
            }
            _ => {}
        }
        let policy = Policy { source, rules, version: version + 1, cas_required, modified: call.now };
        self.policies.insert(name.to_owned(), policy);
        Ok(Answer::Nothing)
    }
}

/// Standard base64 with padding; none where the text is anything else.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if text.is_empty() || !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in body.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_read_and_other_text_is_not() {
        assert_eq!(super::base64("cGF0aCAieCIgeyB9").unwrap(), b"path \"x\" { }");
        assert_eq!(super::base64("YQ==").unwrap(), b"a");
        assert_eq!(super::base64("path \"x\" {}"), None);
    }
}
