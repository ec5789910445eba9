//! A host whose answers are there at once and whose clock moves only when somebody sleeps; and the settings of a
//! service on it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use baokit_core::http::{Failure, Request, Response};
use baokit_core::{Host, Now};
use baokit_service::settings::Settings;
use zeroize::Zeroizing;

/// The issuer of the tokens.
pub const ISSUER: &str = "https://issuer.example";
/// Now, in seconds since 1970.
pub const START: u64 = 1_800_000_000;

type Answer = dyn Fn(&Request, Duration) -> Response;

/// The host.
#[derive(Clone)]
pub struct World {
    answer: Rc<Answer>,
    slept: Rc<Cell<Duration>>,
    asked: Rc<RefCell<Vec<String>>>,
}

impl World {
    /// A host that answers so; it is told the time since 1970.
    pub fn new(answer: impl Fn(&Request, Duration) -> Response + 'static) -> Self {
        Self { answer: Rc::new(answer), slept: Rc::default(), asked: Rc::default() }
    }

    /// Every address that was asked for.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// Sets the clock back to the beginning, and forgets what was asked for.
    pub fn begin(&self) {
        self.slept.set(Duration::ZERO);
        self.asked.borrow_mut().clear();
    }
}

impl Host for World {
    fn now(&self) -> Now {
        Now { monotonic: self.slept.get(), wall: Duration::from_secs(START) + self.slept.get() }
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        self.asked.borrow_mut().push(request.url());
        Ok((self.answer)(&request, self.now().wall))
    }

    async fn sleep(&self, duration: Duration) {
        self.slept.set(self.slept.get().saturating_add(duration));
    }
}

/// An answer in JSON.
#[must_use]
pub fn json(status: u16, body: &[u8]) -> Response {
    Response::new(status, Zeroizing::new(body.to_vec())).header("content-type", b"application/json")
}

/// The result of work that never waits.
pub fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the host answers at once, so nothing may wait"),
    }
}

/// Settings of these keys.
#[must_use]
pub fn settings(pairs: &[(&str, &str)]) -> Settings {
    let lookup = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
    match Settings::from_lookup(lookup) {
        Ok(settings) => settings,
        Err(error) => panic!("the settings are legal: {error}"),
    }
}
