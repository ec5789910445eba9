//! The way to a provider, behind a permit: that the mount is one of KVv2, which is seen once; and another provider
//! where the one that is asked can't be reached.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use baokit_core::uri::Provider;
use baokit_core::uri::tenant::TenantUri;
use baokit_core::{Client, Code as CoreCode, Error as CoreError, Family, Host};
use serde_json::Value;

use super::{Enforcer, Permit, Who};
use crate::error::{Code, Error, Result};
use crate::kv2::{self, Behalf};
use crate::operation::{Operation, Outcome};
use crate::policy::{ResourceAttributes, Store};
use crate::purpose::Purpose;
use crate::resource::Resource;
use crate::strategy;

/// The mounts that were seen to be of KVv2.
#[derive(Default)]
pub(super) struct Mounts(Mutex<BTreeSet<(Provider, String)>>);

impl Mounts {
    /// Sees that what is mounted there is of KVv2.
    ///
    /// A token that may not look goes on: it can do nothing there either, or meets KVv1 where it shows itself.
    pub async fn verify<H: Host>(&self, client: &Client<H>, mount: &str) -> Result<()> {
        let seen = (client.settings().provider(), mount.to_owned());
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&seen) {
            return Ok(());
        }
        match client.request("GET", &format!("sys/internal/ui/mounts/{mount}"), None).await {
            Ok(found) if !is_kv2(found.expose()) => {
                let error = CoreError::new(CoreCode::UnsupportedEngine).about(format!("mount \"{mount}\""));
                return Err(error.because("what is mounted there is not of KVv2").into());
            }
            Err(error) if error.code() != CoreCode::PermissionDenied => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(seen);
        Ok(())
    }
}

/// Whether this is OpenBao's description of a KVv2 mount.
fn is_kv2(document: &Value) -> bool {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str);
    text("/data/type") == Some("kv") && text("/data/options/version") == Some("2")
}

impl<H: Host, S: Store> Enforcer<H, S> {
    /// Carries an operation out. The second part is the provider that answered in place of the one that was asked.
    pub(super) async fn perform(
        &self,
        permit: &Permit,
        operation: Operation,
        wall: Duration,
    ) -> (Result<Outcome>, Option<String>) {
        let behalf = Behalf { caller: &permit.caller, wall };
        let is_read = matches!(operation, Operation::Read);
        match (self.perform_at(&permit.resource, operation, &behalf).await, &permit.resource) {
            (Err(error), Resource::Secret(uri)) if is_read && is_unreached(&error) => {
                self.read_elsewhere(uri, error, &behalf).await
            }
            (result, _) => (result, None),
        }
    }

    async fn perform_at(&self, resource: &Resource, operation: Operation, behalf: &Behalf<'_>) -> Result<Outcome> {
        if let Some(client) = self.client_of(resource) {
            self.verify_mount(client, resource).await?;
            return kv2::carry_out(client, resource, operation, behalf).await;
        }
        match self.providers.find(resource.as_str()) {
            Some(provider) => strategy::carry_out(&**provider, resource, operation).await,
            None => Err(Error::new(Code::OperationNotSupported)),
        }
    }

    pub(super) async fn verify_mount(&self, client: &Client<H>, resource: &Resource) -> Result<()> {
        match resource {
            Resource::Secret(uri) => self.mounts.verify(client, uri.mount_wire()).await,
            Resource::Prefix(prefix) => self.mounts.verify(client, prefix.mount_wire()).await,
            _ => Ok(()),
        }
    }

    /// The one look at a provider before the PDP is asked: what the PDP judges by, and no caller is shown.
    pub(super) async fn attributes(&self, purpose: Purpose, resource: &Resource) -> Result<ResourceAttributes> {
        match (self.attributes_at(resource).await, resource) {
            (Err(mut last), Resource::Secret(uri)) if purpose == Purpose::Execute && is_unreached(&last) => {
                for other in self.elsewhere(uri) {
                    match self.attributes_at(&other).await {
                        Err(error) if is_unreached(&error) => last = error,
                        result => return result,
                    }
                }
                Err(last)
            }
            (result, _) => result,
        }
    }

    async fn attributes_at(&self, resource: &Resource) -> Result<ResourceAttributes> {
        if let Some(client) = self.client_of(resource) {
            let Resource::Secret(uri) = resource else { return Ok(ResourceAttributes::default()) };
            // Whatever is mounted there, what a path of it means is known for KVv2 alone.
            self.verify_mount(client, resource).await?;
            return kv2::attributes(client, uri.uri()).await;
        }
        match self.providers.find(resource.as_str()) {
            Some(provider) => strategy::attributes(&**provider, resource).await,
            None => Ok(ResourceAttributes::default()),
        }
    }

    /// Reads from the other providers, until one can be reached: what it says counts, a refusal and an absent secret
    /// too. Each is another resource, so that the policies are asked about it too, and their refusal counts as well.
    async fn read_elsewhere(
        &self,
        asked: &TenantUri,
        mut last: Error,
        behalf: &Behalf<'_>,
    ) -> (Result<Outcome>, Option<String>) {
        let mut who = Who::admitted(behalf.caller.clone());
        for other in self.elsewhere(asked) {
            self.audit.metrics().circuit_open(asked.provider().as_str());
            let name = other.provider().to_owned();
            let result = match self.permit(&mut who, Purpose::Execute, other).await {
                Ok(permit) => self.perform_at(&permit.resource, Operation::Read, behalf).await,
                Err(error) if is_unreached(&error) => Err(error),
                Err(error) => return (Err(error), None),
            };
            match result {
                Err(error) if is_unreached(&error) => last = error,
                result => return (result, Some(name)),
            }
        }
        (Err(last), None)
    }

    /// The same mount and path at the other providers of `VAULT_FALLBACK_ORDER`.
    ///
    /// The guard is asked again: a provider that this host does not serve is passed over.
    fn elsewhere(&self, asked: &TenantUri) -> impl Iterator<Item = Resource> {
        let (scheme, rest) = asked.as_str().split_once("://").unwrap_or_default();
        let others = self.settings.fallback.iter().filter(move |provider| **provider != scheme);
        others.filter_map(move |provider| self.gate.secret(&format!("{provider}://{rest}"), None, None).ok())
    }
}

/// Whether nobody could be reached. That this client has too much to do itself says nothing of its provider.
fn is_unreached(error: &Error) -> bool {
    let is_own = |error: &CoreError| error.subject() == Some("VAULT_MAX_CONCURRENT_OPERATIONS");
    error.core().is_some_and(|error| error.code().family() == Family::Transport && !is_own(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_with_too_much_to_do_is_no_provider_out_of_reach() {
        let late = || CoreError::new(CoreCode::DeadlineExceeded);
        assert!(is_unreached(&late().into()));
        assert!(is_unreached(&late().about("secret/app").into()));
        assert!(!is_unreached(&late().about("VAULT_MAX_CONCURRENT_OPERATIONS").into()));
        assert!(!is_unreached(&CoreError::new(CoreCode::SecretNotFound).into()));
    }
}
