//! Origins: the scheme, host and port of one node, with one text for each.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Code, Error, Result};

/// Longest host name, in bytes: the limit of DNS.
const MAX_HOST: usize = 253;
/// Longest label of a host name, in bytes.
const MAX_LABEL: usize = 63;

/// The address of one node, as `scheme://host:port`.
///
/// The text is canonical: scheme and host in lower case, the port always there, IPv6 in brackets
/// and in RFC 5952's form. Two origins are equal exactly when they name the same address.
///
/// ```
/// use baokit_core::config::Origin;
///
/// # fn main() -> baokit_core::Result<()> {
/// assert_eq!(Origin::parse("HTTPS://Vault.example/")?.as_str(), "https://vault.example:443");
/// assert!(Origin::parse("https://vault.example/prefix").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    text: Arc<str>,
    port: u16,
    scheme: Scheme,
}

/// The protocol that an origin speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The canonical text, `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// Parses `scheme://host[:port]`, with one trailing slash or none.
    ///
    /// # Errors
    /// [`Code::InvalidSetting`], which says what is wrong and does not repeat the text: it could
    /// hold a password. Refused are other schemes, a user, a path (OpenBao behind a path prefix is
    /// not supported), a query, a fragment, names that are not ASCII (write them in Punycode), a
    /// trailing dot, and numbers that only some programs take for an IPv4 address.
    pub fn parse(text: &str) -> Result<Self> {
        let (origin, rest) = split(text).map_err(refusal)?;
        match rest {
            "" | "/" => Ok(origin),
            _ if rest.contains(['?', '#']) => Err(refusal("a URL of a node has no query and no fragment")),
            _ => Err(refusal("a URL of a node has no path; OpenBao behind a path prefix is not supported")),
        }
    }

    /// Splits the absolute URL of a redirect into its origin, and path and query as they stand.
    ///
    /// `None` for a relative URL, and for anything whose origin [`parse`](Self::parse) refuses.
    #[must_use]
    pub fn of_location(location: &str) -> Option<(Self, &str)> {
        split(location).ok()
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The protocol.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host; an IPv6 address with its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let authority = self.text.split("://").nth(1).unwrap_or_default();
        authority.rsplit_once(':').map_or(authority, |(host, _)| host)
    }

    /// The port, also where it is the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is this machine by its very name: `localhost` and names below it,
    /// 127.0.0.0/8, `::1`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match (v6, host.parse::<Ipv4Addr>()) {
            (Some(v6), _) => v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
            (None, Ok(v4)) => v4.is_loopback(),
            (None, Err(_)) => host == "localhost" || host.ends_with(".localhost"),
        }
    }
}

/// Reads the origin that the text begins with; the rest is empty or begins with `/`, `?` or `#`.
fn split(text: &str) -> Result<(Origin, &str), &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("a URL begins with https:// or http://")?;
    let scheme = match () {
        () if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        () if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
        () => return Err("a URL begins with https:// or http://"),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("a URL of a node has no user and no password");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']').ok_or("an IPv6 address without its closing bracket")?;
            (v6(address)?, port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (name, port) = authority.split_at_checked(end).unwrap_or((authority, ""));
            (name_or_v4(name)?, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => port_number(digits).ok_or("a port is a number from 1 to 65535")?,
        None if port.is_empty() => scheme.default_port(),
        None => return Err("something between the IPv6 address and the port"),
    };
    let text = format!("{}://{host}:{port}", scheme.as_str());
    Ok((Origin { text: text.into(), port, scheme }, rest))
}

fn v6(address: &str) -> Result<String, &'static str> {
    let address: Ipv6Addr = address.parse().map_err(|_| "not an IPv6 address (zones are not supported)")?;
    Ok(format!("[{address}]"))
}

/// Checks a DNS name or IPv4 address.
///
/// What ends in a number is an IPv4 address to a URL parser of the web, in one of many notations
/// (`127.1`, `0x7f.1`). Only four plain decimal numbers are accepted, so that all parsers agree.
fn name_or_v4(name: &str) -> Result<String, &'static str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > MAX_HOST {
        return Err("a host has 1 to 253 bytes");
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err("an empty or over-long label in the host (a trailing dot is not supported)");
        }
        if !label.bytes().all(legal) {
            return Err("a host consists of ASCII letters, digits, dots, - and _; write others in Punycode");
        }
    }
    let name = name.to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let numeric = digits(last) || last.strip_prefix("0x").is_some_and(hexadecimal);
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err("an IPv4 address is four decimal numbers without leading zeros");
    }
    Ok(name)
}

fn port_number(digits: &str) -> Option<u16> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cold]
fn refusal(reason: &'static str) -> Error {
    Error::new(Code::InvalidSetting).because(reason)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.text)
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}
