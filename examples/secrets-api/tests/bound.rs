//! Tokens that are bound to a key: client certificates over TLS and behind a proxy, and DPoP. What a caller can
//! make up, a header or a Host, changes nothing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use base64ct::{Base64, Encoding};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use support::issuer::{Issuer, Key, hash};
use support::{Folder, Service, VALUE, code, curl};

/// An authority of certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate in files, and its DER.
struct Signed {
    certificate: String,
    key: String,
    der: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let mut params = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, folder: &Folder, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = named(name).signed_by(&key, &self.0).unwrap();
        Signed {
            certificate: folder.write(&format!("{name}.pem"), &certificate.pem()),
            key: folder.write(&format!("{name}.key"), &key.serialize_pem()),
            der: certificate.der().to_vec(),
        }
    }
}

/// A certificate whose subject differs from its issuer's, or OpenSSL takes it for one that has signed itself.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A token that is bound to a certificate.
fn of_certificate(issuer: &Issuer, certificate: &Signed) -> String {
    issuer.token(json!({"cnf": {"x5t#S256": hash(&certificate.der)}, "scope": "secrets.read secrets.write"}))
}

const BODY: &str = r#"{"uri": "openbao+kv2://secret/app/api#token", "value": "v"}"#;

#[test]
fn over_https_a_token_is_good_with_its_client_certificate_and_with_no_other() {
    let (issuer, folder, authority, stranger) = (Issuer::start(), Folder::new(), Authority::new(), Authority::new());
    let (server, ours) = (authority.sign(&folder, "127.0.0.1"), authority.sign(&folder, "billing"));
    let (other, foreign) = (authority.sign(&folder, "other"), stranger.sign(&folder, "foreign"));
    let ca = folder.write("ca.pem", &authority.0.pem());
    let service = Service::start(&[
        ("TLS_CERT", &server.certificate),
        ("TLS_KEY", &server.key),
        ("TLS_CLIENT_CA", &ca),
        ("SECRETS_API_REQUIRE_AUTH", "true"),
        ("OIDC_ISSUER", &issuer.url()),
        // Even where a proxy is trusted, a header of somebody else is not.
        ("FORWARDED_CLIENT_CERT_HEADER", "X-Client-Cert"),
        ("TRUSTED_PROXY_CIDRS", "192.0.2.0/24"),
    ]);
    assert!(service.calls.iter().all(|call| call.contains("https://")), "{:?}", service.calls);
    let bearer = format!("Authorization: Bearer {}", of_certificate(&issuer, &ours));
    let forged = format!("X-Client-Cert: {}", Base64::encode_string(&ours.der));
    let url = |path: &str| format!("https://{}{path}", service.address);
    let call = |certificate: Option<&Signed>, more: &[&str]| {
        let url = url(VALUE);
        let mut arguments = vec!["--cacert", &ca, "-H", &bearer, &url];
        if let Some(Signed { certificate, key, .. }) = certificate {
            arguments.extend(["--cert", certificate, "--key", key]);
        }
        arguments.extend(more);
        let (status, body) = curl(&arguments);
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let there = ["--json", BODY, "--url", &url("/api/secrets")];
    let made = curl(
        &[&["--cacert", &ca, "-H", &bearer, "--cert", &ours.certificate, "--key", &ours.key][..], &there].concat(),
    );
    assert_eq!(made.0, 200, "{made:?}");
    assert_eq!(call(Some(&ours), &[]), (200, String::new()));
    let refused = (401, "SENDER_KEY_MISMATCH".to_owned());
    assert_eq!(call(Some(&other), &[]), refused);
    assert_eq!(call(None, &[]), refused);
    // Who is no trusted proxy may say what he likes.
    assert_eq!(call(None, &["-H", &forged]), refused);
    assert_eq!(call(Some(&other), &["-H", &forged, "-H", "Host: billing.example"]), refused);
    assert_eq!(call(Some(&ours), &["-H", "X-Client-Cert: nonsense", "-H", "Host: evil.example"]), (200, String::new()));
    // A certificate of another authority does not even shake hands.
    let words =
        ["--silent", "--max-time", "10", "--cacert", &ca, "--cert", &foreign.certificate, "--key", &foreign.key];
    let status = std::process::Command::new("curl").args(words).arg(url("/healthz")).status().unwrap();
    assert!(!status.success());
    let health = curl(&["--cacert", &ca, &url("/healthz")]);
    assert_eq!(health, (200, json!({"status": "ok"})));
}

#[test]
fn behind_a_proxy_the_header_counts_where_the_proxy_s_address_is_trusted() {
    let (issuer, folder, authority) = (Issuer::start(), Folder::new(), Authority::new());
    let (ours, other) = (authority.sign(&folder, "billing"), authority.sign(&folder, "other"));
    let service = Service::start(&[
        ("SECRETS_API_REQUIRE_AUTH", "true"),
        ("INBOUND_AUTH_MODE", "mtls"),
        ("OIDC_ISSUER", &issuer.url()),
        ("FORWARDED_CLIENT_CERT_HEADER", "X-Client-Cert"),
        // All of 127/8 is this machine, so that curl can call from an address that is trusted and from one that is not.
        ("TRUSTED_PROXY_CIDRS", "127.0.0.2"),
    ]);
    let bearer = format!("Authorization: Bearer {}", of_certificate(&issuer, &ours));
    let url = format!("http://{}/api/secrets", service.address);
    let call = |from: &str, certificate: Option<&Signed>, token: &str| {
        let mut arguments = vec!["--interface", from, "-H", token, "--json", BODY, &url];
        let header = certificate.map(|signed| format!("X-Client-Cert: {}", Base64::encode_string(&signed.der)));
        if let Some(header) = &header {
            arguments.extend(["-H", header, "-H", "X-Forwarded-For: 127.0.0.2"]);
        }
        curl(&arguments).0
    };
    assert_eq!(call("127.0.0.2", Some(&ours), &bearer), 200);
    assert_eq!(call("127.0.0.2", Some(&other), &bearer), 401);
    assert_eq!(call("127.0.0.2", None, &bearer), 401);
    assert_eq!(call("127.0.0.1", Some(&ours), &bearer), 401, "a client that forges the header");
    let loose = format!("Authorization: Bearer {}", issuer.token(json!({})));
    assert_eq!(call("127.0.0.2", Some(&ours), &loose), 401, "INBOUND_AUTH_MODE asks for tokens that are bound");
}

#[test]
fn a_dpop_proof_is_good_once_for_the_public_address_whatever_host_is_named() {
    let (issuer, key) = (Issuer::start(), Key::new(77));
    let service = Service::start(&[
        ("SECRETS_API_REQUIRE_AUTH", "true"),
        ("INBOUND_AUTH_MODE", "dpop"),
        ("OIDC_ISSUER", &issuer.url()),
        ("SECRETS_PUBLIC_URL", "https://crud.example"),
    ]);
    let claims = |key: &Key| json!({"cnf": {"jkt": key.thumbprint()}, "scope": "secrets.read secrets.write"});
    let token = issuer.token(claims(&key));
    let authorization = format!("Authorization: DPoP {token}");
    let call = |proof: &str, host: &str, authorization: &str| -> (u16, Value) {
        let (proof, host) = (format!("DPoP: {proof}"), format!("Host: {host}"));
        let url = format!("http://{}/api/secrets", service.address);
        let (status, body) = curl(&["-H", &proof, "-H", &host, "-H", authorization, "--json", BODY, &url]);
        (status, body["code"].clone())
    };
    let right = "https://crud.example/api/secrets";
    let (proof, refused) = (key.proof("POST", right, &token), json!("DPOP_PROOF_INVALID"));
    assert_eq!(call(&proof, "crud.example", &authorization).0, 200);
    assert_eq!(call(&proof, "crud.example", &authorization), (401, json!("DPOP_PROOF_REPLAYED")));
    assert_eq!(call(&key.proof("POST", right, &token), "evil.example", &authorization).0, 200);
    // The address that the caller says it is at does not count.
    let evil = key.proof("POST", "https://evil.example/api/secrets", &token);
    assert_eq!(call(&evil, "evil.example", &authorization), (401, refused.clone()));
    let local = format!("http://{}/api/secrets", service.address);
    let local = key.proof("POST", &local, &token);
    assert_eq!(call(&local, &service.address.to_string(), &authorization), (401, refused.clone()));
    assert_eq!(call(&key.proof("GET", right, &token), "crud.example", &authorization), (401, refused.clone()));
    // Another key, a token sent as a bearer's, and a token of somebody else's key.
    let other = Key::new(78).proof("POST", right, &token);
    assert_eq!(call(&other, "crud.example", &authorization), (401, json!("SENDER_KEY_MISMATCH")));
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(call(&key.proof("POST", right, &token), "crud.example", &bearer), (401, refused));
    let answer = service.value(&[("Authorization", &format!("DPoP {token}"))]);
    assert_eq!((answer.status, code(&answer).as_str()), (401, "DPOP_PROOF_INVALID"));
    assert!(answer.header("www-authenticate").unwrap().contains("DPoP"), "{answer:?}");
}
