//! Addresses in the form in which DPoP compares them: without query and fragment, and normalised by syntax and
//! scheme (RFC 9449, section 4.3; RFC 3986, sections 6.2.2 and 6.2.3).

use baokit_core::config::Origin;

use crate::settings::Endpoint;

/// The address of a request below the public URL, or `None` where its path can't stand in a URL.
pub(super) fn of_request(public: &Endpoint, path: &str) -> Option<String> {
    Some(format!("{}{}", public.origin(), normal(&public.join(without_query(path)))?))
}

/// The address that a proof names, or `None` where it is no http or https URL.
pub(super) fn of_proof(htu: &str) -> Option<String> {
    let (origin, path) = Origin::of_location(without_query(htu))?;
    Some(format!("{origin}{}", normal(path)?))
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// A path with upper-case escapes, without those that are not needed, without dot segments, and never empty.
fn normal(path: &str) -> Option<String> {
    let path = unescaped(path)?;
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = path.split('/').skip(1).peekable();
    while let Some(segment) = rest.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    segments.pop();
                }
                // What ends in a dot segment names a folder: a slash stays.
                if rest.peek().is_none() {
                    segments.push("");
                }
            }
            segment => segments.push(segment),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

fn unescaped(path: &str) -> Option<String> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut normal = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let value = hex(bytes.next()?)? * 16 + hex(bytes.next()?)?;
                if unreserved(value) {
                    normal.push(char::from(value));
                } else {
                    normal.push_str(&format!("%{value:02X}"));
                }
            }
            byte if unreserved(byte) || b"/!$&'()*+,;=:@".contains(&byte) => normal.push(char::from(byte)),
            _ => return None,
        }
    }
    Some(normal)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mean_the_same_are_the_same() {
        let public = Endpoint::parse("https://api.example/crud/").unwrap();
        let expected = of_request(&public, "/api/secrets~x?uri=a#b").unwrap();
        assert_eq!(expected, "https://api.example:443/crud/api/secrets~x");
        for same in [
            "https://api.example/crud/api/secrets~x",
            "HTTPS://API.EXAMPLE:443/crud/api/secrets~x",
            "https://api.example/crud/api/secrets%7Ex?q=1",
            "https://api.example/crud/%61pi/secrets%7ex#f",
            "https://api.example/crud/./x/../api/secrets~x",
        ] {
            assert_eq!(of_proof(same).as_deref(), Some(expected.as_str()), "{same}");
        }
        for other in [
            "http://api.example/crud/api/secrets~x",
            "https://api.example:8443/crud/api/secrets~x",
            "https://api.example/crud/api/secrets~X",
            "https://api.example/crud/api/secrets~x/",
            "https://api.example/crud//api/secrets~x",
            "https://api.example/crud/api%2Fsecrets~x",
            "https://user@api.example/crud/api/secrets~x",
            "https://api.example/crud/api/secrets~x ",
            "https://api.example/crud/api/secrets%7",
            "https://api.example/crud/api\\secrets~x",
            "//api.example/crud/api/secrets~x",
            "/crud/api/secrets~x",
            "api.example",
            "",
        ] {
            assert_ne!(of_proof(other).as_deref(), Some(expected.as_str()), "{other}");
        }
    }

    #[test]
    fn paths_are_normal_forms() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/a//b", "/a//b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/../../a", "/a"),
            ("/%2e%2E/a", "/a"),
            ("/a%2fb%c3%a4", "/a%2Fb%C3%A4"),
            ("/%252e", "/%252e"),
        ] {
            assert_eq!(normal(path).as_deref(), Some(expected), "{path}");
        }
        for wrong in ["/ä", "/a b", "/%", "/%4", "/%4x", "/a?b", "/\u{0}"] {
            assert_eq!(normal(wrong), None, "{wrong}");
        }
    }
}
