//! URIs and pointers for the classes of `baokit/_uris.py`.

use std::borrow::Cow;

use baokit::{ParseOptions, SecretPointer, SecretRef};
use baokit_core::uri::PointerTarget;
use pyo3::prelude::*;

use crate::arguments::{AcceptLegacy, OtherMount, Uri, Wildcard};
use crate::errors::raise;

type UriParts = (String, &'static str, String, String, Option<String>, Option<u64>);

/// The canonical text and the parts of a `SecretUri`.
#[pyfunction]
pub fn _parse_uri(py: Python<'_>, text: Uri, legacy: AcceptLegacy, mount: Option<OtherMount>) -> PyResult<UriParts> {
    let it = options(&legacy, mount.as_ref()).parse(&text.0).map_err(|error| raise(py, error))?;
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
    legacy: AcceptLegacy,
    wildcard: Wildcard,
    mount: Option<OtherMount>,
) -> PyResult<PrefixParts> {
    let options = options(&legacy, mount.as_ref()).wildcard(wildcard.0);
    let it = options.parse_prefix(&text.0).map_err(|error| raise(py, error))?;
    let (mount, path) = (it.mount().into_owned(), it.path().into_owned());
    Ok((it.to_string(), it.provider().as_str(), mount, path, it.is_wildcard()))
}

fn options<'a>(legacy: &AcceptLegacy, mount: Option<&'a OtherMount>) -> ParseOptions<'a> {
    ParseOptions::new().accept_legacy(legacy.0).mount(mount.map(|it| it.0.as_str()))
}

type PointerParts = (String, Option<(String, String)>, Option<String>);

/// The canonical text of a `SecretPointer`, and the file or the row that it names.
#[pyfunction]
pub fn _parse_pointer(py: Python<'_>, text: Uri) -> PyResult<PointerParts> {
    let it = SecretPointer::parse(&text.0).map_err(|error| raise(py, error))?;
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
    let it = SecretRef::parse(&text.0).map_err(|error| raise(py, error))?;
    Ok((matches!(it, SecretRef::Uri(_)), it.as_str().to_owned()))
}
