//! What a server brings: who it is, whom it asks for a certificate, how long it waits.

use std::fmt;
use std::io;
use std::sync::Arc;

use millrun_transport::{Layer, Wrapped, Wrapping};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use crate::InvalidConfig;
use crate::client::roots;
use crate::machine::Machine;
use crate::options::{Options, builder_options, config_settings};
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
    options: Options,
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
            options: Options::default(),
        }
    }

    /// Over a configuration of rustls, with all that it can do.
    ///
    /// # Errors
    /// It is set up for early data.
    pub fn from_rustls(config: Arc<rustls::ServerConfig>) -> Result<ServerConfig, InvalidConfig> {
        if config.max_early_data_size > 0 {
            return Err(InvalidConfig::EarlyData);
        }
        Ok(ServerConfig { rustls: config, settings: Settings::default() })
    }

    config_settings! {
        handshake: "How long a handshake may take: 60 s unless told. A client that takes longer is disconnected."
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

    builder_options! {
        alpn: "Speaks these application protocols (ALPN), the most wanted first. A client that offers only others is refused.",
        resumption: "Whether clients may take up earlier sessions, by tickets; they may unless told."
    }

    /// Builds it.
    ///
    /// # Errors
    /// No certificate; what can't be read, or does not go together.
    pub fn build(self) -> Result<ServerConfig, InvalidConfig> {
        let provider = provider();
        let identity_error = |error: rustls::Error| InvalidConfig::Identity(error.to_string());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.options.versions)
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
        config.key_log = self.options.key_log();
        config.alpn_protocols = self.options.alpn;
        if self.options.resumes {
            config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(identity_error)?;
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(ServerConfig { rustls: Arc::new(config), settings: self.options.settings })
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
            .field("settings", &self.options.settings)
            .finish_non_exhaustive()
    }
}
