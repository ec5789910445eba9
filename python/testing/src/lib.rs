//! The dev server inside the Python process, on a thread of its own: the class behind `baokit.testing`.
//!
//! A crate of its own, beside the client's, which carries nothing of it but the line that adds the
//! class to the one module of the package.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// An OpenBao-compatible server in memory, on 127.0.0.1 and a free port. It protects nothing.
#[pyclass(module = "baokit.testing", frozen)]
pub struct DevServer(Mutex<Option<baokit_devserver::DevServer>>);

impl DevServer {
    fn lock(&self) -> MutexGuard<'_, Option<baokit_devserver::DevServer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, look: impl FnOnce(&baokit_devserver::DevServer) -> T) -> PyResult<T> {
        self.lock().as_ref().map(look).ok_or_else(|| PyRuntimeError::new_err("the dev server was stopped"))
    }
}

#[pymethods]
impl DevServer {
    /// Starts it. It answers when this returns, until close() or the end of the with block.
    #[new]
    #[pyo3(signature = (*, root_token = "root", port = 0))]
    fn new(py: Python<'_>, root_token: &str, port: u16) -> PyResult<Self> {
        let builder = baokit_devserver::DevServer::builder().root_token(root_token).port(port);
        Ok(Self(Mutex::new(Some(py.detach(|| builder.start_blocking())?))))
    }

    /// Where it is, as http://127.0.0.1:port.
    #[getter]
    fn url(&self) -> PyResult<String> {
        self.with(|server| server.url().to_owned())
    }

    /// The root token.
    #[getter]
    fn root_token(&self) -> PyResult<String> {
        self.with(|server| server.root_token().to_owned())
    }

    /// The settings of a client for it, as an environment: Client.from_env(server.env).
    #[getter]
    fn env<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let env = PyDict::new(py);
        env.set_item("OPENBAO_URL", self.url()?)?;
        env.set_item("OPENBAO_TOKEN", self.root_token()?)?;
        env.set_item("TENANT_ALLOWED_MOUNTS", "secret")?;
        Ok(env)
    }

    /// The requests so far, in the order of their answers.
    #[getter]
    fn requests<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        static REQUEST: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = REQUEST.import(py, "baokit._answers", "Request")?;
        let requests = self.with(baokit_devserver::DevServer::requests)?;
        requests.into_iter().map(|it| class.call1((it.method, it.target, it.headers, it.status))).collect()
    }

    /// Empties the log of requests.
    fn clear_requests(&self) -> PyResult<()> {
        self.with(baokit_devserver::DevServer::clear_requests)
    }

    /// Moves the clock on by so many seconds: tokens and secret ids expire as if they had passed.
    fn advance(&self, seconds: f64) -> PyResult<()> {
        let by = Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))?;
        self.with(|server| server.advance(by))
    }

    /// Seals the server: it answers 503 until unseal().
    fn seal(&self) -> PyResult<()> {
        self.with(|server| server.with_model(baokit_devserver::model::Model::seal))
    }

    /// Unseals the server.
    fn unseal(&self) -> PyResult<()> {
        self.with(|server| server.with_model(baokit_devserver::model::Model::unseal))
    }

    /// Stops the server.
    fn close(&self, py: Python<'_>) {
        let server = self.lock().take();
        // It waits for the server's thread.
        py.detach(|| drop(server));
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        self.url().map_or_else(|_| "DevServer(stopped)".to_owned(), |url| format!("DevServer({url})"))
    }
}
