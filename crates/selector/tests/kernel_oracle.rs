//! The selector against `poll(2)`, which is level-triggered by nature: random lives of real sockets.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::OwnedFd;

use common::look_at;
use millrun_selector::{Foreign, Interest, Key, MioSelector, OsNetwork, Selector, Socket, Source};
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};

const PAIRS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The peer writes so many bytes.
    PeerWrites(usize),
    /// The peer reads up to so many.
    PeerReads(usize),
    PeerShuts,
    PeerGoes,
    Reads(usize),
    Writes(usize),
    SetInterest(Interest),
    /// Deregister, and register again.
    Again(Interest),
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1..16_usize, Just(4096), Just(1 << 20)]
}

fn interest() -> impl Strategy<Value = Interest> {
    prop::sample::select(vec![Interest::NONE, Interest::READ, Interest::WRITE, Interest::BOTH])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => size().prop_map(Step::PeerWrites),
        4 => size().prop_map(Step::PeerReads),
        1 => Just(Step::PeerShuts),
        1 => Just(Step::PeerGoes),
        8 => size().prop_map(Step::Reads),
        6 => size().prop_map(Step::Writes),
        4 => interest().prop_map(Step::SetInterest),
        1 => interest().prop_map(Step::Again),
    ]
}

/// One registered socket: owned, or (the same socket by its descriptor) foreign.
struct Member {
    ours: Box<dyn Socket>,
    theirs: Option<Box<dyn Socket>>,
    is_foreign: bool,
    key: Key,
    interest: Interest,
}

impl Member {
    fn new(selector: &mut MioSelector, is_foreign: bool) -> Member {
        let (ours, theirs) = OsNetwork::pair().unwrap();
        let interest = Interest::READ;
        let key = register(selector, &*ours, is_foreign, interest);
        Member { ours, theirs: Some(theirs), is_foreign, key, interest }
    }

    fn apply(&mut self, selector: &mut MioSelector, step: Step) {
        let theirs = self.theirs.as_deref();
        match step {
            Step::PeerWrites(n) => drop(theirs.map(|t| t.try_write(&vec![1; n]))),
            Step::PeerReads(n) => drop(theirs.map(|t| t.try_read(&mut vec![0; n]))),
            Step::PeerShuts => drop(theirs.map(|t| t.shutdown(Shutdown::Write))),
            Step::PeerGoes => self.theirs = None,
            Step::Reads(n) => drop(self.ours.try_read(&mut vec![0; n])),
            Step::Writes(n) => drop(self.ours.try_write(&vec![1; n])),
            Step::SetInterest(interest) => {
                selector.set_interest(self.key, interest).unwrap();
                self.interest = interest;
            }
            Step::Again(interest) => {
                if self.is_foreign {
                    selector.deregister(self.key, &Foreign::new(&self.ours.fd().unwrap())).unwrap();
                } else {
                    selector.deregister(self.key, &self.ours).unwrap();
                }
                self.key = register(selector, &*self.ours, self.is_foreign, interest);
                self.interest = interest;
            }
        }
    }

    /// What `poll` says.
    fn truth(&self) -> (bool, bool) {
        let fd: OwnedFd = common::duplicate(&self.ours);
        let mut fds = [PollFd::new(&fd, PollFlags::IN | PollFlags::OUT)];
        poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        let told = fds[0].revents();
        let ended = told.intersects(PollFlags::HUP | PollFlags::ERR);
        (
            self.interest.reads() && (ended || told.contains(PollFlags::IN)),
            self.interest.writes() && (ended || told.contains(PollFlags::OUT)),
        )
    }

    /// What the selector says.
    fn told(&self, selector: &mut MioSelector) -> (bool, bool) {
        let readiness = look_at(selector, self.key);
        // An error alone is told whichever direction is wanted.
        (
            self.interest.reads() && readiness.is_readable(),
            self.interest.writes() && readiness.is_writable(),
        )
    }

    /// All that is true is reported, and what is reported though it is not true ends at WouldBlock.
    fn check(&self, selector: &mut MioSelector) {
        let truth = self.truth();
        let told = self.told(selector);
        if self.is_foreign {
            assert_eq!(told, truth, "select (left) and poll (right), foreign");
            return;
        }
        assert!(!truth.0 || told.0, "poll says readable, select does not");
        assert!(!truth.1 || told.1, "poll says writable, select does not");
        if told.0 && !truth.0 {
            let result = self.ours.try_read(&mut [0; 1]);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
            assert!(!self.told(selector).0);
        }
        if told.1 && !truth.1 {
            // It may take some, where `poll` wants more room than that before it speaks.
            while self.ours.try_write(&[0; 4096]).is_ok() {}
            assert!(!self.told(selector).1);
        }
    }
}

fn register(s: &mut MioSelector, socket: &dyn Socket, is_foreign: bool, i: Interest) -> Key {
    if is_foreign {
        s.register(&Foreign::new(&socket.fd().unwrap()), i).unwrap()
    } else {
        s.register(&socket, i).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// SEL-010, SEL-011.
    #[test]
    fn sel_010_what_poll_says_is_reported(
        steps in prop::collection::vec((0..PAIRS, step()), 1..60),
        foreign in 0..=PAIRS,
    ) {
        let mut selector = MioSelector::new().unwrap();
        let mut members: Vec<_> =
            (0..PAIRS).map(|n| Member::new(&mut selector, n < foreign)).collect();
        for (n, step) in steps {
            members[n].apply(&mut selector, step);
            for member in &members {
                member.check(&mut selector);
            }
        }
    }
}
