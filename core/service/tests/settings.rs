//! Settings that would be unsafe, or idle, together: refused, or warned of by name.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use baokit_core::Code;
use baokit_service::Settings;

fn settings(pairs: &[(&str, &str)]) -> baokit_core::Result<Settings> {
    Settings::from_lookup(|key| pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned()))
}

#[test]
fn what_is_set_and_has_no_effect_or_a_wider_one_is_warned_of_by_name() {
    let warned = |pairs: &[(&str, &str)], names: [&str; 2]| {
        let warnings = settings(pairs).unwrap().warnings();
        warnings.iter().any(|warning| names.iter().all(|name| warning.contains(name)))
    };
    let (scopes, auth) = (("SECRETS_ENFORCE_SCOPES", "true"), ("SECRETS_API_REQUIRE_AUTH", "true"));
    let (pdp, asked) = (("PDP_URL", "https://pdp.example"), ("ENABLE_AUTHORIZATION", "true"));
    let (keys, issuer) = (("AUTH_JWKS_URL", "https://issuer.example/k"), ("OIDC_ISSUER", "https://issuer.example"));
    assert!(warned(&[pdp], [pdp.0, asked.0]) && !warned(&[pdp, asked], [pdp.0, asked.0]));
    assert!(warned(&[keys], [keys.0, issuer.0]) && !warned(&[keys, issuer], [keys.0, issuer.0]));
    assert!(warned(&[scopes], [scopes.0, auth.0]) && !warned(&[scopes, auth, issuer], [scopes.0, auth.0]));
    assert!(
        settings(&[scopes, auth, issuer, pdp, asked, ("TENANT_SALT", "0123456789abcdef")])
            .unwrap()
            .warnings()
            .is_empty()
    );
}

#[test]
fn who_asks_for_proofs_says_which_address_they_name() {
    let all = [
        ("INBOUND_AUTH_MODE", "dpop"),
        ("SECRETS_API_REQUIRE_AUTH", "true"),
        ("OIDC_ISSUER", "https://issuer.example"),
        ("SECRETS_PUBLIC_URL", "https://secrets.example"),
    ];
    assert!(settings(&all).is_ok());
    let error = settings(&all[..3]).unwrap_err();
    assert_eq!(error.code(), Code::MissingSetting);
    assert!(error.to_string().contains("SECRETS_PUBLIC_URL"), "{error}");
}
