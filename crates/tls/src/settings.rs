//! What both sides can be told: timeouts, and what an end without a word means.

use std::time::Duration;

use crate::InvalidConfig;

/// How long a handshake may take unless told: 60 s, as asyncio.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a close waits without progress unless told: 30 s, as asyncio.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) handshake_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) tolerates_truncation: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            handshake_timeout: HANDSHAKE_TIMEOUT,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            tolerates_truncation: false,
        }
    }
}

impl Settings {
    /// TLS-003.
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        let timeouts = [("handshake", self.handshake_timeout), ("shutdown", self.shutdown_timeout)];
        match timeouts.into_iter().find(|(_, timeout)| timeout.is_zero()) {
            Some((which, _)) => Err(InvalidConfig::ZeroTimeout(which)),
            None => Ok(()),
        }
    }
}
