//! What the tests of log-ins prove themselves with: JWTs signed by a key of our own, certificates of an authority
//! of our own, and the one thing that is mocked, the reviewer of tokens that Kubernetes would be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, SigningKey,
};
use serde_json::{Value, json};

/// Signs JWTs (ES256).
pub struct Signer(KeyPair);

impl Signer {
    pub fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// A JWT with these claims, good for an hour.
    pub fn jwt(&self, mut claims: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        claims["iat"] = json!(now);
        claims["exp"] = json!(now + 3600);
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT"})), part(&claims));
        let signature = fixed(&self.0.sign(text.as_bytes()).unwrap());
        format!("{text}.{}", Base64UrlUnpadded::encode_string(&signature))
    }

    /// The token of a service account, as Kubernetes signs them.
    pub fn service_account(&self, name: &str) -> String {
        self.jwt(json!({
            "iss": "https://kubernetes.default.svc",
            "sub": format!("system:serviceaccount:default:{name}"),
            "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": name, "uid": format!("uid-{name}")}},
        }))
    }
}

/// A signature of a JWT: both numbers at their full length, without the DER around them.
fn fixed(der: &[u8]) -> Vec<u8> {
    let (mut rest, mut out) = (&der[2..], Vec::new());
    for _ in 0..2 {
        let length = rest[1] as usize;
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        out.extend(std::iter::repeat_n(0, 32 - number.len()));
        out.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    out
}

/// A certificate and its key, as PEM texts.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// An authority, what it signed for 127.0.0.1 and for a client, and a client certificate that it did not sign.
pub struct Certificates {
    pub authority: String,
    pub server: Pair,
    pub client: Pair,
    pub stranger: Pair,
}

impl Certificates {
    pub fn new() -> Self {
        let authority = authority();
        Self {
            authority: authority.pem(),
            server: signed(&authority, ExtendedKeyUsagePurpose::ServerAuth),
            client: signed(&authority, ExtendedKeyUsagePurpose::ClientAuth),
            stranger: signed(&self::authority(), ExtendedKeyUsagePurpose::ClientAuth),
        }
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(authority: &CertifiedIssuer<'static, KeyPair>, usage: ExtendedKeyUsagePurpose) -> Pair {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "a client");
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    Pair { certificate: params.signed_by(&key, authority).unwrap().pem(), key: key.serialize_pem() }
}

/// Kubernetes, as far as OpenBao asks it: says of every service account that it is there. Its address.
pub fn reviewer() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let review: Value = serde_json::from_slice(&body).unwrap();
            let answer = reviewed(review["spec"]["token"].as_str().unwrap()).to_string();
            let head = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        }
    });
    address
}

fn reviewed(token: &str) -> Value {
    let claims = Base64UrlUnpadded::decode_vec(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let user = json!({
        "username": claims["sub"],
        "uid": claims["kubernetes.io"]["serviceaccount"]["uid"],
        "groups": ["system:serviceaccounts", "system:serviceaccounts:default"],
    });
    json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "status": {"authenticated": true, "user": user},
    })
}
