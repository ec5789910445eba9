//! The calls of the KVv2 secrets engine on one secret: `mount/data/path`, `mount/metadata/path` and the rest.
//! Its versions are in [`versions`], what lies in a folder in [`list`], the settings of the mount in [`config`],
//! metadata as a whole and changes of it in [`super::metadata`].

pub(crate) mod config;
pub(crate) mod list;
mod versions;

#[cfg(feature = "cache")]
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::metadata::Metadata;
use super::object::Object;
#[cfg(feature = "cache")]
use super::time::since_epoch;
use super::{Answer, Call, Replay, Spec};
use crate::error::{Code, Error, Result};
use crate::http::Method;
use crate::secret::{MAX_DEPTH, Secret, SecretValue, require_depth};
use crate::session::floors::Sighting;
use crate::uri::SecretUri;
use crate::uri::path::{Mount, SecretPath};
pub(crate) use versions::metadata;
pub use versions::{Version, Versions};

/// Mount and path of one secret, escaped for the wire. It can only be made of validated parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    mount: &'a str,
    path: &'a str,
}

impl<'a> Address<'a> {
    pub fn new(mount: &'a Mount, path: &'a SecretPath) -> Self {
        Self { mount: mount.wire(), path: path.wire() }
    }

    pub fn of(uri: &'a SecretUri) -> Self {
        Self { mount: uri.mount_wire(), path: uri.path_wire() }
    }

    #[cfg(test)]
    pub fn for_test(mount: &'a str, path: &'a str) -> Self {
        Self { mount, path }
    }

    /// Mount and path, by which a client remembers what it has seen of the secret.
    pub fn key(self) -> String {
        [self.mount, "/", self.path].concat()
    }

    /// The path of its data as OpenBao's policies name it.
    #[cfg(feature = "cache")]
    pub fn data_path(self) -> String {
        [self.mount, "/data/", self.path].concat()
    }

    /// The path of its metadata as OpenBao's policies name it, for error texts.
    pub fn metadata_path(self) -> String {
        [self.mount, "/metadata/", self.path].concat()
    }

    /// Mount and path as on the wire.
    pub fn parts(self) -> (&'a str, &'a str) {
        (self.mount, self.path)
    }

    pub(super) fn target(self, endpoint: &str) -> String {
        ["/v1/", self.mount, "/", endpoint, "/", self.path].concat()
    }
}

/// What a version holds.
#[derive(Debug)]
pub(crate) enum Held {
    /// Data that can be read.
    Data(Secret),
    /// Deleted, can be undeleted.
    Deleted { version: u64, created_time: String, deletion_time: String },
    /// Destroyed for good.
    Destroyed { version: u64, created_time: String },
    /// No such key, or no such version.
    Nothing,
}

impl Held {
    /// The version that answered, 0 where there was none; it is what `cas` must say to follow it.
    pub fn version(&self) -> u64 {
        match self {
            Self::Data(secret) => secret.version,
            Self::Deleted { version, .. } | Self::Destroyed { version, .. } => *version,
            Self::Nothing => 0,
        }
    }

    /// What it shows of the secret.
    pub fn sighting(&self) -> Sighting {
        match self {
            Self::Data(secret) => Sighting::of(secret.version, &secret.created_time, Some(false)),
            Self::Deleted { version, created_time, .. } | Self::Destroyed { version, created_time } => {
                Sighting::of(*version, created_time, Some(true))
            }
            Self::Nothing => Sighting::default(),
        }
    }
}

/// What a read of one secret shows.
#[derive(Debug)]
pub(crate) enum Shown {
    /// A version of its data.
    Data(Held),
    /// The versions in its metadata; none where there is no such secret.
    Versions(Option<Versions>),
    /// Its metadata as a whole; none where there is no such secret.
    Metadata(Option<Box<Metadata>>),
}

impl Shown {
    /// What can be compared with what was seen before.
    pub fn sighting(&self) -> Sighting {
        match self {
            Self::Data(held) => held.sighting(),
            Self::Versions(_) | Self::Metadata(_) => self.versions().map_or_else(Sighting::default, Versions::sighting),
        }
    }

    /// The versions that its metadata tells of.
    pub fn versions(&self) -> Option<&Versions> {
        match self {
            Self::Data(_) => None,
            Self::Versions(versions) => versions.as_ref(),
            Self::Metadata(metadata) => metadata.as_ref().map(|metadata| metadata.versions()),
        }
    }

    /// The version of the data that was read.
    pub fn held(self) -> Held {
        match self {
            Self::Data(held) => held,
            Self::Versions(_) | Self::Metadata(_) => Held::Nothing,
        }
    }
}

/// What is read of a secret's metadata, which is as much as a caller wants of it.
pub(crate) trait OfMetadata: Sized {
    fn call(at: Address<'_>) -> Call<Shown>;

    fn of(shown: Shown) -> Option<Self>;
}

/// `GET mount/data/path`, of the newest version where none is named.
pub(crate) fn read(at: Address<'_>, version: Option<u64>) -> Call<Shown> {
    let mut target = at.target("data");
    if let Some(version) = version {
        target.push_str("?version=");
        target.push_str(&version.to_string());
    }
    Call::new(Method::Get, target, Replay::Idempotent, |spec, answer| {
        shown(spec, answer, |data| held(data, "data", true), |data| held(data, "data", false))
    })
}

/// `GET mount/subkeys/path`: the same with the names of the keys only, so many levels deep (0 for all).
pub(crate) fn subkeys(at: Address<'_>, version: Option<u64>, depth: u64) -> Call<Shown> {
    let target = format!("{}?version={}&depth={depth}", at.target("subkeys"), version.unwrap_or_default());
    Call::new(Method::Get, target, Replay::Idempotent, |spec, answer| {
        shown(spec, answer, |data| held(data, "subkeys", true), |data| held(data, "subkeys", false))
    })
}

type ReadHeld = fn(Object) -> Option<Option<Held>>;

/// What a read of data shows, of a version that is found or of one that is gone.
fn shown(spec: &Spec, answer: Answer, found: ReadHeld, gone: ReadHeld) -> Result<Shown> {
    if answer.is_of_nothing() {
        return Ok(Shown::Data(Held::Nothing));
    }
    // A deleted version answers 404 with the document of a success.
    if !answer.is_success() && !answer.is_of_gone() {
        return Err(answer.into_error(spec));
    }
    let read = if answer.is_success() { found } else { gone };
    answer.part(spec, "data", read)?.map(Shown::Data).ok_or_else(|| another_engine(spec))
}

/// The engine at the mount is another one, KVv1 most likely.
pub(super) fn another_engine(spec: &Spec) -> Error {
    let reason = "the mount answers as KVv1 does, where data/ and metadata/ are parts of a path like any other";
    Error::new(Code::UnsupportedEngine).about(spec.path().to_owned()).because(reason)
}

/// None inside where it is no answer of KVv2's.
fn held(mut data: Object, part: &str, found: bool) -> Option<Option<Held>> {
    if found && !data.has("metadata") {
        return Some(None);
    }
    let value = data.take(part);
    let metadata = data.object("metadata")?;
    let (version, created_time) = (metadata.number("version")?, metadata.time("created_time")?);
    // `{"data": null}` was written: a secret that is null is not one that is gone.
    if found || !value.expose().is_null() {
        let custom_metadata = metadata.texts("custom_metadata")?;
        return Some(Some(Held::Data(Secret {
            version,
            created_time,
            custom_metadata,
            value,
            #[cfg(feature = "cache")]
            ends: ends(&metadata.time("deletion_time")?),
        })));
    }
    Some(Some(if metadata.flag("destroyed")? {
        Held::Destroyed { version, created_time }
    } else {
        Held::Deleted { version, created_time, deletion_time: metadata.time("deletion_time")? }
    }))
}

/// When a version that is there deletes itself. It is not kept where that can't be read.
#[cfg(feature = "cache")]
fn ends(deletion_time: &str) -> Duration {
    if deletion_time.is_empty() { Duration::MAX } else { since_epoch(deletion_time).unwrap_or_default() }
}

#[derive(Serialize)]
struct WriteBody<'a> {
    data: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<WriteOptions>,
}

#[derive(Serialize)]
struct WriteOptions {
    cas: u64,
}

/// The version that a write made.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// let data = serde_json::json!({"token": "one"}).into();
/// let written = client.kv2_write("secret", "app", &data, Some(0)).await?;
/// println!("version {} at {}", written.version(), written.created_time());
/// # assert_eq!(written.version(), 1);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    version: u64,
    created_time: String,
}

impl Written {
    pub(crate) fn new(version: u64, created_time: String) -> Self {
        Self { version, created_time }
    }

    /// The version, counted from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it was written: RFC 3339 in UTC, by the server's clock.
    #[must_use]
    pub fn created_time(&self) -> &str {
        &self.created_time
    }
}

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Wrote {
    Version(Written),
    /// The check-and-set parameter did not match, if the node that says so is to be believed, and if it
    /// was not an earlier try of the same write that moved the version.
    Mismatch(Error),
}

/// `POST mount/data/path`. With `cas` it can be sent again without making a second version.
pub(crate) fn write(at: Address<'_>, data: &SecretValue, cas: Option<u64>) -> Result<Call<Wrote>> {
    make(Method::Post, at, data, cas, |spec, answer| {
        if answer.response.status() == 204 {
            // It is stored all the same, at data/ below the mount.
            return Err(another_engine(spec));
        }
        wrote(spec, answer)
    })
}

/// `PATCH mount/data/path`: merges this into the newest version. With `cas` it can be sent again.
pub(crate) fn patch(at: Address<'_>, changes: &SecretValue, cas: Option<u64>) -> Result<Call<Wrote>> {
    make(Method::Patch, at, changes, cas, |spec, answer| {
        // Without a body where there is no such secret, with one where its newest version is gone.
        if answer.is_of_nothing() || answer.is_of_gone() {
            let reason = "there is nothing to be patched";
            return Err(Error::new(Code::NotFound).about(spec.path().to_owned()).because(reason));
        }
        wrote(spec, answer)
    })
}

fn make(
    method: Method,
    at: Address<'_>,
    data: &SecretValue,
    cas: Option<u64>,
    read: fn(&Spec, Answer) -> Result<Wrote>,
) -> Result<Call<Wrote>> {
    let replay = if cas.is_some() { Replay::Guarded } else { Replay::Unsafe };
    require_depth(data, MAX_DEPTH)?;
    let body = WriteBody { data: data.expose(), options: cas.map(|cas| WriteOptions { cas }) };
    Call::with_body(method, at.target("data"), replay, &body, read)
}

fn wrote(spec: &Spec, answer: Answer) -> Result<Wrote> {
    if answer.is_success() {
        let written = |data: Object| Some(Written::new(data.number("version")?, data.time("created_time")?));
        return answer.data_as(spec, written).map(Wrote::Version);
    }
    let error = answer.into_error(spec);
    if error.code() == Code::CasConflict { Ok(Wrote::Mismatch(error)) } else { Err(error) }
}

/// `DELETE mount/data/path`: deletes whatever version is the newest when it arrives, so that a
/// second one could delete a version that came in between.
pub(crate) fn delete_latest(at: Address<'_>) -> Call<()> {
    Call::new(Method::Delete, at.target("data"), Replay::Unsafe, Answer::nothing)
}

#[derive(Serialize)]
struct VersionsBody<'a> {
    versions: &'a [u64],
}

/// What is done to versions that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A late one hides a version again, which undelete mends.
    Delete,
    /// A late one brings back what was deleted since.
    Undelete,
    /// Twice is the same as once.
    Destroy,
}

impl Fate {
    fn endpoint(self) -> (&'static str, Replay) {
        match self {
            Self::Delete => ("delete", Replay::Repeatable),
            Self::Undelete => ("undelete", Replay::Unsafe),
            Self::Destroy => ("destroy", Replay::Repeatable),
        }
    }

    /// Whether it was done to this version, or can't be done any more.
    pub fn is_done(self, held: &Held) -> bool {
        match (self, held) {
            (_, Held::Nothing | Held::Destroyed { .. }) => true,
            (Self::Undelete, held) => matches!(held, Held::Data(_)),
            (Self::Destroy, _) => false,
            (Self::Delete, held) => !matches!(held, Held::Data(_)),
        }
    }
}

/// `POST mount/delete/path`, `mount/undelete/path` or `mount/destroy/path`.
pub(crate) fn change_versions(at: Address<'_>, fate: Fate, versions: &[u64]) -> Result<Call<()>> {
    let (endpoint, replay) = fate.endpoint();
    Call::with_body(Method::Post, at.target(endpoint), replay, &VersionsBody { versions }, Answer::nothing)
}
