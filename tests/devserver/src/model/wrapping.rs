//! Response wrapping: an answer is put away behind a token that opens it once.

use super::answer::{Body, Fault, Outcome};
use super::fields::Kind;
use super::text::rfc3339;
use super::token::Token;
use super::{Call, Model, Op};
use crate::json::Json;
use std::time::Duration;

/// The one policy of a wrapping token, and what it allows.
pub(crate) const POLICY: &str = "response-wrapping";
pub(crate) const RULES: &str = r#"
path "cubbyhole/response" { capabilities = ["create", "read"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
"#;

impl Model {
    /// Stores an answer and returns the `wrap_info` of its token.
    pub(crate) fn new_wrapping_token(&mut self, path: &str, now: Duration, ttl: i64, body: Body) -> Json {
        let (id, accessor) = (self.ids.token(), self.ids.letters(24));
        let mut info = vec![
            ("token", Json::text(&id)),
            ("accessor", Json::text(&accessor)),
            ("ttl", Json::int(ttl)),
            ("creation_time", Json::Text(rfc3339(now))),
            ("creation_path", Json::text(path)),
        ];
        if let Some(inner) = body.auth.get("accessor") {
            info.push(("wrapped_accessor", inner.clone()));
        }
        let mut token = Token::wrapping(id.clone(), accessor, now, ttl);
        token.path = path.to_owned();
        self.tokens.insert(id.clone(), token);
        self.wrapped.insert(id, body);
        Json::object(info)
    }

    /// Refuses what is no wrapping token.
    pub(crate) fn valid_wrapping_token(&self, call: &Call) -> Result<(), Fault> {
        let given = call.fields.text("token").filter(|token| !token.is_empty());
        let Some(token) = given.or_else(|| call.token.clone()) else {
            return Err(Fault::new(403, "error validating wrapping token: token is empty"));
        };
        if !self.wrapped.contains_key(&token) || !self.tokens.contains_key(&token) {
            return Err(Fault::bad("wrapping token is not valid or does not exist"));
        }
        Ok(())
    }

    pub(crate) fn wrapping_end_point(&mut self, call: &mut Call, what: &str) -> Outcome {
        if what == "wrap" {
            return self.wrap_anything(call);
        }
        if !matches!(call.op, Op::Update | Op::Create) {
            return Err(Fault::unsupported_operation());
        }
        call.accept(&[], &[("token", Kind::Text)])?;
        let own = call.token.clone().unwrap_or_default();
        let token = call.fields.text("token").filter(|t| !t.is_empty()).unwrap_or(own);
        let invalid = || Fault::bad("wrapping token is not valid or does not exist");
        match what {
            "unwrap" => {
                let body = self.wrapped.remove(&token).ok_or_else(invalid)?;
                self.revoke_tree(&token);
                Ok(Body { unwrapped: true, ..body }.into())
            }
            "lookup" => {
                let held = self.tokens.get(&token).ok_or_else(invalid)?;
                Ok(Body::data(Json::map([
                    ("creation_path", Json::text(&held.path)),
                    ("creation_time", Json::Text(rfc3339(held.created))),
                    ("creation_ttl", Json::int(held.ttl)),
                ]))
                .into())
            }
            "rewrap" => {
                let held = self.tokens.get(&token).ok_or_else(invalid)?;
                let (path, ttl) = (held.path.clone(), held.ttl);
                let body = self.wrapped.remove(&token).ok_or_else(invalid)?;
                self.revoke_tree(&token);
                let info = self.new_wrapping_token(&path, call.now, ttl, body);
                Ok(Body { wrap_info: info, ..Body::data(Json::Null) }.into())
            }
            _ => Err(Fault::unsupported_path()),
        }
    }

    /// `sys/wrapping/wrap`: the parameters themselves are the answer.
    fn wrap_anything(&mut self, call: &mut Call) -> Outcome {
        if !matches!(call.op, Op::Update | Op::Create) {
            return Err(Fault::unsupported_operation());
        }
        if call.wrap == 0 {
            return Err(Fault::bad("endpoint requires response wrapping to be used"));
        }
        let data = Json::map(std::mem::take(&mut call.fields.0));
        Ok(Body::data(data).into())
    }
}
