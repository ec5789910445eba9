//! Reads side by side are not older than what the client has seen, on virtual time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod scenario;

use baokit_core::http::Method;
use baokit_core::{Client, ReadOptions, SecretValue};
use scenario::{World, at_index, json, secret, wrap_info, written};

const UNWRAP: &str = "/v1/sys/wrapping/unwrap";

/// Writes the version that follows this one.
fn write(world: &World, client: &Client<World>, cas: u64) {
    let data = SecretValue::from(serde_json::json!({"token": "new"}));
    world.run(client.kv2_write("secret", "app", &data, Some(cas))).unwrap();
}

#[test]
fn the_leader_s_own_lower_index_is_believed_by_all_who_asked_before_it_was_known() {
    // After a restore from a disk's copy the cluster counts on from a lower number.
    for (count, options) in [(2, ReadOptions::new().strong()), (20, ReadOptions::new())] {
        let world = World::new(|seen| match seen.target.as_str() {
            UNWRAP => secret(2),
            _ if seen.method == Method::Post => at_index(written(1), "c", 9),
            _ if seen.is_wrapped() => at_index(json(200, wrap_info("w")), "c", 5),
            _ => at_index(secret(2), "c", 5),
        });
        let client = world.client(World::settings(1));
        write(&world, &client, 0);
        let results = world.run_all((0..count).map(|i| {
            let client = &client;
            async move { client.read_with(&format!("openbao+kv2://secret/other{i}"), options).await }
        }));
        assert!(results.iter().all(|result| result.as_ref().is_ok_and(|read| read.version() == 2)), "{results:?}");
    }
}
