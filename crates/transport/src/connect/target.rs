//! What to connect: [`ByName`], [`ByAddress`] or [`Given`], and how each becomes a connected socket.

use std::future::Future;
use std::net::SocketAddr;

use millrun_loop::LoopHandle;
use millrun_selector::{Address, Family, Socket};

use super::attempt::Connecting;
use super::host::{Host, Name, Port};
use super::plan::Plan;
use super::{Attempts, ConnectError, InvalidArgument, resolve};

/// Something that can be connected: one of the three here.
pub trait Target: Sealed {}

/// What a [`Target`] does; out of reach, so that there are no others.
pub trait Sealed {
    /// A connected socket.
    fn open(
        self,
        handle: &LoopHandle,
    ) -> impl Future<Output = Result<Box<dyn Socket>, ConnectError>>;
}

/// A host and port to be resolved.
#[derive(Clone, Debug)]
pub struct ByName {
    pub(super) remote: Name,
    pub(super) local: Option<Name>,
    pub(super) family: Family,
    pub(super) all_errors: bool,
}

impl ByName {
    pub(super) fn new(host: Host, port: Port) -> ByName {
        let remote = Name { host, port };
        ByName { remote, local: None, family: Family::Any, all_errors: false }
    }

    /// The argument errors, in asyncio's order; all others can't be written down here.
    fn check(&self) -> Result<(), InvalidArgument> {
        if self.remote.host.as_str().is_none() && self.remote.port.is_none() {
            return Err(InvalidArgument::NoHostNoPort);
        }
        self.remote.port.check()?;
        self.local.as_ref().map_or(Ok(()), |local| local.port.check())
    }
}

impl Target for ByName {}

impl Sealed for ByName {
    async fn open(self, handle: &LoopHandle) -> Result<Box<dyn Socket>, ConnectError> {
        self.check()?;
        let remotes = resolve(handle, &self.remote, self.family, false).await?;
        let locals = match &self.local {
            Some(local) => Some(addresses(resolve(handle, local, self.family, false).await?)),
            None => None,
        };
        connect_first(handle, Plan::new(addresses(remotes), locals), self.all_errors).await
    }
}

/// Addresses that need no resolver.
#[derive(Clone, Debug)]
pub struct ByAddress {
    remotes: Vec<Address>,
    pub(super) local: Option<Vec<Address>>,
    pub(super) all_errors: bool,
}

impl ByAddress {
    pub(super) fn new(remotes: Vec<Address>) -> ByAddress {
        ByAddress { remotes, local: None, all_errors: false }
    }
}

impl Target for ByAddress {}

impl Sealed for ByAddress {
    async fn open(self, handle: &LoopHandle) -> Result<Box<dyn Socket>, ConnectError> {
        if self.remotes.is_empty() {
            return Err(InvalidArgument::NoAddress.into());
        }
        connect_first(handle, Plan::new(self.remotes, self.local), self.all_errors).await
    }
}

/// A socket that is connected already.
#[derive(Debug)]
pub struct Given(pub(super) Box<dyn Socket>);

impl Target for Given {}

impl Sealed for Given {
    async fn open(self, _handle: &LoopHandle) -> Result<Box<dyn Socket>, ConnectError> {
        Ok(self.0)
    }
}

fn addresses(resolved: Vec<SocketAddr>) -> Vec<Address> {
    resolved.into_iter().map(Address::from).collect()
}

/// Tries one after the other until one is connected; a socket that failed is closed before the next try.
async fn connect_first(
    handle: &LoopHandle,
    mut plan: Plan,
    all_errors: bool,
) -> Result<Box<dyn Socket>, ConnectError> {
    while let Some(attempt) = plan.next() {
        let outcome = match Connecting::start(handle, &attempt) {
            Ok(connecting) => connecting.await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(socket) => {
                tracing::debug!(remote = %attempt.remote, "connected");
                return Ok(socket);
            }
            Err(error) => {
                tracing::debug!(remote = %attempt.remote, %error, "connect failed");
                plan.failed(attempt, error);
            }
        }
    }
    Err(ConnectError::Failed(Attempts::new(plan.into_failures(), all_errors)))
}
