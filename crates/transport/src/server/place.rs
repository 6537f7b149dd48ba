//! Where to serve: [`AtName`], [`AtAddress`] or [`Listeners`], and how each becomes listening sockets.

use std::future::Future;
use std::io;

use millrun_loop::LoopHandle;
use millrun_selector::{Address, Family, ListenOptions, Listener};

use super::ServeError;
use super::socket_file::SocketFile;
use crate::connect::{Name, each_once, resolve};
use crate::{Host, InvalidArgument, Port};

/// Where to serve: one of the three here.
pub trait Place: Sealed {}

/// What a [`Place`] does; out of reach, so that there are no others.
pub trait Sealed {
    /// Sockets that listen.
    fn open(
        self,
        handle: &LoopHandle,
        options: &ListenOptions,
    ) -> impl Future<Output = Result<Vec<Box<dyn Listener>>, ServeError>>;
}

/// Hosts to be resolved, and a port.
#[derive(Clone, Debug)]
pub struct AtName {
    hosts: Vec<Host>,
    port: Port,
    pub(super) family: Family,
}

impl AtName {
    pub(super) fn new(hosts: Vec<Host>, port: Port) -> AtName {
        AtName { hosts, port, family: Family::Any }
    }

    fn check(&self) -> Result<(), InvalidArgument> {
        if self.hosts.is_empty() {
            return Err(InvalidArgument::NoAddress);
        }
        if self.port.is_none() && self.hosts.iter().all(|host| host.as_str().is_none()) {
            return Err(InvalidArgument::NoHostNoPort);
        }
        self.port.check()
    }
}

impl Place for AtName {}

impl Sealed for AtName {
    async fn open(
        self,
        handle: &LoopHandle,
        options: &ListenOptions,
    ) -> Result<Vec<Box<dyn Listener>>, ServeError> {
        self.check()?;
        let mut addresses = Vec::new();
        for host in self.hosts {
            let name = Name { host, port: self.port.clone() };
            let found = resolve(handle, &name, self.family, true).await;
            addresses.extend(found.map_err(ServeError::from_resolving)?);
        }
        listen_on_each(handle, each_once(addresses.into_iter().map(Address::from)), options)
    }
}

/// Addresses that need no resolver.
#[derive(Clone, Debug)]
pub struct AtAddress(Vec<Address>);

impl AtAddress {
    pub(super) fn new(addresses: Vec<Address>) -> AtAddress {
        AtAddress(addresses)
    }
}

impl Place for AtAddress {}

impl Sealed for AtAddress {
    async fn open(
        self,
        handle: &LoopHandle,
        options: &ListenOptions,
    ) -> Result<Vec<Box<dyn Listener>>, ServeError> {
        if self.0.is_empty() {
            return Err(InvalidArgument::NoAddress.into());
        }
        listen_on_each(handle, each_once(self.0), options)
    }
}

/// Sockets that listen already.
#[derive(Debug)]
pub struct Listeners(pub(super) Vec<Box<dyn Listener>>);

impl Place for Listeners {}

impl Sealed for Listeners {
    async fn open(
        self,
        _handle: &LoopHandle,
        _options: &ListenOptions,
    ) -> Result<Vec<Box<dyn Listener>>, ServeError> {
        if self.0.is_empty() {
            return Err(InvalidArgument::NoAddress.into());
        }
        Ok(self.0)
    }
}

fn listen_on_each(
    handle: &LoopHandle,
    addresses: Vec<Address>,
    options: &ListenOptions,
) -> Result<Vec<Box<dyn Listener>>, ServeError> {
    let mut listeners = Vec::new();
    let mut last = None;
    for address in &addresses {
        match listen_on(handle, address, options) {
            Ok(bound) => listeners.push(bound),
            Err(error) if is_foreign(&error) => {
                tracing::warn!(%address, %error, "skipped: not an address of this machine");
                last = Some(error);
            }
            Err(source) => return Err(ServeError::Bind { address: address.clone(), source }),
        }
    }
    if listeners.is_empty() {
        // There is an address, and none was bound.
        let source = last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
        return Err(ServeError::NoneBound { addresses, source });
    }
    Ok(listeners)
}

fn listen_on(
    handle: &LoopHandle,
    address: &Address,
    options: &ListenOptions,
) -> io::Result<Box<dyn Listener>> {
    let network = handle.network();
    if let Some(path) = address.as_path().filter(|_| network.has_files()) {
        if let Some(stale) = SocketFile::at(path) {
            stale.remove()?;
        }
    }
    network.listen(address, options)
}

/// The address is not this machine's, or its family is switched off here.
fn is_foreign(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
        97
    } else if cfg!(any(target_os = "solaris", target_os = "illumos")) {
        124
    } else {
        47 // macOS and the BSDs
    };
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}
