//! `keys.json`: what opens the cluster. It is written before anything else can be done with the cluster, readable by
//! its owner alone, in the form of `bao operator init -format=json`.

use baokit::sys::Initialization;
use baokit::{Code, SecretValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{self, Pending};
use crate::folder::Folder;
use crate::{Error, Result};

/// Shares of the unseal key, and how many of them open a node: what OpenBao's guides use.
pub(crate) const SHARES: u8 = 5;
/// See [`SHARES`].
pub(crate) const THRESHOLD: u8 = 3;

/// The unseal keys and the root token.
#[derive(Serialize, Deserialize)]
pub(crate) struct Keys {
    unseal_keys_b64: Vec<SecretValue>,
    unseal_threshold: u8,
    root_token: SecretValue,
}

/// What is known of the keys.
pub(crate) enum Found {
    /// They are there.
    Keys(Keys),
    /// They were written in full, and the `up` that did so ended before it put them in their place.
    Unplaced(Keys),
    /// An `up` was about to initialise node-1 and ended before the keys were kept, if there were any.
    Interrupted,
    /// Nobody began.
    Nothing,
}

impl Keys {
    /// The keys of a cluster that is initialised.
    pub(crate) fn load(folder: &Folder) -> Result<Self> {
        match Self::find(folder)? {
            Found::Keys(keys) | Found::Unplaced(keys) => Ok(keys),
            Found::Interrupted | Found::Nothing => Err(Error::new(
                format!("the cluster has no keys yet: {} is not there", folder.keys().display()),
                "run `up`, which initialises the cluster",
            )),
        }
    }

    /// Looks for the keys and changes nothing: an `up` may be writing them.
    pub(crate) fn find(folder: &Folder) -> Result<Found> {
        if let Some(keys) = Self::in_place(folder)? {
            return Ok(Found::Keys(keys));
        }
        let beside = files::unfinished(&folder.keys());
        let text = if files::is_regular(&beside) { files::read(&beside)?.map(Zeroizing::new) } else { None };
        // It may have been put in its place between the two looks.
        if let Some(keys) = Self::in_place(folder)? {
            return Ok(Found::Keys(keys));
        }
        let Some(text) = text else { return Ok(Found::Nothing) };
        Ok(Self::parse(&text).map_or(Found::Interrupted, Found::Unplaced))
    }

    /// Puts keys in their place that were found beside it. For `up` alone, which holds the lock.
    pub(crate) fn place(folder: &Folder) -> Result<()> {
        files::adopt(&folder.keys())
    }

    fn in_place(folder: &Folder) -> Result<Option<Self>> {
        let path = folder.keys();
        let Some(text) = files::read(&path)?.map(Zeroizing::new) else { return Ok(None) };
        Self::parse(&text).map(Some).ok_or_else(|| {
            let what = if text.is_empty() { "is empty" } else { "holds no unseal keys" };
            Error::new(format!("{} {what}", path.display()), lost_keys())
        })
    }

    /// Prepares for keys: what keeps them from being kept shows before they are made.
    pub(crate) fn begin(folder: &Folder) -> Result<Pending> {
        files::begin(&folder.keys())
    }

    /// Keeps what an initialisation told.
    pub(crate) fn keep(pending: Pending, told: Initialization) -> Result<Self> {
        let keys = Self { unseal_keys_b64: told.shares, unseal_threshold: THRESHOLD, root_token: told.root_token };
        let text = serde_json::to_string_pretty(&keys).map(Zeroizing::new).map_err(|_| {
            Error::new("the keys could not be written as JSON", "remove the cluster with `down --delete-data`")
        })?;
        pending.finish(text.as_bytes())?;
        Ok(keys)
    }

    fn parse(text: &str) -> Option<Self> {
        let keys: Self = serde_json::from_str(text).ok()?;
        let enough = (1..=keys.unseal_keys_b64.len()).contains(&usize::from(keys.unseal_threshold));
        let is_text = |value: &SecretValue| value.expose_str().is_ok_and(|text| !text.is_empty());
        let whole = keys.unseal_keys_b64.iter().all(is_text) && is_text(&keys.root_token);
        (enough && whole).then_some(keys)
    }

    /// As many shares as open a node.
    pub(crate) fn shares(&self) -> impl Iterator<Item = &SecretValue> {
        self.unseal_keys_b64.iter().take(usize::from(self.unseal_threshold))
    }

    /// The token that may do everything.
    pub(crate) fn root_token(&self) -> &SecretValue {
        &self.root_token
    }
}

/// What to do where a cluster can't be unsealed any more.
pub(crate) fn lost_keys() -> String {
    "put the right keys.json back: without it nobody can unseal the cluster. To give the cluster and its data up, run \
     `down --delete-data`, then `up`"
        .to_owned()
}

/// Whether an answer means that the root token is none: it is wrong, was revoked, or may not do everything.
pub(crate) fn is_refused(error: &baokit::Error) -> bool {
    matches!(error.code(), Code::AuthenticationFailed | Code::PermissionDenied)
}

/// What to do where the nodes refuse the root token.
pub(crate) fn refused(folder: &Folder) -> Error {
    let path = folder.keys();
    Error::new(
        format!("the nodes refuse the root token in {}: it is wrong, or was revoked", path.display()),
        format!(
            "put the right keys.json back; or make a new root token (`bao operator generate-root`, with {THRESHOLD} of \
             the unseal keys in that file), write it there as root_token, and run the command again"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn keys_are_found_whole_or_not_at_all() {
        let path = std::env::temp_dir().join(format!("ha-cluster-keys-{}", std::process::id()));
        let folder = Folder::make(&path).unwrap();
        assert!(matches!(Keys::find(&folder).unwrap(), Found::Nothing));
        drop(Keys::begin(&folder).unwrap());
        assert!(matches!(Keys::find(&folder).unwrap(), Found::Interrupted));
        let good = r#"{"unseal_keys_b64":["a","b","c"],"unseal_threshold":3,"root_token":"s.x"}"#;
        // Killed between writing and renaming. Who only reads leaves it so.
        fs::write(files::unfinished(&folder.keys()), good).unwrap();
        let Found::Unplaced(keys) = Keys::find(&folder).unwrap() else { panic!() };
        assert_eq!(keys.shares().count(), 3);
        assert_eq!(Keys::load(&folder).unwrap().root_token().expose_str().unwrap(), "s.x");
        assert!(!folder.keys().exists());
        Keys::place(&folder).unwrap();
        assert!(matches!(Keys::find(&folder).unwrap(), Found::Keys(_)));
        assert_eq!(fs::read_to_string(folder.keys()).unwrap(), good);
        assert!(!files::unfinished(&folder.keys()).exists());
        for broken in ["", "{}", &good.replace("3", "4"), &good.replace("3", "0"), &good.replace("s.x", "")] {
            fs::write(folder.keys(), broken).unwrap();
            let error = Keys::find(&folder).err().unwrap().to_string();
            assert!(error.contains("keys.json") && error.contains("down --delete-data"), "{error}");
        }
        fs::remove_dir_all(path).unwrap();
    }
}
