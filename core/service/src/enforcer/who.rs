//! Who asks, as far as it is known by now: identified once, however many operations one request has.

use std::sync::Arc;
use std::time::Duration;

use baokit_core::Host;

use crate::bearer::{Bearer, Presented, UsedProof, check_end};
use crate::caller::{Caller, Context};
use crate::error::{Error, Result};
use crate::policy::{Store, replay};
use crate::settings::Settings;

/// How long a token counts within one request after it was verified: as long as the issuer's keys do.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// Who asks.
pub struct Who<'a> {
    state: State<'a>,
    context: Arc<Context>,
    /// What was shown, and when it was verified: on the monotonic clock, before the issuer was asked.
    verified: Option<(Presented<'a>, Duration)>,
    /// Stands for a caller of whom nothing is known yet.
    nobody: Arc<Caller>,
}

enum State<'a> {
    /// Authenticated by the host, and not yet looked at.
    Known(Arc<Caller>),
    /// Shown and not yet looked at.
    Presented(Presented<'a>),
    /// Verified; its proof, and its token where that may be used once, are not used yet.
    Verified(Arc<Caller>, Option<UsedProof>),
    /// Nothing stands between it and the policies.
    Admitted(Arc<Caller>),
    Refused(Error),
}

impl<'a> Who<'a> {
    /// A caller that the host has authenticated itself. It vouches for who that is, and the settings are asked all the
    /// same: a caller without a subject is refused where `SECRETS_API_REQUIRE_AUTH` is on, one past its `expires`
    /// always, one without the sender key that `INBOUND_AUTH_MODE` asks for; and a `token_jti` or `token_hash` that is
    /// named may be used once where `ANTI_REPLAY_TTL_S` says so.
    ///
    /// Whether a proof was used before is for the host to see: the service is not shown it.
    #[must_use]
    pub fn known(caller: Caller) -> Self {
        Self::new(caller.context.clone(), State::Known(Arc::new(caller)))
    }

    /// A caller that has passed every check of who it is already.
    pub(super) fn admitted(caller: Arc<Caller>) -> Self {
        Self::new(caller.context.clone(), State::Admitted(caller))
    }

    /// Whoever shows this.
    #[must_use]
    pub fn presented(presented: Presented<'a>, context: Context) -> Self {
        Self::new(context, State::Presented(presented))
    }

    fn new(context: Context, state: State<'a>) -> Self {
        Self { state, context: Arc::new(context), verified: None, nobody: Arc::default() }
    }

    /// What is known of the caller by now.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.shared()
    }

    fn shared(&self) -> &Arc<Caller> {
        match &self.state {
            State::Known(caller) | State::Verified(caller, _) | State::Admitted(caller) => caller,
            State::Presented(_) | State::Refused(_) => &self.nobody,
        }
    }

    /// What ties the request to others.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The same, for what outlives the decision.
    pub(super) fn shared_context(&self) -> Arc<Context> {
        self.context.clone()
    }

    /// Whether it was found out by now who it is.
    pub(super) fn is_identified(&self) -> bool {
        matches!(self.state, State::Verified(..) | State::Admitted(_))
    }

    /// Why whoever asks was refused, whatever it asks for.
    pub(crate) fn refusal(&self) -> Option<&Error> {
        match &self.state {
            State::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// Verifies what was shown, once; and again what was verified [`VERIFIED_FOR`] ago. Whether the token has ended is
    /// asked each time.
    pub(super) async fn identify<H: Host>(&mut self, bearer: &Bearer, host: &H) -> Result<Arc<Caller>> {
        let now = host.now();
        let first = match &self.state {
            State::Known(caller) => match bearer.check_known(caller, now.wall) {
                Ok(()) => State::Verified(caller.clone(), None),
                Err(error) => State::Refused(error),
            },
            State::Presented(presented) => match bearer.authenticate(host, presented).await {
                Ok(authenticated) => {
                    let mut caller = authenticated.caller;
                    caller.context.clone_from(&self.context);
                    self.verified = Some((*presented, now.monotonic));
                    State::Verified(Arc::new(caller), authenticated.proof)
                }
                Err(error) => State::Refused(error),
            },
            State::Verified(caller, _) | State::Admitted(caller) => {
                check_end(caller, now.wall)?;
                if let Some((presented, at)) = &mut self.verified
                    && now.monotonic.saturating_sub(*at) >= VERIFIED_FOR
                {
                    bearer.verify_again(host, presented).await?;
                    *at = now.monotonic;
                }
                return Ok(caller.clone());
            }
            State::Refused(error) => return Err(error.clone()),
        };
        self.state = first;
        self.unless_refused()?;
        Ok(self.shared().clone())
    }

    /// Uses up the proof, and the token where it may be used once; once, too.
    pub(super) async fn admit_once<H: Host, S: Store>(
        &mut self,
        settings: &Settings,
        store: &S,
        host: &H,
    ) -> Result<()> {
        if let State::Verified(caller, proof) = &self.state {
            self.state = match use_up(settings, store, caller, proof.as_ref(), host).await {
                Ok(()) => State::Admitted(caller.clone()),
                Err(error) => State::Refused(error),
            };
        }
        self.unless_refused()
    }

    fn unless_refused(&self) -> Result<()> {
        self.refusal().map_or(Ok(()), |error| Err(error.clone()))
    }
}

async fn use_up<H: Host, S: Store>(
    settings: &Settings,
    store: &S,
    caller: &Caller,
    proof: Option<&UsedProof>,
    host: &H,
) -> Result<()> {
    if let Some(proof) = proof {
        replay::check_proof(store, &proof.jkt, &proof.jti, proof.until, host.now()).await?;
    }
    replay::check_token(store, settings, caller, host.now()).await
}
