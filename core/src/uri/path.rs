//! Mounts and paths that are given on their own, below the level of URIs.
//!
//! They pass the same validator as the names of a URI, and through the same decoder: a `%` begins
//! an escape here too, and a literal percent sign is written `%25`. So a path means the same
//! wherever it is written, and no second rule can disagree with the first. Neither a `?` nor a `#`
//! may stand in one: what follows it would be a query or a fragment to whoever reads it next.
//!
//! `wire()` is what goes into the request line behind `/v1/`, byte for byte: ASCII, with no dot
//! segment, empty segment or character that a URL parser of the web or of Go would change.

use std::borrow::Cow;
use std::str::FromStr;

use super::names::Place;
use super::{decoded, grammar, names};
use crate::error::{Code, Error, Result};

/// Declares a validated row of names, stored as its wire text.
macro_rules! wire_text {
    ($(#[doc = $doc:literal])+ $name:ident, $place:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Validates the text and brings it into wire form.
            ///
            /// # Errors
            /// [`Code::IllegalSegment`], [`Code::InvalidWildcard`], [`Code::UriTooLong`] and,
            /// where several names may stand, [`Code::TrailingSlash`].
            pub fn parse(text: &str) -> Result<Self> {
                parse(text, Place::$place).map(Self)
            }

            /// The percent-encoded ASCII text for the request line, without slashes around it.
            #[must_use]
            pub fn wire(&self) -> &str {
                &self.0
            }

            /// The text as OpenBao knows it, decoded.
            #[must_use]
            pub fn decoded(&self) -> Cow<'_, str> {
                decoded(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }
    };
}

wire_text!(
    /// The name of a mount: exactly one segment. With two, the first could be taken for a namespace.
    ///
    /// ```
    /// use baokit_core::{Code, uri::path::Mount};
    ///
    /// assert_eq!(Mount::parse("team data").unwrap_err().code(), Code::IllegalSegment);
    /// assert_eq!(Mount::parse("team/data").unwrap_err().code(), Code::IllegalSegment);
    /// assert_eq!(Mount::parse("secret").unwrap().wire(), "secret");
    /// ```
    Mount, Mount
);

wire_text!(
    /// The path of a secret below its mount.
    ///
    /// ```
    /// use baokit_core::uri::path::SecretPath;
    ///
    /// assert_eq!(SecretPath::parse("app/käse").unwrap().wire(), "app/k%C3%A4se");
    /// ```
    SecretPath, Path
);

wire_text!(
    /// The path of any request, as `sys/health`: without `v1`, leading or trailing slash, or query.
    ///
    /// ```
    /// use baokit_core::{Code, uri::path::ApiPath};
    ///
    /// assert_eq!(ApiPath::parse("sys/health").unwrap().wire(), "sys/health");
    /// assert_eq!(ApiPath::parse("../sys/seal").unwrap_err().code(), Code::IllegalSegment);
    /// ```
    ApiPath, Path
);

fn parse(text: &str, place: Place) -> Result<Box<str>> {
    grammar::check_length(text.len())?;
    let one = place == Place::Mount;
    let (path, slash) = match text.strip_suffix('/') {
        Some(path) if !one && !path.is_empty() => (path, true),
        _ => (text, false),
    };
    let mut out = String::with_capacity(text.len());
    names::push(path, place, &mut out)?;
    if slash {
        return Err(Error::new(Code::TrailingSlash));
    }
    if one && out.contains('/') {
        let error = Error::new(Code::IllegalSegment).about(format!("mount \"{}\"", names::shown(text)));
        return Err(error.because("a mount is one name, without a slash"));
    }
    grammar::finish(out)
}
