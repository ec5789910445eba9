//! Changes of a secret's metadata, `mount/metadata/path`. Its reading is in [`super::kv2`].

use std::collections::BTreeMap;

use serde::Serialize;

use super::kv2::Address;
use super::{Answer, Call, Replay};
use crate::error::{Code, Result};
use crate::http::Method;

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
    Call::with_body(Method::Post, at.target("metadata"), Replay::Guarded, &body, |spec, answer| {
        if answer.is_success() {
            return Answer::nothing(spec, answer).map(|()| Changed::Done);
        }
        let error = answer.into_error(spec);
        if error.code() == Code::CasConflict { Ok(Changed::Mismatch) } else { Err(error) }
    })
}

/// `DELETE mount/metadata/path`: the secret with all its versions. One that comes late removes what was
/// put in its place.
pub(crate) fn delete(at: Address<'_>) -> Call<()> {
    Call::new(Method::Delete, at.target("metadata"), Replay::Unsafe, Answer::nothing)
}
