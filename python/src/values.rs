//! JSON between Python and Rust, the two classes that keep a value secret, and what operations answer.

use std::collections::BTreeMap;

use baokit::{Code, Error};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::arguments::text;
use crate::errors::{raise, wrong_type, wrong_value};
use crate::run::Called;

/// How far a value is followed: a list that holds itself has no end. What can be nested how deep is
/// core's to say, and it refuses less than this.
const FOLLOWED: usize = 2 * baokit_core::MAX_DEPTH;

/// A Python value as JSON. An error names the place and never the value.
pub fn secret_value(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<baokit::SecretValue> {
    to_json(place, value, code, 0).map(baokit::SecretValue::from)
}

fn to_json(place: &str, value: &Bound<'_, PyAny>, code: Code, depth: usize) -> PyResult<Value> {
    let py = value.py();
    if depth > FOLLOWED {
        return Err(wrong_value(py, "value", "it is nested too deep, or holds itself", code));
    }
    let json = if value.is_none() {
        Value::Null
    } else if value.is_instance_of::<PyString>() {
        Value::String(text(place, value, code)?)
    } else if let Ok(flag) = value.cast::<PyBool>() {
        // Before int, of which bool is a kind.
        Value::Bool(flag.is_true())
    } else if value.is_instance_of::<PyInt>() {
        let number = value.extract::<i64>().map(Number::from).or_else(|_| value.extract::<u64>().map(Number::from));
        Value::Number(number.map_err(|_| wrong_value(py, place, "the integer exceeds 64 bits", code))?)
    } else if let Ok(number) = value.cast::<PyFloat>() {
        let number = Number::from_f64(number.value());
        Value::Number(number.ok_or_else(|| wrong_value(py, place, "JSON has no such number", code))?)
    } else if let Ok(map) = value.cast::<PyDict>() {
        // A copy is followed, here and below, which the interpreter makes without running anybody's code: a
        // dict that changes under the loop would be a panic.
        let mut object = Map::new();
        for pair in map.items() {
            let (key, item) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            let key = text(&format!("a key of {place}"), &key, code)?;
            let item = to_json(&format!("{place}[{key:?}]"), &item, code, depth + 1)?;
            object.insert(key, item);
        }
        Value::Object(object)
    } else if let Ok(list) = value.cast::<PyList>() {
        return to_json(place, list.to_tuple().as_any(), code, depth);
    } else if let Ok(items) = value.cast::<PyTuple>() {
        let items = items.iter().enumerate();
        let items = items.map(|(index, item)| to_json(&format!("{place}[{index}]"), &item, code, depth + 1));
        Value::Array(items.collect::<PyResult<_>>()?)
    } else if let Ok(secret) = value.cast::<SecretValue>() {
        // Copying a secret needs no look at it.
        secret.get().0.expose().clone()
    } else {
        return Err(wrong_type(place, "str, int, float, bool, None, dict or list", value, code));
    };
    Ok(json)
}

/// JSON as plain Python.
pub fn from_json<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(flag) => flag.into_bound_py_any(py),
        Value::String(text) => text.into_bound_py_any(py),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_bound_py_any(py),
            (_, Some(number)) => number.into_bound_py_any(py),
            _ => number.as_f64().into_bound_py_any(py),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| from_json(py, item)).collect::<PyResult<Vec<_>>>()?;
            items.into_bound_py_any(py)
        }
        Value::Object(map) => {
            let dict = PyDict::new(py);
            for (key, item) in map {
                dict.set_item(key, from_json(py, item)?)?;
            }
            Ok(dict.into_any())
        }
    }
}

/// A JSON value that is kept secret: it prints without it, and hands it out by expose() only.
#[pyclass(module = "baokit", frozen, subclass)]
pub struct SecretValue(baokit::SecretValue);

#[pymethods]
impl SecretValue {
    /// The value: str, int, float, bool, None, dict or list.
    fn expose<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        from_json(py, self.0.expose())
    }

    /// The value as str; WRONG_TYPE where it is none.
    fn expose_str(&self, py: Python<'_>) -> PyResult<&str> {
        self.0.expose_str().map_err(|error| raise(py, error))
    }

    fn __repr__(&self) -> &'static str {
        "SecretValue([redacted])"
    }

    // It can't be changed, so a copy is the same object: a data class that holds one stays copyable.
    fn __copy__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __deepcopy__(this: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        this
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(unpicklable("secret"))
    }
}

/// A secret as it was read.
#[pyclass(module = "baokit", frozen, get_all, extends = SecretValue)]
pub struct Secret {
    /// The version, counted from 1.
    version: u64,
    /// When the version was written: RFC 3339 in UTC, by the server's clock.
    created_time: String,
    /// The custom_metadata of the secret, which belongs to all its versions.
    custom_metadata: BTreeMap<String, String>,
}

#[pymethods]
impl Secret {
    fn __repr__(&self) -> String {
        format!("Secret(version={}, created_time='{}', value=[redacted])", self.version, self.created_time)
    }
}

pub fn secret(py: Python<'_>, it: baokit::Secret) -> Called {
    let (created_time, custom_metadata) = (it.created_time().to_owned(), it.custom_metadata().clone());
    let about = Secret { version: it.version(), created_time, custom_metadata };
    let made = PyClassInitializer::from(SecretValue(it.into_value())).add_subclass(about);
    Py::new(py, made).map(Py::into_any)
}

pub fn value(py: Python<'_>, it: baokit::SecretValue) -> Called {
    Py::new(py, SecretValue(it)).map(Py::into_any)
}

/// What an operation answers beside secrets: the class, or function, of that name in
/// `baokit/_answers.py` with its fields.
pub fn answer<T: Serialize>(name: &'static str) -> impl FnOnce(Python<'_>, T) -> Called + Send {
    move |py, it| {
        let fields = serde_json::to_value(it).map_err(|_| raise(py, Error::new(Code::Internal)))?;
        let fields = from_json(py, &fields)?;
        Ok(py.import("baokit._answers")?.getattr(name)?.call((), Some(fields.cast()?))?.unbind())
    }
}

pub fn nothing(py: Python<'_>, (): ()) -> Called {
    Ok(py.None())
}

/// Why `pickle` is refused; without that, its oldest protocols would write an empty object.
pub fn unpicklable(class: &str) -> PyErr {
    PyTypeError::new_err(format!("a {class} can't be pickled"))
}
