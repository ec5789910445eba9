//! The grammar of a URI above its names: where mount, path, fragment and query begin and end.
//!
//! Faults are reported in the order of the canonical text: length, provider, mount and path,
//! trailing slash, fragment, query.

use std::borrow::Cow;
use std::num::NonZeroU64;

use super::names::Place;
use super::{MAX_LENGTH, MAX_VERSION, Provider, SecretPrefix, SecretUri, names};
use crate::error::{Code, Error, Result};

const VERSION: &str = "?version=";

/// How a terminal wildcard may be written: an escaped star counts as a star.
const WILDCARDS: [&str; 3] = ["/*", "/%2A", "/%2a"];

/// Parses the URI of one secret.
pub(super) fn secret(text: &str, legacy: bool) -> Result<SecretUri> {
    let parts = Parts::split(text, legacy)?;
    let (names, slash) = match parts.names.strip_suffix('/') {
        Some(names) => (names, true),
        None => (&*parts.names, false),
    };
    let mut out = parts.start(text.len());
    let mount_end = parts.push_names(names, &mut out)?;
    let path_end = offset(&out);
    if slash {
        return Err(Error::new(Code::TrailingSlash));
    }
    if mount_end == path_end {
        return Err(Error::new(Code::InvalidUri).because("there is a mount and no path below it"));
    }
    if let Some(fragment) = parts.fragment {
        if fragment.is_empty() {
            return Err(Error::new(Code::InvalidFragment).because("nothing follows the #"));
        }
        out.push('#');
        names::push(fragment, Place::Fragment, &mut out)?;
    }
    let fragment_end = offset(&out);
    let version = parts.query.map(version).transpose()?;
    if let Some((digits, _)) = version {
        out.push_str(VERSION);
        out.push_str(digits);
    }
    let version = version.map(|(_, number)| number);
    Ok(SecretUri { text: finish(out)?, mount_end, path_end, fragment_end, provider: parts.provider, version })
}

/// Parses a prefix, whose canonical text ends in a slash or, if allowed, in a wildcard.
pub(super) fn prefix(text: &str, legacy: bool, allow_wildcard: bool) -> Result<SecretPrefix> {
    let parts = Parts::split(text, legacy)?;
    let starless = || WILDCARDS.iter().find_map(|wildcard| parts.names.strip_suffix(wildcard));
    let starless = if allow_wildcard { starless() } else { None };
    let names = starless.or_else(|| parts.names.strip_suffix('/')).unwrap_or(&parts.names);
    let mut out = parts.start(text.len() + 1);
    let mount_end = parts.push_names(names, &mut out)?;
    let path_end = offset(&out);
    if parts.fragment.is_some() {
        return Err(Error::new(Code::FragmentNotAllowed).because("a prefix names secrets, not a key in one"));
    }
    if let Some(query) = parts.query {
        version(query)?;
        return Err(Error::new(Code::VersionNotAllowed).because("a prefix has no versions"));
    }
    let wildcard = starless.is_some();
    out.push_str(if wildcard { "/*" } else { "/" });
    Ok(SecretPrefix { text: finish(out)?, mount_end, path_end, provider: parts.provider, wildcard })
}

/// Puts together what was validated apart.
pub(super) fn assemble(provider: Provider, mount: &str, path: &str) -> Result<SecretUri> {
    let text = format!("{}{mount}/{path}", provider.prefix());
    let path_end = offset(&text);
    let mount_end = u16::try_from(provider.prefix().len() + mount.len()).unwrap_or(u16::MAX);
    Ok(SecretUri { text: finish(text)?, mount_end, path_end, fragment_end: path_end, provider, version: None })
}

/// Refuses canonical text that could not be parsed again.
pub(super) fn finish(text: String) -> Result<Box<str>> {
    check_length(text.len())?;
    Ok(text.into_boxed_str())
}

/// Refuses what exceeds [`MAX_LENGTH`].
#[inline]
pub(super) fn check_length(length: usize) -> Result<()> {
    if length <= MAX_LENGTH {
        return Ok(());
    }
    let reason = format!("{length} bytes with its escapes, {MAX_LENGTH} are allowed");
    Err(Error::new(Code::UriTooLong).because(reason))
}

/// The end of the text so far. An input of [`MAX_LENGTH`] bytes grows to three times that at most,
/// so it fits; a longer one is refused by [`finish`] whatever its offsets are.
fn offset(text: &str) -> u16 {
    u16::try_from(text.len()).unwrap_or(u16::MAX)
}

/// A URI cut into its parts, not yet validated.
struct Parts<'a> {
    provider: Provider,
    /// Mount and path.
    names: Cow<'a, str>,
    fragment: Option<&'a str>,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str, legacy: bool) -> Result<Self> {
        check_length(text.len())?;
        let text = if legacy { text.trim_ascii() } else { text };
        let (provider, rest) = Provider::split(text)?;
        let (names, tail) = cut(rest, |byte| matches!(byte, b'#' | b'?'));
        let (fragment, query) = if let Some(tail) = tail.strip_prefix('#') {
            let (fragment, query) = cut(tail, |byte| byte == b'?');
            (Some(fragment), query.strip_prefix('?'))
        } else if let Some(tail) = tail.strip_prefix('?') {
            let (query, fragment) = cut(tail, |byte| byte == b'#');
            (fragment.strip_prefix('#'), Some(query))
        } else {
            (None, None)
        };
        let names = if legacy { collapse_slashes(names) } else { names.into() };
        Ok(Self { provider, names, fragment, query })
    }

    /// Canonical text that so far holds the provider.
    fn start(&self, capacity: usize) -> String {
        let mut out = String::with_capacity(capacity);
        out.push_str(self.provider.prefix());
        out
    }

    /// Appends mount and path, and returns where the mount ends.
    fn push_names(&self, names: &str, out: &mut String) -> Result<u16> {
        if self.names.is_empty() {
            return Err(Error::new(Code::InvalidUri).because("there is no mount"));
        }
        let start = out.len();
        names::push(names, Place::Path, out)?;
        let mount = out.bytes().skip(start).position(|byte| byte == b'/');
        Ok(mount.map_or(offset(out), |length| u16::try_from(start + length).unwrap_or(u16::MAX)))
    }
}

/// Cuts before the first byte that is one of the marks, which are ASCII.
fn cut(text: &str, is_mark: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(is_mark).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Refuses a second `#` or `?`: what follows it could be fragment or query, whoever reads it.
fn refuse_marks(query: &str) -> Result<()> {
    match query.bytes().find(|byte| matches!(byte, b'#' | b'?')) {
        None => Ok(()),
        Some(b'#') => Err(Error::new(Code::InvalidFragment).because("a second #; inside a name it is written %23")),
        Some(_) => Err(Error::new(Code::AmbiguousQuery).because("a second ?; inside a name it is written %3F")),
    }
}

/// Reads a query: its digits as they stand, which are canonical, and the version they mean.
fn version(query: &str) -> Result<(&str, NonZeroU64)> {
    refuse_marks(query)?;
    let ambiguous = |reason| Error::new(Code::AmbiguousQuery).because(reason);
    let mut digits = None;
    for pair in query.split('&') {
        let (key, value) = cut(pair, |byte| byte == b'=');
        match key {
            "version" if digits.replace(value.strip_prefix('=').unwrap_or_default()).is_none() => {}
            "version" => return Err(ambiguous("version is given twice")),
            "" => return Err(ambiguous("an empty query, or an empty key in it")),
            _ => return Err(ambiguous("an unknown query key").about(names::shown(key))),
        }
    }
    let digits = digits.unwrap_or_default();
    let canonical = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = if canonical { digits.parse().ok() } else { None };
    let number = number.filter(|number: &NonZeroU64| number.get() <= MAX_VERSION);
    Ok((digits, number.ok_or_else(|| Error::new(Code::InvalidVersion))?))
}

/// One slash for every run of them, and none before the mount.
fn collapse_slashes(names: &str) -> Cow<'_, str> {
    if !names.starts_with('/') && !names.contains("//") {
        return names.into();
    }
    let mut collapsed = String::with_capacity(names.len());
    for name in names.split('/').filter(|name| !name.is_empty()) {
        collapsed.push_str(name);
        collapsed.push('/');
    }
    if !names.ends_with('/') {
        collapsed.pop();
    }
    collapsed.into()
}
