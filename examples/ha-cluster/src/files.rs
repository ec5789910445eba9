//! Files that must be whole or absent: written beside their place, flushed, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Readable by the owner alone.
pub(crate) const PRIVATE: u32 = 0o600;

/// What the name of a file begins with that was not finished.
pub(crate) const UNFINISHED: &str = ".ha-cluster.";

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
pub(crate) fn begin(path: &Path) -> Result<Pending> {
    let beside = unfinished(path);
    let open = |path: &Path| OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(path);
    let file = open(&beside).map_err(|error| Error::file("write", path, &error))?;
    Ok(Pending { file, path: path.to_owned() })
}

impl Pending {
    /// Writes, flushes to the disk and puts the file in its place.
    pub(crate) fn finish(mut self, content: &[u8]) -> Result<()> {
        let mut write = || -> io::Result<()> {
            self.file.write_all(content)?;
            self.file.sync_all()?;
            fs::rename(unfinished(&self.path), &self.path)?;
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| Error::file("write", &self.path, &error))
    }
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
