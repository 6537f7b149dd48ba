//! A certificate, the same one in all runs of a process, so that all runs have messages of the same length; and
//! configurations by it, new for each run, so that none goes on with the session of another.
#![allow(dead_code, unreachable_pub, reason = "shared by tests and a program, each uses its part")]

use std::io;
use std::rc::Rc;
use std::sync::OnceLock;

use millrun_tls::{ClientConfig, ServerConfig};
use millrun_transport::{ClientTls, Layer};

pub const NAME: &str = "mill.test";

/// Chain and key.
fn pem() -> &'static (String, String) {
    static PEM: OnceLock<(String, String)> = OnceLock::new();
    PEM.get_or_init(|| {
        // Its signatures have one length.
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519);
        let made = key.and_then(|key| {
            let params = rcgen::CertificateParams::new([NAME.to_owned()])?;
            Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
        });
        made.unwrap_or_else(|error| panic!("no certificate: {error}"))
    })
}

pub fn server() -> io::Result<ServerConfig> {
    let (chain, key) = pem();
    ServerConfig::new(chain.as_bytes(), key.as_bytes()).map_err(io::Error::other)
}

pub fn client() -> io::Result<ClientConfig> {
    let root = pem().0.as_bytes();
    ClientConfig::builder().root_certificates(root).build().map_err(io::Error::other)
}

/// What a client puts over a connection.
pub fn client_layer() -> io::Result<Rc<dyn Layer>> {
    client()?.layer(NAME)
}

/// What a server puts over a connection.
pub fn server_layer() -> io::Result<Rc<dyn Layer>> {
    Ok(Rc::new(server()?))
}
