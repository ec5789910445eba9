//! URIs and pointers for the classes of `baokit/_uris.py`, and what operations answer, in those of
//! `baokit/_answers.py`.

use std::borrow::Cow;

use baokit::{Code, SecretPointer};
use baokit_core::uri::{ParseOptions, PointerTarget, SecretRef};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::errors::OrRaise;
use crate::values::{flag, text};

/// The text that should be a URI.
pub fn uri(value: &Bound<'_, PyAny>) -> PyResult<String> {
    text("uri", value, Code::InvalidUri)
}

/// The mount that is given beside a text.
fn mount(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    value.map(|value| text("mount", value, Code::AmbiguousMount)).transpose()
}

type UriParts = (String, &'static str, String, String, Option<String>, Option<u64>);

/// The canonical text and the parts of a `SecretUri`.
#[pyfunction]
pub fn _parse_uri(
    value: &Bound<'_, PyAny>,
    accept_legacy: &Bound<'_, PyAny>,
    mount: Option<&Bound<'_, PyAny>>,
) -> PyResult<UriParts> {
    let mount = self::mount(mount)?;
    let options = ParseOptions::new().accept_legacy(flag("accept_legacy", accept_legacy)?).mount(mount.as_deref());
    let it = options.parse(&uri(value)?).or_raise(value.py())?;
    let (mount, path) = (it.mount().into_owned(), it.path().into_owned());
    let (fragment, version) = (it.fragment().map(Cow::into_owned), it.version().map(u64::from));
    Ok((it.to_string(), it.provider().as_str(), mount, path, fragment, version))
}

type PrefixParts = (String, &'static str, String, String, bool);

/// The canonical text and the parts of a `SecretPrefix`.
#[pyfunction]
pub fn _parse_prefix(
    value: &Bound<'_, PyAny>,
    accept_legacy: &Bound<'_, PyAny>,
    wildcard: &Bound<'_, PyAny>,
    mount: Option<&Bound<'_, PyAny>>,
) -> PyResult<PrefixParts> {
    let mount = self::mount(mount)?;
    let options = ParseOptions::new().accept_legacy(flag("accept_legacy", accept_legacy)?).mount(mount.as_deref());
    let options = options.wildcard(flag("wildcard", wildcard)?);
    let it = options.parse_prefix(&uri(value)?).or_raise(value.py())?;
    let (mount, path) = (it.mount().into_owned(), it.path().into_owned());
    Ok((it.to_string(), it.provider().as_str(), mount, path, it.is_wildcard()))
}

/// The canonical text of a `SecretPointer`, and the file or the row that it names.
#[pyfunction]
pub fn _parse_pointer(value: &Bound<'_, PyAny>) -> PyResult<PointerParts> {
    let it = SecretPointer::parse(&uri(value)?).or_raise(value.py())?;
    let (file, id) = match it.target() {
        PointerTarget::File { store, name } => (Some((store.to_owned(), name.to_owned())), None),
        PointerTarget::DbCredentials { id } => (None, Some(id.to_owned())),
        _ => (None, None),
    };
    Ok((it.to_string(), file, id))
}

type PointerParts = (String, Option<(String, String)>, Option<String>);

/// Whether a text is a URI, not a pointer, and its canonical form.
#[pyfunction]
pub fn _parse_ref(value: &Bound<'_, PyAny>) -> PyResult<(bool, String)> {
    let it = SecretRef::parse(&uri(value)?).or_raise(value.py())?;
    Ok((matches!(it, SecretRef::Uri(_)), it.as_str().to_owned()))
}

/// The canonical text of a prefix that the tenant may use, by a client's settings.
pub fn admit_prefix(settings: &baokit::Settings, text: &str) -> baokit::Result<String> {
    let prefix = ParseOptions::new().accept_legacy(settings.accept_legacy()).parse_prefix(text)?;
    settings.tenant().admit_prefix(prefix).map(|admitted| admitted.prefix().to_string())
}

/// The class of that name in baokit/_answers.py, with these fields.
pub fn answer<'py>(py: Python<'py>, class: &str, fields: impl PyCallArgs<'py>) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("baokit._answers").map(Bound::unbind))?;
    module.bind(py).getattr(class)?.call1(fields)
}

pub fn change(py: Python<'_>, it: baokit::Change) -> PyResult<Bound<'_, PyAny>> {
    answer(py, "Change", (it.old_version, it.new_version))
}

pub fn written(py: Python<'_>, it: baokit::Written) -> PyResult<Bound<'_, PyAny>> {
    answer(py, "Written", (it.version(), it.created_time()))
}

pub fn versions(py: Python<'_>, it: baokit::Versions) -> PyResult<Bound<'_, PyAny>> {
    let one = |it: &baokit::Version| {
        answer(py, "Version", (it.version(), it.created_time(), it.deletion_time(), it.is_destroyed()))
    };
    let versions = it.versions().iter().map(one).collect::<PyResult<Vec<_>>>()?;
    answer(py, "Versions", (it.current_version(), versions, it.custom_metadata()))
}

pub fn token_info(py: Python<'_>, it: baokit::TokenInfo) -> PyResult<Bound<'_, PyAny>> {
    answer(py, "TokenInfo", (it.accessor(), it.policies(), it.ttl(), it.is_renewable(), it.num_uses()))
}

pub fn renewal(py: Python<'_>, it: baokit::Renewal) -> PyResult<Bound<'_, PyAny>> {
    answer(py, "Renewal", (it.lease_duration(), it.is_renewable()))
}
