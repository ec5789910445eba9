//! Errors: core's table of codes for `baokit/_errors.py`, which makes the classes from it, and the
//! exceptions themselves. Mistakes of Python's own kind (a wrong type, a value that JSON does not
//! have) are `TypeError` and `ValueError`, with a code where one fits.

use baokit::{Code, Error};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

type Row = (&'static str, &'static str, u16, bool, &'static str);

/// The table: the code, its family, its HTTP status, whether it is worth a retry, and advice.
#[pyfunction]
pub fn _error_codes() -> Vec<Row> {
    let row = |it: &Code| (it.as_str(), it.family().as_str(), it.http_status(), it.is_retryable(), it.advice());
    Code::ALL.iter().map(row).collect()
}

/// The exception for an error of core's.
pub fn raise(py: Python<'_>, error: Error) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = (error.to_string(), error.code().as_str(), error.subject(), error.node(), error.tries());
    let made = MAKE.import(py, "baokit._errors", "make").and_then(|make| make.call1(fields));
    made.map_or_else(|failed| failed, PyErr::from_value)
}

/// A `TypeError`: the place, what belongs there and the type that came, never the value.
pub fn wrong_type(place: &str, expected: &str, got: &Bound<'_, PyAny>, code: Code) -> PyErr {
    let name = got.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string());
    coded::<PyTypeError>(got.py(), format!("{place} must be {expected}, not {name}"), code)
}

/// A `ValueError` about a place, never with the value.
pub fn wrong_value(py: Python<'_>, place: &str, reason: &str, code: Code) -> PyErr {
    coded::<PyValueError>(py, format!("{place}: {reason}"), code)
}

/// An error of Python's own kind that has a code.
pub fn coded<E: PyTypeInfo>(py: Python<'_>, message: String, code: Code) -> PyErr {
    let error = PyErr::new::<E, _>(message);
    // A builtin exception takes attributes; if it did not, the exception itself is still right.
    let _ = error.value(py).setattr("code", code.as_str());
    error
}

/// An error that another one is behind: Python's own, or that of a caller's class.
pub fn caused(py: Python<'_>, error: PyErr, cause: PyErr) -> PyErr {
    error.set_cause(py, Some(cause));
    error
}
