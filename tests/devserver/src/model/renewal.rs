//! Renewing a token: how long it lives from now, within all of its limits.

use super::answer::{Body, Fault, Outcome};
use super::token::{SYSTEM_TTL, capped, later};
use super::{Call, Model};

impl Model {
    pub(crate) fn renew(&mut self, call: &Call, id: &str) -> Outcome {
        let asked = call.fields.seconds("increment").unwrap_or(0);
        // A token in its last use is as good as gone.
        let token = self.tokens.get_mut(id).filter(|token| token.num_uses >= 0);
        let token = token.ok_or_else(|| Fault::bad("token not found"))?;
        if !token.renewable {
            return Err(Fault::bad("lease is not renewable"));
        }
        let mut warnings = Vec::new();
        let age = i64::try_from(call.now.saturating_sub(token.created).as_secs()).unwrap_or(i64::MAX);
        let limits = [token.explicit_max, token.role_max].into_iter().filter(|max| *max > 0);
        let max = limits.chain([SYSTEM_TTL]).min().unwrap_or(SYSTEM_TTL);
        let ttl = if token.period > 0 {
            let ttl = token.period.min(SYSTEM_TTL);
            // Only an explicit maximum ends a periodic token.
            if token.explicit_max > 0 { ttl.min(token.explicit_max.saturating_sub(age)) } else { ttl }
        } else {
            let wanted = if asked > 0 { asked } else { token.ttl };
            let left = max.saturating_sub(age);
            if wanted > max {
                warnings.push(capped("TTL of", wanted, max, "TTL value"));
            }
            wanted.min(left)
        };
        token.expires = Some(later(call.now, ttl));
        token.renewed = Some(call.now);
        Ok(Body::auth(token.auth(ttl)).warn(warnings).into())
    }
}
