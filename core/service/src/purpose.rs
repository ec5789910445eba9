//! What a caller wants to do with a secret, and the scope it takes: the one table of both.

use std::fmt;

/// What a caller wants to do: the name of the action that a PDP is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// To use a value.
    Execute,
    /// To read a value in order to copy it elsewhere.
    Read,
    /// To write a new version.
    Write,
    /// To replace a value.
    Rotate,
    /// To delete the newest version, which can be undeleted.
    Delete,
    /// To bring deleted versions back.
    Undelete,
    /// To destroy versions for good.
    DestroyVersions,
    /// To see versions, metadata and names.
    ReadMetadata,
    /// To say whose a secret is.
    OwnerUpdate,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Execute,
        Self::Read,
        Self::Write,
        Self::Rotate,
        Self::Delete,
        Self::Undelete,
        Self::DestroyVersions,
        Self::ReadMetadata,
        Self::OwnerUpdate,
    ];

    /// The name, as PDP and audit have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Read => "read",
            Self::Write => "write",
            Self::Rotate => "rotate",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
            Self::DestroyVersions => "destroy_versions",
            Self::ReadMetadata => "read_metadata",
            Self::OwnerUpdate => "owner_update",
        }
    }

    /// The scope that an access token must have.
    #[must_use]
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Execute | Self::Read => "secrets.read",
            Self::Write => "secrets.write",
            Self::Rotate => "secrets.rotate",
            Self::Delete | Self::Undelete => "secrets.delete",
            Self::DestroyVersions => "secrets.destroy",
            Self::ReadMetadata => "secrets.read_metadata",
            Self::OwnerUpdate => "secrets.set_owner",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
