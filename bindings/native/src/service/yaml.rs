//! `yaml://mount/path#fragment`: secrets in a file, for development only.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baokit_core::uri::{Provider, SecretUri};
use baokit_core::{MAX_DEPTH, SecretValue};
use baokit_service::providers::{BoxFuture, Found, Strategy};
use baokit_service::settings::Settings;
use baokit_service::{Code, Error, Result};

use super::{blocking, content, core};

/// The most that aliases may add to a file, in the parser's events: about one for each value and key.
const MAX_ALIASED: usize = 10_000;

/// Reads secrets from `YAML_VAULT_PATH`, in development. Writing, versions and lists are not supported (501).
///
/// The outermost map has the mounts; each segment of the path names a key of the map below. A secret is a map, a
/// fragment one of its keys:
///
/// ```yaml
/// secret:
///   app:
///     api: { token: hunter2 } # yaml://secret/app/api#token
/// ```
///
/// The file has at most 1 MiB and is read anew each time. Aliases that multiply, duplicate keys and what is nested
/// deeper than [`MAX_DEPTH`] are refused. What the parser copies for itself is not wiped.
#[derive(Clone, Debug)]
pub struct YamlStrategy(Arc<Path>);

impl YamlStrategy {
    /// With the file of the settings.
    ///
    /// ```
    /// use baokit::service::YamlStrategy;
    /// use baokit_service::settings::Settings;
    ///
    /// # fn main() -> baokit_service::Result<()> {
    /// let lookup = |key: &str| (key == "YAML_VAULT_PATH").then(|| "secrets.yaml".to_owned());
    /// let yaml = YamlStrategy::new(&Settings::from_lookup(lookup)?)?;
    /// # drop(yaml);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`baokit_core::Code::InvalidSetting`] where `ENVIRONMENT` is neither `dev` nor `test`, and
    /// [`baokit_core::Code::MissingSetting`] without `YAML_VAULT_PATH`.
    pub fn new(settings: &Settings) -> Result<Self> {
        let refused = |code| baokit_core::Error::new(code).about("YAML_VAULT_PATH");
        if !settings.is_development() {
            let reason = "yaml works only where ENVIRONMENT is dev or test";
            return Err(refused(baokit_core::Code::InvalidSetting).because(reason).into());
        }
        let file = settings.yaml_file.as_ref().ok_or_else(|| refused(baokit_core::Code::MissingSetting))?;
        Ok(Self(PathBuf::from(file).into()))
    }
}

impl Strategy for YamlStrategy {
    fn read<'a>(&'a self, reference: &'a str, version: Option<&'a str>) -> BoxFuture<'a, Result<Found>> {
        Box::pin(async move {
            let uri = SecretUri::parse(reference)?;
            if uri.provider() != Provider::Yaml {
                return Err(core(baokit_core::Code::UnsupportedEngine));
            }
            if version.is_some() || uri.version().is_some() {
                return Err(core(baokit_core::Code::VersionNotAllowed));
            }
            let file = Arc::clone(&self.0);
            blocking(move || find(&document(&file)?, &uri)).await
        })
    }
}

fn document(path: &Path) -> Result<SecretValue> {
    let lost =
        |error: io::Error| Error::new(Code::ProviderFailed).because(format!("YAML_VAULT_PATH: {}", error.kind()));
    if !fs::metadata(path).map_err(lost)?.is_file() {
        return Err(Error::new(Code::ProviderFailed).because("YAML_VAULT_PATH is no regular file"));
    }
    let text = content(File::open(path).map_err(lost)?)?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
        // The parser's text may quote the file, so that only the line is taken from it.
        let line = error.location().map(|place| format!(", line {}", place.line())).unwrap_or_default();
        Error::new(Code::ProviderFailed).because(format!("YAML_VAULT_PATH is not the YAML that is expected{line}"))
    })
}

fn find(document: &SecretValue, uri: &SecretUri) -> Result<Found> {
    let (mount, path) = (uri.mount(), uri.path());
    let mut value = document.expose();
    for segment in std::iter::once(&*mount).chain(path.split('/')) {
        value = value.get(segment).ok_or_else(|| core(baokit_core::Code::SecretNotFound))?;
    }
    let map = value.as_object().ok_or_else(|| {
        Error::from(baokit_core::Error::new(baokit_core::Code::SecretNotFound).because("what is there is no map"))
    })?;
    match uri.fragment() {
        Some(key) => map.get(&*key).map(Found::new).ok_or_else(|| core(baokit_core::Code::FragmentNotFound)),
        None => Ok(Found::new(value)),
    }
}
