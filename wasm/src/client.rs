//! The operations: core's, each as a task.

use std::rc::Rc;

use baokit_core::{Change, ReadOptions, Result, Versions, Written};
use wasm_bindgen::prelude::*;

use crate::host::FetchHost;
use crate::settings::{Lookup, settings};
use crate::shapes;
use crate::task::RawTask;
use crate::values::{RawSecret, custom, number, plain, secret_value, thrown};

type Core = baokit_core::Client<FetchHost>;

#[wasm_bindgen(raw_module = "../host.js")]
extern "C" {
    fn warn(code: &str, text: &str);
}

/// A client of one OpenBao cluster.
#[wasm_bindgen]
pub struct RawClient(Rc<Core>);

impl RawClient {
    /// Runs an operation on the client; `show` makes its result one of JavaScript.
    fn run<T: 'static, F>(
        &self,
        operation: impl FnOnce(Rc<Core>) -> F,
        show: impl FnOnce(T) -> Result<JsValue, JsValue> + 'static,
    ) -> RawTask
    where
        F: Future<Output = Result<T>> + 'static,
    {
        let work = operation(self.0.clone());
        RawTask::new(self.0.settings().deadline(), async move { show(work.await.map_err(thrown)?) })
    }
}

#[wasm_bindgen]
impl RawClient {
    /// A client with these options, above those of the environment where there is one.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &Lookup, env: Option<Lookup>, fetch: JsValue) -> Result<RawClient, JsValue> {
        let settings = settings(options, env.as_ref())?;
        for warning in settings.warnings() {
            warn(warning.code().as_str(), warning.text());
        }
        Ok(RawClient(Rc::new(Core::new(FetchHost::new(fetch), settings))))
    }

    /// The settings, without the credential.
    pub fn settings(&self) -> Result<JsValue, JsValue> {
        plain(&self.0.settings().describe())
    }

    /// Parses a prefix and shows it to the guard of the tenant's mounts.
    #[wasm_bindgen(js_name = admitPrefix)]
    pub fn admit_prefix(&self, text: &str) -> Result<String, JsValue> {
        let admitted = self.0.settings().admit_prefix(text).map_err(thrown)?;
        Ok(admitted.prefix().as_str().to_owned())
    }

    /// Wipes token and credential.
    pub fn close(&self) {
        self.0.close();
    }

    /// Reads a secret, or one key of it.
    pub fn read(&self, uri: String) -> RawTask {
        self.run(|core| async move { core.read(&uri).await }, RawSecret::of)
    }

    /// Writes a secret, or one key of it. `value` is JSON.
    pub fn write(&self, uri: String, value: String) -> Result<RawTask, JsValue> {
        let value = secret_value(value)?;
        Ok(self.run(|core| async move { core.write(&uri, value).await }, change))
    }

    /// Replaces a value. `value` is JSON.
    pub fn rotate(&self, uri: String, value: String) -> Result<RawTask, JsValue> {
        let value = secret_value(value)?;
        Ok(self.run(|core| async move { core.rotate(&uri, value).await }, change))
    }

    /// Deletes the newest version, or the pinned one.
    pub fn delete(&self, uri: String) -> RawTask {
        self.run(|core| async move { core.delete(&uri).await }, nothing)
    }

    /// The versions of a secret.
    pub fn versions(&self, uri: String) -> RawTask {
        self.run(|core| async move { core.versions(&uri).await }, versions)
    }

    /// Reads below the level of URIs.
    #[wasm_bindgen(js_name = kv2Read)]
    pub fn kv2_read(&self, mount: String, path: String, version: Option<u64>) -> RawTask {
        self.run(|core| async move { core.kv2_read(&mount, &path, version, ReadOptions::new()).await }, RawSecret::of)
    }

    /// Writes below the level of URIs. `data` is JSON.
    #[wasm_bindgen(js_name = kv2Write)]
    pub fn kv2_write(&self, mount: String, path: String, data: String, cas: Option<u64>) -> Result<RawTask, JsValue> {
        let data = secret_value(data)?;
        Ok(self.run(|core| async move { core.kv2_write(&mount, &path, &data, cas).await }, written))
    }

    /// Deletes below the level of URIs.
    #[wasm_bindgen(js_name = kv2Delete)]
    pub fn kv2_delete(&self, mount: String, path: String, versions: Vec<u64>) -> RawTask {
        self.run(|core| async move { core.kv2_delete(&mount, &path, &versions).await }, nothing)
    }

    /// Lists versions below the level of URIs.
    #[wasm_bindgen(js_name = kv2Versions)]
    pub fn kv2_versions(&self, mount: String, path: String) -> RawTask {
        self.run(|core| async move { core.kv2_versions(&mount, &path).await }, versions)
    }

    /// Sends what baokit does not model. `body` is JSON.
    pub fn request(&self, method: String, path: String, body: Option<String>) -> Result<RawTask, JsValue> {
        let body = body.map(secret_value).transpose()?;
        Ok(self.run(|core| async move { core.request(&method, &path, body.as_ref()).await }, RawSecret::bare))
    }

    /// What OpenBao says of the client's token.
    #[wasm_bindgen(js_name = lookupSelf)]
    pub fn lookup_self(&self) -> RawTask {
        self.run(
            |core| async move { core.lookup_self().await },
            |token| {
                let (ttl, uses) = (number(token.ttl()), number(token.num_uses()));
                let shape = shapes::Token::new(token.accessor(), ttl, token.is_renewable(), uses);
                token.policies().iter().for_each(|policy| shape.add(policy));
                Ok(shape.into())
            },
        )
    }

    /// Renews the client's token.
    #[wasm_bindgen(js_name = renewSelf)]
    pub fn renew_self(&self, increment: Option<u64>) -> RawTask {
        self.run(
            |core| async move { core.renew_self(increment).await },
            |renewal| Ok(shapes::renewal(number(renewal.lease_duration()), renewal.is_renewable())),
        )
    }
}

fn nothing((): ()) -> Result<JsValue, JsValue> {
    Ok(JsValue::UNDEFINED)
}

fn change(change: Change) -> Result<JsValue, JsValue> {
    Ok(shapes::change(number(change.old_version), number(change.new_version)))
}

fn written(written: Written) -> Result<JsValue, JsValue> {
    Ok(shapes::written(number(written.version()), written.created_time()))
}

fn versions(versions: Versions) -> Result<JsValue, JsValue> {
    let list = shapes::Versions::new(number(versions.current_version()), custom(versions.custom_metadata()));
    for version in versions.versions() {
        let deleted = version.deletion_time();
        list.add(number(version.version()), version.created_time(), deleted, version.is_destroyed());
    }
    Ok(list.into())
}
