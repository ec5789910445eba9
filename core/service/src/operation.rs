//! What can be done with a resource, and what comes of it: plain data, so that every face asks in one way.

use std::fmt;

use baokit_core::SecretValue;
use serde_json::Value;

use crate::providers::{Changed, Found, Listed, VersionList};
use crate::purpose::Purpose;

/// What a caller asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// The value: the whole secret, or the one key that the URI names.
    Read,
    /// A new version, of the whole secret or of that key alone.
    Write(SecretValue),
    /// The same, which stops where another writer came in between.
    Rotate(SecretValue),
    /// The deletion of the newest version, or of the one that the URI pins.
    Delete,
    /// The end of the secret, with every version and its metadata.
    DestroyAll,
    /// Deleted versions brought back.
    Undelete(Vec<u64>),
    /// The end of these versions.
    Destroy(Vec<u64>),
    /// The versions there are.
    Versions,
    /// Versions, settings and `custom_metadata`.
    Metadata,
    /// The names of the keys of the newest version.
    Keys,
    /// Whose the secret is.
    SetOwner(String),
    /// The names below a prefix.
    List(Window),
    /// The secrets below a prefix that have this text in their path or owner.
    Search(String, Window),
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many items to leave out.
    pub offset: usize,
    /// How many items to show, up to [`Window::MOST`].
    pub limit: usize,
}

impl Window {
    /// How many items an answer has at most.
    pub const MOST: usize = 1000;
}

impl Default for Window {
    fn default() -> Self {
        Self { offset: 0, limit: 100 }
    }
}

impl Operation {
    /// What must be permitted for it.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Read => Purpose::Execute,
            Self::Write(_) => Purpose::Write,
            Self::Rotate(_) => Purpose::Rotate,
            Self::Delete => Purpose::Delete,
            Self::Undelete(_) => Purpose::Undelete,
            Self::Destroy(_) | Self::DestroyAll => Purpose::DestroyVersions,
            Self::Versions | Self::Metadata | Self::Keys | Self::List(_) | Self::Search(..) => Purpose::ReadMetadata,
            Self::SetOwner(_) => Purpose::OwnerUpdate,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write(_) => "write",
            Self::Rotate(_) => "rotate",
            Self::Delete => "delete",
            Self::DestroyAll => "destroy_all",
            Self::Undelete(_) => "undelete",
            Self::Destroy(_) => "destroy",
            Self::Versions => "versions",
            Self::Metadata => "metadata",
            Self::Keys => "keys",
            Self::SetOwner(_) => "set_owner",
            Self::List(_) => "list",
            Self::Search(..) => "search",
        }
    }
}

/// What came of an operation.
#[derive(Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// The value, and of which version it is.
    Value(Found),
    /// A version was made.
    Changed(Changed),
    /// It was done, and there is nothing to show.
    Done,
    /// The versions there are.
    Versions(VersionList),
    /// What the provider knows of the secret besides its value: a JSON object.
    Metadata(Value),
    /// A part of a list.
    Items(Listed),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value(_) => "Value([redacted])",
            Self::Changed(_) => "Changed",
            Self::Done => "Done",
            Self::Versions(_) => "Versions",
            Self::Metadata(_) => "Metadata",
            Self::Items(_) => "Items",
        })
    }
}
