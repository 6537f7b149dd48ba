//! What to try next: the order of a connect's attempts, as a pure state machine.
//!
//! [`Plan::next`] says which remote address to try and from which local one; the caller tries, and
//! answers a failure with [`Plan::failed`]. A success ends it: nothing is to be told then. The rules
//! are asyncio's (C-008, C-012, C-013):
//! - remote addresses are tried in their order, each until a connect fails;
//! - local addresses of another family are passed over;
//! - a bind that fails leads to the next local address for the same remote one, a connect that fails
//!   to the next remote one.
//!
//! A staggered race would drive one [`Row`] per remote address at once; the rules inside a row stay.

use std::io;
use std::vec;

use millrun_selector::{Address, BindError};

use super::{ConnectAttempt, Stage};

/// One try to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Try {
    pub(crate) remote: Address,
    pub(crate) local: Option<Address>,
}

/// The attempts of one connect, in order.
#[derive(Debug)]
pub(crate) struct Plan {
    remotes: vec::IntoIter<Address>,
    locals: Option<Vec<Address>>,
    row: Option<Row>,
    failures: Vec<ConnectAttempt>,
}

impl Plan {
    /// `locals` is `None` when no local address was asked for.
    pub(crate) fn new(remotes: Vec<Address>, locals: Option<Vec<Address>>) -> Plan {
        Plan { remotes: remotes.into_iter(), locals, row: None, failures: Vec::new() }
    }

    /// The next try; `None` when all have failed.
    pub(crate) fn next(&mut self) -> Option<Try> {
        loop {
            if let Some(row) = &mut self.row {
                match row.next() {
                    Ok(attempt) => return Some(attempt),
                    Err(nothing) => self.failures.extend(nothing),
                }
                self.row = None;
            }
            self.row = Some(Row::new(self.remotes.next()?, self.locals.as_deref()));
        }
    }

    /// The last try failed with `error`: of its bind if a [`BindError`] is inside, else of its connect.
    pub(crate) fn failed(&mut self, attempt: Try, error: io::Error) {
        let bind = error.get_ref().is_some_and(|inner| inner.is::<BindError>());
        let Try { remote, local } = attempt;
        let stage = if bind { Stage::Bind } else { Stage::Connect };
        if !bind {
            self.row = None;
        }
        self.failures.push(ConnectAttempt { remote, local, stage, error });
    }

    /// All failures, in the order in which they came.
    pub(crate) fn into_failures(self) -> Vec<ConnectAttempt> {
        self.failures
    }
}

/// The tries for one remote address: one from each local address that fits, or one from anywhere.
#[derive(Debug)]
struct Row {
    remote: Address,
    locals: vec::IntoIter<Option<Address>>,
    /// A try was given out: running dry then is no failure of its own.
    tried: bool,
}

impl Row {
    fn new(remote: Address, locals: Option<&[Address]>) -> Row {
        let locals = match locals {
            None => vec![None],
            Some(locals) => locals
                .iter()
                .filter(|local| same_family(local, &remote))
                .map(|local| Some(local.clone()))
                .collect(),
        };
        Row { remote, locals: locals.into_iter(), tried: false }
    }

    fn next(&mut self) -> Result<Try, Option<ConnectAttempt>> {
        if let Some(local) = self.locals.next() {
            self.tried = true;
            return Ok(Try { remote: self.remote.clone(), local });
        }
        if self.tried {
            return Err(None);
        }
        Err(Some(ConnectAttempt {
            remote: self.remote.clone(),
            local: None,
            stage: Stage::NoLocal,
            error: io::ErrorKind::AddrNotAvailable.into(),
        }))
    }
}

fn same_family(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Inet(a), Address::Inet(b)) => a.is_ipv4() == b.is_ipv4(),
        (a, b) => a.is_unix() && b.is_unix(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| text.parse::<std::net::SocketAddr>().unwrap().into()).collect()
    }

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    fn bind_failed(address: &Address) -> io::Error {
        let source = io::Error::from(io::ErrorKind::AddrInUse);
        io::Error::new(source.kind(), BindError { address: address.clone(), source })
    }

    /// All tries of a plan whose binds fail from the addresses in `taken` and whose connects all fail.
    fn run(mut plan: Plan, taken: &[Address]) -> (Vec<String>, Vec<ConnectAttempt>) {
        let mut tries = Vec::new();
        while let Some(attempt) = plan.next() {
            tries.push(match &attempt.local {
                None => attempt.remote.to_string(),
                Some(local) => format!("{local} > {}", attempt.remote),
            });
            let error = match &attempt.local {
                Some(local) if taken.contains(local) => bind_failed(local),
                _ => refused(),
            };
            plan.failed(attempt, error);
        }
        (tries, plan.into_failures())
    }

    #[test]
    fn c_008_remote_addresses_are_tried_in_order() {
        let plan = Plan::new(addresses(&["192.0.2.1:1", "[::1]:2", "192.0.2.1:3"]), None);
        let (tries, failures) = run(plan, &[]);
        assert_eq!(tries, ["192.0.2.1:1", "[::1]:2", "192.0.2.1:3"]);
        assert!(failures.iter().all(|failure| failure.stage == Stage::Connect));
        assert_eq!(failures.len(), 3);
    }

    #[test]
    fn c_012_local_addresses_of_another_family_are_skipped_and_binds_go_on() {
        let locals = addresses(&["[::1]:0", "192.0.2.9:1", "192.0.2.9:2", "192.0.2.9:3"]);
        let plan = Plan::new(addresses(&["192.0.2.1:1", "[::1]:2"]), Some(locals.clone()));
        let (tries, failures) = run(plan, &locals[1..2]);
        // The second bind worked, and the connect failed: the third local address is not tried.
        assert_eq!(
            tries,
            ["192.0.2.9:1 > 192.0.2.1:1", "192.0.2.9:2 > 192.0.2.1:1", "[::1]:0 > [::1]:2",]
        );
        let stages: Vec<_> = failures.iter().map(|failure| failure.stage).collect();
        assert_eq!(stages, [Stage::Bind, Stage::Connect, Stage::Connect]);
    }

    #[test]
    fn c_012_when_every_bind_fails_the_next_remote_address_is_tried() {
        let locals = addresses(&["192.0.2.9:1", "192.0.2.9:2"]);
        let plan = Plan::new(addresses(&["192.0.2.1:1", "192.0.2.1:2"]), Some(locals.clone()));
        let (tries, failures) = run(plan, &locals);
        assert_eq!(tries.len(), 4);
        assert!(failures.iter().all(|failure| failure.stage == Stage::Bind));
    }

    #[test]
    fn c_013_no_local_address_of_the_family_is_a_failure_of_its_own() {
        let plan = Plan::new(addresses(&["[::1]:1"]), Some(addresses(&["192.0.2.9:0"])));
        let (tries, failures) = run(plan, &[]);
        assert!(tries.is_empty());
        assert_eq!(failures[0].stage, Stage::NoLocal);
        assert_eq!(failures.len(), 1);
    }
}
