//! Watching and caching through the Rust face: the same expectations on the dev server and on a real server of each
//! version.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail by panicking, as tests do")]

use std::time::Duration;

use baokit::{Builder, CacheConfig, Client, Code};
use baokit_devserver::DevServer;
use baokit_openbao::{Server, Version};

const URI: &str = "openbao+kv2://secret/app";
const TOKEN: &str = "openbao+kv2://secret/app#token";

fn builder(url: &str) -> Builder {
    Client::builder().url(url).token("root").allowed_mounts(["secret"])
}

/// Each version once, a deletion not at all, and a secret that is made anew.
async fn watched(url: &str) {
    let (client, other) = (builder(url).build().unwrap(), builder(url).build().unwrap());
    other.write(TOKEN, "one").await.unwrap();
    let mut watch = client.watch(URI).unwrap().every(Duration::from_secs(1));
    assert_eq!(watch.next().await.unwrap().version(), 1);
    other.write(TOKEN, "two").await.unwrap();
    let second = watch.next().await.unwrap();
    assert_eq!((second.version(), second.deletion_time(), second.is_destroyed()), (2, None, false));
    other.delete(URI).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(2500), watch.next()).await;
    assert!(quiet.is_err(), "no new version came");
    other.kv2("secret").delete_key("app").await.unwrap();
    other.write(TOKEN, "anew").await.unwrap();
    assert_eq!(watch.next().await.unwrap().version(), 1);
    client.close();
    assert_eq!(watch.next().await.unwrap_err().code(), Code::ClientClosed);
}

/// One read for all, its own write seen at once, another's when the time of the entry is over.
async fn cached(url: &str) {
    let of = |seconds| builder(url).cache(CacheConfig::new(Duration::from_secs(seconds))).build().unwrap();
    let (long, short, other) = (of(600), of(1), builder(url).build().unwrap());
    let value = async |client: &Client| client.read(TOKEN).await.unwrap().expose_str().unwrap().to_owned();
    long.write(TOKEN, "one").await.unwrap();
    for _ in 0..10 {
        assert_eq!(value(&long).await, "one");
    }
    assert_eq!((long.cache_metrics().misses, long.cache_metrics().hits), (1, 9));
    long.write(TOKEN, "two").await.unwrap();
    assert_eq!((value(&long).await.as_str(), value(&short).await.as_str()), ("two", "two"));
    other.write(TOKEN, "three").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((value(&long).await.as_str(), value(&short).await.as_str()), ("two", "three"));
    other.delete(URI).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(short.read(TOKEN).await.unwrap_err().code(), Code::SecretDeleted);
}

#[tokio::test]
async fn new_versions_are_told_and_what_is_cached_is_no_older_than_it_may_be_on_the_dev_server() {
    let server = DevServer::start().await.unwrap();
    watched(server.url()).await;
    cached(server.url()).await;
}

#[tokio::test]
async fn new_versions_are_told_and_what_is_cached_is_no_older_than_it_may_be_on_real_servers() {
    for version in Version::ALL {
        let server = Server::start(version).unwrap_or_else(|e| panic!("{e}"));
        watched(server.url()).await;
        cached(server.url()).await;
    }
}
