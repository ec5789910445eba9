//! Files that must be whole or absent: written beside their place, flushed, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Readable by the owner alone.
pub(crate) const PRIVATE: u32 = 0o600;

/// What the name of a file begins with that was not finished.
const UNFINISHED: &str = ".ha-cluster.";

/// Where a file is written before it takes its place.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{UNFINISHED}{name}.new"))
}

/// Replaces a file as a whole, readable by its owner alone. After a power cut it is the old or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    begin(path)?.finish(content)
}

/// A file that is open for writing and not yet in its place.
pub(crate) struct Pending {
    file: File,
    path: PathBuf,
}

/// Opens the place beside `path`: what keeps a file from being written shows here, before anything is done whose
/// result could then not be kept.
///
/// Always a new file, with our own mode: what is there may be a link to somebody's file, or open to others.
pub(crate) fn begin(path: &Path) -> Result<Pending> {
    let beside = unfinished(path);
    remove(&beside)?;
    let open = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path);
    let file = open(&beside).map_err(|error| Error::file("write", path, &error))?;
    Ok(Pending { file, path: path.to_owned() })
}

impl Pending {
    /// Writes, flushes to the disk and puts the file in its place.
    pub(crate) fn finish(mut self, content: &[u8]) -> Result<()> {
        let mut write = || -> io::Result<()> {
            self.file.write_all(content)?;
            self.file.sync_all()?;
            put_in_place(&self.path)
        };
        write().map_err(|error| Error::file("write", &self.path, &error))
    }
}

fn put_in_place(path: &Path) -> io::Result<()> {
    fs::rename(unfinished(path), path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}

/// Puts a file in its place that was written in full and not renamed: whoever wrote it was killed.
pub(crate) fn adopt(path: &Path) -> Result<()> {
    let beside = unfinished(path);
    let adopt = || -> io::Result<()> {
        fs::set_permissions(&beside, fs::Permissions::from_mode(PRIVATE))?;
        File::open(&beside)?.sync_all()?;
        put_in_place(path)
    };
    adopt().map_err(|error| Error::file("write", path, &error))
}

/// Whether a file is there, and not a link to one, nor anything else.
pub(crate) fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Brings a file to this content; says whether it had to be changed.
pub(crate) fn bring_to(path: &Path, content: &str) -> Result<bool> {
    if read(path)?.as_deref() == Some(content) {
        return Ok(false);
    }
    replace(path, content.as_bytes())?;
    Ok(true)
}

/// A file's text; none where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path, &error)),
    }
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_in_the_place_of_an_unfinished_file_is_neither_written_to_nor_kept() {
        let folder = std::env::temp_dir().join(format!("ha-cluster-files-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, theirs) = (folder.join("keys.json"), folder.join("theirs"));
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode();
        fs::write(&theirs, "mine").unwrap();

        symlink(&theirs, unfinished(&path)).unwrap();
        replace(&path, b"keys").unwrap();
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "mine");
        assert!(is_regular(&path));

        // One that others may read, and somebody may hold open.
        fs::write(unfinished(&path), "old").unwrap();
        fs::set_permissions(unfinished(&path), fs::Permissions::from_mode(0o666)).unwrap();
        let mut held = File::open(unfinished(&path)).unwrap();
        replace(&path, b"keys").unwrap();
        assert_eq!(mode(&path) & 0o777, PRIVATE);
        assert_eq!(io::read_to_string(&mut held).unwrap(), "old");

        // What is no file is not removed.
        fs::create_dir(unfinished(&path)).unwrap();
        assert!(replace(&path, b"keys").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
