//! A certificate for this process, made when it is needed, and configurations by it.

use std::io;
use std::sync::OnceLock;

use millrun_tls::{ClientConfig, InvalidConfig, ServerConfig};

pub(super) const NAME: &str = "mill.test";

/// Chain and key. (Signatures of this kind have one length, so that the records of all runs have.)
fn pem() -> io::Result<&'static (String, String)> {
    static PEM: OnceLock<(String, String)> = OnceLock::new();
    if let Some(pem) = PEM.get() {
        return Ok(pem);
    }
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(io::Error::other)?;
    let params = rcgen::CertificateParams::new([NAME.to_owned()]).map_err(io::Error::other)?;
    let chain = params.self_signed(&key).map_err(io::Error::other)?;
    Ok(PEM.get_or_init(|| (chain.pem(), key.serialize_pem())))
}

/// No session is taken up again: each case shakes hands from the start.
pub(super) fn configs(tls12: bool, tolerates: bool) -> io::Result<(ClientConfig, ServerConfig)> {
    let (chain, key) = pem()?;
    let client = ClientConfig::builder().root_certificates(chain.as_bytes()).resumption(false);
    let server = ServerConfig::builder().certificate(chain.as_bytes(), key.as_bytes());
    let client = if tls12 { client.only_tls12() } else { client };
    let both = || -> Result<_, InvalidConfig> { Ok((client.build()?, server.build()?)) };
    let (client, server) = both().map_err(io::Error::other)?;
    if tolerates {
        return Ok((client.tolerate_truncation(), server.tolerate_truncation()));
    }
    Ok((client, server))
}
