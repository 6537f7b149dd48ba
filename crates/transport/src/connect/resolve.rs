//! From a host and port to addresses.

use std::io;
use std::net::SocketAddr;

use millrun_loop::LoopHandle;
use millrun_selector::Family;

use super::ConnectError;
use super::host::{Known, Name};

/// The addresses of a name: known at once for a literal, else asked on the loop's executor.
///
/// # Errors
/// [`ConnectError::Resolve`], or [`ConnectError::NoAddresses`] for an empty answer (C-007).
#[doc(alias = "_ensure_resolved")]
pub(crate) async fn resolve(
    handle: &LoopHandle,
    name: &Name,
    family: Family,
    passive: bool,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let query = match name.look(family, passive) {
        Known::Address(address) => return Ok(vec![address]),
        Known::Ask(query) => query,
    };
    let answer = match handle.resolve(query).await {
        Ok(answer) => answer,
        Err(job) => Err(io::Error::other(job)),
    };
    match answer {
        Ok(addresses) if addresses.is_empty() => {
            Err(ConnectError::NoAddresses { name: name.to_string() })
        }
        Ok(addresses) => Ok(addresses),
        Err(source) => Err(ConnectError::Resolve { name: name.to_string(), source }),
    }
}
