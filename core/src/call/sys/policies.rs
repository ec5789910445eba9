//! The calls about ACL policies.

use serde::{Deserialize, Serialize};

use super::{get, names, post, remove};
use crate::call::{Answer, Call, Replay};
use crate::error::Result;
use crate::uri::path::ApiPath;

/// `LIST sys/policies/acl`.
pub(crate) fn list() -> Call<Vec<String>> {
    get("/v1/sys/policies/acl?list=true", names)
}

fn target(name: &ApiPath) -> String {
    format!("/v1/sys/policies/acl/{}", name.wire())
}

/// `GET sys/policies/acl/name`: the text.
pub(crate) fn read(name: &ApiPath) -> Call<String> {
    #[derive(Deserialize)]
    struct Policy {
        policy: String,
    }
    get(target(name), |spec, answer| answer.data::<Policy>(spec).map(|data| data.policy))
}

/// `POST sys/policies/acl/name`. One that comes late undoes a later change.
pub(crate) fn put(name: &ApiPath, policy: &str) -> Result<Call<()>> {
    #[derive(Serialize)]
    struct Body<'a> {
        policy: &'a str,
    }
    post(target(name), Replay::Unsafe, &Body { policy }, Answer::nothing)
}

/// `DELETE sys/policies/acl/name`.
pub(crate) fn delete(name: &ApiPath) -> Call<()> {
    remove(target(name))
}
