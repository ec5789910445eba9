//! Reads that are not older than what the client has seen.
//!
//! An everyday read is one request. Where its answer falls below the secret's floor
//! ([`crate::session::floors`]), or the exchange found it stale, a strong read settles the doubt: one
//! that no stale node can give.

use std::sync::Arc;
use std::time::Duration;

use super::Operation;
use crate::call::kv2::{self, Address, Held, OfMetadata, Shown};
use crate::call::sys::{self, wrapping};
use crate::call::{Answer, Call, Spec};
use crate::drive::{Host, Notice};
use crate::error::{Code, Error, Result};
use crate::exchange::Exchange;
use crate::rules::Rule;
use crate::session::floors::{Floor, Sighting};
use crate::session::nodes::NodeId;
use crate::session::recovery::Lane;

/// How long OpenBao keeps a wrapped answer, in seconds. It is unwrapped at once.
const WRAP_SECONDS: u64 = 60;

/// How long to wait after all nodes failed to give a strong read.
const PAUSE: Duration = Duration::from_millis(100);

/// After how many of them what is missing behind one address is taken to be missing.
const ROUNDS: u32 = 10;

/// How long a node of several may take to show that it leads, in the first round; longer in later ones.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// How long the leader may take over a read.
const LEADER_LIMIT: Duration = Duration::from_secs(5);

/// What a read demands of what it is shown. By default, what any client may expect: nothing older than
/// it has seen itself.
///
/// ```
/// use baokit_core::ReadOptions;
///
/// // What another process wrote as version 7 must be there, or a later one.
/// let options = ReadOptions::new().min_version(7);
///
/// // As it is now, whatever that costs.
/// let options = ReadOptions::new().strong();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    pub(super) min_version: u64,
    pub(super) strong: bool,
    #[cfg(feature = "cache")]
    pub(super) cached: super::cached::Demands,
}

impl ReadOptions {
    /// No more than the default.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            min_version: 0,
            strong: false,
            #[cfg(feature = "cache")]
            cached: super::cached::Demands::NONE,
        }
    }

    /// The secret's newest version must be this one or a later one: so a version that one process wrote
    /// is seen by another. 0, the default, demands nothing; of a pinned version it demands nothing either. Where the
    /// cluster does not have it, the read fails with [`Code::StaleRead`].
    #[must_use]
    pub const fn min_version(mut self, version: u64) -> Self {
        self.min_version = version;
        self
    }

    /// The answer must come from the leader as it is at this moment. It takes two requests and a write
    /// to the cluster's log, some 70 ms; an everyday read takes one and about a millisecond.
    ///
    /// End points: that of the read, wrapped (`X-Vault-Wrap-TTL`), and `POST sys/wrapping/unwrap`; where there is
    /// nothing to wrap, `POST sys/wrapping/wrap` shows which node leads. The default policy allows both.
    #[must_use]
    pub const fn strong(mut self) -> Self {
        self.strong = true;
        self
    }
}

impl<H: Host> Operation<'_, H> {
    /// Reads a version of a secret, the newest where none is named.
    pub(super) async fn held(
        &self,
        at: Address<'_>,
        pin: Option<u64>,
        options: ReadOptions,
    ) -> Result<(Held, Exchange)> {
        let (shown, exchange) = self.look(at, pin, kv2::read(at, pin), options).await?;
        Ok((shown.held(), exchange))
    }

    /// Reads the names of a secret's keys.
    pub(super) async fn subkeys(
        &self,
        at: Address<'_>,
        pin: Option<u64>,
        depth: u64,
        options: ReadOptions,
    ) -> Result<(Held, Exchange)> {
        let (shown, exchange) = self.look(at, pin, kv2::subkeys(at, pin, depth), options).await?;
        Ok((shown.held(), exchange))
    }

    /// Reads the metadata of a secret, or its versions alone; none where there is no such secret.
    pub(super) async fn metadata<T: OfMetadata>(
        &self,
        at: Address<'_>,
        options: ReadOptions,
    ) -> Result<(Option<T>, Exchange)> {
        let (shown, exchange) = self.look(at, None, T::call(at), options).await?;
        Ok((T::of(shown), exchange))
    }

    /// The same of a secret that must be there.
    pub(super) async fn metadata_there<T: OfMetadata>(&self, at: Address<'_>) -> Result<T> {
        let (metadata, exchange) = self.metadata(at, ReadOptions::new()).await?;
        metadata.ok_or_else(|| self.place(&exchange, Error::new(Code::SecretNotFound).about(at.metadata_path())))
    }

    /// Reads, and tells the cache what that showed.
    #[cfg(feature = "cache")]
    async fn look(
        &self,
        at: Address<'_>,
        pin: Option<u64>,
        call: Call<Shown>,
        options: ReadOptions,
    ) -> Result<(Shown, Exchange)> {
        let spec = call.spec.clone();
        let result = self.look_at(at, pin, call, options).await;
        let key = at.key();
        self.session(|session| match &result {
            Ok((Shown::Data(Held::Data(_)), _)) => {}
            Ok((Shown::Data(_), _)) => session.cache.gone(&key, pin, &self.leads),
            Ok((shown, _)) => session.cache.shown(&key, shown.versions(), &self.leads),
            // Rights on the metadata, or on the names of the keys, are other ones.
            Err(error) if error.code() == Code::PermissionDenied && spec.path() == at.data_path() => {
                session.cache.purge(&key, &self.leads);
            }
            Err(error) if error.code() == Code::MountNotFound => session.cache.gone(&key, None, &self.leads),
            // All were read with the token that is refused now.
            Err(error) if error.code() == Code::AuthenticationFailed => session.cache.clear(),
            Err(_) => {}
        });
        result
    }

    /// Reads.
    #[cfg(not(feature = "cache"))]
    fn look(
        &self,
        at: Address<'_>,
        pin: Option<u64>,
        call: Call<Shown>,
        options: ReadOptions,
    ) -> impl Future<Output = Result<(Shown, Exchange)>> {
        self.look_at(at, pin, call, options)
    }

    async fn look_at(
        &self,
        at: Address<'_>,
        pin: Option<u64>,
        call: Call<Shown>,
        options: ReadOptions,
    ) -> Result<(Shown, Exchange)> {
        let key = &at.key();
        let (floor, since) = self.session(|session| session.floor(key));
        let mut doubted = None;
        if !options.strong {
            match self.once(&call).await {
                Ok((value, exchange)) => {
                    let seen = value.sighting();
                    if self.is_admitted(&floor, &seen, pin, options) {
                        self.session(|session| session.note(key, &seen, since, &self.leads));
                        return Ok((value, exchange));
                    }
                    doubted = self.suspect(&exchange).map(|node| (node, seen));
                }
                Err(error) if error.code() == Code::StaleRead => {}
                Err(error) => return Err(error),
            }
        }
        let since = self.session(|session| session.floors.moves());
        let (answer, exchange) = self.strongly(&call.spec).await?;
        let (value, exchange) = self.placed(call.read(answer), exchange)?;
        let seen = value.sighting();
        self.settle(key, &seen, pin, since);
        if let Some((node, before)) = doubted
            && before == seen
        {
            self.session(|session| session.nodes.trust(node));
        }
        if pin.is_none() && seen.version < options.min_version {
            let reason = format!("version {} is the newest, and {} is asked for", seen.version, options.min_version);
            return Err(self.place(&exchange, stale(key, reason)));
        }
        Ok((value, exchange))
    }

    fn is_admitted(&self, floor: &Floor, seen: &Sighting, pin: Option<u64>, options: ReadOptions) -> bool {
        let is_judged = self.session(|session| session.rules.keep(Rule::FloorIsJudged));
        let is_new_enough = pin.is_some() || seen.version >= options.min_version;
        is_new_enough && (!is_judged || floor.admits(seen, pin))
    }

    /// Lets the floor be where a strong read that began at `since` shows it.
    pub(super) fn settle(&self, key: &str, seen: &Sighting, pin: Option<u64>, since: u64) {
        let fell = self.session(|session| session.settle(key, seen, pin, since, &self.leads));
        self.tell_of_fall(key, fell, seen.version);
    }

    pub(super) fn tell_of_fall(&self, key: &str, fell: Option<u64>, found: u64) {
        if let Some(seen) = fell.filter(|seen| *seen > found) {
            self.client.host.notice(&Notice::VersionRegressed { secret: key, seen, found });
        }
    }

    /// Turns away from the node that answered. Returns it where it was not suspect before.
    pub(super) fn suspect(&self, exchange: &Exchange) -> Option<NodeId> {
        exchange.node().filter(|node| self.session(|session| session.nodes.suspect(*node)))
    }

    /// Reads what no stale node can show: the answer is asked for wrapped, which takes a write to the
    /// cluster's log, and then unwrapped.
    ///
    /// A standby has such a request done by the leader; a leader that was deposed can't do it.
    pub(super) async fn strongly(&self, spec: &Arc<Spec>) -> Result<(Answer, Exchange)> {
        if !self.session(|session| session.rules.keep(Rule::StrongReadsAreStrong)) {
            return self.carry_out(spec.clone()).await;
        }
        let wrapped = Arc::new(spec.wrapped(WRAP_SECONDS));
        let mut last = lost(spec);
        let mut rounds = 0;
        loop {
            let (answer, exchange) = self.carry_out(wrapped.clone()).await.map_err(|error| had_not(spec, error))?;
            if answer.is_of_nothing() {
                // There is nothing to wrap, so this took no leader.
                if let Some(read) = self.at_leader(spec, &mut rounds, &mut last).await? {
                    return Ok(read);
                }
                // None leads: the wrapped read waits for the end of that, together with all who need the leader.
                continue;
            }
            if answer.is_of_gone() {
                // A version that is deleted should have come wrapped as well.
                return Err(self.place(&exchange, unwrapped(spec)));
            }
            if !answer.is_success() {
                return Ok((answer, exchange));
            }
            let Ok(token) = wrapping::token_of(&wrapped, &answer) else {
                return Err(self.place(&exchange, unwrapped(spec)));
            };
            // The token is spent where this fails, or as good as lost: another is asked for.
            match self.carry_out(wrapping::unwrap(&token)?.spec).await {
                Ok((answer, exchange)) if answer.is_success() || answer.is_of_gone() => return Ok((answer, exchange)),
                Ok((_, exchange)) => last = self.place(&exchange, lost(spec)),
                Err(error) if error.code() == Code::ClientClosed => return Err(error),
                Err(error) => last = had_not(spec, error),
            }
            if !self.pause().await {
                return Err(last);
            }
        }
    }

    /// Reads at the leader itself, for what leaves nothing to wrap: a node that can store something of
    /// ours leads at that moment, and its own answer after that is not stale.
    ///
    /// None where no node leads, nor has a leader; `last` says why it is not had yet. Behind one address it is a
    /// connection that has to lead there, so others are tried; where the host can't close one, what is
    /// missing for a second is missing.
    async fn at_leader(
        &self,
        spec: &Arc<Spec>,
        rounds: &mut u32,
        last: &mut Error,
    ) -> Result<Option<(Answer, Exchange)>> {
        loop {
            *rounds += 1;
            let nodes = self.session(|session| session.nodes.in_order());
            let (count, mut refusals, mut silent) = (nodes.len(), 0, 0);
            // A node that hangs must not use up the time that the others need.
            let limit = if count > 1 { PROBE_LIMIT * *rounds } else { LEADER_LIMIT }.min(LEADER_LIMIT);
            for node in nodes {
                let probe = wrapping::probe(WRAP_SECONDS)?.spec;
                let read = match self.carry_out_in(probe, Some(node), self.within(limit), false).await {
                    Ok((answer, _)) if answer.is_success() => {
                        self.session(|session| {
                            session.nodes.acknowledged(node);
                            session.recovery.served(Lane::Leader);
                        });
                        self.carry_out_in(spec.clone(), Some(node), self.within(LEADER_LIMIT), false).await
                    }
                    Ok((answer, exchange)) => {
                        let code = answer.into_error(spec).code();
                        let reason = format!(
                            "who leads can't be seen: sys/wrapping/wrap, of the default policy, is refused ({code})"
                        );
                        *last = self.place(&exchange, stale(spec.path(), reason));
                        refusals += 1;
                        continue;
                    }
                    Err(error) => Err(error),
                };
                match read {
                    Err(error) if error.code() == Code::ClientClosed => return Err(error),
                    Err(error) => {
                        silent += usize::from(error.code() != Code::ServerError);
                        *last = had_not(spec, error);
                    }
                    // Behind one address, another node may be there than the one that could write.
                    Ok((_, exchange)) if count == 1 && exchange.tries() > 1 => *last = lost(spec),
                    read => return read.map(Some),
                }
            }
            if refusals == count || !self.pause().await {
                return Err(last.clone());
            }
            if count == 1 && self.client.host.closes_connections() {
                // Whatever it says: another node may be behind the next connection.
                let _ = self.carry_out_in(sys::closing().spec, None, self.deadline, false).await;
            } else if count == 1 && *rounds >= ROUNDS {
                return self.carry_out(spec.clone()).await.map(Some);
            } else if silent == count {
                let (now, why) = (self.client.host.now().monotonic, (last.code(), None));
                self.session(|session| session.recovery.failed(Lane::Leader, now, count, why));
                return Ok(None);
            }
        }
    }

    /// The moment that is so far away, or the deadline.
    fn within(&self, limit: Duration) -> Duration {
        self.client.host.now().monotonic.saturating_add(limit).min(self.deadline)
    }

    /// Lets a moment pass before the next try; false where there is no time for it.
    pub(super) async fn pause(&self) -> bool {
        loop {
            let now = self.client.host.now().monotonic;
            // Such tries count as retries do.
            let taken = self.session(|session| session.quota.take(now));
            let wait = taken.err().unwrap_or(PAUSE);
            if now.saturating_add(wait) >= self.deadline {
                return false;
            }
            self.client.host.sleep(wait).await;
            if taken.is_ok() {
                return true;
            }
        }
    }
}

/// A read that needs the leader could not be had.
fn had_not(spec: &Spec, error: Error) -> Error {
    match error.code() {
        code if code.is_retryable() || code == Code::Indeterminate => {
            let stale = stale(spec.path(), format!("a read that needs the leader could not be had ({code})"));
            match error.node() {
                Some(node) => stale.at(node, error.tries()),
                None => stale,
            }
        }
        _ => error,
    }
}

fn unwrapped(spec: &Spec) -> Error {
    stale(spec.path(), "an answer came unwrapped: does a proxy drop X-Vault-Wrap-TTL?".to_owned())
}

fn lost(spec: &Spec) -> Error {
    stale(spec.path(), "a read that needs the leader could not be had".to_owned())
}

fn stale(path: &str, reason: String) -> Error {
    Error::new(Code::StaleRead).about(path.to_owned()).because(reason)
}
