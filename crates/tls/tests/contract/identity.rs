//! One certificate for a process, and the configurations by it: Millrun's for what is checked, rustls's own for who is at the other end.

use std::sync::{Arc, OnceLock};

use millrun_tls::{ClientConfig, ServerConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

const NAME: &str = "mill.test";

/// Which version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    Tls12,
    Tls13,
}

/// Configurations of both sides, for one version.
pub struct Identity {
    pub client: ClientConfig,
    pub server: ServerConfig,
    peers_client: Arc<rustls::ClientConfig>,
    peers_server: Arc<rustls::ServerConfig>,
}

impl Identity {
    pub fn of(version: Version) -> &'static Identity {
        static TLS12: OnceLock<Identity> = OnceLock::new();
        static TLS13: OnceLock<Identity> = OnceLock::new();
        match version {
            Version::Tls12 => TLS12.get_or_init(|| Identity::new(version)),
            Version::Tls13 => TLS13.get_or_init(|| Identity::new(version)),
        }
    }

    fn new(version: Version) -> Identity {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params = rcgen::CertificateParams::new([NAME.to_owned()]).unwrap();
        let (chain, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        let client = ClientConfig::builder().root_certificates(chain.as_bytes());
        let server = ServerConfig::builder().certificate(chain.as_bytes(), key.as_bytes());
        let (client, server) = match version {
            Version::Tls12 => (client.only_tls12(), server.only_tls12()),
            Version::Tls13 => (client.only_tls13(true), server.only_tls13(true)),
        };
        Identity {
            client: client.build().unwrap(),
            server: server.build().unwrap(),
            peers_client: Arc::new(peers_client(version, &chain)),
            peers_server: Arc::new(peers_server(version, &chain, &key)),
        }
    }

    /// A client of rustls's, for a server that is checked.
    pub fn peers_client(&self) -> rustls::Connection {
        let name = ServerName::try_from(NAME).unwrap();
        rustls::ClientConnection::new(Arc::clone(&self.peers_client), name).unwrap().into()
    }

    /// A server of rustls's, for a client that is checked.
    pub fn peers_server(&self) -> rustls::Connection {
        rustls::ServerConnection::new(Arc::clone(&self.peers_server)).unwrap().into()
    }

    pub fn name() -> &'static str {
        NAME
    }
}

fn versions(version: Version) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    static TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match version {
        Version::Tls12 => TLS12,
        Version::Tls13 => TLS13,
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn peers_client(version: Version, root: &str) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(version))
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn peers_server(version: Version, chain: &str, key: &str) -> rustls::ServerConfig {
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(version))
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}
