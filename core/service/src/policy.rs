//! What is decided elsewhere, and how long it holds: the PDP, grants, replay, and the store they are kept in.
//!
//! | room | what it is for |
//! |---|---|
//! | [`pdp`] | the question to a policy decision point, and how its answer is read |
//! | [`grant`] | what a permit allows until it ends: to whom, how often, how long; and denials that are remembered |
//! | [`replay`] | proofs and tokens that may be used once |
//! | [`store`] | where the last two are kept: in this process, or in OpenBao for several |
//!
//! In the order of the checks: [`check_audience`], [`check_scope`], [`replay`], then [`Grants::find`] and, where
//! nothing is known, [`Pdp::evaluate`] and [`Grants::keep`].

pub mod grant;
pub mod pdp;
pub mod replay;
pub mod store;

mod key;

pub use grant::{Basis, Binding, Grants, Outcome};
pub use key::Key;
pub use pdp::{Decision, Pdp, Question, ResourceAttributes};
pub use store::{Denial, Grant, MemoryStore, OpenBaoStore, Store, Taken};

use crate::caller::Caller;
use crate::error::{Code, Error, Result};
use crate::purpose::Purpose;
use crate::settings::Settings;

/// Refuses a token that is for somebody else: where it says for whom it is (`aud`, RFC 7519, section 4.1.3), the
/// service must be among them. The comparison is byte for byte.
///
/// ```
/// use baokit_service::{caller::Caller, policy::check_audience, settings::Settings};
///
/// # fn main() -> baokit_core::Result<()> {
/// let settings = Settings::from_lookup(|_| None)?;
/// let mut caller = Caller::anonymous();
/// assert!(check_audience(&settings, &caller).is_ok());
/// caller.audience = vec!["somebody.else".to_owned()];
/// assert!(check_audience(&settings, &caller).is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Code::AudienceMismatch`].
pub fn check_audience(settings: &Settings, caller: &Caller) -> Result<()> {
    if caller.audience.is_empty() || caller.audience.contains(&settings.audience) {
        return Ok(());
    }
    Err(Error::new(Code::AudienceMismatch).because("the access token is for another audience"))
}

/// Refuses a token without the scope that the purpose takes, where scopes are enforced
/// (`SECRETS_ENFORCE_SCOPES`). A caller without a token has none.
///
/// # Errors
/// [`Code::ScopeMissing`], which names the scope.
pub fn check_scope(settings: &Settings, caller: &Caller, purpose: Purpose) -> Result<()> {
    if !settings.enforce_scopes || caller.scopes.contains(purpose.scope()) {
        return Ok(());
    }
    Err(Error::new(Code::ScopeMissing).because(format!("the scope {} is missing", purpose.scope())))
}
