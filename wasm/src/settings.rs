//! Options and environments on their way into core's settings, which judges all of them.

use baokit_core::config::{Options, Settings, SettingsBuilder};
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
    plain(&judged(Options { provider, ..Options::default() }, Some(env))?.describe())
}

/// The settings of a client: those of the environment, where there is one, overruled by options.
pub(crate) fn settings(options: &Lookup, env: Option<&Lookup>) -> Result<Settings, JsValue> {
    let settings = judged(read(options)?, env)?;
    honourable(&settings).map_err(thrown)?;
    Ok(settings)
}

/// What core makes of them. What the environment throws reaches the caller.
fn judged(options: Options, env: Option<&Lookup>) -> Result<Settings, JsValue> {
    let lookup = |key: &str| env.map_or(Ok(None), |env| env.text(key));
    SettingsBuilder::from_options(options, lookup)?.build().map_err(thrown)
}

fn read(options: &Lookup) -> Result<Options, JsValue> {
    Ok(Options {
        provider: options.text("provider")?,
        url: options.text("url")?,
        urls: options.texts("urls")?,
        token: options.text("token")?,
        role_id: options.text("roleId")?,
        secret_id: options.text("secretId")?,
        namespace: options.text("namespace")?,
        ca_pem: options.text("caPem")?,
        client_certificate_pem: options.text("clientCertificatePem")?,
        client_key_pem: options.text("clientKeyPem")?,
        verify_tls: options.flag("verifyTls")?,
        timeout: options.number("timeout")?,
        renewal_threshold: options.number("renewalThreshold")?,
        pool_size: options.number("poolSize")?,
        max_concurrent: options.number("maxConcurrent")?,
        tenant_id: options.text("tenantId")?,
        allowed_mounts: options.texts("allowedMounts")?,
        accept_legacy: options.flag("acceptLegacy")?,
    })
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
