//! The calls about leases: what dynamic secrets live by.

use serde::{Deserialize, Serialize};

use super::{data, document, post};
use crate::call::{Answer, Call, Replay};
use crate::error::Result;

/// The lease of a dynamic secret, as the answer that made or renewed it says.
/// See [`Sys::renew_lease`](crate::Sys::renew_lease).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Lease {
    /// Its id, by which it is renewed and revoked. It is no secret, and tells what it was made for.
    pub lease_id: String,
    /// Seconds that it lives from the answer on.
    pub lease_duration: u64,
    /// Whether a renewal can lengthen it.
    pub renewable: bool,
}

/// What the server holds of a lease. See [`Sys::lookup_lease`](crate::Sys::lookup_lease).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct LeaseInfo {
    /// The id.
    pub id: String,
    /// When it was made: RFC 3339.
    pub issue_time: String,
    /// When it ends: RFC 3339; none where it does not.
    pub expire_time: Option<String>,
    /// When it was last renewed: RFC 3339; none where it never was.
    pub last_renewal: Option<String>,
    /// Whether a renewal can lengthen it.
    pub renewable: bool,
    /// Seconds that are left, 0 or less where it is over and about to be revoked.
    pub ttl: i64,
}

#[derive(Serialize)]
struct Body<'a> {
    lease_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    increment: Option<u64>,
}

/// `POST sys/leases/renew`. Twice lengthens it once: an increment counts from the renewal.
pub(crate) fn renew(lease_id: &str, increment: Option<u64>) -> Result<Call<Lease>> {
    post("/v1/sys/leases/renew", Replay::Repeatable, &Body { lease_id, increment }, document)
}

/// `POST sys/leases/revoke`. A lease that is not there is a success.
pub(crate) fn revoke(lease_id: &str) -> Result<Call<()>> {
    post("/v1/sys/leases/revoke", Replay::Repeatable, &Body { lease_id, increment: None }, Answer::nothing)
}

/// `POST sys/leases/lookup`.
pub(crate) fn lookup(lease_id: &str) -> Result<Call<LeaseInfo>> {
    post("/v1/sys/leases/lookup", Replay::Idempotent, &Body { lease_id, increment: None }, data)
}
