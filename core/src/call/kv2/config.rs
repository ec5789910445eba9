//! The settings of a KVv2 mount, `mount/config`. They hold for every key below it.

use serde::Serialize;

use super::another_engine;
use crate::call::metadata::seconds_of;
use crate::call::object::Object;
use crate::call::{Answer, Call, Replay};
use crate::error::Result;
use crate::http::Method;
use crate::uri::path::Mount;

/// The settings of a KVv2 mount. Read them, change what is to change, and write them back.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// let mut config = client.kv2_config("secret").await?;
/// config.max_versions = 5;
/// config.delete_version_after = 7 * 24 * 60 * 60; // seconds
/// client.kv2_write_config("secret", &config).await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kv2Config {
    /// How many versions of a key are kept where the key does not say; 0 means 10.
    pub max_versions: u64,
    /// Whether data is written with a check-and-set parameter only.
    pub cas_required: bool,
    /// Whether metadata is written with a check-and-set parameter only.
    pub metadata_cas_required: bool,
    /// After how many seconds a version is deleted by itself; 0 leaves it to the keys, and below 0 none is,
    /// whatever its key says.
    pub delete_version_after: i64,
}

fn target(mount: &Mount) -> String {
    format!("/v1/{}/config", mount.wire())
}

/// `GET mount/config`.
pub(crate) fn read(mount: &Mount) -> Call<Kv2Config> {
    Call::new(Method::Get, target(mount), Replay::Idempotent, |spec, answer| {
        answer.data_as(spec, config)?.ok_or_else(|| another_engine(spec))
    })
}

/// None inside where it is no answer of KVv2's.
fn config(data: Object) -> Option<Option<Kv2Config>> {
    if !data.has("max_versions") {
        return Some(None);
    }
    Some(Some(Kv2Config {
        max_versions: data.number("max_versions")?,
        cas_required: data.flag("cas_required")?,
        metadata_cas_required: data.flag("metadata_cas_required")?,
        delete_version_after: data.text("delete_version_after").map_or(Some(0.0), seconds_of)? as i64,
    }))
}

/// `POST mount/config`. One that comes late undoes what was set after it.
pub(crate) fn write(mount: &Mount, config: &Kv2Config) -> Result<Call<()>> {
    #[derive(Serialize)]
    struct Body {
        max_versions: u64,
        cas_required: bool,
        metadata_cas_required: bool,
        delete_version_after: String,
    }
    let body = Body {
        max_versions: config.max_versions,
        cas_required: config.cas_required,
        metadata_cas_required: config.metadata_cas_required,
        delete_version_after: format!("{}s", config.delete_version_after),
    };
    let call = Call::with_body(Method::Post, target(mount), Replay::Unsafe, &body, Answer::nothing)?;
    call.with_time("delete_version_after", config.delete_version_after.unsigned_abs())
}
