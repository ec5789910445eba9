//! Waiting for Rust from Python: one tokio runtime for the process, a wait that blocks with the
//! interpreter lock released, a wait for asyncio, and Rust's log records on their way to `logging`.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use baokit::{Code, Error};
use log::{LevelFilter, Log, Metadata, Record};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCFunction;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::errors::raise;

/// How often a blocked thread looks whether Ctrl-C was pressed.
const SIGNALS: Duration = Duration::from_millis(50);
/// Threads that hand results to event loops. Each waits for the interpreter lock, which one holds.
const HANDOVERS: usize = 16;

/// The runtime, and the process that it belongs to.
static RUNTIME: Mutex<Option<(u32, Arc<Runtime>)>> = Mutex::new(None);

/// How many threads of ours are inside the interpreter or wait for its lock, and whether more may.
static VISITORS: AtomicUsize = AtomicUsize::new(0);
static CLOSED: AtomicBool = AtomicBool::new(false);
/// How long the end of the program waits for them.
const FAREWELL: Duration = Duration::from_secs(1);

/// Takes the interpreter lock on a thread that may be none of Python's. Nothing where the
/// interpreter is about to end: who is inside when it does brings the process down.
fn visit<T>(call: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    VISITORS.fetch_add(1, Ordering::SeqCst);
    let result = if CLOSED.load(Ordering::SeqCst) { None } else { Python::try_attach(call) };
    VISITORS.fetch_sub(1, Ordering::SeqCst);
    result
}

/// Called at the end of the program, while the interpreter still runs.
#[pyfunction]
fn _farewell(py: Python<'_>) {
    CLOSED.store(true, Ordering::SeqCst);
    py.detach(|| {
        let start = Instant::now();
        while VISITORS.load(Ordering::SeqCst) > 0 && start.elapsed() < FAREWELL {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// The runtime of this process. A fork has no threads but its own, so it gets a runtime of its own,
/// and the parent's is left alone. The interpreter lock, which a fork waits for, is held while the
/// mutex is: so no fork finds it locked.
fn runtime(_: Python<'_>) -> PyResult<Arc<Runtime>> {
    let mut place = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match &*place {
        Some((owner, runtime)) if *owner == process => return Ok(runtime.clone()),
        // Whoever was inside did not come along through the fork.
        Some(_) => VISITORS.store(0, Ordering::SeqCst),
        None => {}
    }
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(HANDOVERS).thread_name("baokit").enable_all();
    let runtime = Arc::new(builder.build()?);
    // Never dropped: dropping the parent's would wait for threads that this process does not have.
    std::mem::forget(place.replace((process, runtime.clone())));
    Ok(runtime)
}

/// What a call came to, or the coroutine that makes it.
pub type Called = PyResult<Py<PyAny>>;

/// Waits for a call with the interpreter lock released; `show` makes its result one of Python. An
/// exception that a signal's handler raises, such as `KeyboardInterrupt`, drops the call, and with it
/// the request.
pub fn block<C, T: Send, F: Future<Output = Result<T, Error>> + Send>(
    py: Python<'_>,
    client: C,
    show: impl FnOnce(Python<'_>, T) -> Called,
    call: impl FnOnce(C) -> F,
) -> Called {
    if Handle::try_current().is_ok() {
        // A logging handler, for one, that runs for a record of ours.
        return Err(PyRuntimeError::new_err("a blocking call can't be made from within one"));
    }
    follow_log_level(py)?;
    let (runtime, call) = (runtime(py)?, interruptible(call(client)));
    let result = py.detach(|| runtime.block_on(call))?;
    show(py, result.map_err(|error| raise(py, error))?)
}

async fn interruptible<T>(call: impl Future<Output = T>) -> PyResult<T> {
    let mut call = pin!(call);
    loop {
        match timeout(SIGNALS, call.as_mut()).await {
            Ok(done) => return Ok(done),
            // At the end of the program there is nobody left to ask.
            Err(_) => visit(|py| py.check_signals()).unwrap_or(Ok(()))?,
        }
    }
}

/// The same call for asyncio: a coroutine that sends nothing until it is awaited, and drops the call
/// when it is cancelled. `baokit/_coroutine.py` is its other half.
pub fn coroutine<C, T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
    py: Python<'_>,
    client: C,
    show: impl FnOnce(Python<'_>, T) -> Called + Send + 'static,
    call: impl FnOnce(C) -> F,
) -> Called {
    static RUN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // Inside the closure the arguments are out of Python's frames, where a traceback with local variables
    // would show them.
    let call = Mutex::new(Some((call(client), show)));
    let start = PyCFunction::new_closure(py, None, None, move |arguments, _| {
        let (py, deliver) = (arguments.py(), arguments.get_item(0)?.unbind());
        let call = call.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (call, show) = call.ok_or_else(|| PyRuntimeError::new_err("this call has begun already"))?;
        if CLOSED.load(Ordering::SeqCst) {
            return Err(PyRuntimeError::new_err("the program is ending: nobody could hand the result over"));
        }
        follow_log_level(py)?;
        let runtime = runtime(py)?;
        let task = runtime.spawn(call);
        let abort = task.abort_handle();
        runtime.spawn(async move {
            // A panic, which nobody else would hear of; or it was aborted, and nobody listens.
            let result = task.await.unwrap_or_else(|_| Err(Error::new(Code::Internal)));
            let hand_over = move |py: Python<'_>| {
                let shown = result.map_err(|error| raise(py, error)).and_then(|it| show(py, it));
                let outcome = shown.map_or_else(|error| (py.None(), Some(error)), |it| (it, None));
                // It fails where the event loop is closed, and then nobody waits.
                let _ = deliver.call1(py, outcome);
            };
            // Away from the runtime's own threads: this one waits for the interpreter lock.
            spawn_blocking(|| visit(hand_over));
        });
        PyCFunction::new_closure(py, None, None, move |_, _| abort.abort()).map(Bound::unbind)
    })?;
    Ok(RUN.import(py, "baokit._coroutine", "run")?.call1((start,))?.unbind())
}

/// What is set up once, when the module is imported: the farewell, and the way of log records.
///
/// Records of baokit, and of nothing below it, go to the logger `baokit`. Levels are asked for each
/// record, so that a change of Python's logging is seen.
pub fn set_up(py: Python<'_>) -> PyResult<()> {
    let logger = pyo3_log::Logger::new(py, pyo3_log::Caching::Loggers)?
        .filter(LevelFilter::Off)
        .filter_target("baokit".to_owned(), LevelFilter::Debug);
    // It fails where the module is imported a second time: then the first logger goes on.
    let _ = log::set_boxed_logger(Box::new(WhilePythonRuns(logger)));
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(_farewell, py)?,))?;
    follow_log_level(py)
}

/// The logger, silent once the interpreter has ended.
struct WhilePythonRuns(pyo3_log::Logger);

impl Log for WhilePythonRuns {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.0.enabled(record.metadata()) {
            let _ = visit(|_| self.0.log(record));
        }
    }

    fn flush(&self) {}
}

/// Debug records, one for each request, are made only while somebody wants them: each has to take
/// the interpreter lock.
fn follow_log_level(py: Python<'_>) -> PyResult<()> {
    static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    const DEBUG: u8 = 10;
    let logger = LOGGER
        .get_or_try_init(py, || py.import("logging")?.call_method1("getLogger", ("baokit",)).map(Bound::unbind))?;
    let debug = logger.bind(py).call_method1(intern!(py, "isEnabledFor"), (DEBUG,))?.is_truthy()?;
    log::set_max_level(if debug { LevelFilter::Debug } else { LevelFilter::Warn });
    Ok(())
}
