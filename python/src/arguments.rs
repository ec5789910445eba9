//! Arguments of methods and settings: Python's types are checked here, with errors that name the place and
//! have the code which core would give; what is legal is core's to say.

use baokit::Code;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyInt, PyString};

use crate::errors::{caused, coded, wrong_type, wrong_value};
use crate::values::secret_value;

/// Reads what stands at a place; the code is for errors.
pub type Read<T> = fn(&str, &Bound<'_, PyAny>, Code) -> PyResult<T>;

/// Text, without the lone surrogates that UTF-8 does not have. Python's own error for these carries
/// the whole text along, which may be a secret.
pub fn text(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<String> {
    let string = value.cast::<PyString>().map_err(|_| wrong_type(place, "str", value, code))?;
    let text = string.to_cow().map_err(|_| wrong_value(value.py(), place, "it has lone surrogates in it", code))?;
    Ok(text.into_owned())
}

/// A list of texts.
pub fn texts(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<Vec<String>> {
    sequence(place, "a list of str", value, code, text)
}

/// What is on or off.
pub fn flag(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<bool> {
    value.extract().map_err(|_| wrong_type(place, "bool", value, code))
}

/// A number of a setting. An int may be too large for a float, and a bool is an int in Python.
pub fn number(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<f64> {
    match value.extract() {
        Ok(number) if !value.is_instance_of::<PyBool>() => Ok(number),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Ok(f64::INFINITY),
        _ => Err(wrong_type(place, "a number", value, code)),
    }
}

/// A number of a setting that counts something.
pub fn count(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<f64> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(wrong_type(place, "int", value, code));
    }
    number(place, value, code)
}

/// A version, or so many seconds: what can stand for an index, but no bool.
fn whole(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<u64> {
    let py = value.py();
    match value.extract() {
        Ok(number) if !value.is_instance_of::<PyBool>() => Ok(number),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            Err(coded::<PyOverflowError>(py, format!("{place} is out of range"), code))
        }
        Err(error) if !error.is_instance_of::<PyTypeError>(py) => Err(error),
        _ => Err(wrong_type(place, "int", value, code)),
    }
}

fn wholes(place: &str, value: &Bound<'_, PyAny>, code: Code) -> PyResult<Vec<u64>> {
    sequence(place, "a list of int", value, code, whole)
}

/// What `each` makes of the items of an iterable. Text is one, and never what is meant.
fn sequence<T>(place: &str, expected: &str, value: &Bound<'_, PyAny>, code: Code, each: Read<T>) -> PyResult<Vec<T>> {
    let wrong = || wrong_type(place, expected, value, code);
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>() {
        return Err(wrong());
    }
    let items = value.try_iter().map_err(|error| caused(value.py(), wrong(), error))?;
    items.enumerate().map(|(index, item)| each(&format!("{place}[{index}]"), &item?, code)).collect()
}

/// Makes a type for each argument, so that a method's signature says what it takes.
macro_rules! arguments {
    ($($name:ident($inner:ty) = $read:ident($place:literal, $code:ident);)*) => {
        $(pub struct $name(pub $inner);

        impl FromPyObject<'_, '_> for $name {
            type Error = PyErr;

            fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
                $read($place, &value, Code::$code).map(Self)
            }
        })*
    };
}

arguments! {
    Uri(String) = text("uri", InvalidUri);
    OtherMount(String) = text("mount", AmbiguousMount);
    Mount(String) = text("mount", IllegalSegment);
    Path(String) = text("path", IllegalSegment);
    Method(String) = text("method", NotSupported);
    Data(baokit::SecretValue) = secret_value("value", InvalidValue);
    Version(u64) = whole("version", InvalidVersion);
    Versions(Vec<u64>) = wholes("versions", InvalidVersion);
    Cas(u64) = whole("cas", InvalidVersion);
    Increment(u64) = whole("increment", InvalidValue);
    AcceptLegacy(bool) = flag("accept_legacy", InvalidSetting);
    Wildcard(bool) = flag("wildcard", InvalidSetting);
}
