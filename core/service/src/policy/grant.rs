//! Grants: what a permit allows until it ends, to whom, and how often; and denials that are remembered.
//!
//! ```text
//! Grants::find ─ Granted ──────────────────────────────→ provider
//!      │        └ Denied ──────────────────────────────→ 403
//!      └ NotKnown → Pdp::evaluate → Grants::keep ─ Granted → provider
//!                                       └ Denied ──────→ 403
//! ```
//!
//! A use is taken before the provider is asked, and not given back when the provider fails. The permit that makes a
//! grant is its first use: with `max_uses` 1 every request asks the PDP.

use std::fmt;
use std::time::Duration;

use baokit_core::Now;

use super::{Decision, Denial, Grant, Key, Store, Taken};
use crate::caller::{Caller, SenderKey};
use crate::error::{Code, Error, Result};
use crate::purpose::Purpose;
use crate::settings::Settings;

/// What a grant is bound to. It is good for nothing that differs in any part:
///
/// - tenant, purpose, and the canonical URI with fragment and version;
/// - issuer, subject, client and audience;
/// - the token: its `jti`, else its hash. A caller whom the host vouches for without either is known by the rest
///   alone;
/// - the run, node and system that asked, which the PDP may have judged by;
/// - the sender key. A request that is equal in all else and has another sender key, or none, is refused while the
///   grant lives, also when its uses are spent.
///
/// It never outlives the token. Not part of it are correlation and trace, which are new for each request, and what
/// the secret's metadata says: a new owner counts when the grant has ended.
///
/// ```
/// use baokit_service::{caller::Caller, policy::Binding, purpose::Purpose};
///
/// let caller = Caller::anonymous();
/// let read = Binding::new("dev", &caller, Purpose::Read, "openbao+kv2://secret/app");
/// assert_eq!(read, Binding::new("dev", &caller, Purpose::Read, "openbao+kv2://secret/app"));
/// assert_ne!(read, Binding::new("dev", &caller, Purpose::Write, "openbao+kv2://secret/app"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    key: Key,
    sender: Option<Key>,
    /// The end of the token, on the wall clock.
    expires: Option<Duration>,
}

impl Binding {
    /// What a grant to this caller is bound to. `resource` is the canonical URI.
    #[must_use]
    pub fn new(tenant_id: &str, caller: &Caller, purpose: Purpose, resource: &str) -> Self {
        // The jti first: two encodings of one token are one token.
        let hash = caller.token_hash.filter(|_| caller.token_jti.is_none()).map(|hash| Key::from_bytes(hash).to_hex());
        let parts = [
            Some(tenant_id),
            Some(purpose.as_str()),
            Some(resource),
            caller.issuer.as_deref(),
            caller.subject.as_deref(),
            caller.client_id.as_deref(),
            caller.token_jti.as_deref(),
            hash.as_deref(),
            caller.context.workflow_run_id.as_deref(),
            caller.context.node_id.as_deref(),
            caller.context.system_id.as_deref(),
        ];
        let sender = caller.sender_key.as_ref().map(|key| match key {
            SenderKey::Jkt(thumbprint) => Key::of("jkt", &[Some(thumbprint)]),
            SenderKey::CertificateThumbprint(thumbprint) => Key::of("x5t#S256", &[Some(thumbprint)]),
        });
        // Last, since they are as many as they are: what stands before has its place.
        let audience = caller.audience.iter().map(|audience| Some(audience.as_str()));
        let key = Key::of_all("grant", parts.into_iter().chain(audience));
        Self { key, sender, expires: caller.expires.map(Duration::from_secs) }
    }

    /// The name of the grant in a store.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("key", &self.key).field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may be done, once: the use is taken.
    Granted(Basis),
    /// It may not be done.
    Denied(Basis),
    /// The PDP is to be asked.
    NotKnown,
}

/// What a decision rests on, for the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// The PDP's name of the decision.
    pub decision_id: Option<String>,
    /// The version of the policy.
    pub policy_version: Option<String>,
    /// Whether it was known, so that the PDP was not asked.
    pub is_known: bool,
}

/// How long permits and denials hold where the PDP does not say.
#[derive(Clone, Copy, Debug)]
pub struct Grants {
    ttl: Duration,
    max_uses: u32,
    negative_ttl: Duration,
}

impl Grants {
    /// With `GRANT_TTL_DEFAULT`, `GRANT_MAX_USES_DEFAULT` and `NEGATIVE_CACHE_TTL_S`.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { ttl: settings.grant_ttl, max_uses: settings.grant_max_uses, negative_ttl: settings.negative_ttl }
    }

    /// Looks for a grant and takes a use of it, or for a denial.
    ///
    /// # Errors
    /// [`Code::SenderKeyMismatch`]; [`Code::StoreUnreachable`].
    pub async fn find<S: Store>(&self, store: &S, binding: &Binding, now: Now) -> Result<Outcome> {
        if binding.expires.is_some_and(|end| end <= now.wall) {
            return Ok(Outcome::NotKnown);
        }
        Ok(match store.take_use(&binding.key, binding.sender.as_ref(), now).await? {
            Taken::Nothing => Outcome::NotKnown,
            Taken::Use(Grant { decision_id, policy_version, .. }) => {
                Outcome::Granted(Basis { decision_id, policy_version, is_known: true })
            }
            Taken::Denied(Denial { decision_id, policy_version, .. }) => {
                Outcome::Denied(Basis { decision_id, policy_version, is_known: true })
            }
            Taken::OtherSender => return Err(mismatch()),
        })
    }

    /// Keeps what the PDP has decided, and says what that means for this request: never [`Outcome::NotKnown`].
    ///
    /// A permit is this one use, and a grant for what remains of `max_uses` until its TTL or the token ends. A
    /// denial is kept for `NEGATIVE_CACHE_TTL_S`.
    ///
    /// # Errors
    /// [`Code::SenderKeyMismatch`] where another sender key got the same grant meanwhile;
    /// [`Code::StoreUnreachable`].
    pub async fn keep<S: Store>(&self, store: &S, binding: &Binding, decision: &Decision, now: Now) -> Result<Outcome> {
        let Decision { decision_id, policy_version, .. } = decision.clone();
        let basis = Basis { decision_id: decision_id.clone(), policy_version: policy_version.clone(), is_known: false };
        let (sender, ttl) =
            (binding.sender, if decision.permit { decision.ttl.unwrap_or(self.ttl) } else { self.negative_ttl });
        let end = now.wall.saturating_add(ttl);
        let until = binding.expires.map_or(end, |expires| end.min(expires));
        let is_kept = until > now.wall;
        if !decision.permit {
            if is_kept {
                store.put_denial(&binding.key, Denial { sender, until, decision_id, policy_version }, now).await?;
            }
            return Ok(Outcome::Denied(basis));
        }
        let uses = decision.max_uses.unwrap_or(self.max_uses).saturating_sub(1);
        // A spent grant is worth keeping for its sender key alone.
        if is_kept && (uses > 0 || sender.is_some()) {
            let grant = Grant { sender, uses, until, decision_id, policy_version };
            if !store.put_grant(&binding.key, grant, now).await? {
                return Err(mismatch());
            }
        }
        Ok(Outcome::Granted(basis))
    }
}

fn mismatch() -> Error {
    Error::new(Code::SenderKeyMismatch).because("the grant to this token is bound to another key")
}
