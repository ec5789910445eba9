//! Watching a secret: its new versions one after the other, by looking at its metadata from time to time.
//!
//! OpenBao tells nobody of a change, so somebody has to ask. All who watch one secret through one client share
//! a look ([`crate::session::watches`]), and the looks of many clients are spread over the interval.

use std::sync::Arc;
use std::time::Duration;

use super::{Client, ReadOptions};
use crate::call::kv2::{Address, Version, Versions};
use crate::drive::{Host, within};
use crate::error::{Code, Error, Result};
use crate::rules::Rule;
use crate::session::Session;
use crate::session::watches::{Glance, Look, Turn, Watcher};
use crate::uri::tenant::TenantUri;

/// How long from one look to the next, where nothing else is said.
const INTERVAL: Duration = Duration::from_secs(30);

/// The shortest interval: a secret that has to be newer than that is read.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How much longer than an operation a look may take before another takes it over.
const GRACE: Duration = Duration::from_secs(1);

/// A secret that is watched, and what was told of it: see [`Client::watch`].
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
/// use std::time::Duration;
///
/// let mut watch = client.watch("openbao+kv2://secret/app")?.every(Duration::from_secs(5));
/// assert_eq!(client.next_version(&mut watch).await?.version(), 1);
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Watch {
    /// The client whose guard has admitted it, and whose looks it has heard of.
    client: Arc<()>,
    uri: TenantUri,
    key: String,
    interval: Duration,
    /// The first look that this watcher has not heard of; none where it has just come.
    awaits: Option<Look>,
    /// The version that was told last; none where nothing was, or there is nothing.
    told: Option<Version>,
}

impl Watch {
    /// The time from one look to the next: 30 s by default, 1 s to a week, spread by a quarter either way.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(SHORTEST, LONGEST);
        self
    }

    /// The version, where a look showed one that was not told before.
    fn news(&mut self, glance: Glance) -> Option<Version> {
        let is_told = match (&glance, &self.told) {
            (Some(new), Some(old)) => (new.version(), new.created_time()) == (old.version(), old.created_time()),
            (None, _) => true,
            (Some(_), None) => false,
        };
        self.told.clone_from(&glance);
        glance.filter(|_| !is_told)
    }
}

/// Gives a look up when the caller drops the future.
struct Looking<'a, H> {
    client: &'a Client<H>,
    look: Look,
}

impl<H> Drop for Looking<'_, H> {
    fn drop(&mut self) {
        self.client.shared.with(|session| session.watches.abandon(self.look));
    }
}

impl<H: Host> Client<H> {
    /// Watches a secret. Nothing is sent before [`Client::next_version`] is called.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let watch = client.watch("openbao+kv2://secret/app")?;
    /// assert!(client.watch("openbao+kv2://secret/app#token").is_err());
    /// # let _ = watch;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of the URI and of the tenant guard; [`Code::VersionNotAllowed`] for one that pins a version, which
    /// never changes, and [`Code::FragmentNotAllowed`], since a version is of the whole secret.
    pub fn watch(&self, uri: &str) -> Result<Watch> {
        let uri = self.whole(uri)?;
        if uri.uri().version().is_some() {
            return Err(Error::new(Code::VersionNotAllowed).about(uri.uri().to_string()));
        }
        let key = Address::of(uri.uri()).key();
        Ok(Watch { client: self.id.clone(), uri, key, interval: INTERVAL, awaits: None, told: None })
    }

    /// Waits for the next version of a watched secret: at first the newest one that is there, then each that
    /// is found to be the newest at a look. Versions that came and went between two looks are left out; a
    /// secret that is made anew is told as well, with a version that may be lower. Read it with this version
    /// as [`ReadOptions::min_version`].
    ///
    /// While no node serves, it goes on waiting. It holds no place under the concurrency limit while it waits.
    ///
    /// End point: `GET mount/metadata/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// let mut watch = client.watch("openbao+kv2://secret/app")?;
    /// assert_eq!(client.next_version(&mut watch).await?.version(), 1); // then each that follows
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// What can't be mended by waiting: [`Code::PermissionDenied`], [`Code::AuthenticationFailed`],
    /// [`Code::MountNotFound`], [`Code::UnsupportedEngine`], [`Code::MalformedAnswer`],
    /// [`Code::RedirectRefused`], [`Code::ClientClosed`]. It may be called again after that.
    /// [`Code::RequestRejected`] for a watch of another client.
    pub async fn next_version(&self, watch: &mut Watch) -> Result<Version> {
        if !Arc::ptr_eq(&watch.client, &self.id) {
            let error = Error::new(Code::RequestRejected).about(watch.uri.uri().to_string());
            return Err(error.because("the watch is of another client"));
        }
        let limit = self.settings.deadline().saturating_add(GRACE);
        loop {
            let now = self.host.now().monotonic;
            let (is_closed, turn) = self.shared.with(|session| {
                let is_judged = session.rules.keep(Rule::WatchIsJudged);
                let seen = if is_judged { session.floors.at(&watch.key).version } else { 0 };
                let watcher = Watcher { awaits: watch.awaits, seen, interval: watch.interval, limit };
                (session.closed, session.watches.turn(&watch.key, watcher, now))
            });
            if is_closed {
                return Err(Error::new(Code::ClientClosed).about(watch.uri.uri().to_string()));
            }
            match turn {
                Turn::Hear(look, outcome) => {
                    watch.awaits = Some(look.next());
                    if let Some(version) = watch.news(outcome?) {
                        return Ok(version);
                    }
                }
                Turn::Look(look) => {
                    watch.awaits = Some(look);
                    self.look(look, watch).await;
                }
                Turn::Wait(until) => self.pass(until.saturating_sub(now), watch, false).await,
                Turn::Join(look, until) => {
                    watch.awaits = Some(look);
                    self.pass(until.saturating_sub(now), watch, true).await;
                }
            }
        }
    }

    /// Looks on behalf of all who watch the secret.
    async fn look(&self, look: Look, watch: &Watch) {
        let looking = Looking { client: self, look };
        let result = match self.begin().await {
            Ok(operation) => operation.metadata(Address::of(watch.uri.uri()), ReadOptions::new()).await,
            Err(error) => Err(error),
        };
        let outcome = match result {
            Ok((versions, _)) => Some(Ok(versions.and_then(|versions: Versions| versions.newest().cloned()))),
            Err(error) if error.is_retryable() || error.code() == Code::StaleRead => None,
            Err(error) => Some(Err(error)),
        };
        let now = self.host.now().monotonic;
        let next = now.saturating_add(self.spread(watch.interval));
        self.shared.with(|session| session.watches.looked(looking.look, outcome, now, next));
    }

    /// The interval, a quarter longer or shorter.
    fn spread(&self, interval: Duration) -> Duration {
        let mut random = [0; 1];
        self.host.random(&mut random);
        interval * 3 / 4 + interval / 512 * u32::from(random[0])
    }

    /// Waits so long, or until there is something to do: another who watches more closely may look before.
    async fn pass(&self, wait: Duration, watch: &Watch, joined: bool) {
        if self.host.wakes_across_tasks() {
            let has_moved = |session: &Session| {
                let seen = session.floors.at(&watch.key).version;
                session.watches.has_moved(&watch.key, watch.awaits, seen, joined)
            };
            within(&self.host, wait, self.shared.until(has_moved)).await;
        } else {
            self.host.sleep(wait.min(SHORTEST)).await;
        }
    }
}
