//! What both ends of a TLS connection agree on: a certificate that is made for a run, and the configurations of rustls, the same
//! for every stack, so that what differs between servers is not cryptography.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Whom the certificate is for.
const NAME: &str = "mill.test";

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// Makes a certificate (ECDSA on the curve secp256r1, signed by itself) and its key in this directory, which is made too.
///
/// # Errors
///
/// When the files can't be written.
pub fn make(directory: &Path) -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
    fs::create_dir_all(directory)?;
    fs::write(directory.join(CERTIFICATE), made.cert.pem())?;
    fs::write(directory.join(KEY), made.signing_key.serialize_pem())
}

/// A server's configuration, with what [`make`] left in a directory. TLS 1.3 with the suite that rustls prefers; tickets, of which it
/// sends two, as it does unless told.
///
/// # Errors
///
/// When the directory has no certificate.
pub fn server(directory: &Path) -> io::Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(directory.join(KEY)).map_err(io::Error::other)?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(vec![certificate(directory)?], key)
        .map_err(io::Error::other)?;
    config.ticketer = Ticketer::new().map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

/// A client's configuration: it trusts that certificate and nobody else. Sessions are taken up again only if `resumes`.
///
/// # Errors
///
/// When the directory has no certificate.
pub fn client(directory: &Path, resumes: bool) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(directory)?).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

/// The name that a client asks for.
///
/// # Errors
///
/// Never: it is one.
pub fn name() -> io::Result<ServerName<'static>> {
    ServerName::try_from(NAME).map_err(io::Error::other)
}

fn certificate(directory: &Path) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(directory.join(CERTIFICATE)).map_err(io::Error::other)
}
