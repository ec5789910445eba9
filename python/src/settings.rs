//! Keyword arguments and environments on their way to core's builder, which judges them all.

use std::cell::RefCell;
use std::time::Duration;

use baokit::{Client, Code, Credential, Pem, Provider, Settings};
use baokit_core::config::SettingsBuilder;
use pyo3::exceptions::{PyKeyError, PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

use crate::errors::{OrRaise, caused, type_error, wrong_type};
use crate::values::{flag, sequence, text};

const CODE: Code = Code::InvalidSetting;

/// The settings of keyword arguments, which complete or overrule those of an environment.
pub fn of(py: Python<'_>, env: Option<&Bound<'_, PyAny>>, keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Settings> {
    let provider = provider(py, keywords)?;
    let builder = match env {
        Some(env) => from_env(env, provider)?,
        None => Settings::builder(provider),
    };
    apply(py, builder, keywords)?.build().or_raise(py)
}

/// The client with these settings.
pub fn client(
    py: Python<'_>,
    env: Option<&Bound<'_, PyAny>>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<Client> {
    let client = Client::new(of(py, env, keywords)?).or_raise(py);
    // Client::new logs warnings; what a logging handler or filter raised meanwhile is pending.
    match PyErr::take(py) {
        Some(raised) => Err(raised),
        None => client,
    }
}

fn provider(py: Python<'_>, keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Provider> {
    match keywords.map(|keywords| keywords.get_item("provider")).transpose()?.flatten() {
        Some(name) if !name.is_none() => setting("provider", &name)?.parse::<Provider>().or_raise(py),
        _ => Ok(Provider::OpenBao),
    }
}

/// A mapping, or the process's environment as Python sees it: reading it past Python, while another
/// thread changes it, would be a race.
pub fn environment<'py>(py: Python<'py>, env: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    env.map_or_else(|| py.import("os")?.getattr("environ"), |env| Ok(env.clone()))
}

fn from_env(env: &Bound<'_, PyAny>, provider: Provider) -> PyResult<SettingsBuilder> {
    let failure = RefCell::new(None);
    let lookup = |key: &str| match value_of(env, key) {
        Ok(value) => value,
        Err(error) => {
            failure.borrow_mut().get_or_insert(error);
            None
        }
    };
    let builder = SettingsBuilder::from_lookup(provider, lookup);
    failure.into_inner().map_or(Ok(builder), Err)
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

/// Hands keyword arguments to the builder. None means not given.
fn apply(
    py: Python<'_>,
    mut builder: SettingsBuilder,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<SettingsBuilder> {
    let (mut role_id, mut secret_id, mut certificate, mut key) = (None, None, None, None);
    let mut has_nodes = false;
    for (name, value) in keywords.into_iter().flatten() {
        // A name that is not UTF-8 is none of these.
        let name = name.cast::<PyString>()?.to_string_lossy().into_owned();
        if value.is_none() {
            continue;
        }
        if name == "url" || name == "urls" {
            if has_nodes {
                return Err(type_error(py, "url and urls can't both be given".to_owned(), CODE));
            }
            has_nodes = true;
        }
        let word = || setting(&name, &value);
        let words = || sequence(&name, "a list of str", &value, CODE, text);
        builder = match name.as_str() {
            "provider" => builder,
            "url" => builder.urls([word()?]),
            "urls" => builder.urls(words()?),
            "token" => builder.credential(Credential::token(word()?)),
            "namespace" => builder.namespace(&word()?),
            "ca_pem" => builder.ca(Pem::Text(word()?.into())),
            "verify_tls" => builder.verify_tls(flag(&name, &value)?),
            "timeout" => builder.deadline(seconds(&name, &value)?),
            "pool_size" => builder.pool_size(count(&name, &value)?),
            "max_concurrent" => builder.max_concurrent(count(&name, &value)?),
            "tenant_id" => builder.tenant_id(word()?),
            "allowed_mounts" => builder.allowed_mounts(words()?),
            "accept_legacy" => builder.accept_legacy(flag(&name, &value)?),
            other => {
                let slot = match other {
                    "role_id" => &mut role_id,
                    "secret_id" => &mut secret_id,
                    "client_certificate_pem" => &mut certificate,
                    "client_key_pem" => &mut key,
                    _ => return Err(type_error(py, format!("there is no setting {other:?}"), CODE)),
                };
                *slot = Some(word()?);
                builder
            }
        };
    }
    // Half of a pair is completed with nothing, which core refuses.
    if role_id.is_some() || secret_id.is_some() {
        let credential = Credential::app_role(role_id.unwrap_or_default(), secret_id.unwrap_or_default());
        builder = builder.credential(credential.or_raise(py)?);
    }
    if certificate.is_some() || key.is_some() {
        let pem = |text: Option<String>| Pem::Text(text.unwrap_or_default().into());
        builder = builder.client_certificate(pem(certificate), pem(key));
    }
    Ok(builder)
}

fn setting(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    text(name, value, CODE)
}

/// What is no duration becomes the nearest that is one, and core refuses it.
fn seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let py = value.py();
    // A bool is an int in Python, and an int may be too large for a float.
    let seconds = match value.extract::<f64>() {
        Ok(seconds) if !value.is_instance_of::<PyBool>() => seconds,
        Err(error) if error.is_instance_of::<PyOverflowError>(py) && value.gt(0)? => f64::INFINITY,
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => f64::NEG_INFINITY,
        _ => return Err(wrong_type(name, "a number", value, CODE)),
    };
    let nearest = if seconds > 0.0 { Duration::MAX } else { Duration::ZERO };
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(nearest))
}

/// The same for counts.
fn count(name: &str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(wrong_type(name, "int", value, CODE));
    }
    let nearest = if value.lt(0)? { 0 } else { usize::MAX };
    Ok(value.extract().unwrap_or(nearest))
}
