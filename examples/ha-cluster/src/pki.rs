//! The private authority and the nodes' certificates: made where they are missing, made anew before they expire.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use crate::folder::Folder;
use crate::node::NodeId;
use crate::{Error, Result, files};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a certificate is good, and how long before its end it is made anew.
struct Validity {
    days: u32,
    renew_days: u32,
}

const AUTHORITY: Validity = Validity { days: 3650, renew_days: 400 };

/// Browsers and Apple's systems refuse certificates of more than 398 days.
const NODE: Validity = Validity { days: 365, renew_days: 30 };

/// Clocks differ.
const LEEWAY: Duration = Duration::from_secs(60 * 60);

/// The names under which every node is reached, and which the load balancer asks for.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// What was made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub authority: bool,
    pub nodes: Vec<NodeId>,
}

/// Brings the certificates of a cluster in order.
pub(crate) fn ensure(folder: &Folder, name: &str, nodes: impl Iterator<Item = NodeId>) -> Result<Made> {
    let mut made = Made::default();
    let authority = match Authority::load(folder)? {
        Some(authority) => authority,
        None => {
            made.authority = true;
            Authority::make(folder, name)?
        }
    };
    for id in nodes {
        let node = folder.node(id);
        if !authority.has_signed(&node.certificate(), &node.key())? {
            authority.sign(id, &node.certificate(), &node.key())?;
            made.nodes.push(id);
        }
    }
    Ok(made)
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority that is there; none where it is missing, broken or about to expire.
    fn load(folder: &Folder) -> Result<Option<Self>> {
        let (Some(pem), Some(key)) = (files::read(&folder.ca())?, files::read(&folder.ca_key())?.map(Zeroizing::new))
        else {
            return Ok(None);
        };
        if !is_good(&pem, &key, &pem, &AUTHORITY) {
            return Ok(None);
        }
        let issuer = KeyPair::from_pem(&key).and_then(|key| Issuer::from_ca_cert_pem(&pem, key));
        Ok(issuer.ok().map(|issuer| Self { pem, issuer }))
    }

    fn make(folder: &Folder, name: &str) -> Result<Self> {
        let make = || -> Result<_, rcgen::Error> {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, format!("baokit ha-cluster {name}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            set_dates(&mut params, &AUTHORITY);
            let key = KeyPair::generate()?;
            let secret = Zeroizing::new(key.serialize_pem());
            Ok((CertifiedIssuer::self_signed(params, key)?.pem(), secret))
        };
        let (pem, key) = make().map_err(|error| failed("the private authority", &error))?;
        files::replace(&folder.ca_key(), key.as_bytes())?;
        files::replace(&folder.ca(), pem.as_bytes())?;
        let issuer = KeyPair::from_pem(&key).and_then(|key| Issuer::from_ca_cert_pem(&pem, key));
        let issuer = issuer.map_err(|error| failed("the private authority", &error))?;
        Ok(Self { pem, issuer })
    }

    fn has_signed(&self, certificate: &Path, key: &Path) -> Result<bool> {
        let (Some(pem), Some(key)) = (files::read(certificate)?, files::read(key)?.map(Zeroizing::new)) else {
            return Ok(false);
        };
        Ok(is_good(&pem, &key, &self.pem, &NODE))
    }

    fn sign(&self, id: NodeId, certificate: &Path, key: &Path) -> Result<()> {
        let make = || -> Result<_, rcgen::Error> {
            let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
            params.distinguished_name.push(DnType::CommonName, id.to_string());
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.use_authority_key_identifier_extension = true;
            set_dates(&mut params, &NODE);
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &self.issuer)?.pem(), Zeroizing::new(key.serialize_pem())))
        };
        let (pem, secret) = make().map_err(|error| failed(&format!("the certificate of {id}"), &error))?;
        // A pair that was written by halves does not fit together, and is made anew by the next `up`.
        files::replace(key, secret.as_bytes())?;
        files::replace(certificate, pem.as_bytes())
    }
}

fn failed(what: &str, error: &rcgen::Error) -> Error {
    Error::new(format!("could not make {what}: {error}"), "see whether the folder is in order, then run `up` again")
}

fn set_dates(params: &mut CertificateParams, validity: &Validity) {
    let now = date_time_ymd(1970, 1, 1) + now();
    params.not_before = now - LEEWAY;
    params.not_after = now + DAY * validity.days;
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether a certificate can be read, is good for long enough, was signed by `authority` and belongs to the key.
fn is_good(certificate: &str, key: &str, authority: &str, validity: &Validity) -> bool {
    let check = || -> Option<bool> {
        let (_, pem) = parse_x509_pem(certificate.as_bytes()).ok()?;
        let certificate: X509Certificate<'_> = pem.parse_x509().ok()?;
        let (_, pem) = parse_x509_pem(authority.as_bytes()).ok()?;
        let authority: X509Certificate<'_> = pem.parse_x509().ok()?;
        let key = KeyPair::from_pem(key).ok()?;
        let dates = certificate.validity();
        let now = i64::try_from(now().as_secs()).ok()?;
        let renewal = i64::from(validity.renew_days) * i64::try_from(DAY.as_secs()).ok()?;
        Some(
            dates.not_before.timestamp() <= now
                && now + renewal < dates.not_after.timestamp()
                && certificate.verify_signature(Some(authority.public_key())).is_ok()
                && certificate.public_key().raw == key.subject_public_key_info(),
        )
    };
    check().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn ids() -> Vec<NodeId> {
        (1..=3).map(|number| NodeId::new(number).unwrap()).collect()
    }

    fn run(folder: &Folder) -> Made {
        ensure(folder, "test", ids().into_iter()).unwrap()
    }

    #[test]
    fn certificates_are_made_once_and_anew_where_they_are_broken() {
        let path = std::env::temp_dir().join(format!("ha-cluster-pki-{}", std::process::id()));
        let folder = Folder::make(&path).unwrap();
        ids().into_iter().for_each(|id| folder.make_node(id).unwrap());
        assert_eq!(run(&folder), Made { authority: true, nodes: ids() });
        assert_eq!(run(&folder), Made::default());

        let two = folder.node(ids()[1]);
        fs::write(two.certificate(), "broken").unwrap();
        assert_eq!(run(&folder), Made { authority: false, nodes: vec![ids()[1]] });
        // Another node's certificate does not belong to this key.
        fs::copy(folder.node(ids()[0]).certificate(), two.certificate()).unwrap();
        assert_eq!(run(&folder), Made { authority: false, nodes: vec![ids()[1]] });
        fs::remove_file(two.key()).unwrap();
        assert_eq!(run(&folder), Made { authority: false, nodes: vec![ids()[1]] });
        // With another authority, all certificates are made anew.
        fs::remove_file(folder.ca_key()).unwrap();
        assert_eq!(run(&folder), Made { authority: true, nodes: ids() });
        assert_eq!(run(&folder), Made::default());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_certificate_is_made_anew_before_it_expires() {
        let path = std::env::temp_dir().join(format!("ha-cluster-pki-expiry-{}", std::process::id()));
        let folder = Folder::make(&path).unwrap();
        let authority = Authority::make(&folder, "test").unwrap();
        folder.make_node(ids()[0]).unwrap();
        let node = folder.node(ids()[0]);
        authority.sign(ids()[0], &node.certificate(), &node.key()).unwrap();
        let (certificate, key) =
            (fs::read_to_string(node.certificate()).unwrap(), fs::read_to_string(node.key()).unwrap());
        assert!(is_good(&certificate, &key, &authority.pem, &NODE));
        let soon = Validity { days: NODE.days, renew_days: NODE.days };
        assert!(!is_good(&certificate, &key, &authority.pem, &soon));
        fs::remove_dir_all(path).unwrap();
    }
}
