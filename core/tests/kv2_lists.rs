//! Lists, scans and searches on virtual time: how pages follow each other, and what is done where a right or an end
//! point is missing. The same on real servers is in tests/openbao/tests/kv2.rs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::rc::Rc;

use baokit_core::Code;
use scenario::{Reply, Seen, World, errors, json, no_right, nothing};
use serde_json::json as value;

/// The pages of a list that such a server gives, two names each.
fn pages(server: impl FnMut(&Seen) -> Reply + 'static) -> (Vec<Vec<String>>, Vec<String>) {
    let world = World::new(server);
    let client = world.client(World::settings(1));
    let mut pages = client.kv2_list("secret", "app/").unwrap().limit(2);
    let mut all = Vec::new();
    while let Some(page) = world.run(pages.next(&client)).unwrap() {
        all.push(page);
    }
    (all, world.targets())
}

fn keys(keys: &[&str]) -> Reply {
    json(200, value!({"data": {"keys": keys}}).to_string())
}

#[test]
fn a_list_goes_on_behind_the_last_name_of_each_page() {
    let (all, targets) = pages(|seen| match seen.target.split_once("after=") {
        None => keys(&["a%b", "e/"]),
        Some((_, "e%2F")) => keys(&["e0", "ü"]),
        _ => nothing(),
    });
    assert_eq!(all, [["a%b", "e/"], ["e0", "ü"]]);
    let base = "/v1/secret/metadata/app?list=true&limit=2";
    assert_eq!(targets, [base.to_owned(), format!("{base}&after=e%2F"), format!("{base}&after=%C3%BC")]);

    // A page that is not full is the last.
    assert_eq!(pages(|_| keys(&["a"])).1.len(), 1);
    assert_eq!(pages(|_| nothing()), (Vec::new(), vec![base.to_owned()]));
    // A server that knows no pages.
    assert_eq!(pages(|_| keys(&["a", "b", "c"])).0, [["a", "b", "c"]]);
    assert_eq!(pages(|_| keys(&["a", "b"])).0, [["a", "b"]]);
}

#[test]
fn a_page_that_failed_may_be_asked_for_again() {
    let fails = Rc::new(Cell::new(true));
    let failing = fails.clone();
    let world = World::new(move |_| if failing.get() { no_right() } else { keys(&["a"]) });
    let client = world.client(World::settings(1));
    let mut pages = client.kv2_list("secret", "").unwrap();
    assert_eq!(world.run(pages.next(&client)).unwrap_err().code(), Code::PermissionDenied);
    fails.set(false);
    assert_eq!(world.run(pages.next(&client)).unwrap().unwrap(), ["a"]);
    assert_eq!(world.targets()[0], "/v1/secret/metadata?list=true&limit=1000");
}

#[test]
fn without_scan_it_is_done_by_lists_breadth_first_and_within_bounds() {
    let scans: [fn() -> Reply; 4] = [
        no_right,
        nothing,
        || errors(405, "1 error occurred:\n\t* unsupported operation\n\n"),
        // What an older server says of a key of that name.
        || json(200, r#"{"data":{"current_version":3,"versions":{}}}"#),
    ];
    for scan in scans {
        let world = World::new(move |seen| match seen.target.split_once('?').unwrap() {
            (_, query) if query.contains("scan") => scan(),
            ("/v1/secret/metadata/app", _) => keys(&["a", "d/", "e/", "p%q/"]),
            ("/v1/secret/metadata/app/d", _) => keys(&["b", "f/"]),
            ("/v1/secret/metadata/app/p%25q", _) => keys(&["x"]),
            ("/v1/secret/metadata/app/d/f", _) => keys(&["c"]),
            _ => nothing(),
        });
        let client = world.client(World::settings(1));
        let scan = world.run(client.kv2_scan("secret", "app/")).unwrap();
        assert_eq!((scan.keys, scan.is_complete), (["a", "d/b", "d/f/c", "p%q/x"].map(str::to_owned).to_vec(), true));
        let folders: Vec<_> =
            world.targets().into_iter().skip(1).map(|t| t.split('?').next().unwrap().to_owned()).collect();
        assert_eq!(folders.last().unwrap(), "/v1/secret/metadata/app/d/f", "the deepest comes last");
    }

    // Folders without end.
    let world = World::new(|seen| if seen.target.contains("scan") { no_right() } else { keys(&["k", "sub/"]) });
    let client = world.client(World::settings(1));
    let scan = world.run(client.kv2_scan("secret", "app/")).unwrap();
    assert!(!scan.is_complete && (60..70).contains(&scan.keys.len()), "{}", scan.keys.len());
    // A folder that no request can name.
    let world = World::new(|seen| if seen.target.contains("scan") { no_right() } else { keys(&["../", "k"]) });
    let client = world.client(World::settings(1));
    let scan = world.run(client.kv2_scan("secret", "app/")).unwrap();
    assert_eq!((scan.keys, scan.is_complete), (vec!["k".to_owned()], false));
    assert!(world.targets().iter().all(|target| !target.contains("..")));
}

/// A search for `text` on a server without scans, whose folder has keys so many, all of this owner.
fn search(keys_below: usize, owner: &'static str, text: &str) -> (usize, bool, usize) {
    let world = World::new(move |seen| match seen.target.split_once('?') {
        Some((_, "scan=true")) => no_right(),
        Some(_) => {
            let names: Vec<_> = (0..keys_below).map(|i| format!("k{i:04}")).collect();
            let after = seen.target.split_once("after=").map_or("", |(_, after)| after);
            let page: Vec<_> =
                names.iter().filter(|name| name.as_str() > after).take(1000).map(String::as_str).collect();
            if page.is_empty() { nothing() } else { keys(&page) }
        }
        None if owner.is_empty() => no_right(),
        None => json(
            200,
            value!({"data": {"current_version": 0, "versions": {}, "custom_metadata": {"owner": owner}}}).to_string(),
        ),
    });
    let client = world.client(World::settings(1));
    let found = world.run(client.search("openbao+kv2://secret/app/", text)).unwrap();
    let reads = world.targets().iter().filter(|target| !target.contains('?')).count();
    (found.uris.len(), found.is_complete, reads)
}

#[test]
fn a_search_reads_the_metadata_of_so_many_secrets_only_and_says_where_it_did_not_look() {
    assert_eq!(search(20, "Team", "tea"), (20, true, 20));
    assert_eq!(search(20, "Team", "K000"), (10, true, 10), "what the path tells is not read");
    assert_eq!(search(1003, "Team", "tea"), (1000, false, 1000));
    assert_eq!(search(20, "", "tea"), (0, false, 20), "metadata that may not be read");
    assert_eq!(search(20, "", ""), (20, true, 0));
}

#[test]
fn a_search_takes_one_request_where_detailed_scans_are_allowed() {
    let about = |owner: &str| value!({"current_version": 0, "versions": {}, "delete_version_after": "0s", "custom_metadata": {"owner": owner}});
    let info = value!({"b/x": about("canary"), "a": about("Ops"), "a b": about("x"), "../c": about("ops")});
    let body = value!({"data": {"keys": ["b/x", "a", "a b", "../c"], "key_info": info}}).to_string();
    let world = World::new(move |_| json(200, body.clone()));
    let client = world.client(World::settings(1));
    let found = world.run(client.search("openbao+kv2://secret/", "ops")).unwrap();
    assert_eq!((found.uris.len(), found.uris[0].as_str(), found.is_complete), (1, "openbao+kv2://secret/a", false));
    assert!(!format!("{found:?}").contains("canary"));
    let all = world.run(client.search("openbao+kv2://secret", "")).unwrap();
    let uris: Vec<_> = all.uris.iter().map(|uri| uri.as_str()).collect();
    assert_eq!(uris, ["openbao+kv2://secret/a", "openbao+kv2://secret/a%20b", "openbao+kv2://secret/b/x"]);
    assert_eq!(world.targets(), vec!["/v1/secret/detailed-metadata?scan=true"; 2]);
}

#[test]
fn a_prefix_passes_the_guard_as_a_uri_does() {
    let world = World::new(|_| nothing());
    let client = world.client(World::settings(1));
    for (prefix, code) in [
        ("openbao+kv2://other/", Code::TenantMountMismatch),
        ("hashicorp+kv2://secret/", Code::UnsupportedEngine),
        ("openbao+kv2://secret/a//b", Code::IllegalSegment),
        ("openbao+kv2://secret/*", Code::InvalidWildcard),
        ("openbao+kv2://secret/a#b", Code::FragmentNotAllowed),
        ("openbao+kv2://secret/a?version=1", Code::VersionNotAllowed),
    ] {
        assert_eq!(client.list(prefix).unwrap_err().code(), code, "{prefix}");
        assert_eq!(world.run(client.search(prefix, "x")).unwrap_err().code(), code, "{prefix}");
    }
    assert!(world.seen().is_empty());
}
