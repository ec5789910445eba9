//! The calls about AppRole: its roles, their role ids, and the secret ids that are given out.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wrapping::{Wrapped, wrapped};
use super::{data, get, names, post, remove};
use crate::call::{Answer, Call, Replay, whole_seconds};
use crate::error::Result;
use crate::secret::SecretValue;
use crate::uri::path::ApiPath;

/// Who logs in with a role, and what the tokens may do.
///
/// To change a role, read it, change it, and put it. Times are seconds; 0 stands for the mount's
/// own setting, or for no limit.
///
/// ```
/// use std::time::Duration;
/// use baokit_core::sys::Role;
///
/// let role = Role::new(["crudservice"])
///     .token_ttl(Duration::from_secs(20 * 60))
///     .token_max_ttl(Duration::from_secs(24 * 60 * 60))
///     .secret_id_ttl(Duration::from_secs(10 * 60))
///     .secret_id_num_uses(1);
/// assert_eq!((role.token_policies[0].as_str(), role.token_ttl), ("crudservice", 1200));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Role {
    /// The names of the policies that its tokens get.
    #[serde(deserialize_with = "or_empty")]
    pub token_policies: Vec<String>,
    /// How long a token lives at first, in seconds.
    pub token_ttl: u64,
    /// How long it lives at most, with its renewals, in seconds.
    pub token_max_ttl: u64,
    /// How many requests a token is good for; 0 for any number.
    pub token_num_uses: u64,
    /// How long a secret id lives, in seconds; 0 for ever.
    pub secret_id_ttl: u64,
    /// How many log-ins a secret id is good for; 0 for any number.
    pub secret_id_num_uses: u64,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Role {
    /// A role whose tokens get these policies.
    #[must_use]
    pub fn new<I>(policies: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self { token_policies: policies.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// How long a token lives at first, in whole seconds, rounded up; 0, the default, as the mount says.
    #[must_use]
    pub fn token_ttl(mut self, ttl: Duration) -> Self {
        self.token_ttl = whole_seconds(ttl);
        self
    }

    /// How long a token lives at most, with its renewals, in whole seconds, rounded up; 0, the default, as the mount
    /// says.
    #[must_use]
    pub fn token_max_ttl(mut self, ttl: Duration) -> Self {
        self.token_max_ttl = whole_seconds(ttl);
        self
    }

    /// How long a secret id lives, in whole seconds, rounded up; 0, the default, for ever.
    #[must_use]
    pub fn secret_id_ttl(mut self, ttl: Duration) -> Self {
        self.secret_id_ttl = whole_seconds(ttl);
        self
    }

    /// How many log-ins a secret id is good for; 0, the default, for any number.
    #[must_use]
    pub fn secret_id_num_uses(mut self, uses: u64) -> Self {
        self.secret_id_num_uses = uses;
        self
    }
}

/// One role, or the list of them: `auth/mount/role/name/rest`.
fn target(mount: &ApiPath, name: Option<&ApiPath>, rest: &str) -> String {
    let name = name.map_or("", ApiPath::wire);
    format!("/v1/auth/{}/role{}{name}{rest}", mount.wire(), if name.is_empty() { "" } else { "/" })
}

/// `LIST auth/mount/role`.
pub(crate) fn list(mount: &ApiPath) -> Call<Vec<String>> {
    get(target(mount, None, "?list=true"), names)
}

/// `GET auth/mount/role/name`.
pub(crate) fn read(mount: &ApiPath, name: &ApiPath) -> Call<Role> {
    get(target(mount, Some(name), ""), data)
}

/// `POST auth/mount/role/name`. One that comes late undoes a later change.
pub(crate) fn put(mount: &ApiPath, name: &ApiPath, role: &Role) -> Result<Call<()>> {
    let call = post(target(mount, Some(name), ""), Replay::Unsafe, role, Answer::nothing)?;
    call.with_time("token_ttl", role.token_ttl)?
        .with_time("token_max_ttl", role.token_max_ttl)?
        .with_time("secret_id_ttl", role.secret_id_ttl)
}

/// `DELETE auth/mount/role/name`.
pub(crate) fn delete(mount: &ApiPath, name: &ApiPath) -> Call<()> {
    remove(target(mount, Some(name), ""))
}

/// `GET auth/mount/role/name/role-id`.
pub(crate) fn role_id(mount: &ApiPath, name: &ApiPath) -> Call<SecretValue> {
    #[derive(Deserialize)]
    struct Data {
        role_id: SecretValue,
    }
    get(target(mount, Some(name), "/role-id"), |spec, answer| answer.data::<Data>(spec).map(|data| data.role_id))
}

/// A secret id, told once. See [`AppRole::secret_id`](crate::sys::AppRole::secret_id).
#[derive(Clone, Deserialize)]
#[non_exhaustive]
pub struct SecretId {
    /// The secret id.
    pub secret_id: SecretValue,
    /// Its accessor, which names it without being one.
    #[serde(rename = "secret_id_accessor")]
    pub accessor: String,
    /// Seconds that it lives; 0 for ever.
    #[serde(rename = "secret_id_ttl")]
    pub ttl: u64,
    /// How many log-ins it is good for; 0 for any number.
    #[serde(rename = "secret_id_num_uses")]
    pub num_uses: u64,
}

impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretId").field("ttl", &self.ttl).field("num_uses", &self.num_uses).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Empty {}

/// `POST auth/mount/role/name/secret-id`. Sent once: one that nobody knows of may live for ever.
pub(crate) fn secret_id(mount: &ApiPath, name: &ApiPath) -> Result<Call<SecretId>> {
    post(target(mount, Some(name), "/secret-id"), Replay::Unsafe, &Empty {}, data)
}

/// The same, wrapped for so many seconds.
pub(crate) fn wrapped_secret_id(mount: &ApiPath, name: &ApiPath, ttl: u64) -> Result<Call<Wrapped>> {
    let call = post(target(mount, Some(name), "/secret-id"), Replay::Unsafe, &Empty {}, wrapped)?;
    Ok(call.with(|spec| spec.wrap_ttl = Some(ttl)))
}

/// `POST auth/mount/role/name/secret-id-accessor/destroy`.
pub(crate) fn destroy_secret_id(mount: &ApiPath, name: &ApiPath, accessor: &str) -> Result<Call<()>> {
    #[derive(Serialize)]
    struct Body<'a> {
        secret_id_accessor: &'a str,
    }
    let target = target(mount, Some(name), "/secret-id-accessor/destroy");
    post(target, Replay::Idempotent, &Body { secret_id_accessor: accessor }, Answer::nothing)
}
