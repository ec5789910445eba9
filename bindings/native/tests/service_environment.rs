//! The README's lines about enforcement, in a process of their own: the environment is the process's.

#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::process::Command;

use baokit::Client;
use baokit_devserver::DevServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[test]
fn a_store_where_callers_could_write_grants_for_themselves_is_refused() {
    let client = Client::builder().url("http://127.0.0.1:1").token("root").allowed_mounts(["secret"]).build().unwrap();
    let shared = |mount: &str| {
        let settings = baokit::service::Settings::from_lookup(|_| None).unwrap();
        baokit::Enforcer::builder(client.clone(), settings).shared_store(&client, mount, "state").map(drop)
    };
    assert_eq!(shared("secret").unwrap_err().code(), baokit::Code::InvalidSetting);
    shared("pep").unwrap();
}

#[tokio::test]
#[ignore = "run by the test below, in an environment of its own"]
async fn as_the_readme() -> Result<(), Box<dyn std::error::Error>> {
    let connect = |token: &str| println!("connected with {token}");
    let enforcer = baokit::Enforcer::from_env(baokit::Client::from_env()?)?;
    let mut caller = baokit::Caller::anonymous();
    caller.subject = Some("billing".to_owned());
    let token = enforcer.get_credentials("openbao+kv2://secret/app/api#token", &caller).await?;
    connect(token.expose_str()?);
    let app = axum::Router::new().merge(baokit::axum::router(baokit::SecretsApi::new(enforcer)));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await });
    let mut socket = TcpStream::connect(address).await?;
    let request = "GET /api/secrets/value?uri=openbao+kv2://secret/app/api HTTP/1.0\r\n\r\n";
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    println!("{answer}");
    Ok(())
}

#[tokio::test]
async fn the_readme_s_lines_about_enforcement_work() {
    let server = DevServer::start().await.unwrap();
    let client = Client::builder().url(server.url()).token("root").allowed_mounts(["secret"]).build().unwrap();
    client.write("openbao+kv2://secret/app/api#token", "value").await.unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_the_readme", "--ignored", "--nocapture", "--test-threads=1"])
        .env_clear()
        .envs([("OPENBAO_URL", server.url()), ("OPENBAO_TOKEN", "root"), ("TENANT_ALLOWED_MOUNTS", "secret")])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("connected with value\n"), "{printed}");
    assert!(
        printed.contains(r#"{"uri":"openbao+kv2://secret/app/api","value":{"token":"value"},"version":1}"#),
        "{printed}"
    );
}
