//! Proofs of possession: raw text, texts put together from true proofs, and whatever a key might sign.

use std::cell::OnceCell;

use baokit_service::bearer::{Bearer, Presented, UsedProof};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::Judged;
use crate::jwt::{halves, text};
use crate::keys::{Key, hash};
use crate::world::{ISSUER, START, World, at_once, settings};

const PATH: &str = "/api/secrets/value";
const ADDRESS: &str = "https://secrets.example/api/secrets/value";

/// A token that is bound to a key, and proofs of that key that are accepted.
struct Stage {
    world: World,
    bearer: Bearer,
    authorization: String,
    ath: String,
    holder: Key,
    stranger: Key,
    proofs: Vec<String>,
}

thread_local!(static STAGE: OnceCell<Stage> = const { OnceCell::new() });

fn stage() -> Stage {
    let (issuer, holder) = (Key::ed(1), Key::ed(3));
    let set = json!({"keys": [issuer.jwk_with(json!({"kid": "ed"}))]}).to_string();
    let claims = json!({
        "iss": ISSUER, "sub": "alice", "exp": START + 3600, "cnf": {"jkt": holder.thumbprint()},
    });
    let token = issuer.token("ed", &claims);
    let ath = hash(token.as_bytes());
    let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": holder.jwk()});
    let claims = |jti| json!({"jti": jti, "htm": "GET", "htu": ADDRESS, "iat": START, "ath": ath});
    let proofs = ["p1", "p2"].map(|jti| holder.sign(&header, &claims(jti))).to_vec();
    let stage = Stage {
        world: World::new(move |_, _| crate::world::json(200, set.as_bytes())),
        bearer: Bearer::new(&settings(&[
            ("OIDC_ISSUER", ISSUER),
            ("AUTH_JWKS_URL", "https://issuer.example/keys"),
            ("SECRETS_API_REQUIRE_AUTH", "true"),
            ("SECRETS_PUBLIC_URL", "https://secrets.example"),
        ])),
        authorization: format!("DPoP {token}"),
        ath,
        holder,
        stranger: Key::ed(4),
        proofs,
    };
    for proof in &stage.proofs {
        assert!(stage.accepts(proof).is_some(), "a true proof is accepted");
    }
    stage
}

impl Stage {
    fn accepts(&self, proof: &str) -> Option<UsedProof> {
        let (authorization, proofs) = ([self.authorization.as_str()], [proof]);
        let mut presented = Presented::new("GET", PATH);
        presented.authorization = &authorization;
        presented.dpop = &proofs;
        match at_once(self.bearer.authenticate(&self.world, &presented)) {
            Ok(authenticated) => Some(authenticated.proof.expect("a bound token was sent, so a proof was seen")),
            Err(error) => {
                assert!(!error.to_string().chars().any(char::is_control), "a control character in an error");
                None
            }
        }
    }
}

/// As in [`jwt`](crate::jwt), with proofs. In what is signed `@jwk` stands for the key that signs, `@holder` for the one
/// that the token is bound to, `@ath` for the hash of the token.
pub fn run(data: &[u8]) -> Judged {
    let Some((mode, data)) = data.split_first() else { return Judged::NoInput };
    STAGE.with(|cell| {
        let stage = cell.get_or_init(stage);
        match mode % 4 {
            2 | 3 => signed(stage, data, mode % 4 == 2),
            change => match text(data, change == 1, &stage.proofs) {
                None => Judged::NoInput,
                Some(text) => {
                    if stage.accepts(&text).is_some() {
                        let sent = text.trim_matches([' ', '\t']);
                        assert!(stage.proofs.iter().any(|proof| proof == sent), "a proof that nobody made");
                    }
                    Judged::Worth
                }
            },
        }
    })
}

fn signed(stage: &Stage, data: &[u8], by_holder: bool) -> Judged {
    let Some((header, payload)) = halves(data) else { return Judged::NoInput };
    let key = if by_holder { &stage.holder } else { &stage.stranger };
    let filled = |text: &str| {
        let text = text.replace("@jwk", &key.jwk().to_string()).replace("@holder", &stage.holder.jwk().to_string());
        text.replace("@ath", &stage.ath)
    };
    let (header, payload) = (filled(header), filled(payload));
    let Some(used) = stage.accepts(&key.sign_texts(&header, &payload)) else { return Judged::Worth };
    assert!(by_holder, "a proof of a stranger");
    assert_eq!(used.jkt, stage.holder.thumbprint());
    let header: Value = serde_json::from_str(&header).expect("the header is JSON");
    assert!(header["typ"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("dpop+jwt")));
    assert!(header["jwk"].get("d").is_none(), "a private key was shown");
    let claims: Value = serde_json::from_str(&payload).expect("the payload is JSON");
    assert_eq!((&claims["htm"], &claims["ath"]), (&json!("GET"), &json!(stage.ath)));
    assert_eq!(claims["jti"], used.jti.as_str());
    let made = claims["iat"].as_f64().expect("it says when it was made");
    assert!((made - START as f64).abs() < 61.0, "it was made at another time");
    let htu = claims["htu"].as_str().expect("it says what it is for");
    // Of which the web's reader would forgive each.
    assert!(!htu.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\'), "htu is no plain address");
    let address = url::Url::parse(htu).expect("htu is an address");
    assert_eq!((address.scheme(), address.host_str()), ("https", Some("secrets.example")));
    assert_eq!(address.port_or_known_default(), Some(443));
    // An escaped letter is that letter (RFC 3986, section 6.2.2.2), an escaped slash is no slash.
    assert!(!address.path().to_ascii_lowercase().contains("%2f"), "a slash of another kind");
    assert_eq!(percent_decode_str(address.path()).decode_utf8().as_deref(), Ok(PATH));
    Judged::Worth
}
