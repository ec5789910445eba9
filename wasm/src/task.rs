//! Operations as tasks that JavaScript drives, and what JavaScript does for them meanwhile.
//!
//! There is no executor here: `run` in `npm/host.js` makes a promise of a task and polls it whenever
//! something it waits for has happened. So each task goes on in the context of its own request, and
//! dropping a task drops its future, which calls off whatever that waited for.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "../host.js")]
extern "C" {
    /// Has the task of this number polled soon.
    fn wake(task: u32);

    /// A request or a timer that is under way.
    pub(crate) type Effect;

    /// What came of it, or nothing yet: then this task is woken later.
    #[wasm_bindgen(method)]
    fn poll(this: &Effect, task: u32) -> Option<Outcome>;

    /// Calls it off.
    #[wasm_bindgen(method)]
    fn end(this: &Effect);

    /// `{ status, headers, body }`, or `{ failure, reason }`; of a timer nothing of these.
    pub(crate) type Outcome;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn status(this: &Outcome) -> u16;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn headers(this: &Outcome) -> Vec<String>;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn body(this: &Outcome) -> Vec<u8>;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn failure(this: &Outcome) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn reason(this: &Outcome) -> String;
}

thread_local! {
    /// The task that is being polled.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
    static NEXT: Cell<u32> = const { Cell::new(1) };
}

struct TaskWaker(u32);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        wake(self.0);
    }
}

/// An operation under way.
#[wasm_bindgen]
pub struct RawTask {
    number: u32,
    limit: Duration,
    future: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>>,
}

impl RawTask {
    /// A task that ends within the limit, as long as it is polled.
    pub(crate) fn new(limit: Duration, future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Self {
        let number = NEXT.replace(NEXT.get().wrapping_add(1));
        Self { number, limit, future: Box::pin(future) }
    }
}

#[wasm_bindgen]
impl RawTask {
    /// The number by which it is woken.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// In milliseconds, from its beginning, what it ends within as long as it is polled.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn limit(&self) -> f64 {
        self.limit.as_secs_f64() * 1000.0
    }

    /// Goes on as far as it can. Gives `pending` back where it has to wait; not to be called again
    /// after anything else.
    pub fn poll(&mut self, pending: JsValue) -> Result<JsValue, JsValue> {
        let outer = CURRENT.replace(self.number);
        let waker = Arc::new(TaskWaker(self.number)).into();
        let result = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        CURRENT.set(outer);
        match result {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(pending),
        }
    }
}

/// Calls the effect off when it is dropped.
struct Running(Effect);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Waits for an effect.
pub(crate) async fn done(effect: Effect) -> Outcome {
    let running = Running(effect);
    poll_fn(|_| match running.0.poll(CURRENT.get()) {
        Some(outcome) => Poll::Ready(outcome),
        None => Poll::Pending,
    })
    .await
}
