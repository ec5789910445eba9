//! The one place that decides which characters a name may have, and how it is written.
//!
//! A *name* is a path segment, a mount or a piece of a fragment. Its canonical text is ASCII: the
//! characters of [`is_plain`] stand for themselves, everything else is percent-encoded in upper
//! case from the UTF-8 bytes. That text is at once what goes onto the wire, so nothing encodes a
//! second time, and no URL parser finds anything in it to clean, decode or re-encode.

use percent_encoding::percent_encode_byte;

use super::characters;
use crate::error::{Code, Error, Result};

/// Longest piece of a malformed name that an error repeats, in characters.
const SHOWN: usize = 48;

/// Why a name is refused.
#[derive(Clone, Copy)]
pub(super) struct Fault(pub(super) Code, pub(super) &'static str);

impl Fault {
    const fn illegal(reason: &'static str) -> Self {
        Self(Code::IllegalSegment, reason)
    }
}

/// Whether a byte stands for itself in a canonical name: RFC 3986's unreserved characters and the
/// sub-delimiters, `:` and `@`, without `*`, which is the wildcard.
const fn is_plain(byte: u8) -> bool {
    matches!(byte,
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

/// Appends the canonical text of `raw`, one or several names separated by single slashes.
///
/// `what` says in an error where the name stands.
pub(super) fn push(raw: &str, what: &'static str, out: &mut String) -> Result<()> {
    let mut name = out.len();
    let mut rest = raw;
    loop {
        let run = rest.bytes().take_while(|byte| is_plain(*byte)).count();
        let (plain, other) = rest.split_at_checked(run).unwrap_or((rest, ""));
        out.push_str(plain);
        if let Some(tail) = other.strip_prefix('/') {
            refuse_dots(out, name).map_err(|fault| refusal(raw, other, what, fault))?;
            out.push('/');
            name = out.len();
            rest = tail;
        } else if other.is_empty() {
            return refuse_dots(out, name).map_err(|fault| refusal(raw, other, what, fault));
        } else {
            rest = push_char(other, out).map_err(|fault| refusal(raw, other, what, fault))?;
        }
    }
}

/// Refuses a name, just written to the end of `out`, that a URL parser would remove or climb by.
fn refuse_dots(out: &str, name: usize) -> Result<(), Fault> {
    if out.len() > name + "..".len() {
        return Ok(());
    }
    match out.get(name..).unwrap_or_default() {
        "" => Err(Fault::illegal("an empty name: a slash too many, or nothing where a name belongs")),
        "." | ".." => Err(Fault::illegal("a name may not be . or ..")),
        _ => Ok(()),
    }
}

/// Appends the character that `text` begins with, written raw or as escapes, and returns the rest.
#[cold]
fn push_char<'a>(text: &'a str, out: &mut String) -> Result<&'a str, Fault> {
    let (character, rest) = if text.starts_with('%') {
        let (character, rest) = unescape(text)?;
        if matches!(character, '/' | '.' | '\\') {
            return Err(Fault::illegal("an escaped slash, dot or backslash"));
        }
        (character, rest)
    } else {
        let mut characters = text.chars();
        let character = characters.next().unwrap_or_default();
        match character {
            ' ' => return Err(Fault::illegal("white space; a space inside a name is written %20")),
            '\\' => return Err(Fault::illegal("a backslash")),
            '?' | '#' => return Err(Fault::illegal("a ? or #; inside a name they are written %3F and %23")),
            _ => (character, characters.as_str()),
        }
    };
    if character == '*' {
        return Err(Fault(Code::InvalidWildcard, "a * here"));
    }
    if let Some(reason) = characters::refused(character) {
        return Err(Fault::illegal(reason));
    }
    if u8::try_from(character).is_ok_and(is_plain) {
        out.push(character);
    } else {
        let mut buffer = [0; 4];
        character.encode_utf8(&mut buffer).bytes().for_each(|byte| out.push_str(percent_encode_byte(byte)));
    }
    Ok(rest)
}

/// Decodes the one character that the escapes at the start of `text` spell.
fn unescape(text: &str) -> Result<(char, &str), Fault> {
    const NOT_UTF8: Fault = Fault::illegal("escapes that are not UTF-8");
    let (first, mut rest) = unescape_byte(text)?;
    let length = match first {
        ..0x80 => 1,
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Err(NOT_UTF8),
    };
    let mut bytes = [first, 0, 0, 0];
    for slot in bytes.iter_mut().take(length).skip(1) {
        if !rest.starts_with('%') {
            return Err(NOT_UTF8);
        }
        (*slot, rest) = unescape_byte(rest)?;
    }
    let spelt = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let character = spelt.and_then(|spelt| spelt.chars().next()).ok_or(NOT_UTF8)?;
    Ok((character, rest))
}

/// Decodes the `%XX` that `text` begins with.
fn unescape_byte(text: &str) -> Result<(u8, &str), Fault> {
    let mut bytes = text.bytes().skip(1).map(|byte| char::from(byte).to_digit(16));
    let (Some(Some(high)), Some(Some(low))) = (bytes.next(), bytes.next()) else {
        return Err(Fault::illegal(
            "a % that is not followed by two hexadecimal digits; a percent sign is written %25",
        ));
    };
    let byte = u8::try_from(high * 16 + low).unwrap_or_default();
    Ok((byte, text.get(3..).unwrap_or_default()))
}

/// The error for the name of `raw` in which `rest` begins.
#[cold]
fn refusal(raw: &str, rest: &str, what: &'static str, Fault(code, reason): Fault) -> Error {
    let (before, after) = raw.split_at_checked(raw.len().saturating_sub(rest.len())).unwrap_or((raw, ""));
    let head = before.rsplit('/').next().unwrap_or_default();
    let tail = after.split('/').next().unwrap_or_default();
    Error::new(code).about(format!("{what} \"{}\"", shown(&format!("{head}{tail}")))).because(reason)
}

/// Text of a caller as an error may repeat it: cut short, and ASCII without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}
