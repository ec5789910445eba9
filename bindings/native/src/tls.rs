//! TLS from settings: whom to trust, and with which certificate to show up.

use std::sync::Arc;

use baokit_core::config::{ClientCertificate, Pem, Scheme};
use baokit_core::{Code, Error, Result, Settings};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

/// PEM text, and the setting or file that an error names. Wiped, since it may hold a key.
struct PemText {
    origin: String,
    text: Zeroizing<Vec<u8>>,
}

impl PemText {
    /// Reads the file where the setting names one.
    fn load(setting: &'static str, pem: &Pem) -> Result<Self> {
        match pem {
            Pem::Text(text) => {
                Ok(Self { origin: setting.to_owned(), text: Zeroizing::new(text.expose_secret().as_bytes().to_vec()) })
            }
            Pem::File(path) => {
                let origin = format!("{setting} {path}");
                match std::fs::read(path) {
                    Ok(text) => Ok(Self { origin, text: Zeroizing::new(text) }),
                    Err(error) => Err(Error::new(Code::InvalidSetting).about(origin).because(error.to_string())),
                }
            }
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&self.text)
            .collect::<Result<_, _>>()
            .map_err(|_| self.invalid("it is no PEM"))?;
        if certificates.is_empty() { Err(self.invalid("it holds no certificate")) } else { Ok(certificates) }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|_| self.invalid("it holds no private key in PEM"))
    }

    fn invalid(&self, reason: &'static str) -> Error {
        Error::new(Code::InvalidSetting).about(self.origin.clone()).because(reason)
    }
}

/// What rustls needs to know.
pub(crate) fn config(settings: &Settings) -> Result<ClientConfig> {
    let tls = settings.tls();
    let provider = provider();
    let broken = |error: rustls::Error| Error::new(Code::InvalidSetting).about("TLS").because(error.to_string());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(broken)?;
    let builder = if !tls.verify() {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    } else if let Some(ca) = tls.ca() {
        let ca = PemText::load("CACERT", ca)?;
        let mut roots = RootCertStore::empty();
        for certificate in ca.certificates()? {
            roots.add(certificate).map_err(|_| ca.invalid("a certificate in it can't be an authority"))?;
        }
        builder.with_root_certificates(roots)
    } else if settings.nodes().iter().any(|node| node.scheme() == Scheme::Https) {
        builder.with_platform_verifier().map_err(broken)?
    } else {
        // Plain HTTP only; machines without a store of authorities can do that as well.
        builder.with_root_certificates(RootCertStore::empty())
    };
    let Some(ClientCertificate { certificate, key }) = tls.client() else {
        return Ok(builder.with_no_client_auth());
    };
    let (certificate, key) = (PemText::load("CLIENT_CERT", certificate)?, PemText::load("CLIENT_KEY", key)?);
    builder
        .with_client_auth_cert(certificate.certificates()?, key.key()?)
        .map_err(|_| certificate.invalid("certificate and key do not fit together"))
}

fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    let provider = rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "ring"))]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Arc::new(provider)
}

/// `VAULT_VERIFY_SSL=false`: any certificate will do. The handshake's signatures are still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
