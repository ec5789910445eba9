//! Leases of dynamic secrets by their ids, and the answer that holds one.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::Sys;
use crate::call::sys::leases::{self, Lease, LeaseInfo};
use crate::call::whole_seconds;
use crate::drive::Host;
use crate::error::Result;
use crate::secret::SecretValue;

impl<H: Host> Sys<'_, H> {
    /// Lengthens a lease: it ends so long from now, up to what the engine allows; by its own length where no
    /// increment is given. It counts in whole seconds, rounded up; a short one shortens the lease.
    ///
    /// End point: `POST sys/leases/renew`. It may be sent again.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"lease_id":"database/creds/app/x","lease_duration":3600,"renewable":true}"#);
    /// use std::time::Duration;
    ///
    /// let lease = client.sys().renew_lease("database/creds/app/x", Some(Duration::from_secs(3600))).await?;
    /// println!("good for {} s more", lease.lease_duration); // what the engine allowed
    /// # assert_eq!(lease.lease_duration, 3600);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::NotFound`](crate::Code::NotFound) where there is no such lease, or no more;
    /// [`Code::RequestRejected`](crate::Code::RequestRejected) where it can't be renewed, as those of tokens.
    pub async fn renew_lease(self, lease_id: &str, increment: Option<Duration>) -> Result<Lease> {
        self.run(leases::renew(lease_id, increment.map(whole_seconds))?).await
    }

    /// Ends a lease, and with it what it stands for: the user of a database, say. The server does it after it has
    /// answered, and again where it fails. A lease that is not there is a success.
    ///
    /// End point: `POST sys/leases/revoke`. It may be sent again.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"null"#);
    /// client.sys().revoke_lease("database/creds/app/x").await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`](crate::Code::PermissionDenied).
    pub async fn revoke_lease(self, lease_id: &str) -> Result<()> {
        self.run(leases::revoke(lease_id)?).await
    }

    /// What the server holds of a lease.
    ///
    /// End point: `POST sys/leases/lookup`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"data":{"id":"database/creds/app/x","issue_time":"2026-01-01T00:00:00Z","expire_time":"2026-01-01T01:00:00Z","last_renewal":null,"renewable":true,"ttl":3600}}"#);
    /// let lease = client.sys().lookup_lease("database/creds/app/x").await?;
    /// assert!(lease.renewable && lease.ttl > 0); // seconds
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::NotFound`](crate::Code::NotFound) where there is no such lease, or no more.
    pub async fn lookup_lease(self, lease_id: &str) -> Result<LeaseInfo> {
        self.run(leases::lookup(lease_id)?).await
    }
}

/// The answer to a request that baokit does not model: the whole JSON document, and the lease that it may hold.
///
/// ```
/// use baokit_core::{Reply, SecretValue};
///
/// let document = r#"{"lease_id":"database/creds/app/x","lease_duration":3600,"renewable":true,"data":{"username":"v-1"}}"#;
/// let reply = Reply::from(serde_json::from_str::<SecretValue>(document).unwrap());
/// assert_eq!(reply.lease_id(), Some("database/creds/app/x"));
/// assert_eq!((reply.lease_duration(), reply.is_renewable()), (3600, true));
/// assert_eq!(reply.expose()["data"]["username"], "v-1");
/// ```
#[derive(Clone, Default)]
pub struct Reply(SecretValue);

impl Reply {
    /// The id of the lease, for [`Sys::renew_lease`] and [`Sys::revoke_lease`]; none where there is no lease, as of
    /// what KV stores.
    #[must_use]
    pub fn lease_id(&self) -> Option<&str> {
        self.0.expose().get("lease_id")?.as_str().filter(|id| !id.is_empty())
    }

    /// Seconds that the answer is good for, 0 where nobody says. An engine may name a time without a lease.
    #[must_use]
    pub fn lease_duration(&self) -> u64 {
        self.0.expose().get("lease_duration").and_then(serde_json::Value::as_u64).unwrap_or_default()
    }

    /// Whether the lease can be renewed.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.0.expose().get("renewable").and_then(serde_json::Value::as_bool).unwrap_or_default()
    }

    /// The document alone.
    #[must_use]
    pub fn into_document(self) -> SecretValue {
        self.0
    }
}

impl From<SecretValue> for Reply {
    fn from(document: SecretValue) -> Self {
        Self(document)
    }
}

impl Deref for Reply {
    type Target = SecretValue;

    fn deref(&self) -> &SecretValue {
        &self.0
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply([redacted])")
    }
}
