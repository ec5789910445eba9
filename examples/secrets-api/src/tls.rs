//! TLS: the server's certificate, and the authority of its clients' ones.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::settings::TlsFiles;

/// Shakes hands with these files.
pub fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("TLS_CLIENT_CA", path)? {
                roots.add(certificate).map_err(|error| format!("TLS_CLIENT_CA: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            // Who shows none is somebody without a certificate; a token may ask for one.
            let verifier = verifier.allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|error| format!("TLS_CLIENT_CA: {error}"))?)
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| format!("TLS_KEY: {error}"))?;
    let config = builder.with_single_cert(certificates("TLS_CERT", &files.certificate)?, key);
    let mut config = config.map_err(|error| format!("TLS_CERT and TLS_KEY: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| format!("{key}: {error}"))?;
    if certificates.is_empty() { Err(format!("{key}: it has no certificate").into()) } else { Ok(certificates) }
}
