//! The providers: the part of a URI before `://`.

use std::fmt;
use std::str::FromStr;

use super::shown;
use crate::error::{Code, Error, Result};

/// Who keeps the secret, and in which engine.
///
/// ```
/// use baokit_core::uri::Provider;
///
/// # fn main() -> baokit_core::Result<()> {
/// assert_eq!("OpenBao+KV2".parse::<Provider>()?.as_str(), "openbao+kv2");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// `openbao+kv2`: OpenBao's KV engine, version 2.
    OpenBao,
    /// `hashicorp+kv2`: a server of the same wire protocol.
    HashiCorp,
    /// `yaml`: a file, for development only.
    Yaml,
}

impl Provider {
    const ALL: [Self; 3] = [Self::OpenBao, Self::HashiCorp, Self::Yaml];

    /// The canonical text, such as `openbao+kv2`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.prefix().strip_suffix("://").unwrap_or_default()
    }

    /// What every canonical URI of this provider begins with.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::OpenBao => "openbao+kv2://",
            Self::HashiCorp => "hashicorp+kv2://",
            Self::Yaml => "yaml://",
        }
    }

    /// Splits off the provider and returns what follows `://`.
    pub(super) fn split(text: &str) -> Result<(Self, &str)> {
        let exact = |provider: &Self| text.strip_prefix(provider.prefix()).map(|rest| (*provider, rest));
        if let Some(canonical) = Self::ALL.iter().find_map(exact) {
            return Ok(canonical);
        }
        for provider in Self::ALL {
            if let Some((head, rest)) = text.split_at_checked(provider.prefix().len())
                && same_scheme(head, provider.prefix())
            {
                return Ok((provider, rest));
            }
        }
        Err(unknown(text))
    }
}

/// Whether the texts are equal up to case, a space standing for a `+` that a form decoder took.
fn same_scheme(given: &str, canonical: &str) -> bool {
    let pairs = given.bytes().zip(canonical.bytes());
    given.len() == canonical.len()
        && pairs
            .into_iter()
            .all(|(given, canonical)| given.to_ascii_lowercase() == canonical || (given == b' ' && canonical == b'+'))
}

/// The error for a text that begins with none of the providers. It repeats a scheme, since a
/// scheme is no secret, and nothing else: a token may have been passed by mistake.
#[cold]
fn unknown(text: &str) -> Error {
    let Some((scheme, _)) = text.split_once("://") else {
        return Error::new(Code::InvalidUri).because("there is no provider:// at its beginning");
    };
    let scheme = if scheme.contains('+') { scheme.to_owned() } else { scheme.replacen(' ', "+", 1) };
    let legal = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if legal {
        Error::new(Code::UnsupportedEngine).about(shown(&scheme))
    } else {
        Error::new(Code::InvalidUri).because("what stands before :// is no provider")
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = Error;

    /// Reads the text before `://`, such as `openbao+kv2`, in any case.
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|provider| same_scheme(text, provider.as_str()))
            .ok_or_else(|| unknown(&format!("{text}://")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_read_from_its_own_text_and_nothing_else() {
        for provider in Provider::ALL {
            assert_eq!(provider.as_str().to_uppercase().parse::<Provider>().unwrap(), provider);
        }
        let code = |text: &str| text.parse::<Provider>().unwrap_err().code();
        assert_eq!(code("openbao+kv1"), Code::UnsupportedEngine);
        assert_eq!(code("openbao+kv2://"), Code::UnsupportedEngine);
        assert_eq!(code(""), Code::InvalidUri);
    }
}
