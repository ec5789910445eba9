//! What the types of `uri` promise beyond the vectors: identity, parts, error texts, the guard.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashSet};
use std::num::NonZeroU64;

use baokit_core::Code;
use baokit_core::uri::path::{ApiPath, Mount, SecretPath};
use baokit_core::uri::tenant::TenantGuard;
use baokit_core::uri::{
    MAX_LENGTH, MAX_VERSION, ParseOptions, PointerTarget, Provider, SecretPointer, SecretPrefix, SecretRef, SecretUri,
};

fn uri(text: &str) -> SecretUri {
    SecretUri::parse(text).unwrap()
}

#[test]
fn spellings_of_one_resource_are_one() {
    let spellings = [
        "openbao+kv2://secret/app#token?version=3",
        "openbao+kv2://secret/app?version=3#token",
        "OPENBAO+KV2://secret/%61pp#t%6Fken?version=3",
        "openbao kv2://secret/app#token?version=3",
    ];
    let hashed: HashSet<_> = spellings.iter().map(|text| uri(text)).collect();
    let ordered: BTreeSet<_> = spellings.iter().map(|text| uri(text)).collect();
    assert_eq!((hashed.len(), ordered.len()), (1, 1));
    assert_ne!(uri("openbao+kv2://secret/app"), uri("hashicorp+kv2://secret/app"));
    assert!(uri("openbao+kv2://secret/a") < uri("openbao+kv2://secret/b"));
}

#[test]
fn parts_are_slices_of_the_canonical_text() {
    let uri = uri("openbao+kv2://k%C3%A4se/a%20b/c#d/e?version=7");
    assert_eq!((uri.mount_wire(), uri.path_wire()), ("k%C3%A4se", "a%20b/c"));
    assert_eq!((uri.mount().as_ref(), uri.path().as_ref()), ("käse", "a b/c"));
    assert_eq!(uri.fragment().as_deref(), Some("d/e"));
    assert_eq!(uri.version(), NonZeroU64::new(7));
    assert_eq!(uri.provider(), Provider::OpenBao);
    assert_eq!(format!("{uri}"), uri.as_str());
    assert_eq!(format!("{uri:?}"), format!("SecretUri({:?})", uri.as_str()));
}

#[test]
fn every_way_to_parse_is_the_same() {
    let text = "openbao+kv2://secret/app#token";
    assert_eq!(text.parse::<SecretUri>().unwrap(), uri(text));
    assert_eq!(SecretUri::try_from(text).unwrap(), uri(text));
    assert_eq!(ParseOptions::new().parse(text).unwrap(), uri(text));
    assert_eq!(SecretRef::parse(text).unwrap(), SecretRef::Uri(uri(text)));
}

#[test]
fn a_uri_is_changed_without_parsing_again() {
    let pinned = uri("openbao+kv2://secret/app#token?version=3");
    assert_eq!(pinned.whole(), uri("openbao+kv2://secret/app"));
    assert_eq!(pinned.whole().fragment(), None);
    assert_eq!(pinned.with_version(None).unwrap(), uri("openbao+kv2://secret/app#token"));
    let four = pinned.with_version(NonZeroU64::new(4)).unwrap();
    assert_eq!(four, uri("openbao+kv2://secret/app#token?version=4"));
    assert_eq!(four.version(), NonZeroU64::new(4));
    let last = pinned.with_version(NonZeroU64::new(MAX_VERSION)).unwrap();
    assert_eq!(uri(last.as_str()), last);
    assert_eq!(pinned.with_version(NonZeroU64::new(MAX_VERSION + 1)).unwrap_err().code(), Code::InvalidVersion);

    let longest = uri(&format!("openbao+kv2://secret/{}", "a".repeat(MAX_LENGTH - 21)));
    assert_eq!(longest.with_version(NonZeroU64::new(1)).unwrap_err().code(), Code::UriTooLong);
}

#[test]
fn a_uri_is_put_together_from_validated_parts() {
    let (mount, path) = (Mount::parse("käse").unwrap(), SecretPath::parse("a b".replace(' ', "%20").as_str()).unwrap());
    let built = SecretUri::new(Provider::HashiCorp, &mount, &path).unwrap();
    assert_eq!(built, uri("hashicorp+kv2://käse/a%20b"));
    assert_eq!((built.mount_wire(), built.path_wire()), (mount.wire(), path.wire()));
    let long = SecretPath::parse(&"a".repeat(MAX_LENGTH)).unwrap();
    assert_eq!(SecretUri::new(Provider::OpenBao, &mount, &long).unwrap_err().code(), Code::UriTooLong);
}

#[test]
fn a_prefix_knows_its_parts() {
    let folder = SecretPrefix::parse("openbao+kv2://secret/a/k%c3%a4se/").unwrap();
    assert_eq!((folder.mount_wire(), folder.path_wire()), ("secret", "a/k%C3%A4se"));
    assert_eq!((folder.mount().as_ref(), folder.path().as_ref()), ("secret", "a/käse"));
    assert!(!folder.is_wildcard());
    let all = ParseOptions::new().wildcard(true).parse_prefix("openbao+kv2://secret/*").unwrap();
    assert_eq!((all.mount_wire(), all.path_wire(), all.is_wildcard()), ("secret", "", true));
    assert_ne!(all, SecretPrefix::parse("openbao+kv2://secret/").unwrap());
}

#[test]
fn errors_name_what_is_wrong_safely() {
    let text = |input: &str| SecretUri::parse(input).unwrap_err().to_string();
    let shown = text("openbao+kv2://secret/app/my name/x");
    assert!(shown.contains("path segment \"my name\"") && shown.contains("%20"), "{shown}");
    assert!(text("openbao+kv2://secret/a\u{1b}[31mb").contains("a\\u{1b}[31mb"));
    assert!(text("openbao+kv2://secret/a\u{202e}b").contains("\\u{202e}"));
    let long = text(&format!("openbao+kv2://secret/{} x", "y".repeat(1500)));
    assert!(long.len() < 300 && long.contains("..."), "{long}");
    // What is no URI at all may be a token that somebody passed by mistake.
    assert!(!text("hvs.canary").contains("canary"));
    assert!(!text("s.canary://x y").contains("x y"));
}

#[test]
fn the_guard_admits_what_is_listed_and_nothing_else() {
    let guard = TenantGuard::new("acme", ["secret", "kv"]).unwrap();
    let admitted = guard.admit(uri("openbao+kv2://kv/app#token?version=3")).unwrap();
    assert_eq!(admitted.uri(), &uri("openbao+kv2://kv/app#token?version=3"));
    assert_eq!(admitted.whole().as_str(), "openbao+kv2://kv/app");
    assert_eq!(admitted.to_string(), "openbao+kv2://kv/app#token?version=3");
    assert_eq!(guard.tenant(), "acme");
    assert_eq!(guard.mounts().len(), 2);
    assert!(guard.check_mount(&Mount::parse("kv").unwrap()).is_ok());

    let refused = guard.check_mount(&Mount::parse("other").unwrap()).unwrap_err();
    assert_eq!(refused.code(), Code::TenantMountMismatch);
    assert!(refused.to_string().contains("\"other\"") && refused.to_string().contains("\"acme\""));
    let prefix = SecretPrefix::parse("openbao+kv2://other/").unwrap();
    assert_eq!(guard.admit_prefix(prefix).unwrap_err().code(), Code::TenantMountMismatch);
}

#[test]
fn pointers_tell_what_they_point_to() {
    let file = SecretPointer::parse("FILE:backup:db").unwrap();
    assert_eq!(file.target(), PointerTarget::File { store: "backup", name: "db" });
    let row = SecretPointer::parse("db:credentials:6F1C2D3E-0A1B-4C5D-8E9F-00112233AABB").unwrap();
    assert_eq!(row.target(), PointerTarget::DbCredentials { id: "6f1c2d3e-0a1b-4c5d-8e9f-00112233aabb" });
    assert_eq!(SecretPointer::parse("file:x").unwrap(), SecretPointer::parse("file:primary:x").unwrap());
    assert!(matches!(SecretRef::parse("file:x").unwrap(), SecretRef::Pointer(_)));
}

#[test]
fn paths_mean_the_same_on_their_own() {
    for path in ["app/api", "a%20b", "k%c3%a4se", "%61", "a%252e"] {
        let alone = SecretPath::parse(path).unwrap();
        let inside = uri(&format!("openbao+kv2://secret/{path}"));
        assert_eq!((alone.wire(), alone.decoded()), (inside.path_wire(), inside.path()));
        assert_eq!(ApiPath::parse(path).unwrap().wire(), alone.wire());
    }
}
