//! The whole of KVv2 through the Rust face: the same expectations on the dev server and on a real server of each
//! version.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

mod told;

use std::time::Duration;

use baokit::{Client, Code, Kv2, MetadataChange, sys::MountConfig};
use baokit_devserver::DevServer;
use baokit_openbao::{Server, Version};
use serde_json::{Value, json};
use told::{CANARY, tells};

/// A server that runs until it is dropped.
enum Place {
    Dev(DevServer),
    Real(Server),
}

impl Place {
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Dev(DevServer::start_blocking().unwrap())];
        all.extend(Version::ALL.map(|version| Self::Real(Server::start(version).unwrap_or_else(|e| panic!("{e}")))));
        all
    }

    fn client(&self) -> Client {
        match self {
            Self::Dev(server) => self.client_of(server.root_token()),
            Self::Real(server) => self.client_of(server.root_token()),
        }
    }

    fn client_of(&self, token: &str) -> Client {
        let url = match self {
            Self::Dev(server) => server.url().to_owned(),
            Self::Real(server) => server.url().to_owned(),
        };
        Client::builder().url(url).token(token).allowed_mounts(["secret"]).build().unwrap()
    }

    /// A client whose token has this policy and the default one.
    async fn limited(&self, policy: &str) -> Client {
        self.client_of(&told::limited(&self.client(), policy).await)
    }
}

/// What the production guide grants.
const GUIDE: &str = r#"path "secret/*" { capabilities = ["create", "update", "read", "list", "delete"] }"#;

async fn write(kv2: &Kv2, path: &str, data: Value, cas: u64) {
    assert_eq!(kv2.write(path, data).cas(cas).await.unwrap().version(), cas + 1);
}

async fn versions(place: Place) {
    let kv2 = place.client().kv2("secret");
    for cas in 0..4 {
        write(&kv2, "app", json!({"n": cas + 1}), cas).await;
    }
    let n = async |version| kv2.read("app").version(version).await.map(|secret| secret.expose()["n"].clone());
    assert_eq!(n(2).await.unwrap(), 2);

    kv2.delete("app", &[1, 2]).await.unwrap();
    kv2.delete("app", &[]).await.unwrap();
    tells(n(2).await, Code::VersionDeleted, &["secret/app", "version 2 was deleted at 20"]);
    tells(kv2.read("app").await, Code::SecretDeleted, &["secret/app", "version 4 was deleted at 20"]);
    kv2.undelete("app", &[2, 4, 9]).await.unwrap();
    assert_eq!((n(2).await.unwrap(), n(4).await.unwrap()), (json!(2), json!(4)));
    tells(n(1).await, Code::VersionDeleted, &["version 1"]);

    kv2.destroy("app", &[1, 4]).await.unwrap();
    tells(n(1).await, Code::VersionDestroyed, &["version 1 was destroyed"]);
    tells(kv2.read("app").await, Code::SecretDestroyed, &["version 4 was destroyed"]);
    kv2.undelete("app", &[1]).await.unwrap();
    tells(n(1).await, Code::VersionDestroyed, &["version 1"]);
    tells(n(9).await, Code::VersionNotFound, &["no version 9"]);
    tells(kv2.read("none").await, Code::SecretNotFound, &["secret/none"]);
    // What is not there is no error, as in OpenBao.
    kv2.delete("none", &[1]).await.unwrap();
    kv2.undelete("none", &[1]).await.unwrap();
    kv2.destroy("none", &[1]).await.unwrap();
    kv2.delete_key("none").await.unwrap();

    kv2.delete_key("app").await.unwrap();
    tells(kv2.read("app").await, Code::SecretNotFound, &["secret/app"]);
    tells(kv2.metadata("app").await, Code::SecretNotFound, &["secret/metadata/app"]);
    write(&kv2, "app", json!({"n": "anew"}), 0).await;
    assert_eq!(n(1).await.unwrap(), "anew");
}

async fn patches(place: Place) {
    let held = json!({"a": {"b": 1, "c": [1]}, "gone": "x", "n": null});
    let changes =
        json!({"a": {"b": 2, "new": {"d": null}}, "gone": null, "l": [null, {"e": null, "f": [{"g": null}]}]});
    let merged = json!({"a": {"b": 2, "c": [1], "new": {}}, "l": [null, {"f": [{}]}], "n": null});
    // With the capability `patch` the server merges, without it the client, and nobody can tell.
    for client in [place.client(), place.limited(GUIDE).await] {
        let kv2 = client.kv2("secret");
        write(&kv2, "app", held.clone(), 0).await;
        let change = kv2.patch("app", changes.clone()).await.unwrap();
        assert_eq!((change.old_version, change.new_version), (1, 2));
        assert_eq!(kv2.read("app").await.unwrap().expose(), &merged);
        assert_eq!(kv2.patch("app", json!({"x": CANARY})).cas(2).await.unwrap().new_version, 3);
        let names = ["secret/app", "version 3 is the newest", "to follow 1"];
        tells(kv2.patch("app", json!({"x": CANARY})).cas(1).await, Code::CasConflict, &names);
        tells(kv2.patch("app", json!([CANARY])).await, Code::InvalidValue, &["secret/app", "an array"]);
        kv2.delete("app", &[]).await.unwrap();
        tells(kv2.patch("app", json!({"x": CANARY})).await, Code::SecretDeleted, &["secret/app", "version 3"]);
        kv2.destroy("app", &[3]).await.unwrap();
        tells(kv2.patch("app", json!({"x": CANARY})).await, Code::SecretDestroyed, &["secret/app"]);
        tells(kv2.patch("none", json!({"x": CANARY})).await, Code::SecretNotFound, &["secret/none"]);
        write(&kv2, "null", json!({}), 0).await;
        client.request("POST", "secret/data/null", Some(json!({"data": null}).into())).await.unwrap();
        assert_eq!(kv2.patch("null", json!({"x": 1})).await.unwrap().new_version, 3);
        assert_eq!(kv2.read("null").await.unwrap().expose(), &json!({"x": 1}));
        kv2.delete_key("app").await.unwrap();
        kv2.delete_key("null").await.unwrap();
    }

    // Who may patch and not read.
    let root = place.client().kv2("secret");
    write(&root, "app", held, 0).await;
    let blind = place.limited(r#"path "secret/data/*" { capabilities = ["patch"] }"#).await.kv2("secret");
    assert_eq!(blind.patch("app", changes).await.unwrap().new_version, 2);
    assert_eq!(blind.patch("app", json!({"x": 1})).cas(2).await.unwrap().new_version, 3);
    tells(blind.patch("app", json!({"x": 1})).cas(2).await, Code::CasConflict, &["secret/data/app"]);
    tells(blind.patch("none", json!({"x": 1})).await, Code::NotFound, &["secret/data/none"]);
    tells(blind.read("app").await, Code::PermissionDenied, &["secret/data/app"]);
}

async fn metadata(place: Place) {
    for (round, client) in [place.client(), place.limited(GUIDE).await].into_iter().enumerate() {
        let (kv2, path) = (client.kv2("secret"), format!("app{round}"));
        let path = path.as_str();
        let change = MetadataChange::new()
            .custom("owner", CANARY)
            .custom("team", "x")
            .max_versions(3)
            .cas_required(true)
            .delete_version_after(Duration::from_millis(3_599_500));
        kv2.write_metadata(path, change.clone()).await.unwrap();
        let held = kv2.metadata(path).await.unwrap();
        assert_eq!((held.versions().current_version(), held.versions().metadata_version()), (0, Some(1)));
        assert_eq!((held.max_versions(), held.is_cas_required(), held.is_metadata_cas_required()), (3, true, false));
        assert_eq!(held.delete_version_after(), Duration::from_secs(3600));
        assert!(held.created_time().starts_with("20") && held.updated_time().starts_with("20"));
        assert!(!format!("{held:?} {change:?}").contains("canary"));
        tells(kv2.write(path, json!({})).await, Code::CasRequired, &[path]);

        // A write replaces custom_metadata as a whole and leaves the rest, a patch leaves both.
        let owner = MetadataChange::new().custom("owner", "y");
        kv2.patch_metadata(path, owner.clone().remove_custom("none")).await.unwrap();
        let held = kv2.metadata(path).await.unwrap();
        assert_eq!(json!(held.custom_metadata()), json!({"owner": "y", "team": "x"}));
        kv2.patch_metadata(path, MetadataChange::new().remove_custom("team")).cas(2).await.unwrap();
        kv2.write_metadata(path, MetadataChange::new().custom("only", "z").cas_required(false)).cas(3).await.unwrap();
        let held = kv2.metadata(path).await.unwrap();
        assert_eq!((json!(held.custom_metadata()), held.max_versions()), (json!({"only": "z"}), 3));
        assert!(!held.is_cas_required());
        let names = [path, "at version 4", "to follow 3"];
        tells(kv2.write_metadata(path, owner.clone()).cas(3).await, Code::CasConflict, &names);
        tells(kv2.patch_metadata(path, owner.clone()).cas(3).await, Code::CasConflict, &names);
        kv2.write_metadata(path, MetadataChange::new().empty_custom()).await.unwrap();
        assert!(kv2.metadata(path).await.unwrap().custom_metadata().is_empty());
        tells(kv2.patch_metadata("none", owner.clone()).await, Code::SecretNotFound, &["secret/metadata/none"]);
        tells(kv2.patch_metadata("none", owner).cas(1).await, Code::CasConflict, &["secret/metadata/none"]);

        // On a secret that was written without any.
        let plain = format!("plain{round}");
        write(&kv2, &plain, json!({}), 0).await;
        kv2.patch_metadata(&plain, MetadataChange::new().custom("owner", "x")).cas(0).await.unwrap();
        assert_eq!(kv2.read(&plain).await.unwrap().custom_metadata()["owner"], "x");
    }
}

/// What baokit refuses is what the server would refuse, and no more.
async fn metadata_limits(place: Place) {
    let client = place.client();
    let kv2 = client.kv2("secret");
    let many = |keys: usize| (0..keys).fold(MetadataChange::new(), |change, i| change.custom(format!("k{i}"), "v"));
    let one = |key: usize, value: usize| MetadataChange::new().custom("k".repeat(key), "v".repeat(value));
    for fits in [many(64), one(128, 512)] {
        kv2.write_metadata("app", fits).await.unwrap();
    }
    for (change, name) in [
        (many(65), "64 keys"),
        (one(129, 1), "129 bytes"),
        (one(0, 1), "0 bytes"),
        (one(1, 513), "513 bytes"),
        (one(1, 0), "0 bytes"),
    ] {
        tells(kv2.write_metadata("app", change).await, Code::RequestRejected, &["secret/metadata/app", name]);
    }
    for (key, value) in
        [("k".repeat(129), "v".to_owned()), ("k".to_owned(), "v".repeat(513)), (String::new(), "v".into())]
    {
        let body = json!({"custom_metadata": { key: value }});
        let sent = client.request("POST", "secret/metadata/app", Some(body.into())).await;
        tells(sent, Code::RequestRejected, &["secret/metadata/app"]);
    }
    tells(kv2.write("app/", json!({})).await, Code::TrailingSlash, &[]);
    tells(kv2.undelete("app", &[]).await, Code::InvalidVersion, &["versions"]);
    tells(kv2.destroy("app", &[]).await, Code::InvalidVersion, &["versions"]);
    tells(kv2.destroy("app", &[0]).await, Code::InvalidVersion, &["version 0"]);
}

async fn collect(kv2: &Kv2, folder: &str, limit: usize) -> Vec<String> {
    let mut pages = kv2.list(folder).unwrap().limit(limit);
    let mut all = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        assert!(page.len() <= limit && !page.is_empty());
        all.extend(page);
    }
    assert_eq!(pages.next().await.unwrap(), None);
    all
}

async fn lists(place: Place) {
    let client = place.client();
    lists_of(&client, &place.limited(GUIDE).await).await;
}

async fn lists_of(client: &Client, limited: &Client) {
    let kv2 = client.kv2("secret");
    let names = ["e", "e-x", "e/f", "e/g/h", "e0", "a%25b", "sub", "sub/x", "sub/y%20z", "zz"];
    for name in names {
        kv2.write(format!("t/{name}"), json!({})).await.unwrap();
    }
    let below = ["a%b", "e", "e-x", "e/", "e0", "sub", "sub/", "zz"];
    for limit in [1, 2, 3, 7, 8, 9, 1000] {
        assert_eq!(collect(&kv2, "t/", limit).await, below, "pages of {limit}");
    }
    assert_eq!(collect(&kv2, "t", 3).await, below);
    assert_eq!(collect(&kv2, "", 3).await, ["t/"]);
    assert!(collect(&kv2, "none/", 3).await.is_empty(), "an empty list is no error");
    assert!(collect(&kv2, "t/zz", 3).await.is_empty(), "nor is a key that is no folder");
    for (after, first) in [("e", "e-x"), ("e-x", "e/"), ("e/", "e0"), ("sub", "sub/"), ("sub/", "zz"), ("b", "e")] {
        let page = kv2.list("t/").unwrap().after(after).limit(1).next().await.unwrap();
        assert_eq!(page.unwrap(), [first], "after {after}");
    }
    assert_eq!(kv2.list("t/").unwrap().after("zz").next().await.unwrap(), None);

    let below = ["a%b", "e", "e-x", "e/f", "e/g/h", "e0", "sub", "sub/x", "sub/y z", "zz"];
    // The guide's policy has no scan: then it goes from folder to folder.
    for client in [client, limited] {
        let scan = client.kv2("secret").scan("t/").await.unwrap();
        assert_eq!((scan.keys, scan.is_complete), (below.map(str::to_owned).to_vec(), true));
        assert_eq!(client.kv2("secret").scan("t/sub").await.unwrap().keys, ["x", "y z"]);
        assert!(client.kv2("secret").scan("none").await.unwrap().keys.is_empty());
        assert_eq!(client.kv2("secret").scan("").await.unwrap().keys[0], "t/a%b");
    }

    kv2.patch_metadata("t/sub", MetadataChange::new().custom("owner", CANARY)).await.unwrap();
    let mut pages = kv2.list_detailed("t/").unwrap().after("e0").limit(2);
    let page = pages.next().await.unwrap().unwrap();
    assert_eq!(page.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["sub", "sub/"]);
    assert_eq!(page[0].metadata.as_ref().unwrap().custom_metadata()["owner"], CANARY);
    assert_eq!(page[0].metadata.as_ref().unwrap().versions().current_version(), 1);
    assert!(page[1].metadata.is_none() && !format!("{page:?} {pages:?}").contains("canary"));
    assert_eq!(pages.next().await.unwrap().unwrap()[0].name, "zz");
    assert!(kv2.list_detailed("none").unwrap().next().await.unwrap().is_none());
}

async fn nobody_lists(place: Place) {
    let limited = place.limited(r#"path "secret/data/*" { capabilities = ["read"] }"#).await.kv2("secret");
    tells(limited.list("app").unwrap().next().await, Code::PermissionDenied, &["secret/metadata/app"]);
    tells(
        limited.list_detailed("app").unwrap().next().await,
        Code::PermissionDenied,
        &["secret/detailed-metadata/app"],
    );
    tells(limited.scan("app").await, Code::PermissionDenied, &["secret/metadata/app"]);
    tells(limited.list("../app"), Code::IllegalSegment, &[]);
    tells(limited.list("app/*"), Code::InvalidWildcard, &[]);
}

async fn subkeys_and_config(place: Place) {
    let client = place.client();
    let kv2 = client.kv2("secret");
    write(&kv2, "app", json!({"a": {"b": {"c": CANARY}}, "d": [1], "e": {}}), 0).await;
    let all = kv2.subkeys("app").await.unwrap();
    assert_eq!((all.version(), all.expose()), (1, &json!({"a": {"b": {"c": null}}, "d": null, "e": null})));
    assert_eq!(kv2.subkeys("app").depth(1).await.unwrap().expose(), &json!({"a": null, "d": null, "e": null}));
    assert_eq!(kv2.subkeys("app").version(1).depth(2).await.unwrap().expose()["a"], json!({"b": null}));
    tells(kv2.subkeys("app").version(2).await, Code::VersionNotFound, &["secret/app", "no version 2"]);
    kv2.delete("app", &[]).await.unwrap();
    tells(kv2.subkeys("app").await, Code::SecretDeleted, &["secret/app", "version 1"]);
    tells(kv2.subkeys("none").await, Code::SecretNotFound, &["secret/none"]);

    let mut config = kv2.config().await.unwrap();
    assert_eq!((config.max_versions, config.cas_required, config.delete_version_after), (0, false, 0));
    (config.max_versions, config.cas_required, config.delete_version_after) = (2, true, 5400);
    kv2.write_config(&config).await.unwrap();
    assert_eq!(kv2.config().await.unwrap(), config);
    tells(kv2.write("new", json!({})).await, Code::CasRequired, &["secret/data/new"]);
    for cas in 0..3 {
        write(&kv2, "new", json!({}), cas).await;
    }
    let metadata = kv2.metadata("new").await.unwrap();
    assert_eq!((metadata.oldest_version(), metadata.versions().versions().len()), (2, 2));
    assert!(metadata.versions().versions()[1].deletion_time().is_some(), "it lies ahead");
    config.delete_version_after = -1;
    kv2.write_config(&config).await.unwrap();
    assert_eq!(kv2.config().await.unwrap(), config);
    tells(client.kv2("nomount").config().await, Code::MountNotFound, &["nomount/config"]);
}

async fn odd_values(place: Place) {
    let kv2 = place.client().kv2("secret");
    let two_53 = 1_i64 << 53;
    let value = json!({
        "": "empty", "a b": {"é": "\u{0}\u{7f}\u{1f600}", "nested": {"": {}}}, "deep": [[[[{"a": [null, true, false]}]]]],
        "numbers": [0, -1, 1.5, 1e300, 5e-324, two_53, -two_53, two_53 + 2],
    });
    write(&kv2, "odd", value.clone(), 0).await;
    assert_eq!(kv2.read("odd").await.unwrap().expose(), &value);
    // OpenBao would give another number back.
    let lost = json!({"numbers": [0, two_53 + 1]});
    tells(kv2.write("odd", lost.clone()).await, Code::InvalidValue, &["'/numbers/1'", "as text"]);
    tells(kv2.patch("odd", lost).await, Code::InvalidValue, &["'/numbers/1'", "as text"]);
}

async fn uris(place: Place) {
    let (app, key) = ("openbao+kv2://secret/app/api", "openbao+kv2://secret/app/api#token");
    for client in [place.client(), place.limited(GUIDE).await] {
        tells(client.patch(app, json!({"a": 1})).await, Code::SecretNotFound, &[app]);
        client.write(app, json!({"token": {"a": 1}, "user": "x"})).await.unwrap();
        client.patch(key, json!({"b": [2]})).await.unwrap();
        let change = client.patch(app, json!({"user": null})).await.unwrap();
        assert_eq!((change.old_version, change.new_version), (2, 3));
        assert_eq!(client.read(app).await.unwrap().expose(), &json!({"token": {"a": 1, "b": [2]}}));
        client.patch(key, Value::Null).await.unwrap();
        tells(client.read(key).await, Code::FragmentNotFound, &["version 4"]);

        client.delete(app).await.unwrap();
        client.undelete(app, &[4]).await.unwrap();
        client.destroy(app, &[1, 2]).await.unwrap();
        client.set_owner(app, "payments").await.unwrap();
        let metadata = client.metadata(app).await.unwrap();
        assert_eq!(metadata.custom_metadata()["owner"], "payments");
        let destroyed: Vec<_> = metadata.versions().versions().iter().map(baokit::Version::is_destroyed).collect();
        assert_eq!(destroyed, [true, true, false, false]);

        tells(client.undelete(app, &[]).await, Code::InvalidVersion, &["versions"]);
        tells(client.undelete(key, &[1]).await, Code::FragmentNotAllowed, &[]);
        tells(client.destroy("openbao+kv2://secret/app?version=1", &[1]).await, Code::VersionNotAllowed, &[]);
        tells(client.set_owner(app, "").await, Code::RequestRejected, &["secret/metadata/app/api"]);
        tells(
            client.set_owner("openbao+kv2://secret/none", "x").await,
            Code::SecretNotFound,
            &["secret/metadata/none"],
        );
        tells(client.list("openbao+kv2://other/"), Code::TenantMountMismatch, &["other"]);
        tells(client.search("openbao+kv2://other/", "x").await, Code::TenantMountMismatch, &["other"]);
        client.kv2("secret").delete_key("app/api").await.unwrap();
    }
}

async fn searches(place: Place) {
    let root = place.client();
    for (path, owner) in [("a/Db", "Payments"), ("a/x%25y", "ops"), ("b/api", ""), ("c", "payments-2")] {
        root.write(format!("openbao+kv2://secret/s/{path}"), json!({"x": CANARY})).await.unwrap();
        if !owner.is_empty() {
            root.set_owner(format!("openbao+kv2://secret/s/{path}"), owner).await.unwrap();
        }
    }
    // The guide's policy allows neither scans nor detailed lists.
    for client in [root, place.limited(GUIDE).await] {
        let search = async |prefix: &str, text: &str| {
            let found = client.search(prefix, text).await.unwrap();
            assert!(found.is_complete);
            let paths =
                found.uris.iter().map(|uri| uri.as_str().trim_start_matches("openbao+kv2://secret/s/").to_owned());
            paths.collect::<Vec<_>>()
        };
        let all = "openbao+kv2://secret/s/";
        assert_eq!(search(all, "pay").await, ["a/Db", "c"]);
        assert_eq!(search(all, "DB").await, ["a/Db"]);
        assert_eq!(search(all, "%").await, ["a/x%25y"]);
        assert_eq!(search(all, "a").await, ["a/Db", "a/x%25y", "b/api", "c"]);
        assert_eq!(search("openbao+kv2://secret/s/a", "s").await, ["a/Db", "a/x%25y"]);
        assert_eq!(search(all, "").await.len(), 4);
        assert!(search(all, "canary").await.is_empty(), "values are not looked at");
        assert!(search("openbao+kv2://secret/none/", "").await.is_empty());
        let mut pages = client.list(all).unwrap().limit(2);
        assert_eq!(pages.next().await.unwrap().unwrap(), ["a/", "b/"]);
        assert_eq!(pages.next().await.unwrap().unwrap(), ["c"]);
    }
}

async fn copies(place: Place) {
    let client = place.limited(GUIDE).await;
    let uri = |path: &str| format!("openbao+kv2://secret/{path}");
    let numbers = json!({"a": {"b": [1.5, null]}, "n": 1e300});
    client.write(uri("from"), numbers.clone()).await.unwrap();
    client.write(uri("from"), json!({"second": 2})).await.unwrap();

    let copied = client.copy(uri("from?version=1"), uri("to"), false).await.unwrap();
    assert_eq!((copied.source_version, copied.old_version, copied.new_version), (1, 0, 1));
    assert_eq!(client.read(uri("to")).await.unwrap().expose(), &numbers);
    let names = ["secret/data/to", "version 1 is the newest"];
    tells(client.copy(uri("from"), uri("to"), false).await, Code::CasConflict, &names);
    tells(client.move_to(uri("from"), uri("to"), false).await, Code::CasConflict, &names);
    assert_eq!(client.read(uri("from")).await.unwrap().version(), 2, "the source is left");

    let moved = client.move_to(uri("from"), uri("to"), true).await.unwrap();
    assert_eq!((moved.source_version, moved.old_version, moved.new_version), (2, 1, 2));
    assert_eq!(client.read(uri("to")).await.unwrap().expose(), &json!({"second": 2}));
    tells(client.read(uri("from")).await, Code::SecretDeleted, &["version 2 was deleted"]);
    tells(client.move_to(uri("from"), uri("to"), true).await, Code::SecretDeleted, &["secret/from"]);
    client.undelete(uri("from"), &[2]).await.unwrap();
    assert_eq!(client.read(uri("from")).await.unwrap().version(), 2);
    // A destination that is deleted is no free one, and is overwritten.
    client.delete(uri("to")).await.unwrap();
    tells(client.copy(uri("from"), uri("to"), false).await, Code::CasConflict, &["secret/data/to"]);
    assert_eq!(client.copy(uri("from"), uri("to"), true).await.unwrap().new_version, 3);
    tells(client.copy(uri("none"), uri("to"), true).await, Code::SecretNotFound, &["secret/none"]);
    tells(client.copy(uri("from"), uri("from"), true).await, Code::RequestRejected, &["the same secret"]);
    tells(client.copy(uri("from#second"), uri("to"), true).await, Code::FragmentNotAllowed, &[]);
    tells(client.copy(uri("from"), uri("to?version=1"), true).await, Code::VersionNotAllowed, &[]);
    tells(client.move_to(uri("from?version=1"), uri("to"), true).await, Code::VersionNotAllowed, &[]);
    tells(client.copy(uri("from"), "openbao+kv2://other/to", true).await, Code::TenantMountMismatch, &["other"]);

    // Who may not delete is left with both, and is told so.
    let policy = r#"path "secret/data/*" { capabilities = ["create", "update", "read"] }"#;
    let limited = place.limited(policy).await;
    let names = ["secret/from", "the copy is made as version 1 of openbao+kv2://secret/half", "version 2 failed"];
    tells(limited.move_to(uri("from"), uri("half"), false).await, Code::PermissionDenied, &names);
    assert_eq!(client.read(uri("from")).await.unwrap().version(), 2);
    assert_eq!(client.read(uri("half")).await.unwrap().expose(), &json!({"second": 2}));
}

/// Raft storage has a list of its own.
#[tokio::test]
async fn lists_on_raft_storage_come_in_the_same_pages() {
    for version in Version::ALL {
        let server = Server::start_uninitialized(version).unwrap_or_else(|e| panic!("{e}"));
        let unsealing = server.initialize().unwrap();
        server.unseal(&unsealing).unwrap();
        let (token, place) = (unsealing.root_token, Place::Real(server));
        let client = place.client_of(&token);
        client.sys().enable_mount("secret", &MountConfig::kv2()).await.unwrap();
        lists_of(&client, &client).await;
    }
}

macro_rules! on_each_server {
    ($($test:ident: $name:ident)+) => { $(
        #[tokio::test]
        async fn $name() {
            for place in Place::all() {
                $test(place).await;
            }
        }
    )+ }
}

on_each_server! {
    versions: versions_are_deleted_undeleted_and_destroyed_and_reads_tell_which
    patches: a_patch_is_the_same_with_and_without_the_right_to_patch
    metadata: metadata_is_read_written_and_patched_under_its_own_version
    metadata_limits: bad_input_is_refused_where_the_server_would_refuse_it
    lists: lists_come_in_pages_and_scans_as_a_whole
    nobody_lists: who_may_not_list_is_told_so
    subkeys_and_config: subkeys_and_the_settings_of_a_mount
    odd_values: any_json_comes_back_as_it_was_written
    uris: the_same_on_the_level_of_uris
    searches: a_search_finds_paths_and_owners_with_and_without_the_right_to_scan
    copies: a_copy_and_a_move_leave_what_they_should
}
