//! The AppRole log-in.

use super::answer::{Body, Fault, Outcome};
use super::fields::Kind;
use super::token::{SYSTEM_TTL, Token, capped, policy_names};
use super::{Call, Model, Op};

impl Model {
    pub(crate) fn log_in(&mut self, call: &mut Call, mount: &str) -> Outcome {
        let accepted = call.accept(&[], &[("role_id", Kind::Text), ("secret_id", Kind::Text)]);
        // Asked for by another layer first, which makes a server error of it.
        accepted.map_err(|fault| Fault::new(500, fault.text))?;
        let role_id = call.fields.text("role_id").unwrap_or_default();
        if role_id.is_empty() {
            return Err(Fault::new(500, "missing role_id"));
        }
        if !matches!(call.op, Op::Update | Op::Create) {
            return Err(Fault::unsupported_operation());
        }
        let now = call.now;
        let invalid = || Fault::bad("invalid role or secret ID");
        let approle = self.auths.get_mut(mount).and_then(|auth| auth.approle.as_mut());
        let roles = approle.map(|approle| &mut approle.roles).ok_or_else(invalid)?;
        let (name, role) = roles.iter_mut().find(|(_, role)| role.role_id == role_id).ok_or_else(invalid)?;
        let given = call.fields.text("secret_id").filter(|text| !text.is_empty());
        let given = given.ok_or_else(|| Fault::bad("missing secret_id"))?;
        let secret = role.secrets.get_mut(&given).ok_or_else(invalid)?;
        if secret.expires.is_some_and(|end| end <= now) {
            role.secrets.remove(&given);
            return Err(invalid());
        }
        let mut meta = secret.metadata.clone();
        meta.insert("role_name".into(), name.clone());
        match secret.num_uses {
            0 => {}
            1 => drop(role.secrets.remove(&given)),
            _ => secret.num_uses -= 1,
        }
        let limits = [role.max_ttl, role.explicit_max].into_iter().filter(|max| *max > 0);
        let max = limits.chain([SYSTEM_TTL]).min().unwrap_or(SYSTEM_TTL);
        let mut warnings = Vec::new();
        let ttl = match (role.period, role.ttl) {
            (0, 0) => max,
            (0, ttl) => {
                if ttl > max {
                    warnings.push(capped("TTL of", ttl, max, "TTL value"));
                }
                ttl.min(max)
            }
            (period, _) => {
                if period > max {
                    warnings.push(capped("period of", period, max, "period value"));
                }
                period.min(max)
            }
        };
        let policies = policy_names(role.policies.clone(), !role.no_default_policy);
        if policies.iter().any(|name| name == "root") {
            return Err(Fault::bad("auth methods cannot create root tokens"));
        }
        let mut token = Token::new(self.ids.token(), self.ids.letters(24), now, ttl);
        token.policies = policies;
        token.path = format!("auth/{mount}login");
        token.display_name = mount.trim_end_matches('/').replace('/', "-");
        token.meta = Some(meta);
        token.entity = role.entity.clone();
        token.num_uses = role.num_uses;
        token.uses_given = role.num_uses;
        token.explicit_max = role.explicit_max;
        token.role_max = role.max_ttl;
        token.period = role.period;
        token.renewable = true;
        let auth = token.auth(ttl);
        self.tokens.insert(token.id.clone(), token);
        Ok(Body::auth(auth).warn(warnings).into())
    }
}
