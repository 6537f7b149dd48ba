//! A server's place in a scenario, and what its windows add up to.

use super::plan;
use super::session::{Session, Taken};
use crate::report::ServerResult;
use crate::scenario::{Kind, Scenario};

/// A session, and what it has so far.
pub(super) struct Seat {
    pub(super) scenario: &'static Scenario,
    /// Nothing once it failed or is no longer needed.
    pub(super) session: Option<Session>,
    pub(super) failed: bool,
    pub(super) result: ServerResult,
}

/// What a window is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    WarmUp,
    /// Each connection sends when it has its reply.
    Closed,
    /// So many messages a second.
    Open(u64),
    /// The same once more, for those whose 99th percentile is compared.
    Tails(u64),
}

impl Phase {
    pub(super) fn is_for(self, seat: &Seat) -> bool {
        match self {
            Self::WarmUp | Self::Closed => seat.scenario.kind != Kind::Idle,
            Self::Open(_) => plan::has_latencies(seat.scenario),
            Self::Tails(_) => plan::has_tails(&seat.result.peer, seat.scenario),
        }
    }

    /// Messages a second, where it has a rate.
    pub(super) fn rate(self) -> Option<u64> {
        match self {
            Self::WarmUp | Self::Closed => None,
            Self::Open(rate) | Self::Tails(rate) => Some(rate),
        }
    }

    pub(super) fn keep(self, seat: &mut Seat, taken: Taken) {
        let Taken { window, latency, tail } = taken;
        match self {
            Self::WarmUp => return,
            Self::Closed => {
                seat.result.rounds.push(window);
                // With one connection, the time of a message is its latency; with more, it is how long the queue is.
                if seat.scenario.connections > 1 || seat.scenario.kind != Kind::Echo {
                    return;
                }
            }
            Self::Open(_) | Self::Tails(_) => {}
        }
        let Some(latency) = latency else { return };
        seat.result.tails.extend(tail);
        match &mut seat.result.latency {
            Some(all) => all.merge(&latency),
            None => seat.result.latency = Some(latency),
        }
    }
}
