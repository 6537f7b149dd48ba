//! What either side can be told, in one place: [`Options`], and the methods by which a builder or a configuration is told.

use std::sync::Arc;

use rustls::{KeyLog, KeyLogFile, NoKeyLog, SupportedProtocolVersion};

use crate::settings::Settings;

/// What the builders of both sides have in common.
pub(crate) struct Options {
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) resumes: bool,
    pub(crate) logs_keys: bool,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) settings: Settings,
}

pub(crate) const ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub(crate) const ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl Default for Options {
    fn default() -> Options {
        Options {
            alpn: Vec::new(),
            resumes: true,
            logs_keys: false,
            versions: rustls::ALL_VERSIONS,
            settings: Settings::default(),
        }
    }
}

impl Options {
    pub(crate) fn key_log(&self) -> Arc<dyn KeyLog> {
        if self.logs_keys { Arc::new(KeyLogFile::new()) } else { Arc::new(NoKeyLog {}) }
    }
}

/// The methods of a builder that has `options`; the texts are of what differs.
macro_rules! builder_options {
    (alpn: $alpn:literal, resumption: $resumption:literal) => {
        #[doc = $alpn]
        pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
            let protocols = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec());
            self.options.alpn = protocols.collect();
            self
        }

        #[doc = $resumption]
        pub fn resumption(mut self, on: bool) -> Self {
            self.options.resumes = on;
            self
        }

        /// TLS 1.3 alone, unless false: then TLS 1.2 too, which is the default.
        pub fn only_tls13(mut self, only: bool) -> Self {
            self.options.versions =
                if only { $crate::options::ONLY_13 } else { rustls::ALL_VERSIONS };
            self
        }

        /// TLS 1.2 alone: for testing a peer.
        pub fn only_tls12(mut self) -> Self {
            self.options.versions = $crate::options::ONLY_12;
            self
        }

        /// Appends the keys of each session to the file that the environment variable SSLKEYLOGFILE names, with which the connections can
        /// be read by whoever has the file: for debugging.
        pub fn log_keys_to_file(mut self) -> Self {
            self.options.logs_keys = true;
            self
        }
    };
}

/// The methods of a configuration that has `settings`.
macro_rules! config_settings {
    (handshake: $handshake:literal) => {
        #[doc = $handshake]
        ///
        /// # Errors
        /// Zero (TLS-003).
        #[doc(alias = "ssl_handshake_timeout")]
        pub fn handshake_timeout(
            mut self,
            timeout: std::time::Duration,
        ) -> Result<Self, $crate::InvalidConfig> {
            self.settings.handshake_timeout = timeout;
            self.settings.check().map(|()| self)
        }

        /// How long a close waits without progress: 30 s unless told.
        ///
        /// # Errors
        /// Zero (TLS-003).
        #[doc(alias = "ssl_shutdown_timeout")]
        pub fn shutdown_timeout(
            mut self,
            timeout: std::time::Duration,
        ) -> Result<Self, $crate::InvalidConfig> {
            self.settings.shutdown_timeout = timeout;
            self.settings.check().map(|()| self)
        }

        /// An end without `close_notify` is an end like any other: for peers that never send it, and protocols that say
        /// themselves where a message ends. Otherwise it is [`TlsError::Truncated`](crate::TlsError::Truncated).
        pub fn tolerate_truncation(mut self) -> Self {
            self.settings.tolerates_truncation = true;
            self
        }
    };
}

pub(crate) use {builder_options, config_settings};
