//! Memory of connections that do nothing.

use super::Outcome;
use super::arguments::Arguments;
use super::crowd::Crowd;
use super::meter::Watched;
use super::session::Drive;
use crate::report::Memory;

#[derive(Debug)]
pub(super) struct Idle {
    crowd: Crowd,
    memory: Memory,
}

impl Idle {
    pub(super) fn new(arguments: &Arguments, most: usize) -> Outcome<Self> {
        let mut server = Watched::new(arguments).server;
        let mut crowd = Crowd::new(arguments)?;
        server.rest()?;
        let before = server.memory()?;
        crowd.connect_resting(arguments.scenario.connections.min(most), b"", &mut server)?;
        let fresh = server.memory()?;
        crowd.check_all()?;
        server.rest()?;
        let used = server.memory()?;
        Ok(Self { crowd, memory: Memory { before, fresh, used } })
    }
}

impl Drive for Idle {
    fn connections(&self) -> usize {
        self.crowd.len()
    }

    fn memory(&self) -> Option<Memory> {
        Some(self.memory)
    }
}
