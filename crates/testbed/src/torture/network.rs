//! A network and a resolver whose calls can fail.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use millrun_selector::{
    Address, ConnectOptions, ListenOptions, Listener, Network, Query, Resolver, Socket,
};

use super::{Call, Fault, Torture};

/// A network.
#[derive(Debug)]
pub(super) struct Wrapped {
    pub(super) inner: Rc<dyn Network>,
    pub(super) torture: Torture,
}

/// A resolver.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) inner: Arc<dyn Resolver>,
    pub(super) torture: Torture,
}

impl Network for Wrapped {
    fn connect(&self, to: &Address, options: &ConnectOptions) -> io::Result<Box<dyn Socket>> {
        self.torture.check(Call::Connect)?;
        Ok(self.torture.socket(self.inner.connect(to, options)?))
    }

    fn listen(&self, at: &Address, options: &ListenOptions) -> io::Result<Box<dyn Listener>> {
        self.torture.check(Call::Listen)?;
        Ok(self.torture.listener(self.inner.listen(at, options)?))
    }

    fn has_files(&self) -> bool {
        self.inner.has_files()
    }
}

impl Resolver for Names {
    fn resolve(&self, query: &Query) -> io::Result<Vec<SocketAddr>> {
        match self.torture.passes(Call::Resolve) {
            Some(Fault::Error(_, failure)) => Err(failure.into()),
            Some(Fault::Nothing) => Ok(Vec::new()),
            _ => self.inner.resolve(query),
        }
    }
}
