//! Certificates and keys, from PEM.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::InvalidConfig;

/// All certificates of a PEM text, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidConfig> {
    const WHAT: &str = "certificates in PEM";
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| InvalidConfig::Unreadable(WHAT, error.to_string()))?;
    if read.is_empty() {
        return Err(InvalidConfig::Unreadable(WHAT, "there is none in it".into()));
    }
    Ok(read)
}

/// The first private key of a PEM text.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, InvalidConfig> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| InvalidConfig::Unreadable("a private key in PEM", error.to_string()))
}
