//! URIs of providers that the host has registered: `azure://vault/name?version=abc`.
//!
//! Mount and path obey the rules of every secret URI, so that no two spellings name one secret and no dots lead out
//! of a prefix that a policy names. The scheme is the registered name and nothing else; fragment and version have no
//! escapes. What a version is, the provider says.

use baokit_core::uri::path::{Mount, SecretPath};
use baokit_core::uri::{MAX_LENGTH, Provider};
use baokit_core::{Code, Error, Result};

/// A URI of a provider that the host has registered, in its canonical text: scheme in lower case, a mount of the
/// tenant, the path, then `#fragment`, then `?version=`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForeignUri {
    text: String,
    scheme: usize,
    /// Where the reference ends and `?version=` begins.
    reference: usize,
}

impl ForeignUri {
    /// Reads a URI whose provider is one of these; none for every other text.
    pub(super) fn parse(text: &str, providers: &[String], beside: Option<&str>) -> Result<Option<(Mount, Self)>> {
        let Some((scheme, names, tail)) = split(text, providers)? else { return Ok(None) };
        let (mount, path) =
            names.split_once('/').ok_or_else(|| Error::new(Code::InvalidUri).because("there is no path"))?;
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        let (fragment, query) = match tail.split_at_checked(1) {
            None => (None, None),
            Some(("#", tail)) => {
                tail.split_once('?').map_or((Some(tail), None), |(left, right)| (Some(left), Some(right)))
            }
            Some((_, tail)) => {
                tail.split_once('#').map_or((None, Some(tail)), |(left, right)| (Some(right), Some(left)))
            }
        };
        let mut canonical = format!("{scheme}://{}/{}", mount.wire(), path.wire());
        if let Some(fragment) = fragment {
            if !is_plain(fragment) {
                return Err(Error::new(Code::InvalidFragment));
            }
            canonical = format!("{canonical}#{fragment}");
        }
        let reference = canonical.len();
        if let Some(version) = version(query, beside)? {
            canonical = format!("{canonical}?version={version}");
        }
        checked(canonical, &scheme, reference).map(|uri| Some((mount, uri)))
    }

    /// The same of a prefix, which ends in one slash.
    pub(super) fn parse_prefix(text: &str, providers: &[String]) -> Result<Option<(Mount, Self)>> {
        let Some((scheme, names, tail)) = split(text, providers)? else { return Ok(None) };
        match tail.chars().next() {
            Some('#') => return Err(Error::new(Code::FragmentNotAllowed)),
            Some(_) => return Err(Error::new(Code::VersionNotAllowed)),
            None => {}
        }
        let names = names.strip_suffix('/').unwrap_or(names);
        let (mount, path) = names.split_once('/').map_or((names, None), |(mount, path)| (mount, Some(path)));
        let (mount, path) = (Mount::parse(mount)?, path.map(SecretPath::parse).transpose()?);
        let below = path.map(|path| format!("{}/", path.wire())).unwrap_or_default();
        let canonical = format!("{scheme}://{}/{below}", mount.wire());
        let reference = canonical.len();
        checked(canonical, &scheme, reference).map(|uri| Some((mount, uri)))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.text.get(..self.scheme).unwrap_or_default()
    }

    /// The mount, as it stands in the text.
    pub(super) fn mount_wire(&self) -> &str {
        let names = self.text.split_once("://").map_or("", |(_, names)| names);
        names.split('/').next().unwrap_or_default()
    }

    /// The text without the version.
    #[must_use]
    pub fn reference(&self) -> &str {
        self.text.get(..self.reference).unwrap_or_default()
    }

    /// The version that is pinned, in the provider's own syntax.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.text.get(self.reference..).and_then(|query| query.strip_prefix("?version="))
    }
}

/// Scheme, names, and what follows them, where the provider is registered. `yaml` has the syntax of the built-in ones.
fn split<'a>(text: &'a str, providers: &[String]) -> Result<Option<(String, &'a str, &'a str)>> {
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
    let scheme = scheme.to_ascii_lowercase();
    // With an engine after it, it would be a second name of the same secret.
    if scheme == Provider::Yaml.as_str() || !providers.contains(&scheme) {
        return Ok(None);
    }
    let end = rest.find(['#', '?']).unwrap_or(rest.len());
    let (names, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    Ok(Some((scheme, names, tail)))
}

fn version<'a>(query: Option<&'a str>, beside: Option<&'a str>) -> Result<Option<&'a str>> {
    let ambiguous = |reason| Error::new(Code::AmbiguousQuery).because(reason);
    let pinned = match query.map(|query| query.strip_prefix("version=")) {
        None => None,
        Some(None) => return Err(ambiguous("the only query key is version")),
        Some(version) => version,
    };
    let version = match (pinned, beside) {
        (Some(_), Some(_)) => return Err(ambiguous("the version is given twice")),
        (pinned, beside) => pinned.or(beside),
    };
    match version {
        Some(version) if version.contains(['&', '=']) => Err(ambiguous("the only query key is version")),
        Some(version) if !is_plain(version) => Err(Error::new(Code::InvalidVersion)),
        version => Ok(version),
    }
}

/// Nothing is escaped here, for a provider that decodes it would know one secret by two names.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'?' | b'%'))
}

fn checked(text: String, scheme: &str, reference: usize) -> Result<ForeignUri> {
    if text.len() > MAX_LENGTH {
        return Err(Error::new(Code::UriTooLong));
    }
    Ok(ForeignUri { text, scheme: scheme.len(), reference })
}
