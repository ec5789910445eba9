//! A secret's metadata as a whole, `mount/metadata/path`: reading it, and changes of it. The reading of
//! versions alone is in [`super::kv2`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::kv2::{Address, OfMetadata, Shown, Versions, another_engine};
use super::object::Object;
use super::{Answer, Call, MOST_SECONDS, Replay, Spec, whole_seconds};
use crate::error::{Code, Error, Result};
use crate::http::Method;

/// OpenBao's limits for `custom_metadata`: how many keys, and the bytes of a key and of a value.
const MAX_KEYS: usize = 64;
const MAX_KEY_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 512;

/// What became of a change of metadata under `metadata_cas`.
#[derive(Debug)]
pub(crate) enum Changed {
    Done,
    /// The metadata is at another version, if the node that says so is to be believed: a standby that is
    /// behind judges by what it has.
    Mismatch,
}

/// `POST mount/metadata/path`: replaces `custom_metadata` if the metadata is at version `cas`, 0 where
/// there is none. The other fields stay as they are.
pub(crate) fn replace_custom(
    at: Address<'_>,
    custom_metadata: &BTreeMap<String, String>,
    cas: u64,
) -> Result<Call<Changed>> {
    #[derive(Serialize)]
    struct Body<'a> {
        metadata_cas: u64,
        custom_metadata: &'a BTreeMap<String, String>,
    }
    let body = Body { metadata_cas: cas, custom_metadata };
    Call::with_body(Method::Post, at.target("metadata"), Replay::Guarded, &body, changed)
}

fn changed(spec: &Spec, answer: Answer) -> Result<Changed> {
    if answer.is_success() {
        return Answer::nothing(spec, answer).map(|()| Changed::Done);
    }
    let error = answer.into_error(spec);
    if error.code() == Code::CasConflict { Ok(Changed::Mismatch) } else { Err(error) }
}

/// `DELETE mount/metadata/path`: the secret with all its versions. One that comes late removes what was
/// put in its place.
pub(crate) fn delete(at: Address<'_>) -> Call<()> {
    Call::new(Method::Delete, at.target("metadata"), Replay::Unsafe, Answer::nothing)
}

/// A secret's metadata: its versions, its settings and its `custom_metadata`.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
/// let metadata = client.metadata("openbao+kv2://secret/app").await?;
/// assert_eq!(metadata.versions().current_version(), 1);
/// assert!(metadata.delete_version_after().is_zero(), "the mount decides");
/// # Ok(())
/// # });
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Metadata {
    #[serde(flatten)]
    versions: Versions,
    created_time: String,
    updated_time: String,
    oldest_version: u64,
    max_versions: u64,
    cas_required: bool,
    metadata_cas_required: bool,
    delete_version_after: Duration,
}

impl Metadata {
    /// The versions that OpenBao still knows, the newest one's number, `custom_metadata`, and the version of
    /// the metadata itself.
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The key's `custom_metadata`.
    #[must_use]
    pub fn custom_metadata(&self) -> &BTreeMap<String, String> {
        self.versions.custom_metadata()
    }

    /// When the key was made: RFC 3339 in UTC, by the server's clock.
    #[must_use]
    pub fn created_time(&self) -> &str {
        &self.created_time
    }

    /// When the last version was written: RFC 3339 in UTC, by the server's clock.
    #[must_use]
    pub fn updated_time(&self) -> &str {
        &self.updated_time
    }

    /// The oldest version that was not pruned; 0 until one is.
    #[must_use]
    pub fn oldest_version(&self) -> u64 {
        self.oldest_version
    }

    /// How many versions are kept; 0 where the mount decides.
    #[must_use]
    pub fn max_versions(&self) -> u64 {
        self.max_versions
    }

    /// Whether data is written with a check-and-set parameter only.
    #[must_use]
    pub fn is_cas_required(&self) -> bool {
        self.cas_required
    }

    /// Whether metadata is written with a check-and-set parameter only.
    #[must_use]
    pub fn is_metadata_cas_required(&self) -> bool {
        self.metadata_cas_required
    }

    /// After how long a version is deleted by itself; zero where the mount decides.
    #[must_use]
    pub fn delete_version_after(&self) -> Duration {
        self.delete_version_after
    }

    pub(super) fn read(data: Object) -> Option<Option<Self>> {
        let delete_after = data.text("delete_version_after").map_or(Some(0.0), seconds_of)?;
        let (created_time, updated_time) = (data.time("created_time")?, data.time("updated_time")?);
        let (oldest_version, max_versions) =
            (data.number_or_zero("oldest_version")?, data.number_or_zero("max_versions")?);
        let (cas_required, metadata_cas_required) = (data.flag("cas_required")?, data.flag("metadata_cas_required")?);
        let Some(versions) = Versions::read(data)? else { return Some(None) };
        Some(Some(Self {
            versions,
            created_time,
            updated_time,
            oldest_version,
            max_versions,
            cas_required,
            metadata_cas_required,
            delete_version_after: Duration::try_from_secs_f64(delete_after.max(0.0)).ok()?,
        }))
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("versions", &self.versions)
            .field("created_time", &self.created_time)
            .field("max_versions", &self.max_versions)
            .finish_non_exhaustive()
    }
}

/// `GET mount/metadata/path`, all of it; none where there is no such secret.
fn details(at: Address<'_>) -> Call<Shown> {
    Call::new(Method::Get, at.target("metadata"), Replay::Idempotent, |spec, answer| {
        if answer.is_of_nothing() {
            return Ok(Shown::Metadata(None));
        }
        let found = answer.data_as(spec, Metadata::read)?;
        found.map(|metadata| Shown::Metadata(Some(Box::new(metadata)))).ok_or_else(|| another_engine(spec))
    })
}

impl OfMetadata for Metadata {
    fn call(at: Address<'_>) -> Call<Shown> {
        details(at)
    }

    fn of(shown: Shown) -> Option<Self> {
        if let Shown::Metadata(metadata) = shown { metadata.map(|metadata| *metadata) } else { None }
    }
}

/// A duration as Go writes it, such as `768h0m0s` or `-1s`, in seconds.
pub(super) fn seconds_of(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?)?;
        let length = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(length)?;
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    Some(sign * seconds)
}

/// What is to be changed of a secret's metadata. What is not named stays as it is.
///
/// ```
/// use baokit_core::MetadataChange;
///
/// let change = MetadataChange::new()
///     .custom("owner", "payments")
///     .remove_custom("team")
///     .max_versions(20)
///     .cas_required(true)
///     .delete_version_after(std::time::Duration::from_secs(30 * 86_400));
/// assert!(!format!("{change:?}").contains("payments"), "values are not shown");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct MetadataChange {
    max_versions: Option<u32>,
    cas_required: Option<bool>,
    metadata_cas_required: Option<bool>,
    delete_version_after: Option<Duration>,
    custom: Option<BTreeMap<String, Option<String>>>,
}

/// How a change meets the `custom_metadata` that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// What the change names is all that is left.
    Replace,
    /// What the change does not name stays.
    Merge,
}

impl MetadataChange {
    /// A change of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many versions are kept; 0 leaves it to the mount, whose own default is 10.
    pub fn max_versions(mut self, versions: u32) -> Self {
        self.max_versions = Some(versions);
        self
    }

    /// Whether data is written with a check-and-set parameter only.
    pub fn cas_required(mut self, required: bool) -> Self {
        self.cas_required = Some(required);
        self
    }

    /// Whether metadata is written with a check-and-set parameter only.
    pub fn metadata_cas_required(mut self, required: bool) -> Self {
        self.metadata_cas_required = Some(required);
        self
    }

    /// After how long a version is deleted by itself, in whole seconds, rounded up, 292 years at most; zero leaves it
    /// to the mount.
    pub fn delete_version_after(mut self, time: Duration) -> Self {
        self.delete_version_after = Some(time);
        self
    }

    /// Sets one key of `custom_metadata`. OpenBao takes 64 keys of 1 to 128 bytes, and values of 1 to 512 bytes.
    pub fn custom(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.custom.get_or_insert_default().insert(key.into(), Some(value.into()));
        self
    }

    /// Takes one key of `custom_metadata` away. It belongs to a patch: a write replaces them all.
    pub fn remove_custom(mut self, key: impl Into<String>) -> Self {
        self.custom.get_or_insert_default().insert(key.into(), None);
        self
    }

    /// Names `custom_metadata` without any key: a write of it empties it.
    pub fn empty_custom(mut self) -> Self {
        self.custom = Some(BTreeMap::new());
        self
    }

    /// Refuses what OpenBao would refuse.
    pub(crate) fn check(&self, how: How, name: String) -> Result<()> {
        let refused = |reason: String| Err(Error::new(Code::RequestRejected).about(name.clone()).because(reason));
        let custom = self.custom.iter().flatten();
        if self.custom.as_ref().is_some_and(|custom| custom.len() > MAX_KEYS) {
            return refused(format!("custom_metadata has more than {MAX_KEYS} keys"));
        }
        if self.delete_version_after.is_some_and(|time| whole_seconds(time) > MOST_SECONDS) {
            return refused("delete_version_after is longer than 292 years".to_owned());
        }
        for (place, (key, value)) in (1..).zip(custom) {
            if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
                let length = key.len();
                return refused(format!(
                    "key {place} of custom_metadata has {length} bytes; it may have 1 to {MAX_KEY_BYTES}"
                ));
            }
            match value {
                None if how == How::Replace => {
                    return refused("a key of custom_metadata is taken away by a patch, not by a write".to_owned());
                }
                Some(value) if !(1..=MAX_VALUE_BYTES).contains(&value.len()) => {
                    let length = value.len();
                    let reason = format!(
                        "value {place} of custom_metadata has {length} bytes; it may have 1 to {MAX_VALUE_BYTES}"
                    );
                    return refused(reason);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The same change, spelt out as what replaces the `custom_metadata` that is there.
    pub(crate) fn onto(&self, held: &BTreeMap<String, String>) -> Self {
        let mut all: BTreeMap<_, _> = held.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        let Some(custom) = &self.custom else { return self.clone() };
        for (key, value) in custom {
            match value {
                Some(value) => drop(all.insert(key.clone(), Some(value.clone()))),
                None => drop(all.remove(key)),
            }
        }
        Self { custom: Some(all), ..self.clone() }
    }

    /// Whether the metadata is as the change leaves it.
    pub(crate) fn is_in(&self, held: &Metadata, how: How) -> bool {
        let have = held.custom_metadata();
        let custom = self.custom.as_ref().is_none_or(|custom| {
            let is_complete = how == How::Merge || custom.len() == have.len();
            is_complete && custom.iter().all(|(key, value)| have.get(key) == value.as_ref())
        });
        custom
            && self.max_versions.is_none_or(|versions| u64::from(versions) == held.max_versions)
            && self.cas_required.is_none_or(|required| required == held.cas_required)
            && self.metadata_cas_required.is_none_or(|required| required == held.metadata_cas_required)
            && self.delete_version_after.is_none_or(|time| whole_seconds(time) == held.delete_version_after.as_secs())
    }

    /// `POST mount/metadata/path` or `PATCH mount/metadata/path`. With `cas` it can be sent again.
    pub(crate) fn call(&self, at: Address<'_>, how: How, cas: Option<u64>) -> Result<Call<Changed>> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            metadata_cas: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_versions: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cas_required: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            metadata_cas_required: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            delete_version_after: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            custom_metadata: Option<&'a BTreeMap<String, Option<String>>>,
        }
        let body = Body {
            metadata_cas: cas,
            max_versions: self.max_versions,
            cas_required: self.cas_required,
            metadata_cas_required: self.metadata_cas_required,
            delete_version_after: self.delete_version_after.map(|time| format!("{}s", whole_seconds(time))),
            custom_metadata: self.custom.as_ref(),
        };
        let replay = if cas.is_some() { Replay::Guarded } else { Replay::Unsafe };
        let method = if how == How::Merge { Method::Patch } else { Method::Post };
        Call::with_body(method, at.target("metadata"), replay, &body, |spec, answer| {
            // Only a patch finds nothing: there is no such secret, or the node that says so is behind.
            if answer.is_of_nothing() || answer.is_of_gone() {
                return Ok(Changed::Mismatch);
            }
            changed(spec, answer)
        })
    }
}

impl fmt::Debug for MetadataChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataChange")
            .field("max_versions", &self.max_versions)
            .field("cas_required", &self.cas_required)
            .field("metadata_cas_required", &self.metadata_cas_required)
            .field("delete_version_after", &self.delete_version_after)
            .field("custom_metadata", &self.custom.as_ref().map(BTreeMap::len))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in
            [("0s", 0.0), ("768h0m0s", 2_764_800.0), ("1m30.5s", 90.5), ("-1s", -1.0), ("5ms", 0.005)]
        {
            assert_eq!(seconds_of(text), Some(seconds), "{text}");
        }
        for text in ["x", "1", "1d", "1.2.3s", "s"] {
            assert_eq!(seconds_of(text), None, "{text}");
        }
    }
}
