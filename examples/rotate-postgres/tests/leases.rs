//! Leases: users of a real PostgreSQL that OpenBao makes, lengthens and takes away again. Both versions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

use std::time::Duration;

use baokit::sys::MountConfig;
use baokit::{Client, Code, SecretValue};
use baokit_openbao::{Server, Version};
use rotate_postgres::Postgres;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

fn code<T: std::fmt::Debug>(result: baokit::Result<T>) -> Code {
    result.unwrap_err().code()
}

/// Writes as an administrator what is not modelled.
async fn put(admin: &Client, path: &str, body: Value) {
    admin.request("POST", path, Some(SecretValue::from(body))).await.unwrap_or_else(|e| panic!("{path}: {e}"));
}

async fn leases(version: Version) {
    let server = Server::start(version).unwrap();
    let builder = || Client::builder().url(server.url()).allowed_mounts(["secret"]);
    let admin = builder().token("root").build().unwrap();
    admin.write("openbao+kv2://secret/app/api#token", "t").await.unwrap();
    let postgres = Postgres::start().await.unwrap();
    admin.sys().enable_mount("database", &MountConfig::new("database")).await.unwrap();
    let address = format!(
        "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
        postgres.port()
    );
    let config = json!({
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": "app",
        "connection_url": address,
        "username": postgres.admin().get_user().unwrap(),
        "password": std::str::from_utf8(postgres.admin().get_password().unwrap()).unwrap(),
    });
    put(&admin, "database/config/db", config).await;
    let statement = r#"CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"#;
    let role = json!({"db_name": "db", "creation_statements": statement, "default_ttl": "100s", "max_ttl": "1000s"});
    put(&admin, "database/roles/app", role).await;

    let user = admin.request("GET", "database/creds/app", None).await.unwrap();
    let lease = user.lease_id().unwrap().to_owned();
    assert!(lease.starts_with("database/creds/app/"), "{lease}");
    assert_eq!((user.lease_duration(), user.is_renewable()), (100, true));
    let mut login = postgres.admin().clone();
    login.user(user.expose()["data"]["username"].as_str().unwrap());
    login.password(user.expose()["data"]["password"].as_str().unwrap());
    assert!(login.connect(NoTls).await.is_ok());

    let info = admin.sys().lookup_lease(&lease).await.unwrap();
    assert_eq!((info.id.as_str(), info.renewable, info.last_renewal), (lease.as_str(), true, None));
    assert!((90..=100).contains(&info.ttl), "{}", info.ttl);
    let longer = admin.sys().renew_lease(&lease, Some(Duration::from_secs(500))).await.unwrap();
    assert_eq!((longer.lease_id.as_str(), longer.lease_duration, longer.renewable), (lease.as_str(), 500, true));
    assert_eq!(admin.sys().renew_lease(&lease, None).await.unwrap().lease_duration, 100);

    admin.sys().revoke_lease(&lease).await.unwrap();
    for _ in 0..500 {
        if login.connect(NoTls).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(login.connect(NoTls).await.is_err(), "the user is gone");
    assert_eq!(code(admin.sys().lookup_lease(&lease).await), Code::NotFound);
    assert_eq!(code(admin.sys().renew_lease(&lease, None).await), Code::NotFound);
    admin.sys().revoke_lease(&lease).await.unwrap();

    let secret = admin.request("GET", "secret/data/app/api", None).await.unwrap();
    assert_eq!((secret.lease_id(), secret.lease_duration(), secret.is_renewable()), (None, 0, false));
    let stranger = builder().token("nonsense").build().unwrap();
    assert_eq!(code(stranger.sys().renew_lease(&lease, None).await), Code::AuthenticationFailed);
}

#[tokio::test]
async fn users_of_a_database_are_lengthened_and_revoked_by_their_leases_on_2_7_2() {
    leases(Version::V2_7_2).await;
}

#[tokio::test]
async fn users_of_a_database_are_lengthened_and_revoked_by_their_leases_on_2_6_2() {
    leases(Version::V2_6_2).await;
}
