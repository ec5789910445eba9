//! URIs and pointers for the classes of `baokit/_uris.py`, and what operations answer, in those of
//! `baokit/_answers.py`.

use std::borrow::Cow;

use baokit::{ParseOptions, SecretPointer, SecretRef};
use baokit_core::uri::PointerTarget;
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::arguments::{AcceptLegacy, OtherMount, Uri, Wildcard};
use crate::errors::OrRaise;

fn parse_options<'a>(accept_legacy: &AcceptLegacy, mount: Option<&'a OtherMount>) -> ParseOptions<'a> {
    ParseOptions::new().accept_legacy(accept_legacy.0).mount(mount.map(|it| it.0.as_str()))
}

type UriParts = (String, &'static str, String, String, Option<String>, Option<u64>);

/// The canonical text and the parts of a `SecretUri`.
#[pyfunction]
pub fn _parse_uri(
    py: Python<'_>,
    text: Uri,
    accept_legacy: AcceptLegacy,
    mount: Option<OtherMount>,
) -> PyResult<UriParts> {
    let it = parse_options(&accept_legacy, mount.as_ref()).parse(&text.0).or_raise(py)?;
    let (mount, path) = (it.mount().into_owned(), it.path().into_owned());
    let (fragment, version) = (it.fragment().map(Cow::into_owned), it.version().map(u64::from));
    Ok((it.to_string(), it.provider().as_str(), mount, path, fragment, version))
}

type PrefixParts = (String, &'static str, String, String, bool);

/// The canonical text and the parts of a `SecretPrefix`.
#[pyfunction]
pub fn _parse_prefix(
    py: Python<'_>,
    text: Uri,
    accept_legacy: AcceptLegacy,
    wildcard: Wildcard,
    mount: Option<OtherMount>,
) -> PyResult<PrefixParts> {
    let options = parse_options(&accept_legacy, mount.as_ref()).wildcard(wildcard.0);
    let it = options.parse_prefix(&text.0).or_raise(py)?;
    let (mount, path) = (it.mount().into_owned(), it.path().into_owned());
    Ok((it.to_string(), it.provider().as_str(), mount, path, it.is_wildcard()))
}

type PointerParts = (String, Option<(String, String)>, Option<String>);

/// The canonical text of a `SecretPointer`, and the file or the row that it names.
#[pyfunction]
pub fn _parse_pointer(py: Python<'_>, text: Uri) -> PyResult<PointerParts> {
    let it = SecretPointer::parse(&text.0).or_raise(py)?;
    let (file, id) = match it.target() {
        PointerTarget::File { store, name } => (Some((store.to_owned(), name.to_owned())), None),
        PointerTarget::DbCredentials { id } => (None, Some(id.to_owned())),
        _ => (None, None),
    };
    Ok((it.to_string(), file, id))
}

/// Whether a text is a URI, not a pointer, and its canonical form.
#[pyfunction]
pub fn _parse_ref(py: Python<'_>, text: Uri) -> PyResult<(bool, String)> {
    let it = SecretRef::parse(&text.0).or_raise(py)?;
    Ok((matches!(it, SecretRef::Uri(_)), it.as_str().to_owned()))
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
