//! The calls about what is mounted: secrets engines and auth methods, which OpenBao treats alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{data, get, post, remove};
use crate::call::{Answer, Call, Replay};
use crate::error::Result;
use crate::uri::path::ApiPath;

/// Which of the two is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Engine,
    AuthMethod,
}

impl Kind {
    fn target(self, path: Option<&ApiPath>) -> String {
        let base = match self {
            Self::Engine => "/v1/sys/mounts",
            Self::AuthMethod => "/v1/sys/auth",
        };
        path.map_or_else(|| base.to_owned(), |path| format!("{base}/{}", path.wire()))
    }
}

/// A secrets engine or auth method that is mounted. See [`Sys::mounts`](crate::Sys::mounts).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Mount {
    /// What is mounted: `kv`, `approle`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The accessor: it names the mount wherever its path may move.
    pub accessor: String,
    /// What people wrote about it.
    #[serde(default)]
    pub description: String,
    /// Options of its own; KVv2 is `kv` with `version` at `2`.
    #[serde(default, deserialize_with = "or_empty")]
    pub options: BTreeMap<String, String>,
}

impl Mount {
    /// Whether it is the KVv2 engine.
    #[must_use]
    pub fn is_kv2(&self) -> bool {
        self.kind == "kv" && self.options.get("version").is_some_and(|version| version == "2")
    }
}

fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// All that is mounted, by its path with a slash behind it.
pub(crate) fn list(kind: Kind) -> Call<BTreeMap<String, Mount>> {
    get(kind.target(None), data)
}

/// What to mount.
///
/// ```
/// use baokit_core::sys::MountConfig;
///
/// let kv2 = MountConfig::kv2().description("secrets of the applications");
/// let app_role = MountConfig::new("approle");
/// ```
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct MountConfig {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, String>,
}

impl MountConfig {
    /// An engine or method of this type, as OpenBao names it: `kv`, `approle`, …
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), description: String::new(), options: BTreeMap::new() }
    }

    /// The KVv2 engine.
    pub fn kv2() -> Self {
        Self::new("kv").option("version", "2")
    }

    /// What people should know about it.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// An option of the engine's or method's own.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }
}

/// `POST sys/mounts/path`, `POST sys/auth/path`.
pub(crate) fn enable(kind: Kind, path: &ApiPath, config: &MountConfig) -> Result<Call<()>> {
    post(kind.target(Some(path)), Replay::Unsafe, config, Answer::nothing)
}

/// `DELETE sys/mounts/path`, `DELETE sys/auth/path`.
pub(crate) fn disable(kind: Kind, path: &ApiPath) -> Call<()> {
    remove(kind.target(Some(path)))
}
