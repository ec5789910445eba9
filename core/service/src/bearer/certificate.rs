//! Client certificates (RFC 8705): which one a request was sent with, directly or through a proxy that ends TLS.
//!
//! Nothing in a certificate is read: whoever ended TLS has checked that the client holds its key, and a token names it
//! by the hash of all its bytes.

use std::net::IpAddr;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use super::jws::encode;
use crate::caller::SenderKey;
use crate::settings::Settings;
use crate::{Code, Error, Result};

/// Longest value of the header, in bytes.
const MAX_HEADER: usize = 32 * 1024;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The client's certificate, as the key that its caller holds.
///
/// `direct` is the DER of the certificate of the TLS connection itself, where the host ends TLS; `peer` is the other
/// end of the connection; `headers` are all values of `FORWARDED_CLIENT_CERT_HEADER`.
///
/// The header counts where the peer is in `TRUSTED_PROXY_CIDRS`, and there it alone counts: the certificate of the
/// connection is the proxy's own. From anybody else, and where the peer is not known, it is as if it were not there.
/// The proxy must replace the header where a client has sent it.
///
/// The header's forms: `:…:` (RFC 9440), PEM or URL-encoded PEM (nginx, Apache, AWS), and the base64 of DER (HAProxy,
/// Traefik); of a chain, the first certificate is the client's. Empty, `::` and `(null)` say that there was none.
///
/// ```
/// use baokit_service::{bearer::certificate, settings::Settings};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = Settings::from_lookup(|key| match key {
///     "FORWARDED_CLIENT_CERT_HEADER" => Some("Client-Cert".to_owned()),
///     "TRUSTED_PROXY_CIDRS" => Some("10.0.0.0/8".to_owned()),
///     _ => None,
/// })?;
/// let header = [":MAIFAA==:"];
/// assert!(certificate::of_request(&settings, None, Some("10.1.2.3".parse()?), &header)?.is_some());
/// assert!(certificate::of_request(&settings, None, Some("192.0.2.1".parse()?), &header)?.is_none());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Code::InvalidRequest`] where a trusted proxy sends the header more than once, longer than 32 KiB, or in no such
/// form, or where `direct` is no DER.
pub fn of_request(
    settings: &Settings,
    direct: Option<&[u8]>,
    peer: Option<IpAddr>,
    headers: &[&str],
) -> Result<Option<SenderKey>> {
    let trusted = |peer| settings.trusted_proxies.iter().any(|network| network.contains(peer));
    let der = if settings.certificate_header.is_some() && peer.is_some_and(trusted) {
        match headers {
            [] => None,
            [header] => forwarded(header.trim_ascii())?,
            _ => return Err(refused("it stands there more than once")),
        }
    } else {
        direct.map(<[u8]>::to_vec)
    };
    match der {
        Some(der) if !is_der(&der) => Err(refused("it is no certificate in DER")),
        der => Ok(der.map(|der| SenderKey::CertificateThumbprint(encode(&Sha256::digest(der))))),
    }
}

fn refused(reason: &'static str) -> Error {
    Error::new(Code::InvalidRequest).because(format!("the client's certificate can't be read: {reason}"))
}

/// The first certificate in the header, in DER.
fn forwarded(header: &str) -> Result<Option<Vec<u8>>> {
    if header.len() > MAX_HEADER {
        return Err(refused("the header is longer than 32 KiB"));
    }
    if header.is_empty() || header == "::" || header == "(null)" {
        return Ok(None);
    }
    if let Some(rest) = header.strip_prefix(':') {
        let bytes = rest.strip_suffix(':').ok_or_else(|| refused("it ends without a colon"))?;
        return base64(bytes).map(Some);
    }
    let text = unescaped(header).ok_or_else(|| refused("it has a broken escape"))?;
    let body = match text.trim_ascii_start().strip_prefix(BEGIN) {
        Some(rest) => rest.split_once(END).map(|(body, _)| body).ok_or_else(|| refused("its PEM does not end"))?,
        None => text.split(',').next().unwrap_or_default(),
    };
    let body: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    base64(&body).map(Some)
}

fn base64(text: &str) -> Result<Vec<u8>> {
    Base64::decode_vec(text).map_err(|_| refused("it is no base64"))
}

/// Undoes `%XX` and nothing else: a plus sign is one of base64's own.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('%') {
        plain.push_str(before);
        let digits = escape.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        plain.push(char::from(u8::from_str_radix(digits, 16).ok()?));
        rest = escape.get(2..)?;
    }
    plain.push_str(rest);
    Some(plain)
}

/// Whether it is one SEQUENCE and nothing behind it (X.690, section 8.1.3).
fn is_der(bytes: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = bytes else { return false };
    let (size, content) = match usize::from(*first) {
        size @ 0..0x80 => (Some(size), rest),
        form => {
            let Some((digits, content)) = rest.split_at_checked(form - 0x80) else { return false };
            let number = |digits: &[u8]| digits.iter().fold(0, |size, digit| size << 8 | usize::from(*digit));
            ((1..=3).contains(&digits.len()).then(|| number(digits)), content)
        }
    };
    size == Some(content.len())
}
