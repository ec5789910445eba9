//! Errors: core's table of codes for `baokit/_errors.py`, which makes the classes from it, and the
//! exceptions themselves. Mistakes of Python's own kind (a wrong type, a value that JSON does not
//! have) are `TypeError` and `ValueError`, with a code where one fits.

use baokit::{Code, Error};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// The table as a dict from code to row.
pub fn table(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let table = PyDict::new(py);
    for code in Code::ALL {
        let row = PyDict::new(py);
        row.set_item("family", code.family().as_str())?;
        row.set_item("http_status", code.http_status())?;
        row.set_item("retryable", code.is_retryable())?;
        row.set_item("advice", code.advice())?;
        table.set_item(code.as_str(), row)?;
    }
    Ok(table)
}

/// The exception for an error of core's.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = (error.to_string(), error.code().as_str(), error.subject(), error.node(), error.tries());
    let made = MAKE.import(py, "baokit._errors", "make").and_then(|make| make.call1(fields));
    made.map_or_else(|failed| failed, PyErr::from_value)
}

/// A result of core's as Python's.
pub trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raise(py, &error))
    }
}

/// A `TypeError`: the place, what belongs there and the type that came, never the value.
pub fn wrong_type(place: &str, expected: &str, got: &Bound<'_, PyAny>, code: Code) -> PyErr {
    let name = got.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string());
    type_error(got.py(), format!("{place} must be {expected}, not {name}"), code)
}

/// A `TypeError` about something else than one value's type.
pub fn type_error(py: Python<'_>, message: String, code: Code) -> PyErr {
    coded(py, PyTypeError::new_err(message), code)
}

/// An `OverflowError`: a number that doesn't even fit into the type that core takes.
pub fn out_of_range(py: Python<'_>, place: &str, code: Code) -> PyErr {
    coded(py, PyOverflowError::new_err(format!("{place} is out of range")), code)
}

/// A `ValueError` about a place, never with the value.
pub fn wrong_value(py: Python<'_>, place: &str, reason: &str, code: Code) -> PyErr {
    coded(py, PyValueError::new_err(format!("{place}: {reason}")), code)
}

/// An error that another one is behind: Python's own, or that of a caller's class.
pub fn caused(py: Python<'_>, error: PyErr, cause: PyErr) -> PyErr {
    error.set_cause(py, Some(cause));
    error
}

fn coded(py: Python<'_>, error: PyErr, code: Code) -> PyErr {
    // A builtin exception takes attributes; if it did not, the exception itself is still right.
    let _ = error.value(py).setattr("code", code.as_str());
    error
}
