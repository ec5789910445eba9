//! What may be used once: a DPoP proof within its window (RFC 9449, section 11.1), and an access token where
//! `ANTI_REPLAY_TTL_S` says so.

use std::time::Duration;

use baokit_core::Now;

use super::{Key, Store};
use crate::caller::Caller;
use crate::error::{Code, Error, Result};
use crate::settings::Settings;

/// Refuses a proof that was used before: the same `jti` by the same key, within its window.
///
/// `until` is the end of the window on the wall clock, since 1970: the proof's `iat` and the age at which it is
/// accepted no more, so that it is the same each time the proof is shown. Call it last, when the proof has been
/// found good: it uses the proof up.
///
/// ```
/// use std::time::Duration;
/// use baokit_core::Now;
/// use baokit_service::{Result, policy::{MemoryStore, replay::check_proof}};
///
/// async fn once(store: &MemoryStore, jkt: &str, jti: &str, iat: u64, now: Now) -> Result<()> {
///     check_proof(store, jkt, jti, Duration::from_secs(iat + 300), now).await
/// }
/// ```
///
/// # Errors
/// [`Code::ProofReplayed`]; [`Code::ProofInvalid`] for one whose window is over; [`Code::ReplayStoreFull`],
/// [`Code::StoreUnreachable`].
pub async fn check_proof<S: Store>(store: &S, jkt: &str, jti: &str, until: Duration, now: Now) -> Result<()> {
    if until <= now.wall {
        // It could not be remembered, so it must not be accepted.
        return Err(Error::new(Code::ProofInvalid).because("it is too old"));
    }
    let key = Key::of("proof", &[Some(jkt), Some(jti)]);
    if store.insert_if_absent(&key, until, now).await? { Ok(()) } else { Err(Error::new(Code::ProofReplayed)) }
}

/// Refuses an access token that was used within `ANTI_REPLAY_TTL_S`, where that is above zero. It is known by
/// issuer and `jti`, else by its hash, and remembered until it ends where that is sooner: afterwards it is refused
/// anyhow.
///
/// A caller whom the host vouches for without either can't be told from another, and passes.
///
/// # Errors
/// [`Code::TokenReplayed`]; [`Code::ReplayStoreFull`], [`Code::StoreUnreachable`].
pub async fn check_token<S: Store>(store: &S, settings: &Settings, caller: &Caller, now: Now) -> Result<()> {
    if settings.anti_replay_ttl.is_zero() {
        return Ok(());
    }
    let hash = caller.token_hash.map(|hash| Key::from_bytes(hash).to_hex());
    let key = match (&caller.token_jti, &hash) {
        (Some(jti), _) => Key::of("token", &[caller.issuer.as_deref(), Some(jti)]),
        (None, Some(hash)) => Key::of("token-hash", &[Some(hash)]),
        (None, None) => return Ok(()),
    };
    let rest = caller.expires.map(|end| Duration::from_secs(end).saturating_sub(now.wall));
    // One that has ended, and that the host vouches for all the same, has no end that would count.
    let rest = rest.filter(|rest| !rest.is_zero()).unwrap_or(Duration::MAX);
    if store.insert_for(&key, settings.anti_replay_ttl.min(rest), now).await? {
        Ok(())
    } else {
        Err(Error::new(Code::TokenReplayed))
    }
}
