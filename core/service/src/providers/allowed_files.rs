//! Which file pointers may be served: the guard of files, as the tenant's mounts are of URIs.

use std::collections::BTreeSet;

use baokit_core::uri::SecretPointer;

use crate::error::{Code, Error, Result};
use crate::settings::Settings;

const FILE: &str = "file:";

/// The file pointers that `FILE_ALLOWED_NAMES` lists; none by default.
///
/// An entry is a `name`, of the store `primary`, or `store:name`; a whole pointer `file:store:name` will do too.
///
/// ```
/// use baokit_core::uri::SecretPointer;
/// use baokit_service::providers::AllowedFiles;
/// use baokit_service::settings::Settings;
///
/// # fn main() -> baokit_service::Result<()> {
/// let lookup = |key: &str| (key == "FILE_ALLOWED_NAMES").then(|| "db-password, certs:key".to_owned());
/// let allowed = AllowedFiles::new(&Settings::from_lookup(lookup)?)?;
/// allowed.admit(&SecretPointer::parse("file:primary:db-password")?)?;
/// assert!(allowed.admit(&SecretPointer::parse("file:primary:key")?).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct AllowedFiles(BTreeSet<String>);

impl AllowedFiles {
    /// Reads the names.
    ///
    /// # Errors
    /// [`baokit_core::Code::InvalidSetting`] for a name that no pointer can have.
    pub fn new(settings: &Settings) -> Result<Self> {
        settings.file_names.iter().map(|name| canonical(name)).collect::<Result<_>>().map(Self)
    }

    /// Lets through what is listed.
    ///
    /// # Errors
    /// [`Code::PolicyDenied`] for every other pointer, whether its file exists or not. Pointers into a database are
    /// not of this list, and are refused too.
    pub fn admit(&self, pointer: &SecretPointer) -> Result<()> {
        if self.0.contains(pointer.as_str()) { Ok(()) } else { Err(Error::new(Code::PolicyDenied)) }
    }
}

fn canonical(name: &str) -> Result<String> {
    let is_pointer = name.get(..FILE.len()).is_some_and(|word| word.eq_ignore_ascii_case(FILE));
    let text = if is_pointer { name.to_owned() } else { format!("{FILE}{name}") };
    let pointer = SecretPointer::parse(&text).map_err(|_| {
        let error = baokit_core::Error::new(baokit_core::Code::InvalidSetting).about("FILE_ALLOWED_NAMES");
        error.because("each is name or store:name, of letters, digits, dots, _ and -")
    })?;
    Ok(pointer.as_str().to_owned())
}
