//! Many orders of the tasks of a race, chosen by shuttle, and what such tasks are made of.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use baokit_core::Code;
use baokit_core::http::Response;
use shuttle::scheduler::RandomScheduler;
use zeroize::Zeroizing;

/// How many tasks race where each schedule is a new one, and how many schedules are tried.
pub const TASKS: usize = 6;
pub const SCHEDULES: usize = 1000;

/// Runs a race in many orders, and returns what came of each.
pub fn explore<T: Send + 'static>(schedules: usize, race: impl Fn() -> T + Send + Sync + 'static) -> Vec<T> {
    let mut config = shuttle::Config::new();
    // A step of an unoptimised build does not fit into what shuttle takes for enough.
    config.stack_size = 1 << 18;
    let results = Arc::new(Mutex::new(Vec::with_capacity(schedules)));
    let kept = results.clone();
    let runner = shuttle::Runner::new(RandomScheduler::new_from_seed(1, schedules), config);
    runner.run(move || {
        let result = race();
        kept.lock().unwrap().push(result);
    });
    Arc::try_unwrap(results).unwrap_or_else(|_| panic!("a task is left")).into_inner().unwrap()
}

/// The future's result, or none where it was not through after being polled so often: it is dropped then.
pub async fn impatient<T>(work: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| match (work.as_mut().poll(context), left) {
        (Poll::Ready(result), _) => Poll::Ready(Some(result)),
        (Poll::Pending, 0) => Poll::Ready(None),
        (Poll::Pending, _) => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Comes back once more: whoever wants to drop the future can do it here.
pub async fn pause() {
    let mut is_first = true;
    poll_fn(|context| match std::mem::take(&mut is_first) {
        true => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
        false => Poll::Ready(()),
    })
    .await;
}

pub fn code<T>(result: baokit_core::Result<T>) -> Option<Code> {
    result.err().map(|error| error.code())
}

pub fn json(status: u16, body: impl Into<String>) -> Response {
    Response::new(status, Zeroizing::new(body.into().into_bytes())).header("Content-Type", b"application/json")
}
