//! URIs, prefixes and pointers, in every way of reading them.

use baokit_core::uri::{MAX_LENGTH, ParseOptions, SecretPointer, SecretPrefix, SecretRef, SecretUri};
use url::Url;

use crate::Judged;

/// The first byte says how to read, and whether a mount stands beside the URI: then it is the text up to a line's end.
pub fn run(data: &[u8]) -> Judged {
    let Some((flags, text)) = data.split_first() else { return Judged::NoInput };
    let Ok(text) = std::str::from_utf8(text) else { return Judged::NoInput };
    let (mount, text) = match text.split_once('\n') {
        Some((mount, text)) if flags & 4 != 0 => (Some(mount), text),
        _ => (None, text),
    };
    let options = ParseOptions::new().accept_legacy(flags & 1 != 0).wildcard(flags & 2 != 0).mount(mount);

    let strict = SecretUri::parse(text);
    match options.parse(text) {
        Ok(uri) => {
            assert!(mount.is_none(), "two sources of one mount");
            check(&uri);
            if let Ok(strict) = &strict {
                assert_eq!(*strict, uri, "what is strictly legal means the same where more is forgiven");
            }
        }
        Err(error) => {
            assert!(strict.is_err() || mount.is_some(), "what is strictly legal is legal");
            plain(&error.to_string());
        }
    }
    match options.parse_prefix(text) {
        Ok(prefix) => {
            assert!(mount.is_none(), "two sources of one mount");
            assert!(!prefix.is_wildcard() || flags & 2 != 0, "a wildcard where none is allowed");
            check_prefix(&prefix);
        }
        Err(error) => plain(&error.to_string()),
    }
    match options.parse_ref(text) {
        Ok(SecretRef::Pointer(pointer)) => check_pointer(&pointer),
        Ok(SecretRef::Uri(uri)) => assert_eq!(options.parse(text).ok(), Some(uri)),
        Ok(_) => panic!("there are two kinds"),
        Err(error) => plain(&error.to_string()),
    }
    Judged::Worth
}

fn check(uri: &SecretUri) {
    let text = uri.as_str();
    canonical(text);
    let again = SecretUri::parse(text).expect("canonical text is legal");
    assert_eq!(again.as_str(), text, "canonicalising changes nothing");
    assert_eq!(again, *uri);
    assert_eq!((again.provider(), again.version(), again.fragment()), (uri.provider(), uri.version(), uri.fragment()));
    assert_eq!((again.mount_wire(), again.path_wire()), (uri.mount_wire(), uri.path_wire()));
    assert!(!uri.path_wire().is_empty());
    wire(uri.mount_wire(), uri.path_wire());
    names(&uri.mount());
    names(&uri.path());
    let whole = uri.whole();
    assert_eq!(SecretUri::parse(whole.as_str()).ok(), Some(whole.clone()));
    assert!(whole.fragment().is_none() && whole.version().is_none());
    if let Ok(latest) = uri.with_version(None) {
        assert_eq!(SecretUri::parse(latest.as_str()).ok(), Some(latest.clone()));
        assert_eq!(latest.with_version(uri.version()).ok().as_ref(), Some(uri));
    }
}

fn check_prefix(prefix: &SecretPrefix) {
    let text = prefix.as_str();
    canonical(text);
    let again = ParseOptions::new().wildcard(true).parse_prefix(text).expect("canonical text is legal");
    assert_eq!(again.as_str(), text, "canonicalising changes nothing");
    assert_eq!((&again, again.is_wildcard()), (prefix, prefix.is_wildcard()));
    wire(prefix.mount_wire(), prefix.path_wire());
    names(&prefix.mount());
    names(&prefix.path());
}

fn check_pointer(pointer: &SecretPointer) {
    canonical(pointer.as_str());
    let again = SecretPointer::parse(pointer.as_str()).expect("canonical text is legal");
    assert_eq!((again.as_str(), again.target()), (pointer.as_str(), pointer.target()));
    assert!(
        !pointer.as_str().contains(['/', '\\', '%', '\0']) && !pointer.as_str().contains(":."),
        "it leads elsewhere"
    );
}

fn canonical(text: &str) {
    assert!(text.len() <= MAX_LENGTH, "too long");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "canonical text is visible ASCII");
}

/// What goes into the request line: no segment that a reader of addresses takes for a step, and nothing that it changes.
fn wire(mount: &str, path: &str) {
    for segment in path.split('/').filter(|_| !path.is_empty()).chain([mount]) {
        assert!(!matches!(segment, "" | "." | ".."), "a step");
    }
    assert!(!mount.contains('/'), "a mount is one name");
    let lower = path.to_ascii_lowercase();
    for escape in ["%2f", "%2e", "%5c", "%00", "%0a", "%0d"] {
        assert!(!lower.contains(escape) && !mount.to_ascii_lowercase().contains(escape), "{escape} on the wire");
    }
    let target = format!("/v1/{mount}/data/{path}");
    let read = Url::parse(&format!("https://bao.example{target}")).expect("it is an address");
    assert_eq!(
        (read.path(), read.query(), read.fragment()),
        (target.as_str(), None, None),
        "the web reads it otherwise"
    );
}

/// What OpenBao sees once the escapes are decoded.
fn names(decoded: &str) {
    assert!(!decoded.chars().any(|c| c.is_control() || matches!(c, '\\' | '*' | '\u{fffd}')), "a forbidden character");
    assert!(!decoded.split('/').any(|name| matches!(name, "." | "..")), "a step");
}

/// Errors go into logs: what they show of the input can't break a line or move a cursor.
fn plain(error: &str) {
    assert!(!error.chars().any(char::is_control), "a control character in an error");
}
