//! Keyword arguments and environments on their way to core's options, which judges them all.

use baokit::{Client, Code, Settings, SettingsBuilder};
use baokit_core::config::Options;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::arguments::{Read, count, flag, number, text, texts};
use crate::errors::{caused, coded, raise, wrong_type};

const CODE: Code = Code::InvalidSetting;

/// The settings of keyword arguments, which complete or overrule those of an environment.
pub fn of(py: Python<'_>, env: Option<&Bound<'_, PyAny>>, keywords: Option<Bound<'_, PyDict>>) -> PyResult<Settings> {
    let options = options(Keywords(keywords.unwrap_or_else(|| PyDict::new(py))))?;
    let lookup = |key: &str| env.map_or(Ok(None), |env| value_of(env, key));
    SettingsBuilder::from_options(options, lookup)?.build().map_err(|error| raise(py, error))
}

/// The client with these settings.
pub fn client(py: Python<'_>, env: Option<&Bound<'_, PyAny>>, keywords: Option<Bound<'_, PyDict>>) -> PyResult<Client> {
    let client = Client::new(of(py, env, keywords)?).map_err(|error| raise(py, error));
    // Client::new logs warnings; what a logging handler or filter raised meanwhile is pending.
    match PyErr::take(py) {
        Some(raised) => Err(raised),
        None => client,
    }
}

/// A mapping, or the process's environment as Python sees it: reading it past Python, while another
/// thread changes it, would be a race.
pub fn environment<'py>(py: Python<'py>, env: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    env.map_or_else(|| py.import("os")?.getattr("environ"), Ok)
}

fn value_of(env: &Bound<'_, PyAny>, key: &str) -> PyResult<Option<String>> {
    match env.get_item(key) {
        // What is not UTF-8 can't be legal for any key, and must not count as unset.
        Ok(value) => match value.cast::<PyString>() {
            Ok(value) => Ok(Some(value.to_string_lossy().into_owned())),
            Err(_) => Err(wrong_type(key, "str", &value, CODE)),
        },
        Err(error) if error.is_instance_of::<PyKeyError>(env.py()) => Ok(None),
        // No mapping at all: Python's own error would not say what is wanted.
        Err(error) if error.is_instance_of::<PyTypeError>(env.py()) => {
            Err(caused(env.py(), wrong_type("env", "a mapping of str to str", env, CODE), error))
        }
        Err(error) => Err(error),
    }
}

/// Keyword arguments, taken out one by one: what is left at the end is no setting. None means not given.
struct Keywords<'py>(Bound<'py, PyDict>);

impl Keywords<'_> {
    fn take<T>(&self, name: &str, read: Read<T>) -> PyResult<Option<T>> {
        let Some(value) = self.0.get_item(name)? else { return Ok(None) };
        self.0.del_item(name)?;
        if value.is_none() { Ok(None) } else { read(name, &value, CODE).map(Some) }
    }
}

/// Core's options, each read as what it is.
macro_rules! options {
    ($keywords:ident: $($read:ident: $($name:ident)*;)*) => {
        Options { $($($name: $keywords.take(stringify!($name), $read)?,)*)* }
    };
}

fn options(keywords: Keywords<'_>) -> PyResult<Options> {
    let options = options! { keywords:
        text: provider url token role_id secret_id namespace ca_pem client_certificate_pem client_key_pem tenant_id;
        texts: urls allowed_mounts;
        flag: verify_tls accept_legacy;
        number: timeout renewal_threshold;
        count: pool_size max_concurrent;
    };
    let Some(name) = keywords.0.keys().iter().next() else { return Ok(options) };
    let message = format!("there is no setting {:?}", name.cast::<PyString>()?.to_string_lossy());
    Err(coded::<PyTypeError>(name.py(), message, CODE))
}
