//! What a client brings: whom it trusts, who it is, how long it waits.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use millrun_transport::{ClientTls, Layer, Wrapped, Wrapping};
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;

use crate::InvalidConfig;
use crate::machine::Machine;
use crate::options::{Options, builder_options, config_settings};
use crate::settings::Settings;
use crate::trusts_anyone::TrustsAnyone;
use crate::{pem, provider, wrap};

/// What all connections of a client have in common: make one, and clone it. Sessions are remembered in it, so that a later connection
/// to the same server takes up an earlier one.
#[derive(Clone)]
pub struct ClientConfig {
    rustls: Arc<rustls::ClientConfig>,
    settings: Settings,
}

/// A [`ClientConfig`] in the making.
#[must_use = "nothing is configured until it is built"]
pub struct ClientConfigBuilder {
    trust: Trust,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    options: Options,
}

enum Trust {
    Platform,
    Roots(Vec<Vec<u8>>),
    Anyone,
}

impl ClientConfig {
    /// The usual one: trusts whom the operating system trusts, checks the server's name, speaks TLS 1.2 and 1.3.
    ///
    /// Reads the system's certificates: make it once.
    ///
    /// # Errors
    /// The system has no root certificates.
    #[doc(alias = "create_default_context")]
    pub fn new() -> Result<ClientConfig, InvalidConfig> {
        ClientConfig::builder().build()
    }

    /// With options.
    pub fn builder() -> ClientConfigBuilder {
        let (trust, identity, options) = (Trust::Platform, None, Options::default());
        ClientConfigBuilder { trust, identity, options }
    }

    /// Over a configuration of rustls, with all that it can do.
    ///
    /// # Errors
    /// It is set up for early data.
    pub fn from_rustls(config: Arc<rustls::ClientConfig>) -> Result<ClientConfig, InvalidConfig> {
        if config.enable_early_data {
            return Err(InvalidConfig::EarlyData);
        }
        Ok(ClientConfig { rustls: config, settings: Settings::default() })
    }

    config_settings! { handshake: "How long a handshake may take: 60 s unless told." }
}

impl ClientConfigBuilder {
    /// Trusts these certificate authorities, in PEM, and no others.
    pub fn root_certificates(mut self, pem: &[u8]) -> Self {
        match &mut self.trust {
            Trust::Roots(roots) => roots.push(pem.to_vec()),
            _ => self.trust = Trust::Roots(vec![pem.to_vec()]),
        }
        self
    }

    /// Trusts anyone, under any name: whoever is on the way can read and change everything. For tests alone.
    pub fn dangerously_trust_anyone(mut self) -> Self {
        self.trust = Trust::Anyone;
        self
    }

    /// Shows this certificate chain to servers that ask for one: both in PEM.
    pub fn certificate(mut self, chain: &[u8], key: &[u8]) -> Self {
        self.identity = Some((chain.to_vec(), key.to_vec()));
        self
    }

    builder_options! {
        alpn: "Offers these application protocols (ALPN), the most wanted first: `[\"h2\", \"http/1.1\"]`.",
        resumption: "Whether sessions are remembered and taken up again; they are unless told."
    }

    /// Builds it.
    ///
    /// # Errors
    /// What can't be read, and no root certificates.
    pub fn build(self) -> Result<ClientConfig, InvalidConfig> {
        let provider = provider();
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.options.versions)
            .map_err(|error| InvalidConfig::Identity(error.to_string()))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier(self.trust)?);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(pem::certificates(&chain)?, pem::private_key(&key)?)
                .map_err(|error| InvalidConfig::Identity(error.to_string()))?,
        };
        config.key_log = self.options.key_log();
        config.alpn_protocols = self.options.alpn;
        if !self.options.resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(ClientConfig { rustls: Arc::new(config), settings: self.options.settings })
    }
}

fn verifier(trust: Trust) -> Result<Arc<dyn ServerCertVerifier>, InvalidConfig> {
    let provider = provider();
    match trust {
        Trust::Platform => rustls_platform_verifier::Verifier::new(provider)
            .map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
            .map_err(|error| InvalidConfig::NoRoots(error.to_string())),
        Trust::Roots(pems) => {
            let roots = Arc::new(roots(&pems)?);
            WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
                .map_err(|error| InvalidConfig::NoRoots(error.to_string()))
        }
        Trust::Anyone => Ok(Arc::new(TrustsAnyone::new(provider))),
    }
}

pub(crate) fn roots(pems: &[Vec<u8>]) -> Result<RootCertStore, InvalidConfig> {
    let mut roots = RootCertStore::empty();
    for pem in pems {
        for certificate in pem::certificates(pem)? {
            roots.add(certificate).map_err(|error| InvalidConfig::NoRoots(error.to_string()))?;
        }
    }
    Ok(roots)
}

impl ClientTls for ClientConfig {
    fn layer(&self, server_name: &str) -> io::Result<Rc<dyn Layer>> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| InvalidConfig::ServerName(server_name.to_owned()))?;
        Ok(Rc::new(ClientLayer { config: self.clone(), name }))
    }
}

/// A client's configuration, and the server that it is for.
#[derive(Debug)]
struct ClientLayer {
    config: ClientConfig,
    name: ServerName<'static>,
}

impl Layer for ClientLayer {
    fn wrap(&self, wrapping: Wrapping) -> io::Result<Wrapped> {
        let machine = Machine::client(Arc::clone(&self.config.rustls), self.name.clone())
            .map_err(|error| io::Error::from(InvalidConfig::Identity(error.to_string())))?;
        wrap::wrap(machine, self.config.settings, wrapping)
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfigBuilder")
            .field("settings", &self.options.settings)
            .finish_non_exhaustive()
    }
}
