//! Options and environments into core's settings. core judges all of them; what is out of the range
//! of its types is passed on as something that it refuses as well.

use std::cell::RefCell;
use std::time::Duration;

use baokit_core::config::{Credential, Pem, Settings, SettingsBuilder};
use baokit_core::uri::Provider;
use baokit_core::{Code, Error};
use wasm_bindgen::prelude::*;

use crate::values::{plain, thrown};

#[wasm_bindgen]
extern "C" {
    /// Options by their names, or an environment by its keys. `client.js` sees to the types, and
    /// throws where one is wrong.
    pub type Lookup;

    #[wasm_bindgen(method, catch)]
    fn text(this: &Lookup, name: &str) -> Result<Option<String>, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn texts(this: &Lookup, name: &str) -> Result<Option<Vec<String>>, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn number(this: &Lookup, name: &str) -> Result<Option<f64>, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flag(this: &Lookup, name: &str) -> Result<Option<bool>, JsValue>;
}

/// What an environment comes to, without the credential and without a client.
#[wasm_bindgen(js_name = describeSettings)]
pub fn describe_settings(env: &Lookup, provider: Option<String>) -> Result<JsValue, JsValue> {
    let builder = from_environment(provider_of(provider)?, env)?;
    plain(&builder.build().map_err(thrown)?.describe())
}

/// The settings of a client: those of the environment, where there is one, overruled by options.
pub(crate) fn settings(options: &Lookup, env: Option<Lookup>) -> Result<Settings, JsValue> {
    let provider = provider_of(options.text("provider")?)?;
    let builder = match env {
        Some(env) => from_environment(provider, &env)?,
        None => SettingsBuilder::new(provider),
    };
    let settings = apply(builder, options)?.build().map_err(thrown)?;
    honourable(&settings).map_err(thrown)?;
    Ok(settings)
}

fn provider_of(text: Option<String>) -> Result<Provider, JsValue> {
    text.map_or(Ok(Provider::OpenBao), |text| text.parse().map_err(thrown))
}

/// What the environment throws reaches the caller.
fn from_environment(provider: Provider, env: &Lookup) -> Result<SettingsBuilder, JsValue> {
    let fault = RefCell::new(None);
    let builder = SettingsBuilder::from_lookup(provider, |key| {
        env.text(key).unwrap_or_else(|error| {
            fault.borrow_mut().get_or_insert(error);
            None
        })
    });
    match fault.into_inner() {
        Some(error) => Err(error),
        None => Ok(builder),
    }
}

fn apply(mut builder: SettingsBuilder, options: &Lookup) -> Result<SettingsBuilder, JsValue> {
    if let Some(urls) = options.texts("urls")? {
        builder = builder.urls(urls);
    }
    if let Some(token) = options.text("token")? {
        builder = builder.credential(Credential::token(token));
    }
    // One half of a pair without the other: core refuses the half that is empty.
    let pair = |one, other| Ok::<_, JsValue>((options.text(one)?, options.text(other)?));
    if let (role_id, secret_id) = pair("roleId", "secretId")?
        && (role_id.is_some() || secret_id.is_some())
    {
        let credential = Credential::app_role(role_id.unwrap_or_default(), secret_id.unwrap_or_default());
        builder = builder.credential(credential.map_err(thrown)?);
    }
    if let Some(namespace) = options.text("namespace")? {
        builder = builder.namespace(&namespace);
    }
    let pem = |text: Option<String>| Pem::Text(text.unwrap_or_default().into());
    if let Some(text) = options.text("caPem")? {
        builder = builder.ca(pem(Some(text)));
    }
    if let (certificate, key) = pair("clientCertificatePem", "clientKeyPem")?
        && (certificate.is_some() || key.is_some())
    {
        builder = builder.client_certificate(pem(certificate), pem(key));
    }
    if let Some(verify) = options.flag("verifyTls")? {
        builder = builder.verify_tls(verify);
    }
    if let Some(seconds) = options.number("timeout")? {
        let beyond = if seconds > 0.0 { Duration::MAX } else { Duration::ZERO };
        builder = builder.deadline(Duration::try_from_secs_f64(seconds).unwrap_or(beyond));
    }
    if let Some(size) = options.number("poolSize")? {
        builder = builder.pool_size(whole(size));
    }
    if let Some(operations) = options.number("maxConcurrent")? {
        builder = builder.max_concurrent(whole(operations));
    }
    if let Some(id) = options.text("tenantId")? {
        builder = builder.tenant_id(id);
    }
    if let Some(mounts) = options.texts("allowedMounts")? {
        builder = builder.allowed_mounts(mounts);
    }
    if let Some(accept) = options.flag("acceptLegacy")? {
        builder = builder.accept_legacy(accept);
    }
    Ok(builder)
}

/// A count; 0, which core refuses, for what is none.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> usize {
    if number.fract() == 0.0 { number as usize } else { 0 }
}

/// `fetch` takes its authorities and certificates from the runtime, so that a setting about them
/// would be ignored; it is refused instead.
fn honourable(settings: &Settings) -> baokit_core::Result<()> {
    let tls = settings.tls();
    let setting = if tls.ca().is_some() {
        "caPem, or *_CACERT, REQUESTS_CA_BUNDLE, SSL_CERT_FILE"
    } else if tls.client().is_some() {
        "clientCertificatePem, or *_CLIENT_CERT"
    } else if !tls.verify() {
        "verifyTls, or *_VERIFY_SSL"
    } else {
        return Ok(());
    };
    let reason = "fetch can't honour it: TLS is set up in the runtime (in Node by NODE_EXTRA_CA_CERTS, for instance)";
    Err(Error::new(Code::InvalidSetting).about(setting).because(reason))
}
