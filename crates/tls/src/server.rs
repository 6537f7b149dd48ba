//! What a server brings: who it is, whom it asks for a certificate, how long it waits.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use millrun_transport::{Layer, Wrapped, Wrapping};
use rustls::KeyLogFile;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use crate::InvalidConfig;
use crate::client::{ONLY_12, ONLY_13, roots};
use crate::machine::Machine;
use crate::settings::Settings;
use crate::{pem, provider, wrap};

/// What all connections of a server have in common.
#[derive(Clone)]
pub struct ServerConfig {
    rustls: Arc<rustls::ServerConfig>,
    settings: Settings,
}

/// A [`ServerConfig`] in the making.
#[must_use = "nothing is configured until it is built"]
pub struct ServerConfigBuilder {
    identity: Option<Identity>,
    named: Vec<(String, Identity)>,
    clients: Clients,
    alpn: Vec<Vec<u8>>,
    resumes: bool,
    key_log: bool,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    settings: Settings,
}

struct Identity {
    chain: Vec<u8>,
    key: Vec<u8>,
}

enum Clients {
    Anyone,
    Asked(Vec<u8>),
    Required(Vec<u8>),
}

impl ServerConfig {
    /// The usual one: shows this certificate chain, both in PEM, and asks clients for none.
    ///
    /// # Errors
    /// What can't be read, or does not go together.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<ServerConfig, InvalidConfig> {
        ServerConfig::builder().certificate(chain, key).build()
    }

    /// With options.
    pub fn builder() -> ServerConfigBuilder {
        ServerConfigBuilder {
            identity: None,
            named: Vec::new(),
            clients: Clients::Anyone,
            alpn: Vec::new(),
            resumes: true,
            key_log: false,
            versions: rustls::ALL_VERSIONS,
            settings: Settings::default(),
        }
    }

    /// Over a configuration of rustls, with all that it can do. It must not be set up for early data.
    pub fn from_rustls(config: Arc<rustls::ServerConfig>) -> ServerConfig {
        ServerConfig { rustls: config, settings: Settings::default() }
    }

    /// How long a handshake may take: 60 s unless told. A client that takes longer is disconnected.
    ///
    /// # Errors
    /// Zero (TLS-003).
    #[doc(alias = "ssl_handshake_timeout")]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Result<ServerConfig, InvalidConfig> {
        self.settings.handshake_timeout = timeout;
        self.settings.check().map(|()| self)
    }

    /// How long a close waits without progress: 30 s unless told.
    ///
    /// # Errors
    /// Zero (TLS-003).
    #[doc(alias = "ssl_shutdown_timeout")]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Result<ServerConfig, InvalidConfig> {
        self.settings.shutdown_timeout = timeout;
        self.settings.check().map(|()| self)
    }

    /// An end without `close_notify` is an end like any other; see
    /// [`ClientConfig::tolerate_truncation`](crate::ClientConfig::tolerate_truncation).
    pub fn tolerate_truncation(mut self) -> ServerConfig {
        self.settings.tolerates_truncation = true;
        self
    }
}

impl ServerConfigBuilder {
    /// Shows this certificate chain, its own certificate first, to whoever asks for no name that has another: both in PEM.
    pub fn certificate(mut self, chain: &[u8], key: &[u8]) -> Self {
        self.identity = Some(Identity { chain: chain.to_vec(), key: key.to_vec() });
        self
    }

    /// Shows this one to clients that ask for this name (SNI).
    pub fn certificate_for(mut self, name: impl Into<String>, chain: &[u8], key: &[u8]) -> Self {
        self.named.push((name.into(), Identity { chain: chain.to_vec(), key: key.to_vec() }));
        self
    }

    /// Refuses clients without a certificate that one of these authorities, in PEM, signed.
    pub fn require_client_certificates(mut self, roots: &[u8]) -> Self {
        self.clients = Clients::Required(roots.to_vec());
        self
    }

    /// Asks clients for a certificate; one without is served too.
    pub fn ask_for_client_certificates(mut self, roots: &[u8]) -> Self {
        self.clients = Clients::Asked(roots.to_vec());
        self
    }

    /// Speaks these application protocols (ALPN), the most wanted first. A client that offers only others is refused.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self
    }

    /// Whether clients may take up earlier sessions, by tickets; they may unless told.
    pub fn resumption(mut self, on: bool) -> Self {
        self.resumes = on;
        self
    }

    /// TLS 1.3 alone, unless false: then TLS 1.2 too, which is the default.
    pub fn only_tls13(mut self, only: bool) -> Self {
        self.versions = if only { ONLY_13 } else { rustls::ALL_VERSIONS };
        self
    }

    /// TLS 1.2 alone: for testing a peer.
    pub fn only_tls12(mut self) -> Self {
        self.versions = ONLY_12;
        self
    }

    /// Appends the keys of each session to the file that the environment variable SSLKEYLOGFILE names: for debugging.
    pub fn log_keys_to_file(mut self) -> Self {
        self.key_log = true;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// No certificate; what can't be read, or does not go together.
    pub fn build(self) -> Result<ServerConfig, InvalidConfig> {
        let provider = provider();
        let identity_error = |error: rustls::Error| InvalidConfig::Identity(error.to_string());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .map_err(identity_error)?
            .with_client_cert_verifier(verifier(self.clients)?);
        let mut config = if self.named.is_empty() {
            let Identity { chain, key } = self.identity.ok_or(InvalidConfig::NoIdentity)?;
            builder
                .with_single_cert(pem::certificates(&chain)?, pem::private_key(&key)?)
                .map_err(identity_error)?
        } else {
            builder.with_cert_resolver(Arc::new(Named::new(self.identity, self.named)?))
        };
        config.alpn_protocols = self.alpn;
        if self.resumes {
            config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(identity_error)?;
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        if self.key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(ServerConfig { rustls: Arc::new(config), settings: self.settings })
    }
}

/// Certificates by name, and one for all others.
#[derive(Debug)]
struct Named {
    by_name: ResolvesServerCertUsingSni,
    other: Option<Arc<CertifiedKey>>,
}

impl Named {
    fn new(
        other: Option<Identity>,
        named: Vec<(String, Identity)>,
    ) -> Result<Named, InvalidConfig> {
        let mut by_name = ResolvesServerCertUsingSni::new();
        for (name, identity) in named {
            by_name
                .add(&name, identity.certified()?)
                .map_err(|error| InvalidConfig::Identity(format!("for {name:?}: {error}")))?;
        }
        let other = other.map(|identity| identity.certified()).transpose()?.map(Arc::new);
        Ok(Named { by_name, other })
    }
}

impl rustls::server::ResolvesServerCert for Named {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.by_name.resolve(hello).or_else(|| self.other.clone())
    }
}

impl Identity {
    fn certified(&self) -> Result<CertifiedKey, InvalidConfig> {
        let (chain, key) = (pem::certificates(&self.chain)?, pem::private_key(&self.key)?);
        CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| InvalidConfig::Identity(error.to_string()))
    }
}

fn verifier(clients: Clients) -> Result<Arc<dyn ClientCertVerifier>, InvalidConfig> {
    let (pem, required) = match clients {
        Clients::Anyone => return Ok(WebPkiClientVerifier::no_client_auth()),
        Clients::Asked(pem) => (pem, false),
        Clients::Required(pem) => (pem, true),
    };
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&[pem])?), provider());
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| InvalidConfig::NoRoots(error.to_string()))
}

impl Layer for ServerConfig {
    fn wrap(&self, wrapping: Wrapping) -> io::Result<Wrapped> {
        let machine = Machine::server(Arc::clone(&self.rustls))
            .map_err(|error| io::Error::from(InvalidConfig::Identity(error.to_string())))?;
        wrap::wrap(machine, self.settings, wrapping)
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfigBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
