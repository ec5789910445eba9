//! The one place that decides which characters a name may have, and how it is written.
//!
//! A *name* is a path segment, a mount or a piece of a fragment. Its canonical text is ASCII: the
//! characters of [`PLAIN`] stand for themselves, everything else is percent-encoded in upper
//! case from the UTF-8 bytes. That text is at once what goes onto the wire, so nothing encodes a
//! second time, and no URL parser finds anything in it to clean, decode or re-encode.

use percent_encoding::percent_encode_byte;

use super::characters;
use crate::error::{Code, Error, Result};

/// Longest piece of a malformed name that an error repeats, in characters.
const SHOWN: usize = 48;

/// Why a name is refused.
#[derive(Clone, Copy)]
struct Fault(Code, &'static str);

impl Fault {
    const fn illegal(reason: &'static str) -> Self {
        Self(Code::IllegalSegment, reason)
    }
}

/// The bytes that stand for themselves in canonical names: RFC 3986's unreserved characters, `:`,
/// `@` and those sub-delimiters that Go leaves alone as well. A standby writes the path of its
/// redirect anew with Go's escapes; what Go would escape, such as `(`, is escaped here, or the two
/// texts would differ. A table, since every byte of every path is looked up.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &mut [bool] = &mut table;
    let mut byte = 0_u8;
    while let [is_plain, tail @ ..] = rest {
        *is_plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~')
            || matches!(byte, b'$' | b'&' | b'+' | b',' | b';' | b'=')
            || matches!(byte, b':' | b'@');
        rest = tail;
        byte = byte.wrapping_add(1);
    }
    table
};

fn is_plain(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Where a name stands: errors say so, and a raw `#` or `?` means something else in a fragment.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Mount,
    Path,
    Fragment,
}

/// Appends the canonical text of `raw`, one or several names separated by single slashes.
pub(super) fn push(raw: &str, place: Place, out: &mut String) -> Result<()> {
    let start = out.len();
    let mut rest = raw;
    loop {
        // Nearly always nothing needs an escape, and the first round copies everything.
        let run = rest.bytes().take_while(|byte| is_plain(*byte) || *byte == b'/').count();
        let (plain, other) = rest.split_at_checked(run).unwrap_or((rest, ""));
        out.push_str(plain);
        if other.is_empty() {
            break;
        }
        rest = push_char(other, out).map_err(|fault| refusal(raw, other, place, fault))?;
    }
    refuse_dots(out.get(start..).unwrap_or_default())
        .map_err(|reason| error(Code::IllegalSegment, place, raw).because(reason))
}

/// Refuses names, in canonical text, that a URL parser would remove or climb by.
fn refuse_dots(names: &str) -> Result<(), &'static str> {
    const EMPTY: &str = "an empty name: a slash too many, or nothing where a name belongs";
    // The last four bytes: a name that is empty, `.` or `..` fits in there with both its slashes.
    let mut last = u32::from(b'/');
    let check = |last: u32| match last.to_be_bytes() {
        [_, _, b'/', b'/'] => Err(EMPTY),
        [_, b'/', b'.', b'/'] | [b'/', b'.', b'.', b'/'] => Err("a name may not be . or .."),
        _ => Ok(()),
    };
    for byte in names.bytes() {
        last = last << 8 | u32::from(byte);
        if byte == b'/' {
            check(last)?;
        }
    }
    check(last << 8 | u32::from(b'/'))
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

/// The error for a character at the beginning of `rest`, the end of `raw`.
#[cold]
fn refusal(raw: &str, rest: &str, place: Place, Fault(code, reason): Fault) -> Error {
    let code = match (place, rest.bytes().next()) {
        (Place::Fragment, Some(b'#')) => Code::InvalidFragment,
        (Place::Fragment, Some(b'?')) => Code::AmbiguousQuery,
        _ => code,
    };
    let (before, after) = raw.split_at_checked(raw.len().saturating_sub(rest.len())).unwrap_or((raw, ""));
    let head = before.rsplit('/').next().unwrap_or_default();
    let tail = after.split('/').next().unwrap_or_default();
    error(code, place, &format!("{head}{tail}")).because(reason)
}

#[cold]
fn error(code: Code, place: Place, text: &str) -> Error {
    let place = match place {
        Place::Mount => "mount",
        Place::Path => "path segment",
        Place::Fragment => "fragment",
    };
    Error::new(code).about(format!("{place} \"{}\"", shown(text)))
}

/// Text of a caller as an error may repeat it: cut short, and ASCII without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}
