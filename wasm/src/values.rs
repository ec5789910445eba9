//! Secrets, URIs and errors on their way to JavaScript, and values on their way from it.

use std::collections::BTreeMap;

use baokit_core::uri::{ParseOptions, SecretPointer, SecretRef};
use baokit_core::{Code, Error, Secret, SecretValue};
use serde_json::Value;
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

use crate::shapes;

#[wasm_bindgen(raw_module = "../error.js")]
extern "C" {
    /// The one class of errors; its fields are read from core's table.
    pub(crate) type BaokitError;

    #[wasm_bindgen(constructor)]
    #[allow(clippy::too_many_arguments)]
    fn new(
        message: &str,
        code: &str,
        family: &str,
        http_status: u16,
        retryable: bool,
        advice: &str,
        subject: Option<&str>,
        node: Option<&str>,
        tries: u32,
    ) -> BaokitError;
}

/// core's error as JavaScript throws it.
pub(crate) fn thrown(error: Error) -> JsValue {
    let code = error.code();
    BaokitError::new(
        &error.to_string(),
        code.as_str(),
        code.family().as_str(),
        code.http_status(),
        error.is_retryable(),
        code.advice(),
        error.subject(),
        error.node(),
        error.tries(),
    )
    .into()
}

/// A JSON text from JavaScript as a value that wipes itself; so does the text.
pub(crate) fn secret_value(json: String) -> Result<SecretValue, JsValue> {
    let json = Zeroizing::new(json);
    // From bytes, as core reads answers, so that the reader is compiled once. serde's own text is
    // dropped, since it may quote the value.
    serde_json::from_slice(json.as_bytes())
        .map_err(|_| thrown(Error::new(Code::InvalidValue).because("OpenBao can't hold this value as JSON")))
}

/// A value as JavaScript has it.
pub(crate) fn plain(value: &Value) -> Result<JsValue, JsValue> {
    match value {
        Value::String(text) => Ok(text.as_str().into()),
        value => {
            let text = serde_json::to_string(value).map(Zeroizing::new);
            shapes::parse_json(&text.map_err(|_| thrown(Error::new(Code::Internal)))?)
        }
    }
}

/// A value behind its `expose`, and what may be shown of it.
#[wasm_bindgen]
pub struct RawSecret {
    about: JsValue,
    value: SecretValue,
}

impl RawSecret {
    pub(crate) fn of(secret: Secret) -> Result<JsValue, JsValue> {
        let about = shapes::about(number(secret.version()), secret.created_time(), custom(secret.custom_metadata()));
        Ok(Self { about, value: secret.into_value() }.into())
    }

    pub(crate) fn bare(value: SecretValue) -> Result<JsValue, JsValue> {
        Ok(Self { about: JsValue::UNDEFINED, value }.into())
    }
}

#[wasm_bindgen]
impl RawSecret {
    /// `{ version, createdTime, customMetadata }` of what was read as a secret.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn about(&self) -> JsValue {
        self.about.clone()
    }

    /// The value.
    pub fn expose(&self) -> Result<JsValue, JsValue> {
        plain(self.value.expose())
    }

    /// The value as text.
    #[wasm_bindgen(js_name = exposeString)]
    pub fn expose_str(&self) -> Result<String, JsValue> {
        self.value.expose_str().map(str::to_owned).map_err(thrown)
    }
}

/// The notations that [`parse`] reads.
#[wasm_bindgen]
#[derive(Clone, Copy)]
pub enum Notation {
    /// The URI of one secret, or of one key in it.
    Uri,
    /// A prefix.
    Prefix,
    /// A prefix that may end in a slash and a star.
    Wildcard,
    /// A pointer.
    Pointer,
    /// A pointer or a URI.
    Ref,
}

/// The canonical text, of which `client.js` reads the parts.
#[wasm_bindgen]
pub fn parse(notation: Notation, text: &str, accept_legacy: bool, mount: Option<String>) -> Result<String, JsValue> {
    let options = ParseOptions::new().accept_legacy(accept_legacy).mount(mount.as_deref());
    let wildcard = matches!(notation, Notation::Wildcard);
    match notation {
        Notation::Uri => options.parse(text).map(|it| it.as_str().to_owned()),
        Notation::Prefix | Notation::Wildcard => {
            options.wildcard(wildcard).parse_prefix(text).map(|it| it.as_str().to_owned())
        }
        Notation::Pointer => SecretPointer::parse(text).map(|it| it.as_str().to_owned()),
        Notation::Ref => SecretRef::parse(text).map(|it| it.as_str().to_owned()),
    }
    .map_err(thrown)
}

/// An object of texts.
pub(crate) fn custom(metadata: &BTreeMap<String, String>) -> JsValue {
    let texts = shapes::Texts::new();
    metadata.iter().for_each(|(name, value)| texts.add(name, value));
    texts.into()
}

/// A count as JavaScript's number, which is exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}
