//! JSON between Python and Rust, and the two classes that keep a value secret.

use baokit::Code;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Number, Value};

use crate::errors::{OrRaise, caused, out_of_range, wrong_type, wrong_value};

/// How far a value is followed: a list that holds itself has no end. What can be nested how deep is
/// core's to say, and it refuses less than this.
const FOLLOWED: usize = 2 * baokit_core::MAX_DEPTH;

/// Text, without the lone surrogates that UTF-8 does not have. Python's own error for these carries
/// the whole text along, which may be a secret.
pub fn text(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<String> {
    let Ok(string) = value.cast::<PyString>() else {
        return Err(wrong_type(place, "str", value, code));
    };
    match string.to_cow() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(wrong_value(value.py(), place, "it has lone surrogates in it", code)),
    }
}

/// A number, of which core says what is legal.
pub fn number(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<u64> {
    let py = value.py();
    // A bool is an int in Python, and never what is meant.
    if value.is_instance_of::<PyBool>() {
        return Err(wrong_type(place, "int", value, code));
    }
    match value.extract::<u64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => Err(out_of_range(py, place, code)),
        Err(error) if error.is_instance_of::<PyTypeError>(py) => Err(wrong_type(place, "int", value, code)),
        result => result,
    }
}

/// What `each` makes of the items of an iterable. Text is one, and never what is meant.
pub fn sequence<T>(
    place: &str,
    expected: &str,
    value: &Bound<'_, PyAny>,
    code: Code,
    each: fn(&str, &Bound<'_, PyAny>, Code) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let wrong = || wrong_type(place, expected, value, code);
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>() {
        return Err(wrong());
    }
    let items = value.try_iter().map_err(|error| caused(value.py(), wrong(), error))?;
    items.enumerate().map(|(index, item)| each(&format!("{place}[{index}]"), &item?, code)).collect()
}

/// A setting that is on or off.
pub fn flag(place: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.extract().map_err(|_| wrong_type(place, "bool", value, Code::InvalidSetting))
}

/// A Python value as JSON. An error names the place and never the value.
pub fn secret_value(value: &Bound<'_, PyAny>) -> PyResult<baokit::SecretValue> {
    to_json(value, "value", 0).map(baokit::SecretValue::from)
}

fn to_json(value: &Bound<'_, PyAny>, place: &str, depth: usize) -> PyResult<Value> {
    let (py, code) = (value.py(), Code::InvalidValue);
    if depth > FOLLOWED {
        return Err(wrong_value(py, "value", "it is nested too deep, or holds itself", code));
    }
    if value.is_none() {
        return Ok(Value::Null);
    }
    if value.is_instance_of::<PyString>() {
        return text(place, value, code).map(Value::String);
    }
    // Before int, of which bool is a kind.
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        let number = value.extract::<i64>().map(Number::from).or_else(|_| value.extract::<u64>().map(Number::from));
        return number.map(Value::Number).map_err(|_| wrong_value(py, place, "the integer exceeds 64 bits", code));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        let number = Number::from_f64(number.value());
        return number.map(Value::Number).ok_or_else(|| wrong_value(py, place, "JSON has no such number", code));
    }
    // From here on a copy is followed, which the interpreter makes without running anybody's code: a
    // dict that changes under the loop would be a panic.
    if let Ok(map) = value.cast::<PyDict>() {
        let mut object = Map::new();
        for pair in map.items() {
            let (key, item) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            let key = text(&format!("a key of {place}"), &key, code)?;
            let item = to_json(&item, &format!("{place}[{key:?}]"), depth + 1)?;
            object.insert(key, item);
        }
        return Ok(Value::Object(object));
    }
    let items = value.cast::<PyList>().map(|list| list.to_tuple()).or_else(|_| value.cast::<PyTuple>().cloned());
    if let Ok(items) = items {
        let items = items.iter().enumerate();
        let items = items.map(|(index, item)| to_json(&item, &format!("{place}[{index}]"), depth + 1));
        return items.collect::<PyResult<_>>().map(Value::Array);
    }
    // Copying a secret needs no look at it.
    if let Ok(secret) = value.cast::<Secret>() {
        return Ok(secret.get().0.expose().clone());
    }
    if let Ok(secret) = value.cast::<SecretValue>() {
        return Ok(secret.get().0.expose().clone());
    }
    Err(wrong_type(place, "str, int, float, bool, None, dict or list", value, code))
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
            let list = PyList::empty(py);
            for item in items {
                list.append(from_json(py, item)?)?;
            }
            Ok(list.into_any())
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

/// A class that keeps a value secret: it prints without it, and hands it out by `expose()` only.
macro_rules! redacted {
    ($class:ident, $doc:literal, $print:expr, { $($methods:tt)* }) => {
        #[doc = $doc]
        #[pyclass(module = "baokit", frozen)]
        pub struct $class(baokit::$class);

        #[pymethods]
        impl $class {
            /// The value: str, int, float, bool, None, dict or list.
            fn expose<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                from_json(py, self.0.expose())
            }

            /// The value as str; WRONG_TYPE where it is none.
            fn expose_str(&self, py: Python<'_>) -> PyResult<&str> {
                self.0.expose_str().or_raise(py)
            }

            fn __repr__(&self) -> String {
                $print(&self.0)
            }

            // It can't be changed, so a copy is the same object: a data class that holds one stays copyable.
            fn __copy__(this: Py<Self>) -> Py<Self> {
                this
            }

            fn __deepcopy__(this: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
                this
            }

            fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
                Err(unpicklable(stringify!($class)))
            }

            $($methods)*
        }
    };
}

fn print_value(_: &baokit::SecretValue) -> String {
    "SecretValue([redacted])".to_owned()
}

redacted!(SecretValue, "A JSON value that is kept secret.", print_value, {});

fn print_secret(it: &baokit::Secret) -> String {
    format!("Secret(version={}, created_time='{}', value=[redacted])", it.version(), it.created_time())
}

redacted!(Secret, "A secret as it was read.", print_secret, {
    /// The version, counted from 1.
    #[getter]
    fn version(&self) -> u64 {
        self.0.version()
    }

    /// When the version was written: RFC 3339 in UTC, by the server's clock.
    #[getter]
    fn created_time(&self) -> &str {
        self.0.created_time()
    }

    /// The custom_metadata of the secret, which belongs to all its versions.
    #[getter]
    fn custom_metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.0.custom_metadata().into_pyobject(py)
    }
});

pub fn secret(py: Python<'_>, it: baokit::Secret) -> PyResult<Bound<'_, PyAny>> {
    Secret(it).into_bound_py_any(py)
}

pub fn value(py: Python<'_>, it: baokit::SecretValue) -> PyResult<Bound<'_, PyAny>> {
    SecretValue(it).into_bound_py_any(py)
}

pub fn nothing(py: Python<'_>, (): ()) -> PyResult<Bound<'_, PyAny>> {
    Ok(py.None().into_bound(py))
}

/// Why `pickle` is refused; without that, its oldest protocols would write an empty object.
pub fn unpicklable(class: &str) -> PyErr {
    PyTypeError::new_err(format!("a {class} can't be pickled"))
}
