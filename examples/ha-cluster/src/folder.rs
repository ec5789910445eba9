//! A cluster's folder: where it is, whose it is, what lies where in it, and one command at a time.
//!
//! The file `cluster.json` marks a folder as ours. A folder that holds anything else is refused before anything in it
//! is touched.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, OFlags, flock};
use zeroize::Zeroizing;

use crate::files;
use crate::node::NodeId;
use crate::state::State;
use crate::wait::Patience;
use crate::{Error, Result};

/// Open to the owner alone.
const PRIVATE_FOLDER: u32 = 0o700;

/// The name is in the folder's path and in texts, so it stays short and plain.
const MAX_NAME: usize = 64;

/// How long the lock is tried for: a command that was killed while it started a program leaves it a moment later.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// The folder of one cluster, by its absolute path without links, which is also how its processes are known.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// Held while a command changes a folder; ends with the process at the latest.
pub(crate) struct Lock {
    _file: File,
}

impl Folder {
    /// Where the cluster of this name is kept: `$XDG_STATE_HOME/baokit/ha-cluster/NAME`, else the same below
    /// `$HOME/.local/state`.
    pub(crate) fn of_name(name: &str) -> Result<PathBuf> {
        check_name(name)?;
        // A relative one counts as unset, as the XDG specification asks.
        let absolute = |key: &str| env::var_os(key).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        match state {
            Some(state) => Ok(state.join("baokit/ha-cluster").join(name)),
            None => Err(Error::new(
                "there is no place for the cluster's folder: neither XDG_STATE_HOME nor HOME is set",
                "set one of them, or name a folder with --dir",
            )),
        }
    }

    /// The folder, made where it is missing. One with somebody else's files in it is refused untouched.
    pub(crate) fn make(path: &Path) -> Result<Self> {
        refuse_foreign(path)?;
        refuse_odd(&destined(path)?)?;
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_FOLDER)
            .create(path)
            .map_err(|error| Error::file("make the folder", path, &error))?;
        let folder = Self::at(path)?;
        fs::set_permissions(&folder.path, fs::Permissions::from_mode(PRIVATE_FOLDER))
            .map_err(|error| Error::file("make private", path, &error))?;
        Ok(folder)
    }

    /// The folder of a cluster that there is.
    pub(crate) fn existing(path: &Path) -> Result<Self> {
        if !files::is_regular(&path.join(MARKER)) {
            return Err(Error::new(
                format!("there is no cluster in {}", path.display()),
                "make one with `up`, or name the right one with --name or --dir",
            ));
        }
        Self::at(path)
    }

    fn at(path: &Path) -> Result<Self> {
        let path = path.canonicalize().map_err(|error| Error::file("open the folder", path, &error))?;
        refuse_odd(&path)?;
        Ok(Self { path })
    }

    /// Makes our files readable by their owner alone, whatever was done to them. Returns those that others could read.
    pub(crate) fn make_private(&self, state: &State) -> Result<Vec<PathBuf>> {
        let mut ours = vec![self.keys(), self.credentials(), self.ca(), self.ca_key()];
        ours.extend([self.balancer_config(), self.balancer_log(), self.path.join(MARKER), self.path.join(LOCK)]);
        for node in state.node_ids().map(|id| self.node(id)) {
            ours.extend([node.data(), node.config(), node.log(), node.certificate(), node.key(), node.0]);
        }
        let mut mended = Vec::new();
        for path in ours {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let mode = if metadata.is_dir() { PRIVATE_FOLDER } else { files::PRIVATE };
            // A link is somebody's own doing, and so is what it leads to.
            if !metadata.is_symlink() && metadata.mode() & 0o077 != 0 {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                    .map_err(|error| Error::file("make private", &path, &error))?;
                mended.push(path);
            }
        }
        Ok(mended)
    }

    /// Makes sure that no other command changes the folder meanwhile.
    pub(crate) async fn lock(&self) -> Result<Lock> {
        let path = self.path.join(LOCK);
        let patience = Patience::of(LOCK_WAIT);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(files::PRIVATE)
                // Not a link to somebody's file.
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)
                .map_err(|error| Error::file("lock", &path, &error))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // `down --delete-data` removes the file while it holds it; then what was locked here is gone.
                Ok(()) if is_same(&file, &path) => return Ok(Lock { _file: file }),
                Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(Error::file("lock", &path, &errno.into())),
            }
            if !patience.wait().await {
                return Err(Error::new(
                    format!("another ha-cluster command is at work in {}", self.path.display()),
                    "wait until it is done, then run this one again",
                ));
            }
        }
    }

    /// What `cluster.json` says; none before the first `up`.
    pub(crate) fn load(&self) -> Result<Option<State>> {
        let path = self.path.join(MARKER);
        let Some(text) = files::read(&path)? else { return Ok(None) };
        State::parse(&text).map(Some).map_err(|reason| {
            Error::new(
                format!("{} can't be understood: {reason}", path.display()),
                "use the ha-cluster that made it, or restore the file; nothing was changed",
            )
        })
    }

    pub(crate) fn save(&self, state: &State) -> Result<()> {
        files::replace(&self.path.join(MARKER), state.to_text()?.as_bytes())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The private authority's certificate, which clients are given.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path.join("ca.crt")
    }

    pub(crate) fn ca_key(&self) -> PathBuf {
        self.path.join("ca.key")
    }

    /// The unseal keys and the root token.
    pub(crate) fn keys(&self) -> PathBuf {
        self.path.join("keys.json")
    }

    /// The client's role id and secret id.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.path.join("client.json")
    }

    pub(crate) fn balancer_config(&self) -> PathBuf {
        self.path.join("haproxy.cfg")
    }

    pub(crate) fn balancer_log(&self) -> PathBuf {
        self.path.join("haproxy.log")
    }

    pub(crate) fn node(&self, id: NodeId) -> NodeFolder {
        NodeFolder(self.path.join(id.to_string()))
    }

    /// Makes the folders of a node where they are missing.
    pub(crate) fn make_node(&self, id: NodeId) -> Result<()> {
        let data = self.node(id).data();
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_FOLDER)
            .create(&data)
            .map_err(|error| Error::file("make the folder", &data, &error))
    }

    /// Moves what a node stored aside, and with it what there is of the keys that may open it: nothing here can tell for
    /// certain that nobody needs them. Returns where the data is now.
    pub(crate) fn abandon_data(&self, id: NodeId) -> Result<PathBuf> {
        let node = self.node(id);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let free = |time: &u64| !node.0.join(format!("data.abandoned-{time}")).exists();
        let time = (since..).find(free).unwrap_or(since);
        let (data, keys) = (node.data(), files::unfinished(&self.keys()));
        let aside = node.0.join(format!("data.abandoned-{time}"));
        // Copied first and removed last, so that they are somewhere whenever this is interrupted.
        if let Some(text) = files::read(&keys)?.map(Zeroizing::new).filter(|text| !text.is_empty()) {
            files::replace(&node.0.join(format!("keys.json.abandoned-{time}")), text.as_bytes())?;
        }
        fs::rename(&data, &aside).map_err(|error| Error::file("move aside", &data, &error))?;
        files::remove(&keys)?;
        Ok(aside)
    }

    /// Removes what `up` made, the marker last, so that it can be done again when it was interrupted. Returns what
    /// is left: files that are not ours.
    pub(crate) fn delete(&self, state: &State) -> Result<Vec<PathBuf>> {
        for id in state.node_ids() {
            let node = self.node(id);
            node.delete_data()?;
            for file in [node.config(), node.log(), node.certificate(), node.key()] {
                remove_with_unfinished(&file)?;
            }
            remove_if_empty(&node.0)?;
        }
        for file in [self.keys(), self.credentials(), self.ca(), self.ca_key(), self.balancer_config()] {
            remove_with_unfinished(&file)?;
        }
        files::remove(&self.balancer_log())?;
        remove_with_unfinished(&self.path.join(MARKER))?;
        files::remove(&self.path.join(LOCK))?;
        remove_if_empty(&self.path)?;
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let mut left = Vec::new();
        for entry in entries(&self.path)? {
            // What lies in a node's folder is called by its own name.
            if state.node_ids().any(|id| self.node(id).0 == entry) {
                left.extend(entries(&entry)?);
            } else {
                left.push(entry);
            }
        }
        Ok(left)
    }
}

/// The marker of a cluster's folder.
const MARKER: &str = "cluster.json";

/// There before the marker.
const LOCK: &str = ".ha-cluster.lock";

/// The folder of one node.
pub(crate) struct NodeFolder(PathBuf);

impl NodeFolder {
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("node.hcl")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.join("tls.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.0.join("tls.key")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes what the node stored.
    pub(crate) fn delete_data(&self) -> Result<()> {
        let data = self.data();
        match fs::remove_dir_all(&data) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", &data, &error)),
            _ => Ok(()),
        }
    }
}

/// A name for a cluster: letters, digits, `-`, `_` and `.`, not first a dot.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    Err(Error::new(
        format!("{name:?} is no name for a cluster"),
        format!("use 1 to {MAX_NAME} letters, digits, - _ and ., beginning with no dot"),
    ))
}

/// Accepts what is missing, empty, marked, or was left by an `up` that ended before it wrote the marker.
fn refuse_foreign(path: &Path) -> Result<()> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("look at", path, &error)),
        Ok(metadata) => metadata,
    };
    let refuse = |what: &str| {
        Err(Error::new(
            format!("{} {what}; nothing in it was touched", path.display()),
            "name an empty or a new folder with --dir",
        ))
    };
    if !metadata.is_dir() {
        return refuse("is no folder");
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refuse("belongs to another user");
    }
    let entries = entries(path)?;
    let marker = path.join(MARKER);
    // All that there can be before the marker.
    let first = [path.join(LOCK), files::unfinished(&marker)];
    if files::is_regular(&marker) || entries.iter().all(|entry| first.contains(entry) && files::is_regular(entry)) {
        return Ok(());
    }
    refuse("holds files, and they are not those of a cluster")
}

/// The path that a folder will have by its real name when it is made.
fn destined(path: &Path) -> Result<PathBuf> {
    let failed = |error| Error::file("open the folder", path, &error);
    let path = std::path::absolute(path).map_err(failed)?;
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
    Ok(existing.canonicalize().map_err(failed)?.join(rest))
}

/// Configurations of OpenBao and HAProxy quote paths, and have no common way to write these.
fn refuse_odd(path: &Path) -> Result<()> {
    let odd = |c: char| c.is_control() || matches!(c, '"' | '\\' | '$');
    match path.to_str() {
        Some(text) if !text.contains(odd) => Ok(()),
        _ => Err(Error::new(
            format!("{} can't stand in a configuration file", path.display()),
            "name a folder without quotes, backslashes, dollars and control characters with --dir",
        )),
    }
}

fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    read().map_err(|error| Error::file("list", path, &error))
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn remove_with_unfinished(path: &Path) -> Result<()> {
    files::remove(path)?;
    files::remove(&files::unfinished(path))
}

fn remove_if_empty(path: &Path) -> Result<()> {
    match fs::remove_dir(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        Err(error) => Err(Error::file("remove", path, &error)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder for one test, which goes away with the value.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("ha-cluster-folder-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_folder_with_files_of_the_users_is_refused_untouched() {
        let place = Place::new("foreign");
        fs::set_permissions(&place.0, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(place.0.join("thesis.txt"), "mine").unwrap();
        let error = Folder::make(&place.0).unwrap_err().to_string();
        assert!(error.contains("nothing in it was touched"), "{error}");
        assert_eq!(entries(&place.0).unwrap(), [place.0.join("thesis.txt")]);
        assert_eq!(fs::metadata(&place.0).unwrap().mode() & 0o777, 0o755);
        // A file where the folder should be.
        assert!(Folder::make(&place.0.join("thesis.txt")).is_err());
    }

    #[tokio::test]
    async fn a_folder_is_made_private_and_one_that_was_begun_is_taken_up() {
        let place = Place::new("begun");
        let path = place.0.join("a/b");
        let folder = Folder::make(&path).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o700);
        drop(folder.lock().await.unwrap());
        assert!(Folder::make(&path).is_ok());
        assert!(Folder::existing(&path).is_err());
        // What only looks like a file of ours is somebody else's.
        for name in [".ha-cluster.folder", ".ha-cluster.notes.new", ".ha-cluster.keys.json.new"] {
            fs::write(path.join(name), "mine").unwrap();
            assert!(Folder::make(&path).is_err(), "{name}");
            fs::remove_file(path.join(name)).unwrap();
        }
        fs::write(place.0.join("theirs"), "mine").unwrap();
        for name in [MARKER, ".ha-cluster.cluster.json.new"] {
            symlink(place.0.join("theirs"), path.join(name)).unwrap();
            assert!(Folder::make(&path).is_err() && Folder::existing(&path).is_err(), "{name}");
            fs::remove_file(path.join(name)).unwrap();
        }
        assert!(Folder::make(&path).is_ok());
    }

    #[tokio::test]
    async fn two_commands_at_once_are_refused() {
        let place = Place::new("lock");
        let folder = Folder::make(&place.0).unwrap();
        let held = folder.lock().await.unwrap();
        assert!(folder.lock().await.is_err());
        drop(held);
        assert!(folder.lock().await.is_ok());
    }

    #[test]
    fn a_path_that_no_configuration_can_hold_is_refused() {
        let place = Place::new("odd");
        for odd in ["a\"b", "a\\b", "a${b}", "a\nb"] {
            assert!(Folder::make(&place.0.join(odd).join("c")).is_err(), "{odd}");
        }
        assert!(entries(&place.0).unwrap().is_empty(), "nothing was made");
        assert!(Folder::make(&place.0.join("a 'b' #ü")).is_ok());
    }

    #[test]
    fn files_that_others_could_read_are_made_private_and_named() {
        let place = Place::new("modes");
        let folder = Folder::make(&place.0).unwrap();
        let ports = crate::ports::Ports::at(8200, 3).unwrap();
        let state = State::new("default".into(), "2.7.2".into(), "/opt/bao".into(), ports);
        folder.save(&state).unwrap();
        let (data, theirs) = (folder.node(NodeId::new(2).unwrap()).data(), place.0.join("notes.txt"));
        state.node_ids().for_each(|id| folder.make_node(id).unwrap());
        fs::write(&theirs, "mine").unwrap();
        symlink(&theirs, folder.ca()).unwrap();
        files::replace(&folder.keys(), b"keys").unwrap();
        assert!(folder.make_private(&state).unwrap().is_empty());
        for (path, mode) in [(&folder.keys(), 0o644), (&data, 0o755), (&theirs, 0o644)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(folder.make_private(&state).unwrap(), [folder.keys(), data.clone()]);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder.keys()), mode(&data), mode(&theirs)), (0o600, 0o700, 0o644));
    }

    #[test]
    fn deleting_leaves_what_is_not_ours() {
        let place = Place::new("delete");
        let folder = Folder::make(&place.0).unwrap();
        let ports = crate::ports::Ports::at(8200, 3).unwrap();
        let state = State::new("default".into(), "2.7.2".into(), "/opt/bao".into(), ports);
        folder.save(&state).unwrap();
        for id in state.node_ids() {
            folder.make_node(id).unwrap();
            fs::write(folder.node(id).log(), "log").unwrap();
        }
        fs::write(place.0.join("notes.txt"), "mine").unwrap();
        fs::create_dir(place.0.join("node-1/data.abandoned-1")).unwrap();
        let mut left = folder.delete(&state).unwrap();
        left.sort();
        assert_eq!(left, [place.0.join("node-1/data.abandoned-1"), place.0.join("notes.txt")]);
        fs::remove_file(place.0.join("notes.txt")).unwrap();
        fs::remove_dir(place.0.join("node-1/data.abandoned-1")).unwrap();
        folder.save(&state).unwrap();
        assert!(folder.delete(&state).unwrap().is_empty());
        assert!(!place.0.exists());
    }

    #[test]
    fn data_is_moved_aside_with_its_keys_and_never_onto_older_data() {
        let place = Place::new("aside");
        let folder = Folder::make(&place.0).unwrap();
        let id = NodeId::new(1).unwrap();
        let mut seen = Vec::new();
        for text in ["first", "second"] {
            folder.make_node(id).unwrap();
            fs::write(folder.node(id).data().join("vault.db"), text).unwrap();
            fs::write(files::unfinished(&folder.keys()), text).unwrap();
            let aside = folder.abandon_data(id).unwrap();
            assert!(!seen.contains(&aside) && !folder.node(id).data().exists());
            assert_eq!(fs::read_to_string(aside.join("vault.db")).unwrap(), text);
            let keys = aside.to_str().unwrap().replace("/data.", "/keys.json.");
            assert_eq!(fs::read_to_string(keys).unwrap(), text);
            seen.push(aside);
        }
        assert!(!files::unfinished(&folder.keys()).exists());
    }

    #[test]
    fn names_are_plain() {
        for wrong in ["", ".", "..", ".hidden", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        assert!(check_name("team-1_b.test").is_ok());
    }
}
