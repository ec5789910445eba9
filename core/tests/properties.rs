//! What holds for every input: parsing never panics, canonical text is a fixed point, and one
//! resource has one text.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use baokit_core::config::{Origin, Settings};
use baokit_core::uri::path::{ApiPath, Mount, SecretPath};
use baokit_core::uri::tenant::TenantGuard;
use baokit_core::uri::{ParseOptions, Provider, SecretPointer, SecretPrefix, SecretRef, SecretUri};
use proptest::prelude::*;
use proptest::sample::select;

/// A resource as a person thinks of it.
#[derive(Clone, Debug, PartialEq)]
struct Resource {
    provider: Provider,
    mount: String,
    path: Vec<String>,
    fragment: Option<Vec<String>>,
    version: Option<u64>,
}

fn name() -> impl Strategy<Value = String> {
    let legal = prop_oneof![
        4 => proptest::char::range('a', 'e'),
        1 => select(vec!['A', '0', '.', '-', '~', '%', '+', ' ', '?', '#', '"', '{', '^', ':', '@', ';', 'ä', 'é', 'e', '\u{301}', '密', '🔑']),
    ];
    let name = proptest::collection::vec(legal, 1..5).prop_map(String::from_iter);
    // A dot must stand raw, and would make a dot segment alone.
    name.prop_filter("dot segments", |name| name != "." && name != "..")
}

fn resource() -> impl Strategy<Value = Resource> {
    let providers = select(vec![Provider::OpenBao, Provider::HashiCorp, Provider::Yaml]);
    let names = || proptest::collection::vec(name(), 1..4);
    let version = proptest::option::of(prop_oneof![1..4_u64, 1..=i64::MAX as u64]);
    (providers, name(), names(), proptest::option::of(names()), version)
        .prop_map(|(provider, mount, path, fragment, version)| Resource { provider, mount, path, fragment, version })
}

/// Resources out of so few names that two of them are often equal, and nearly always nearly so.
fn small_resource() -> impl Strategy<Value = Resource> {
    let name = || {
        select(vec!["a", "A", "b", "%", "%61", "a:b", "a?version=1", "a#b", "é", "e\u{301}"]).prop_map(str::to_owned)
    };
    let names = move || proptest::collection::vec(name(), 1..3);
    let providers = select(vec![Provider::OpenBao, Provider::HashiCorp]);
    (providers, name(), names(), proptest::option::of(names()), proptest::option::of(1..3_u64))
        .prop_map(|(provider, mount, path, fragment, version)| Resource { provider, mount, path, fragment, version })
}

/// How one spelling differs from another: a choice for each character, in turn.
#[derive(Clone, Debug)]
struct Style {
    choices: Vec<u8>,
    query_first: bool,
    form_decoded: bool,
}

fn style() -> impl Strategy<Value = Style> {
    (proptest::collection::vec(any::<u8>(), 1..40), any::<bool>(), any::<bool>())
        .prop_map(|(choices, query_first, form_decoded)| Style { choices, query_first, form_decoded })
}

fn spell(resource: &Resource, style: &Style) -> String {
    let mut choices = style.choices.iter().copied().cycle();
    let mut text: String = resource
        .provider
        .as_str()
        .chars()
        .map(|c| if choices.next().unwrap() & 1 == 0 { c } else { c.to_ascii_uppercase() })
        .map(|c| if c == '+' && style.form_decoded { ' ' } else { c })
        .collect();
    let mut write = |text: &mut String, names: &[String]| {
        let names: Vec<_> = names.iter().map(|name| spell_name(name, &mut choices)).collect();
        text.push_str(&names.join("/"));
    };
    text.push_str("://");
    write(&mut text, std::slice::from_ref(&resource.mount));
    text.push('/');
    write(&mut text, &resource.path);
    let mut fragment = String::new();
    if let Some(names) = &resource.fragment {
        fragment.push('#');
        write(&mut fragment, names);
    }
    let query = resource.version.map(|version| format!("?version={version}")).unwrap_or_default();
    if style.query_first { text + &query + &fragment } else { text + &fragment + &query }
}

fn spell_name(name: &str, choices: &mut impl Iterator<Item = u8>) -> String {
    let mut text = String::new();
    for c in name.chars() {
        let choice = choices.next().unwrap();
        let must_escape = matches!(c, '%' | ' ' | '?' | '#');
        if c == '.' || (!must_escape && choice & 1 == 0) {
            text.push(c);
        } else {
            for byte in c.to_string().bytes() {
                text += &if choice & 2 == 0 { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            }
        }
    }
    text
}

/// Text that is nearly a URI: the pieces that matter, in any order.
fn nearly() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "openbao+kv2",
        "hashicorp+kv2",
        "yaml",
        "openbao kv2",
        "://",
        ":",
        "/",
        "//",
        "secret",
        "app",
        ".",
        "..",
        "%2e",
        "%2F",
        "%5c",
        "%25",
        "%",
        "%C3",
        "%A4",
        "%61",
        "%00",
        "%2A",
        "*",
        "/*",
        "#",
        "?",
        "?version=",
        "version",
        "=",
        "&",
        "3",
        "0",
        "-1",
        " ",
        "\t",
        "\n",
        "\\",
        "é",
        "．",
        "\u{200b}",
        "\u{202e}",
        "file:",
        "db:credentials:",
        "a",
    ]);
    let tail = proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat());
    prop_oneof![tail.clone(), tail.prop_map(|tail| format!("openbao+kv2://secret/{tail}"))]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        nearly(),
        any::<String>(),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        (resource(), style(), any::<proptest::sample::Index>(), any::<char>()).prop_map(|(resource, style, at, c)| {
            let mut characters: Vec<_> = spell(&resource, &style).chars().collect();
            let at = at.index(characters.len());
            characters[at] = c;
            String::from_iter(characters)
        }),
    ]
}

/// The URL parser of the web finds nothing to change in a wire path.
fn assert_unchanged_by_a_url_parser(wire: &str) -> Result<(), TestCaseError> {
    let url = url::Url::parse(&format!("http://host/v1/{wire}")).unwrap();
    prop_assert_eq!(url.path(), format!("/v1/{wire}"));
    prop_assert_eq!((url.query(), url.fragment()), (None, None));
    prop_assert_eq!(url.as_str(), format!("http://host/v1/{wire}"));
    Ok(())
}

/// Debug builds are slow and the machines small; CI sets PROPTEST_CASES for more.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn one_resource_has_one_canonical_text(resource in resource(), first in style(), second in style()) {
        let first = SecretUri::parse(&spell(&resource, &first)).unwrap();
        let second = SecretUri::parse(&spell(&resource, &second)).unwrap();
        prop_assert_eq!(first.as_str(), second.as_str());
        prop_assert_eq!(first.mount(), resource.mount);
        prop_assert_eq!(first.path(), resource.path.join("/"));
        prop_assert_eq!(first.fragment().map(Into::into), resource.fragment.map(|names| names.join("/")));
        prop_assert_eq!(first.version().map(Into::into), resource.version);
        prop_assert_eq!(first.provider(), resource.provider);
    }

    #[test]
    fn two_resources_have_two_canonical_texts(
        resources in proptest::collection::vec(small_resource(), 12),
        more in proptest::collection::vec(resource(), 4),
        style in style(),
    ) {
        let resources = [resources, more].concat();
        let uris: Vec<_> = resources.iter().map(|resource| SecretUri::parse(&spell(resource, &style)).unwrap()).collect();
        for (one, uri) in resources.iter().zip(&uris) {
            for (other, other_uri) in resources.iter().zip(&uris) {
                prop_assert_eq!(one == other, uri == other_uri, "{} {}", uri, other_uri);
            }
        }
    }

    #[test]
    fn whatever_parses_is_canonical_after_once(text in any_text(), legacy: bool) {
        let options = ParseOptions::new().accept_legacy(legacy).wildcard(true);
        if let Ok(uri) = options.parse(&text) {
            prop_assert!(uri.as_str().is_ascii());
            let again = SecretUri::parse(uri.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), uri.as_str());
            prop_assert_eq!((again.mount_wire(), again.path_wire()), (uri.mount_wire(), uri.path_wire()));
            prop_assert_eq!((again.fragment(), again.version()), (uri.fragment(), uri.version()));
            assert_unchanged_by_a_url_parser(&format!("{}/data/{}", uri.mount_wire(), uri.path_wire()))?;
        }
        if let Ok(prefix) = options.parse_prefix(&text) {
            let again = options.parse_prefix(prefix.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), prefix.as_str());
            prop_assert_eq!(SecretPrefix::parse(prefix.as_str()).is_err(), prefix.is_wildcard());
        }
        if let Ok(reference) = SecretRef::parse(&text) {
            let again = SecretRef::parse(reference.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), reference.as_str());
        }
    }

    #[test]
    fn wire_paths_survive_a_url_parser(text in any_text(), names in proptest::collection::vec(name(), 1..5), style in style()) {
        let mut choices = style.choices.iter().copied().cycle();
        let spelt: Vec<_> = names.iter().map(|name| spell_name(name, &mut choices)).collect();
        let path = ApiPath::parse(&spelt.join("/")).unwrap();
        prop_assert_eq!(path.decoded(), names.join("/"));
        assert_unchanged_by_a_url_parser(path.wire())?;
        for wire in [Mount::parse(&text).map(|path| path.wire().to_owned()), SecretPath::parse(&text).map(|path| path.wire().to_owned())].into_iter().flatten() {
            assert_unchanged_by_a_url_parser(&wire)?;
            let again = ApiPath::parse(&wire).unwrap();
            prop_assert_eq!(again.wire(), wire);
        }
    }

    #[test]
    fn nothing_panics_and_errors_stay_short(text in any_text(), other in any_text()) {
        let options = ParseOptions::new().mount(Some(&other));
        let errors = [
            SecretUri::parse(&text).err(),
            SecretPrefix::parse(&text).err(),
            SecretPointer::parse(&text).err(),
            Mount::parse(&text).err(),
            ApiPath::parse(&text).err(),
            Origin::parse(&text).err(),
            options.parse(&text).err(),
            TenantGuard::new(&text, [&other]).err(),
        ];
        for error in errors.into_iter().flatten() {
            let text = error.to_string();
            prop_assert!(text.len() < 1000 && text.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{:?}", text);
        }
    }

    #[test]
    fn origins_are_canonical_after_once(text in "(?i)https?://[a-z0-9.:\\[\\]@/_-]{0,20}") {
        if let Ok(origin) = Origin::parse(&text) {
            prop_assert_eq!(&Origin::parse(origin.as_str()).unwrap(), &origin);
            let url = url::Url::parse(&text).unwrap();
            prop_assert_eq!(url.port_or_known_default(), Some(origin.port()));
            let host = url::Url::parse(origin.as_str()).unwrap();
            prop_assert_eq!(url.host(), host.host());
        }
    }

    #[test]
    fn no_credential_shows_in_an_error_or_debug(
        key in select(vec!["TOKEN", "ROLE_ID", "SECRET_ID", "URL", "NAMESPACE", "TIMEOUT", "VERIFY_SSL", "CACERT"]),
        noise in any_text(),
        before: bool,
    ) {
        let poisoned = if before { format!("canary{noise}") } else { format!("{noise}canary") };
        let lookup = |wanted: &str| {
            let wanted = wanted.strip_prefix("OPENBAO_")?;
            let value = match wanted {
                _ if wanted == key => poisoned.as_str(),
                "URL" => "https://bao.example",
                "TOKEN" | "ROLE_ID" | "SECRET_ID" => "canary-token",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let shown = match Settings::from_lookup(Provider::OpenBao, lookup) {
            Err(error) => format!("{error} {error:?}"),
            Ok(settings) => format!("{:?} {:?}", settings.credential(), settings.warnings()),
        };
        prop_assert!(!shown.contains("canary"), "{}", shown);
    }
}
