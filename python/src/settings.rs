//! Keyword arguments and environments on their way to core's builder, which judges them all.

use std::cell::RefCell;
use std::time::Duration;

use baokit::{Client, Code, Credential, Pem, Provider, Settings};
use baokit_core::config::SettingsBuilder;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};

use crate::errors::{OrRaise, wrong_type};
use crate::values::{from_json, text};

/// The client that keyword arguments describe.
pub fn client(py: Python<'_>, keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Client> {
    let builder = Settings::builder(provider(py, keywords)?);
    connect(py, apply(py, builder, keywords)?)
}

/// The client that an environment describes, completed or overruled by keyword arguments.
pub fn client_from_env(
    py: Python<'_>,
    env: Option<&Bound<'_, PyAny>>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<Client> {
    let builder = from_env(py, env, provider(py, keywords)?)?;
    connect(py, apply(py, builder, keywords)?)
}

/// The settings that an environment comes to, as a dict without credentials.
pub fn describe_env<'py>(
    py: Python<'py>,
    env: Option<&Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let builder = from_env(py, env, provider(py, keywords)?)?;
    from_json(py, &apply(py, builder, keywords)?.build().or_raise(py)?.describe())
}

fn connect(py: Python<'_>, builder: SettingsBuilder) -> PyResult<Client> {
    let settings = builder.build().or_raise(py)?;
    let client = Client::new(settings).or_raise(py);
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

/// Reads a mapping, or the process's environment as Python sees it: reading it past Python, while
/// another thread changes it, would be a race.
fn from_env(py: Python<'_>, env: Option<&Bound<'_, PyAny>>, provider: Provider) -> PyResult<SettingsBuilder> {
    let env = match env {
        Some(env) => env.clone(),
        None => py.import("os")?.getattr("environ")?,
    };
    let failure = RefCell::new(None);
    let lookup = |key: &str| match value_of(&env, key) {
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
            Err(_) => Err(wrong_type(key, "str", &value, Code::InvalidSetting)),
        },
        Err(error) if error.is_instance_of::<PyKeyError>(env.py()) => Ok(None),
        // No mapping at all: Python's own error would not say what is wanted.
        Err(error) if error.is_instance_of::<PyTypeError>(env.py()) => {
            Err(wrong_type("env", "a mapping of str to str", env, Code::InvalidSetting))
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
    for (name, value) in keywords.into_iter().flatten() {
        let name = name.extract::<String>()?;
        if value.is_none() {
            continue;
        }
        let word = || setting(&name, &value);
        builder = match name.as_str() {
            "provider" => builder,
            "url" => builder.urls([word()?]),
            "urls" => builder.urls(words(&name, &value)?),
            "token" => builder.credential(Credential::token(word()?)),
            "namespace" => builder.namespace(&word()?),
            "ca_pem" => builder.ca(Pem::Text(word()?.into())),
            "verify_tls" => builder.verify_tls(flag(&name, &value)?),
            "timeout" => builder.deadline(seconds(&name, &value)?),
            "pool_size" => builder.pool_size(count(&name, &value)?),
            "max_concurrent" => builder.max_concurrent(count(&name, &value)?),
            "tenant_id" => builder.tenant_id(word()?),
            "allowed_mounts" => builder.allowed_mounts(words(&name, &value)?),
            "accept_legacy" => builder.accept_legacy(flag(&name, &value)?),
            other => {
                let slot = match other {
                    "role_id" => &mut role_id,
                    "secret_id" => &mut secret_id,
                    "client_certificate_pem" => &mut certificate,
                    "client_key_pem" => &mut key,
                    _ => return Err(PyTypeError::new_err(format!("there is no setting {other:?}"))),
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
    text(name, value, Code::InvalidSetting)
}

fn words(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let wrong = || wrong_type(name, "a list of str", value, Code::InvalidSetting);
    // A str is a sequence of str, and never what is meant.
    if value.is_instance_of::<PyString>() {
        return Err(wrong());
    }
    let items = value.try_iter().map_err(|_| wrong())?.enumerate();
    items.map(|(index, item)| setting(&format!("{name}[{index}]"), &item?)).collect()
}

fn flag(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.extract().map_err(|_| wrong_type(name, "bool", value, Code::InvalidSetting))
}

/// What is no duration becomes the nearest that is one, and core refuses it.
fn seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let seconds: f64 = value.extract().map_err(|_| wrong_type(name, "a number", value, Code::InvalidSetting))?;
    let nearest = if seconds > 0.0 { Duration::MAX } else { Duration::ZERO };
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(nearest))
}

/// The same for counts.
fn count(name: &str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    if !value.is_instance_of::<PyInt>() {
        return Err(wrong_type(name, "int", value, Code::InvalidSetting));
    }
    let nearest = if value.lt(0)? { 0 } else { usize::MAX };
    Ok(value.extract().unwrap_or(nearest))
}
