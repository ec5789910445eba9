//! Every way to a token against a real server of each version, and against the dev server as far as its model goes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

#[path = "auth/keys.rs"]
mod keys;

use std::path::PathBuf;
use std::time::Duration;

use baokit::sys::{MountConfig, Role};
use baokit::{Builder, Client, Code, Credential, ReadOptions, SecretValue};
use baokit_devserver::DevServer;
use baokit_openbao::{Server, Version};
use keys::{Certificates, Signer, reviewer};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
const URI: &str = "openbao+kv2://secret/app/api#token";
const POLICY: &str = r#"
path "secret/*" { capabilities = ["create", "update", "read", "list"] }
"#;

fn code<T: std::fmt::Debug>(result: baokit::Result<T>) -> Code {
    result.unwrap_err().code()
}

fn builder(url: &str) -> Builder {
    Client::builder().url(url).allowed_mounts(["secret"]).deadline(Duration::from_secs(10))
}

fn with(url: &str, credential: baokit::Result<Credential>) -> Client {
    builder(url).credential(credential.unwrap()).build().unwrap()
}

/// Writes as an administrator what is not modelled.
async fn put(admin: &Client, path: &str, body: Value) {
    admin.request("POST", path, Some(SecretValue::from(body))).await.unwrap_or_else(|e| panic!("{path}: {e}"));
}

/// An administrator of a server where the secret and the policy `app` are.
async fn admin(url: &str) -> Client {
    let admin = builder(url).token("root").build().unwrap();
    admin.write(URI, "t").await.unwrap();
    admin.sys().put_policy("app", POLICY).await.unwrap();
    admin
}

async fn reads(client: &Client) {
    assert_eq!(client.read(URI).await.unwrap().expose_str().unwrap(), "t");
}

/// A file that goes with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("baokit-auth-{}-{name}", std::process::id())))
    }

    fn put(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Ends the client's own token, as an administrator would.
async fn end_token(admin: &Client, client: &Client) {
    let accessor = client.lookup_self().await.unwrap().accessor().to_owned();
    put(admin, "auth/token/revoke-accessor", json!({"accessor": accessor})).await;
}

async fn app_role_plain_and_wrapped(url: &str) {
    let admin = admin(url).await;
    admin.sys().enable_auth("approle", &MountConfig::new("approle")).await.unwrap();
    let roles = admin.sys().app_role("approle").unwrap();
    for name in ["app", "other"] {
        roles.put_role(name, &Role::new(["app"])).await.unwrap();
    }
    let role_id = roles.role_id("app").await.unwrap().expose_str().unwrap().to_owned();
    let plain = roles.secret_id("app").await.unwrap();
    reads(&builder(url).app_role(&role_id, plain.secret_id.expose_str().unwrap()).build().unwrap()).await;

    let wrapped = roles.wrapped_secret_id("app", MINUTE).await.unwrap();
    let token = wrapped.token.expose_str().unwrap();
    let wrong = with(url, Credential::wrapped_app_role(role_id.as_str(), token, Some("other")));
    let error = wrong.read(URI).await.unwrap_err();
    assert!(error.code() == Code::AuthenticationFailed && error.to_string().contains("something else"), "{error}");
    let client = with(url, Credential::wrapped_app_role(role_id.as_str(), token, Some("app")));
    reads(&client).await;
    end_token(&admin, &client).await;
    reads(&client).await;

    // Somebody else comes too late, with a look before or without.
    let late = with(url, Credential::wrapped_app_role(role_id.as_str(), token, Some("app")));
    assert_eq!(code(late.read(URI).await), Code::WrappingTokenSpent);
    let error = builder(url).wrapped_secret_id(&role_id, token).build().unwrap().read(URI).await.unwrap_err();
    assert_eq!(error.code(), Code::WrappingTokenSpent);
    assert!(error.to_string().contains("perhaps by somebody else") && !error.to_string().contains(token), "{error}");
}

async fn token_and_its_file(url: &str) {
    let admin = admin(url).await;
    let make = async || {
        let reply =
            admin.request("POST", "auth/token/create", Some(json!({"policies": ["app"]}).into())).await.unwrap();
        reply.expose()["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let file = Scratch::new(url.rsplit(':').next().unwrap());
    let client = builder(url).token_file(file.path()).build().unwrap();
    let error = client.read(URI).await.unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::InvalidSetting, Some(file.path())));
    let first = make().await;
    file.put(&format!("{first}\n"));
    reads(&client).await;
    reads(&builder(url).token(first).build().unwrap()).await;

    end_token(&admin, &client).await;
    let error = client.read(URI).await.unwrap_err();
    assert!(error.code() == Code::AuthenticationFailed && error.to_string().contains("still holds"), "{error}");
    file.put(&make().await);
    reads(&client).await;
    file.put(&"x".repeat(8195));
    end_token(&admin, &client).await;
    let error = client.read(URI).await.unwrap_err();
    assert!(error.code() == Code::InvalidSetting && error.to_string().contains("longer than 8192"), "{error}");
}

async fn user_and_password(url: &str) {
    let admin = admin(url).await;
    admin.sys().enable_auth("userpass", &MountConfig::new("userpass")).await.unwrap();
    put(&admin, "auth/userpass/users/ann", json!({"password": "pass word", "token_policies": "app"})).await;
    let client = builder(url).userpass("ann", "pass word").build().unwrap();
    reads(&client).await;
    end_token(&admin, &client).await;
    reads(&client).await;
    for (name, password) in [("ann", "wrong"), ("nobody", "pass word")] {
        let client = builder(url).userpass(name, password).build().unwrap();
        assert_eq!(code(client.read(URI).await), Code::AuthenticationFailed, "{name}");
    }
}

async fn set_up_jwt(admin: &Client, signer: &Signer) {
    admin.sys().enable_auth("jwt", &MountConfig::new("jwt")).await.unwrap();
    let keys = json!({"jwt_validation_pubkeys": [signer.public_pem()], "jwt_supported_algs": ["ES256"]});
    put(admin, "auth/jwt/config", keys).await;
    let role =
        json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["openbao"], "token_policies": "app"});
    put(admin, "auth/jwt/role/ci", role).await;
}

async fn jwt(url: &str) {
    let (admin, signer) = (admin(url).await, Signer::new());
    set_up_jwt(&admin, &signer).await;
    let good = signer.jwt(json!({"sub": "job", "aud": "openbao"}));
    reads(&builder(url).jwt("ci", &good).build().unwrap()).await;
    let wrong = [
        signer.jwt(json!({"sub": "job", "aud": "else"})),
        Signer::new().jwt(json!({"sub": "job", "aud": "openbao"})),
        "no.jwt.atall".to_owned(),
    ];
    for wrong in &wrong {
        assert_eq!(code(builder(url).jwt("ci", wrong).build().unwrap().read(URI).await), Code::AuthenticationFailed);
    }
    assert_eq!(code(builder(url).jwt("none", &good).build().unwrap().read(URI).await), Code::AuthenticationFailed);

    let file = Scratch::new(&format!("jwt-{}", url.rsplit(':').next().unwrap()));
    file.put(&wrong[0]);
    let client = builder(url).jwt_file("ci", file.path()).build().unwrap();
    assert_eq!(code(client.read(URI).await), Code::AuthenticationFailed);
    file.put(&format!("{good}\n"));
    reads(&client).await;
}

async fn set_up_kubernetes(admin: &Client, signer: &Signer) {
    admin.sys().enable_auth("kubernetes", &MountConfig::new("kubernetes")).await.unwrap();
    let config = json!({
        "kubernetes_host": reviewer(),
        "disable_local_ca_jwt": true,
        // It must be there, and is not used over plain HTTP.
        "kubernetes_ca_cert": Certificates::new().authority,
        "pem_keys": [signer.public_pem()],
    });
    put(admin, "auth/kubernetes/config", config).await;
    let role = json!({
        "bound_service_account_names": "app",
        "bound_service_account_namespaces": "default",
        "token_policies": "app",
    });
    put(admin, "auth/kubernetes/role/app", role).await;
}

/// A pod's credential, with its token in this file.
fn pod(file: &Scratch) -> baokit::Result<Credential> {
    Credential::jwt_file("app", file.path()).and_then(|credential| credential.at("kubernetes"))
}

async fn kubernetes(url: &str) {
    let (admin, signer) = (admin(url).await, Signer::new());
    set_up_kubernetes(&admin, &signer).await;
    let file = Scratch::new(&format!("pod-{}", url.rsplit(':').next().unwrap()));
    let client = with(url, pod(&file));
    file.put(&signer.service_account("stranger"));
    assert_eq!(code(client.read(URI).await), Code::AuthenticationFailed);
    file.put(&signer.service_account("app"));
    reads(&client).await;
    // The next log-in reads the file again, as it is by then.
    end_token(&admin, &client).await;
    file.put(&Signer::new().service_account("app"));
    assert_eq!(code(client.read(URI).await), Code::AuthenticationFailed);
    // Without the file of a pod the default says which one is missing.
    let error = builder(url).kubernetes("app").build().unwrap().read(URI).await.unwrap_err();
    assert_eq!(error.subject(), Some("/var/run/secrets/kubernetes.io/serviceaccount/token"));
}

async fn certificate(version: Version) {
    let pki = Certificates::new();
    let server = Server::start_with_tls(version, &pki.server.certificate, &pki.server.key).unwrap();
    let admin = admin(server.url()).await;
    admin.sys().enable_auth("cert", &MountConfig::new("cert")).await.unwrap();
    put(&admin, "auth/cert/certs/web", json!({"certificate": pki.authority, "token_policies": "app"})).await;
    let secured = || builder(server.tls_url().unwrap()).ca_pem(&pki.authority);
    let showing = |pair: &keys::Pair| secured().client_certificate_pem(&pair.certificate, &pair.key);
    let client = showing(&pki.client).certificate("web").build().unwrap();
    reads(&client).await;
    end_token(&admin, &client).await;
    reads(&client).await;
    reads(&showing(&pki.client).credential(Credential::certificate(None).unwrap()).build().unwrap()).await;
    let refused = [
        showing(&pki.stranger).certificate("web"),
        showing(&pki.client).certificate("none"),
        secured().certificate("web"),
    ];
    for refused in refused {
        assert_eq!(code(refused.build().unwrap().read(URI).await), Code::AuthenticationFailed);
    }
}

/// How many tokens the server has stored.
async fn tokens(admin: &Client) -> usize {
    let list = admin.request("LIST", "auth/token/accessors", None).await.unwrap();
    list.expose()["data"]["keys"].as_array().unwrap().len()
}

async fn inline(url: &str) {
    let (admin, signer) = (admin(url).await, Signer::new());
    for method in ["approle", "userpass"] {
        admin.sys().enable_auth(method, &MountConfig::new(method)).await.unwrap();
    }
    let roles = admin.sys().app_role("approle").unwrap();
    roles.put_role("app", &Role::new(["app"])).await.unwrap();
    let role_id = roles.role_id("app").await.unwrap().expose_str().unwrap().to_owned();
    let secret_id = roles.secret_id("app").await.unwrap().secret_id.expose_str().unwrap().to_owned();
    put(&admin, "auth/userpass/users/ann", json!({"password": "right", "token_policies": "app"})).await;
    set_up_jwt(&admin, &signer).await;
    set_up_kubernetes(&admin, &signer).await;
    let file = Scratch::new(&format!("inline-{}", url.rsplit(':').next().unwrap()));
    file.put(&signer.service_account("app"));
    let good = [
        Credential::app_role(role_id.as_str(), secret_id.as_str()),
        Credential::user_pass("ann", "right"),
        Credential::jwt("ci", signer.jwt(json!({"sub": "job", "aud": "openbao"}))),
        pod(&file),
    ];
    let before = tokens(&admin).await;
    for credential in good {
        let kind = format!("{credential:?}");
        let client = with(url, credential.map(Credential::inline));
        reads(&client).await;
        client.write(URI, "t").await.unwrap_or_else(|e| panic!("{kind}: {e}"));
        let strong = client.read_with(URI, ReadOptions::new().strong()).await;
        assert_eq!(strong.unwrap_or_else(|e| panic!("{kind}: {e}")).expose_str().unwrap(), "t");
        assert_eq!(code(client.sys().mounts().await), Code::PermissionDenied, "{kind}");
        assert_eq!(code(client.lookup_self().await), Code::PermissionDenied, "{kind}: no token is stored");
        client.revoke_self().await.unwrap();
    }
    assert_eq!(tokens(&admin).await, before, "nothing is left on the server");

    file.put(&signer.service_account("stranger"));
    let wrong = [
        Credential::app_role(role_id.as_str(), "wrong"),
        Credential::app_role(role_id.as_str(), secret_id.as_str()).unwrap().at("nowhere"),
        Credential::user_pass("ann", "wrong"),
        Credential::jwt("ci", Signer::new().jwt(json!({"sub": "job", "aud": "openbao"}))),
        pod(&file),
    ];
    for credential in wrong {
        let kind = format!("{credential:?}");
        let error = with(url, credential.map(Credential::inline)).read(URI).await.unwrap_err();
        assert_eq!(error.code(), Code::AuthenticationFailed, "{kind}: {error}");
    }
}

/// One server for each expectation, so that none sees what another set up.
macro_rules! on_each {
    ($($name:ident: $work:ident on $version:expr;)+) => {
        $(#[tokio::test]
        async fn $name() {
            let server = Server::start($version).unwrap();
            $work(server.url()).await;
        })+
    };
}

on_each! {
    app_role_on_2_7_2: app_role_plain_and_wrapped on Version::V2_7_2;
    app_role_on_2_6_2: app_role_plain_and_wrapped on Version::V2_6_2;
    token_on_2_7_2: token_and_its_file on Version::V2_7_2;
    token_on_2_6_2: token_and_its_file on Version::V2_6_2;
    userpass_on_2_7_2: user_and_password on Version::V2_7_2;
    userpass_on_2_6_2: user_and_password on Version::V2_6_2;
    jwt_on_2_7_2: jwt on Version::V2_7_2;
    jwt_on_2_6_2: jwt on Version::V2_6_2;
    kubernetes_on_2_7_2: kubernetes on Version::V2_7_2;
    kubernetes_on_2_6_2: kubernetes on Version::V2_6_2;
    inline_on_2_7_2: inline on Version::V2_7_2;
    inline_on_2_6_2: inline on Version::V2_6_2;
}

#[tokio::test]
async fn certificate_on_2_7_2() {
    certificate(Version::V2_7_2).await;
}

#[tokio::test]
async fn certificate_on_2_6_2() {
    certificate(Version::V2_6_2).await;
}

#[tokio::test]
async fn app_role_and_token_on_the_dev_server() {
    let server = DevServer::start_blocking().unwrap();
    app_role_plain_and_wrapped(server.url()).await;
    let server = DevServer::start_blocking().unwrap();
    token_and_its_file(server.url()).await;
}
