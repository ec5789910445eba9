//! `file:<store>:<name>`: secrets that an orchestrator puts into a folder, such as Docker's below `/run/secrets`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use baokit_core::uri::{PointerTarget, SecretPointer};
use baokit_service::providers::{AllowedFiles, BoxFuture, Found, Strategy};
use baokit_service::settings::Settings;
use baokit_service::{Code, Error, Result};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::{blocking, content, core, failed};

/// The store of a pointer that names none.
const PRIMARY: &str = "primary";

/// Serves file pointers, read-only and only those that the settings allow by name.
///
/// - Allowed is what [`AllowedFiles`] admits. Everything else gets the answer of a policy denial, whether the file
///   exists or not.
/// - A name is one segment, opened relative to its store's folder and without following a link. What is a link, a
///   folder or a pipe is refused. So the files of a Kubernetes secret volume, which are links, have to be mounted
///   one by one (`subPath`) or copied.
/// - A file has at most 1 MiB and is UTF-8. Its text is the value, without one line break (`\n` or `\r\n`) at its
///   end, which editors and `echo` add. It is read anew each time, and has no versions.
///
/// ```
/// use baokit::service::FileStrategy;
/// use baokit_service::providers::Providers;
/// use baokit_service::settings::Settings;
///
/// # fn main() -> baokit_service::Result<()> {
/// let allowed = |key: &str| (key == "FILE_ALLOWED_NAMES").then(|| "db-password, certs:key".to_owned());
/// let files = FileStrategy::new(&Settings::from_lookup(allowed)?)?.with_store("certs", "/etc/certs");
/// let providers = Providers::default().with("file", std::sync::Arc::new(files))?;
/// # drop(providers);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FileStrategy {
    folders: Arc<BTreeMap<String, PathBuf>>,
    allowed: Arc<AllowedFiles>,
}

impl FileStrategy {
    /// With the folder `FILE_MOUNT_PATH` as the store `primary`, and the names of `FILE_ALLOWED_NAMES`.
    ///
    /// # Errors
    /// [`baokit_core::Code::InvalidSetting`] for a name that no pointer can have.
    pub fn new(settings: &Settings) -> Result<Self> {
        let allowed = AllowedFiles::new(settings)?;
        let folders = BTreeMap::from([(PRIMARY.to_owned(), PathBuf::from(&settings.file_folder))]);
        Ok(Self { folders: Arc::new(folders), allowed: Arc::new(allowed) })
    }

    /// Serves another store from this folder. Its names have to be allowed as `store:name`.
    #[must_use]
    pub fn with_store(mut self, store: &str, folder: impl Into<PathBuf>) -> Self {
        Arc::make_mut(&mut self.folders).insert(store.to_owned(), folder.into());
        self
    }

    fn file(&self, reference: &str) -> Result<(PathBuf, String)> {
        let pointer = SecretPointer::parse(reference)?;
        let PointerTarget::File { store, name } = pointer.target() else {
            return Err(core(baokit_core::Code::InvalidPointer));
        };
        self.allowed.admit(&pointer)?;
        let folder = self.folders.get(store);
        let folder = folder.ok_or_else(|| Error::new(Code::ProviderFailed).because("the store has no folder"))?;
        Ok((folder.clone(), name.to_owned()))
    }
}

impl Strategy for FileStrategy {
    fn read<'a>(&'a self, reference: &'a str, version: Option<&'a str>) -> BoxFuture<'a, Result<Found>> {
        Box::pin(async move {
            if version.is_some() {
                return Err(core(baokit_core::Code::VersionNotAllowed));
            }
            let (folder, name) = self.file(reference)?;
            blocking(move || read(&folder, &name)).await
        })
    }
}

fn read(folder: &PathBuf, name: &str) -> Result<Found> {
    let system = |error: Errno| failed(&io::Error::from(error));
    let folder = openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|_| Error::new(Code::ProviderFailed).because("the store's folder can't be opened"))?;
    // Not blocking, since a pipe would wait for a writer; a terminal must not become the process's own.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(&folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // Systems differ in how they refuse a link, and a socket.
        Err(Errno::LOOP | Errno::MLINK | Errno::NXIO) => return Err(irregular()),
        Err(error) => return Err(system(error)),
    };
    if !file.metadata().map_err(|error| failed(&error))?.is_file() {
        return Err(irregular());
    }
    let mut text = content(file)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Found::new(std::mem::take(&mut *text)))
}

fn irregular() -> Error {
    Error::new(Code::PolicyDenied).because("it is a link, or no regular file")
}
