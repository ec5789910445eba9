//! Tasks on virtual time, all on one thread. When no task can go on, the clock jumps to the next
//! timer: a minute of the cluster's life takes a millisecond, and the same seed gives the same run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A task, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(usize);

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// The clock, the timers and the tasks.
#[derive(Clone, Default)]
pub(crate) struct Executor(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now: Cell<Duration>,
    /// Numbers timers, so that those of one moment go off in the order in which they were set.
    timers_set: Cell<u64>,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    /// A task's work is out of its place while it runs, so that it can start and end others.
    tasks: RefCell<Vec<Option<Task>>>,
    ready: Arc<Ready>,
    polls: Cell<u64>,
}

struct Task {
    work: Option<Work>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Ready(Mutex<VecDeque<usize>>);

impl Ready {
    fn push(&self, task: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
    }

    fn pop(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

struct Bell {
    task: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.push(self.task);
        }
    }
}

impl Executor {
    pub(crate) fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// How often a task was run, as a measure of work.
    pub(crate) fn polls(&self) -> u64 {
        self.0.polls.get()
    }

    /// Starts a task. It runs first when the one that is running now waits.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + 'static) -> TaskId {
        let mut tasks = self.0.tasks.borrow_mut();
        let task = tasks.len();
        let bell = Arc::new(Bell { task, queued: AtomicBool::new(true), ready: self.0.ready.clone() });
        tasks.push(Some(Task { work: Some(Box::pin(work)), bell }));
        self.0.ready.push(task);
        TaskId(task)
    }

    /// Ends a task as a crash does: its future is dropped where it stands. Not for a task to end
    /// itself: a future can't be dropped while it runs.
    pub(crate) fn kill(&self, id: TaskId) {
        let task = self.0.tasks.borrow_mut().get_mut(id.0).and_then(Option::take);
        // Dropped with nothing borrowed: its guards may wake others.
        drop(task);
    }

    /// Ends all tasks.
    pub(crate) fn clear(&self) {
        let count = self.0.tasks.borrow().len();
        (0..count).for_each(|task| self.kill(TaskId(task)));
    }

    /// Runs one task, or lets time pass until one can run, but not beyond `horizon`. False when
    /// nothing is left to do before that.
    pub(crate) fn turn(&self, horizon: Duration) -> bool {
        match self.0.ready.pop() {
            Some(task) => self.run(task),
            None => return self.advance(horizon),
        }
        true
    }

    /// Lets time pass up to `horizon`, when nothing is left to do before it.
    pub(crate) fn pass(&self, horizon: Duration) {
        self.0.now.set(self.now().max(horizon));
    }

    fn run(&self, place: usize) {
        let taken = self.0.tasks.borrow_mut().get_mut(place).and_then(Option::as_mut).map(|task| {
            task.bell.queued.store(false, Ordering::Relaxed);
            (task.work.take(), task.bell.clone())
        });
        let Some((Some(mut work), bell)) = taken else { return };
        self.0.polls.set(self.polls() + 1);
        let over = work.as_mut().poll(&mut Context::from_waker(&Waker::from(bell))).is_ready();
        if let Some(slot) = self.0.tasks.borrow_mut().get_mut(place) {
            match slot {
                Some(task) if !over => {
                    task.work = Some(work);
                    return;
                }
                _ => *slot = None,
            }
        }
        drop(work);
    }

    fn advance(&self, horizon: Duration) -> bool {
        let mut timers = self.0.timers.borrow_mut();
        let Some(next) = timers.first_entry().filter(|next| next.key().0 <= horizon) else { return false };
        self.0.now.set(self.now().max(next.key().0));
        let waker = next.remove();
        drop(timers);
        waker.wake();
        true
    }

    /// Lets so much time pass.
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        Sleep { executor: self.clone(), at: self.now().saturating_add(duration), timer: None }
    }
}

/// A wait for a moment.
pub(crate) struct Sleep {
    executor: Executor,
    at: Duration,
    timer: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let inner = self.executor.0.clone();
        if inner.now.get() >= self.at {
            return Poll::Ready(());
        }
        let timer = self.timer.unwrap_or_else(|| {
            let number = inner.timers_set.get();
            inner.timers_set.set(number + 1);
            (self.at, number)
        });
        self.timer = Some(timer);
        let mut timers = inner.timers.borrow_mut();
        match timers.get_mut(&timer) {
            Some(waker) => waker.clone_from(context.waker()),
            None => drop(timers.insert(timer, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            // Taken out first, dropped when nothing is borrowed any more.
            let waker = self.executor.0.timers.borrow_mut().remove(&timer);
            drop(waker);
        }
    }
}

/// A place for one value that one task puts down and another waits for.
pub(crate) struct Mailbox<T>(Rc<RefCell<(Option<T>, Option<Waker>)>>);

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new((None, None))))
    }

    /// The first value stays.
    pub(crate) fn put(&self, value: T) {
        let waker = {
            let mut inner = self.0.borrow_mut();
            inner.0.get_or_insert(value);
            inner.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) async fn take(&self) -> T {
        std::future::poll_fn(|context| {
            let mut inner = self.0.borrow_mut();
            match inner.0.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    inner.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
