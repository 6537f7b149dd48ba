//! What did the two sides agree on? [`TlsInfo`].

use std::fmt;

use crate::machine::Machine;

/// What a handshake came to; extra info of a TLS transport.
///
/// ```
/// # fn of(transport: &dyn millrun_transport::Transport) {
/// use millrun_tls::TlsInfo;
/// use millrun_transport::extra_info;
/// if let Some(info) = extra_info::<TlsInfo>(transport) {
///     println!("{} {}", info.version(), info.cipher_suite());
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TlsInfo {
    version: TlsVersion,
    cipher_suite: String,
    alpn: Option<Vec<u8>>,
    certificates: Vec<Vec<u8>>,
    resumed: bool,
}

/// A version of TLS that can be spoken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsInfo {
    /// `None` while the handshake is not done.
    pub(crate) fn of(machine: &Machine) -> Option<TlsInfo> {
        if !machine.is_handshaken() {
            return None;
        }
        let common = machine.common();
        let version = match common.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        };
        let certificates = common.peer_certificates().unwrap_or_default();
        Some(TlsInfo {
            version,
            cipher_suite: format!("{:?}", common.negotiated_cipher_suite()?.suite()),
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
            resumed: matches!(common.handshake_kind(), Some(rustls::HandshakeKind::Resumed)),
        })
    }

    /// The version of TLS.
    pub const fn version(&self) -> TlsVersion {
        self.version
    }

    /// The cipher suite, by its name in IANA's registry: `TLS13_AES_256_GCM_SHA384`.
    #[doc(alias = "cipher")]
    pub fn cipher_suite(&self) -> &str {
        &self.cipher_suite
    }

    /// The application protocol that was agreed on (ALPN, RFC 7301), if any was.
    #[doc(alias = "selected_alpn_protocol")]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The peer's certificate chain in DER, its own certificate first; empty if it showed none.
    #[doc(alias = "peercert")]
    pub fn peer_certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The session of an earlier connection was taken up again: no certificate was sent.
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("version", &self.version)
            .field("cipher_suite", &self.cipher_suite)
            .field("alpn", &self.alpn.as_deref().map(String::from_utf8_lossy))
            .field("peer_certificates", &self.certificates.len())
            .field("resumed", &self.resumed)
            .finish()
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        })
    }
}
