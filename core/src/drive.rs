//! The host trait, and the one driver: where async meets the machine.
//!
//! A host moves bytes and tells the time. It decides nothing: every `if` about the protocol is in
//! [`crate::exchange`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use event_listener::Event;
use secrecy::SecretString;

use crate::call::Answer;
use crate::error::Result;
use crate::exchange::{Exchange, Input, Step};
use crate::http::{Failure, FailureKind, Request, Response};
use crate::session::{Now, Session};

/// What core needs from the world.
///
/// There are no `Send` bounds: the futures of a host whose parts are `Send` are so by inference.
///
/// ```
/// use std::time::Duration;
/// use baokit_core::http::{Failure, Request, Response};
/// use baokit_core::{Client, Host, Now};
///
/// struct Canned;
///
/// impl Host for Canned {
///     fn now(&self) -> Now {
///         Now { monotonic: Duration::ZERO, wall: Duration::from_secs(1_767_225_600) }
///     }
///     fn random(&self, buffer: &mut [u8]) {
///         buffer.fill(4); // in an example only
///     }
///     async fn send(&self, request: Request) -> Result<Response, Failure> {
///         assert_eq!((request.method().as_str(), request.target()), ("GET", "/v1/auth/token/lookup-self"));
///         let body = br#"{"data":{"accessor":"a","policies":["app"],"ttl":60,"renewable":true,"num_uses":0}}"#;
///         Ok(Response::new(200, body.to_vec().into()).header("Content-Type", b"application/json"))
///     }
///     async fn sleep(&self, _: Duration) {}
/// }
///
/// # use baokit_core::config::{Credential, Settings};
/// # use baokit_core::uri::Provider;
/// # baokit_core_testing::run(async {
/// # let settings = Settings::builder(Provider::OpenBao).urls(["http://127.0.0.1:8200"]);
/// # let settings = settings.credential(Credential::token("hvs.example")).build()?;
/// let client = Client::new(Canned, settings);
/// assert_eq!(client.lookup_self().await?.ttl(), 60);
/// # Ok(())
/// # });
/// ```
pub trait Host {
    /// Both clocks at this moment.
    fn now(&self) -> Now;

    /// Fills the buffer from a cryptographically secure source.
    fn random(&self, buffer: &mut [u8]);

    /// Sends the request once: without following redirects, without retrying, without adding
    /// credentials, and with the target byte for byte as it is.
    ///
    /// Dropping the future must stop the request.
    fn send(&self, request: Request) -> impl Future<Output = Result<Response, Failure>>;

    /// Reads a file that holds a credential, such as the token of a service account: the whole text, of which
    /// [`MAX_CREDENTIAL`](crate::config::MAX_CREDENTIAL) bytes and a line break may count at most.
    ///
    /// The failure's reason is shown to people: pass what the operating system said, never the content. A host
    /// without files leaves it as it is.
    fn load(&self, path: &str) -> impl Future<Output = Result<SecretString, Failure>> {
        let _ = path;
        async { Err(Failure::new(FailureKind::Caller, "this host reads no files")) }
    }

    /// Hears of something that an operator should know, and no caller is told. It is to be logged.
    fn notice(&self, notice: &Notice<'_>) {
        let _ = notice;
    }

    /// Lets so much time pass.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Whether it closes connections where it is told to; see [`Request::closes_connection`].
    fn closes_connections(&self) -> bool {
        false
    }

    /// Whether a task may be woken from within another one, as a follower is by the leader of a
    /// log-in.
    ///
    /// False where each request of a server lives in a context of its own (Workers): woken there, a
    /// task would do its input and output in a context that is not its own and may end before it.
    /// Its waits for others become short sleeps then.
    fn wakes_across_tasks(&self) -> bool {
        true
    }
}

/// Something that an operator should know, and no caller is told. It names paths and nodes, never a
/// value or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// A secret has fewer versions than were seen before: it was deleted and made anew, or a snapshot
    /// was restored. What was known of it counts no more.
    VersionRegressed {
        /// Mount and path of the secret, as on the wire.
        secret: &'a str,
        /// The newest version that was seen.
        seen: u64,
        /// The newest version now; 0 where there is none.
        found: u64,
    },
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VersionRegressed { secret, seen, found } => write!(
                f,
                "VERSION_REGRESSED: {secret}: version {seen} was seen, and now {found} is the newest; the secret was \
                 deleted and made anew, or a snapshot was restored"
            ),
        }
    }
}

/// How long a task sleeps before it looks again, on a host without wake-ups across tasks.
pub(crate) const POLL: Duration = Duration::from_millis(25);

/// The session, and the bell for those who wait for a flight.
#[derive(Debug)]
pub(crate) struct Shared {
    session: Mutex<Session>,
    moved: Event,
}

impl Shared {
    pub fn new(session: Session) -> Self {
        Self { session: Mutex::new(session), moved: Event::new() }
    }

    /// Changes the session, then wakes who has to look again, with the lock released.
    pub fn with<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        let mut session = self.lock();
        let result = change(&mut session);
        self.release(session);
        result
    }

    /// One function for all changes: what travels to browsers is paid by the byte.
    #[inline(never)]
    fn release(&self, mut session: MutexGuard<'_, Session>) {
        let moved = session.take_moved();
        let leaving = session.cache.take_leaving();
        drop(session);
        leaving.settle();
        if moved {
            self.moved.notify(usize::MAX);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        // A step that panicked left data that is still valid: each change is one assignment.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the session is as it is waited for, or closed.
    pub async fn until(&self, is_so: impl Fn(&Session) -> bool) {
        loop {
            let listener = self.moved.listen();
            let over = {
                let session = self.lock();
                session.closed || is_so(&session)
            };
            if over {
                return;
            }
            listener.await;
        }
    }
}

/// Gives the exchange's log-in up when the caller drops the future.
struct Running<'a> {
    shared: &'a Shared,
    exchange: &'a mut Exchange,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.with(|session| self.exchange.abandon(session));
    }
}

/// Carries an exchange out.
pub(crate) async fn drive<H: Host>(host: &H, shared: &Shared, exchange: &mut Exchange) -> Result<Answer> {
    let running = Running { shared, exchange };
    let mut input = Input::Start;
    loop {
        let now = host.now();
        input = match shared.with(|session| running.exchange.step(session, now, input)) {
            Step::Done(result) => return result,
            Step::Wait(duration) if host.wakes_across_tasks() => {
                within(host, duration, shared.until(|_| false)).await;
                Input::Elapsed
            }
            Step::Wait(duration) => {
                host.sleep(duration).await;
                Input::Elapsed
            }
            Step::Join(_, limit) if !host.wakes_across_tasks() => {
                host.sleep(limit.min(POLL)).await;
                Input::Elapsed
            }
            Step::Join(ticket, limit) => {
                match within(host, limit, shared.until(|session| session.has_moved(ticket))).await {
                    Some(()) => Input::FlightMoved,
                    None => Input::Elapsed,
                }
            }
            Step::Load(path, limit, gate) => {
                let late = || Err(Failure::new(FailureKind::Timeout, "it could not be read in time"));
                Input::Loaded(within(host, limit, host.load(&path)).await.unwrap_or_else(late), gate)
            }
            Step::Send(request, limit) => match within(host, limit, host.send(request)).await {
                Some(Ok(response)) => Input::Response(response),
                Some(Err(failure)) => Input::Failed(failure),
                None => Input::Failed(Failure::new(
                    FailureKind::Timeout,
                    format!("no answer within {} ms", limit.as_millis()),
                )),
            },
        };
    }
}

/// The work's result, or none where the limit came first; the work is dropped then.
///
/// ```
/// use std::time::Duration;
/// use baokit_core::{Host, http::{Failure, Request, Response}, within};
///
/// async fn hurry<H: Host>(host: &H, request: Request) -> Option<Result<Response, Failure>> {
///     within(host, Duration::from_secs(5), host.send(request)).await
/// }
/// ```
pub async fn within<H: Host, T>(host: &H, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut limit = pin!(host.sleep(limit));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => limit.as_mut().poll(context).map(|()| None),
    })
    .await
}
