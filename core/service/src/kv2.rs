//! Operations on secrets of KVv2: each is one of the client's own, and what the Secrets API adds to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baokit_core::uri::SecretUri;
use baokit_core::{
    Client, Code as CoreCode, Error as CoreError, Host, Metadata, MetadataChange, Partition, ReadOptions, SecretValue,
    Version, Versions,
};
use serde_json::{Value, json};

use crate::audit::rfc3339;
use crate::caller::{Caller, SenderKey};
use crate::error::{Code, Error, Result};
use crate::operation::{Operation, Outcome, Window};
use crate::policy::{Key, ResourceAttributes};
use crate::providers::{Changed, Found, Listed, VersionEntry, VersionList};
use crate::purpose::Purpose;
use crate::resource::Resource;

/// How many names a list looks at before it gives up counting.
const MAX_NAMES: usize = 100_000;
const NAMES_A_PAGE: usize = 10_000;

const CREATED_BY: &str = "created_by";
const CREATED_AT: &str = "created_at";
const OWNER: &str = "owner";
/// Longest value of `custom_metadata` that OpenBao takes, in bytes.
const MAX_MARK: usize = 512;

/// On whose behalf something is done, and when: what is stamped on a secret at its first write, and for whom a read is
/// kept where the client has a cache.
pub(crate) struct Behalf<'a> {
    pub caller: &'a Arc<Caller>,
    pub wall: Duration,
}

/// Carries out what was permitted.
pub(crate) async fn carry_out<H: Host>(
    client: &Client<H>,
    resource: &Resource,
    operation: Operation,
    behalf: &Behalf<'_>,
) -> Result<Outcome> {
    if let Resource::Prefix(prefix) = resource {
        return match operation {
            Operation::List(window) => list(client, prefix.as_str(), window).await,
            Operation::Search(text, window) => search(client, prefix.as_str(), &text, window).await,
            _ => Err(Error::new(Code::OperationNotSupported)),
        };
    }
    let uri = resource.uri()?.uri();
    let text = uri.as_str();
    match operation {
        Operation::Read => {
            let secret = client.read_uri(uri, behalf.reading(client)).await?;
            let version = secret.version();
            Ok(Outcome::Value(Found::new(secret.into_value()).with_version(version)))
        }
        Operation::Write(value) => {
            let change = client.write(text, prepared(client, uri, value, behalf).await?).await?;
            Ok(changed(change.old_version, change.new_version))
        }
        Operation::Rotate(value) => {
            let change = client.rotate(text, prepared(client, uri, value, behalf).await?).await?;
            Ok(changed(change.old_version, change.new_version))
        }
        Operation::Delete => done(client.delete(text).await),
        Operation::DestroyAll => {
            refuse_parts(uri)?;
            done(client.kv2_delete_key(uri.mount_wire(), uri.path_wire()).await)
        }
        Operation::Undelete(versions) => done(client.undelete(text, &versions).await),
        Operation::Destroy(versions) => done(client.destroy(text, &versions).await),
        Operation::Versions => Ok(Outcome::Versions(versions(&client.versions(text).await?))),
        Operation::Metadata => Ok(Outcome::Metadata(detail(&client.metadata(text).await?))),
        Operation::Keys => keys(client, uri).await,
        Operation::SetOwner(owner) => done(client.set_owner(text, &owner).await),
        Operation::List(_) | Operation::Search(..) => Err(Error::new(Code::OperationNotSupported)),
    }
}

/// There was no version before the first.
fn changed(old: u64, new: u64) -> Outcome {
    Outcome::Changed(Changed::new((old > 0).then_some(old), Some(new)))
}

fn versions(there: &Versions) -> VersionList {
    let each = |version: &Version| {
        let mut entry = VersionEntry::new(version.version());
        entry.created_time = Some(version.created_time().to_owned());
        entry.deletion_time = version.deletion_time().map(str::to_owned);
        entry.destroyed = version.is_destroyed();
        entry
    };
    let mut list = VersionList::new(there.versions().iter().map(each).collect());
    list.current_version = Some(there.current_version());
    list
}

fn detail(metadata: &Metadata) -> Value {
    let list = versions(metadata.versions());
    json!({
        "current_version": list.current_version,
        "versions": list.versions,
        "oldest_version": metadata.oldest_version(),
        "created_time": metadata.created_time(),
        "updated_time": metadata.updated_time(),
        "max_versions": metadata.max_versions(),
        "cas_required": metadata.is_cas_required(),
        "delete_version_after_seconds": metadata.delete_version_after().as_secs(),
        "custom_metadata": metadata.custom_metadata(),
    })
}

fn done(result: baokit_core::Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Done).map_err(Error::from)
}

/// With a fragment a value is that of its key, or an object of that key alone.
fn of_fragment(uri: &SecretUri, mut value: SecretValue) -> Result<SecretValue> {
    if uri.version().is_some() {
        return Err(CoreError::new(CoreCode::VersionNotAllowed).about(uri.to_string()).into());
    }
    let Some(fragment) = uri.fragment() else { return Ok(value) };
    let Value::Object(map) = value.expose() else { return Ok(value) };
    if map.len() != 1 || !map.contains_key(fragment.as_ref()) {
        let reason = "with a fragment, a value is no object, or one of that key alone";
        return Err(CoreError::new(CoreCode::InvalidValue).about(uri.to_string()).because(reason).into());
    }
    if let Value::Object(map) = value.expose_mut() {
        return Ok(map.remove(fragment.as_ref()).unwrap_or_default().into());
    }
    Ok(value)
}

/// What is to be written, once it is known to be accepted and the secret bears its stamp: one that is stamped and then
/// refused would be left without a version.
async fn prepared<H: Host>(
    client: &Client<H>,
    uri: &SecretUri,
    value: SecretValue,
    behalf: &Behalf<'_>,
) -> Result<SecretValue> {
    let value = of_fragment(uri, value)?;
    client.check_value(uri, &value)?;
    stamp_first(client, uri, behalf).await?;
    Ok(value)
}

fn refuse_parts(uri: &SecretUri) -> Result<()> {
    let code = match (uri.fragment(), uri.version()) {
        (Some(_), _) => CoreCode::FragmentNotAllowed,
        (None, Some(_)) => CoreCode::VersionNotAllowed,
        (None, None) => return Ok(()),
    };
    Err(CoreError::new(code).about(uri.to_string()).into())
}

/// Stamps a secret that was never written: the metadata first, which only the first of several writers can make.
///
/// Where the token may not touch the metadata, the secret is written without a stamp.
async fn stamp_first<H: Host>(client: &Client<H>, uri: &SecretUri, behalf: &Behalf<'_>) -> Result<()> {
    let stamped = match client.metadata(uri.whole().as_str()).await {
        Ok(metadata) if metadata.versions().current_version() == 0 => stamp_there(client, uri, &metadata, behalf).await,
        Err(error) if error.code() == CoreCode::SecretNotFound => {
            let change = behalf.change(&BTreeMap::new());
            client.kv2_write_metadata(uri.mount_wire(), uri.path_wire(), &change, Some(0)).await
        }
        result => result.map(drop),
    };
    match stamped {
        Err(error) if matches!(error.code(), CoreCode::CasConflict | CoreCode::PermissionDenied) => Ok(()),
        result => result.map_err(Error::from),
    }
}

/// Stamps a secret that has metadata, unless it is known who made it. An owner who was named before stays.
async fn stamp_there<H: Host>(
    client: &Client<H>,
    uri: &SecretUri,
    metadata: &Metadata,
    behalf: &Behalf<'_>,
) -> baokit_core::Result<()> {
    let there = metadata.custom_metadata();
    if there.contains_key(CREATED_BY) {
        return Ok(());
    }
    let (change, cas) = (behalf.change(there), metadata.versions().metadata_version());
    client.kv2_patch_metadata(uri.mount_wire(), uri.path_wire(), &change, cas).await
}

impl Behalf<'_> {
    /// What is cached for one caller is never served to another, though both are permitted what they read.
    fn reading<H: Host>(&self, client: &Client<H>) -> ReadOptions {
        let (settings, options) = (client.settings(), ReadOptions::new());
        if settings.cache().is_none() {
            return options;
        }
        let Caller { issuer, subject, client_id, sender_key, .. } = &**self.caller;
        let principal = Key::of("principal", &[issuer.as_deref(), subject.as_deref(), client_id.as_deref()]).to_hex();
        let (tenant, sender_key) = (settings.tenant().tenant(), sender_key.as_ref().map(SenderKey::thumbprint));
        options.partition(Partition::new(tenant, &principal, Purpose::Execute.as_str(), sender_key))
    }

    fn change(&self, there: &BTreeMap<String, String>) -> MetadataChange {
        // A longer subject is cut: the first write would be refused for its sake.
        let subject = self.caller.subject();
        let end = (0..=MAX_MARK.min(subject.len())).rev().find(|end| subject.is_char_boundary(*end));
        let subject = subject.get(..end.unwrap_or_default()).unwrap_or_default();
        let marks = [(CREATED_BY, subject.to_owned()), (CREATED_AT, rfc3339(self.wall)), (OWNER, subject.to_owned())];
        let missing = marks.into_iter().filter(|(key, _)| !there.contains_key(*key));
        missing.fold(MetadataChange::new(), |change, (key, value)| change.custom(key, value))
    }
}

/// Copies a secret, and stamps the destination where it is a new one. The first part of what comes of it is the version
/// of the source.
pub(crate) async fn transfer<H: Host>(
    client: &Client<H>,
    from: &Resource,
    to: &Resource,
    overwrite: bool,
    moves: bool,
    behalf: Behalf<'_>,
) -> Result<(u64, Outcome)> {
    let (from, to) = (from.uri()?.uri(), to.uri()?.uri());
    let copied = if moves {
        client.move_to(from.as_str(), to.as_str(), overwrite).await?
    } else {
        client.copy(from.as_str(), to.as_str(), overwrite).await?
    };
    if copied.old_version == 0 {
        // It is stamped when it is made, since a source that is not there must leave nothing behind; and that it bears
        // no stamp does not unmake it.
        if let Ok(metadata) = client.metadata(to.as_str()).await {
            let _ = stamp_there(client, to, &metadata, &behalf).await;
        }
    }
    Ok((copied.source_version, changed(copied.old_version, copied.new_version)))
}

async fn keys<H: Host>(client: &Client<H>, uri: &SecretUri) -> Result<Outcome> {
    refuse_parts(uri)?;
    let keys = client.kv2_subkeys(uri.mount_wire(), uri.path_wire(), None, 1, ReadOptions::new()).await?;
    let names = match keys.expose() {
        Value::Object(map) => map.keys().cloned().collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let count = names.len();
    Ok(Outcome::Items(Listed::new(names, count)))
}

async fn list<H: Host>(client: &Client<H>, prefix: &str, window: Window) -> Result<Outcome> {
    let mut pages = client.list(prefix)?.limit(NAMES_A_PAGE);
    let (mut names, mut complete) = (Vec::new(), false);
    while names.len() < MAX_NAMES && !complete {
        match pages.next(client).await? {
            Some(page) => names.extend(page),
            None => complete = true,
        }
    }
    Ok(part(names, complete, window))
}

async fn search<H: Host>(client: &Client<H>, prefix: &str, text: &str, window: Window) -> Result<Outcome> {
    let found = client.search(prefix, text).await?;
    Ok(part(found.uris.iter().map(ToString::to_string).collect(), found.is_complete, window))
}

fn part(items: Vec<String>, complete: bool, window: Window) -> Outcome {
    let total = items.len();
    let shown = items.into_iter().skip(window.offset).take(window.limit.min(Window::MOST));
    Outcome::Items(Listed { complete, ..Listed::new(shown.collect(), total) })
}

/// What a PDP is told of a secret: three of the keys of its `custom_metadata`.
///
/// A secret that is not there has none: a PDP that denies what it knows nothing of answers the same for it.
pub(crate) async fn attributes<H: Host>(client: &Client<H>, uri: &SecretUri) -> Result<ResourceAttributes> {
    match client.metadata(uri.whole().as_str()).await {
        Ok(metadata) => Ok(ResourceAttributes::of(metadata.custom_metadata())),
        Err(error) if error.code() == CoreCode::SecretNotFound => Ok(ResourceAttributes::default()),
        Err(error) => Err(error.into()),
    }
}
