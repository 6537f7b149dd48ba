//! A connection of a scenario: [`Line`], a probe at one end and a peer at the other.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;

use millrun_transport::{Flow, Transport, Watermarks};

use super::far_end::FarEnd;
use super::record::{Event, Record};
use super::stage::Stage;
use crate::pattern::{is_pattern, pattern};
use crate::report::{Step, ensure};
use crate::{Invariant, Violation};

/// A write makes one piece at least for each so many bytes: see [`TransportAbilities::framing`].
const FRAME: usize = 16 * 1024;

/// A connection: a probe on the transport, and its peer.
pub(crate) struct Line {
    pub(crate) record: Rc<Record>,
    pub(crate) transport: Rc<dyn Transport>,
    pub(crate) peer: FarEnd,
    /// Bytes of the pattern that the transport accepted.
    pub(crate) sent: usize,
    /// Where each write ended that the peer may not have whole, and what may have been added to it.
    writes: VecDeque<(usize, usize)>,
    framing: usize,
    /// Bytes that the peer received.
    pub(crate) got: Vec<u8>,
    /// How receiving ended for the peer.
    over: Option<Result<(), ErrorKind>>,
}

impl Line {
    pub(super) fn new(
        record: &Rc<Record>,
        transport: Rc<dyn Transport>,
        peer: FarEnd,
        framing: usize,
    ) -> Line {
        let (record, writes, got) = (record.clone(), VecDeque::new(), Vec::new());
        Line { record, transport, peer, sent: 0, writes, framing, got, over: None }
    }

    /// Calls the transport from outside of any callback.
    pub(crate) fn call<R>(&self, f: impl FnOnce(&dyn Transport) -> R) -> R {
        self.record.calling(|| f(&*self.transport))
    }

    /// Writes so many further bytes of the pattern, which have to be accepted.
    pub(crate) fn write(&mut self, n: usize) -> Step<Flow> {
        self.write_by(n, |transport, bytes| transport.write(bytes))
    }

    pub(crate) fn write_by(
        &mut self,
        n: usize,
        write: impl FnOnce(&dyn Transport, &[u8]) -> Flow,
    ) -> Step<Flow> {
        let bytes = pattern(self.sent, n);
        let flow = self.call(|transport| write(transport, &bytes));
        let open = flow != Flow::Closed;
        ensure(
            open,
            Invariant::FlowTells,
            "Open or Paused: nobody closed",
            format_args!("{flow:?}"),
        )?;
        self.sent += n;
        self.writes.push_back((self.sent, self.framing * (4 + n / FRAME)));
        self.check_count(flow)?;
        Ok(flow)
    }

    /// What the transport may have added to the bytes that the peer does not have yet.
    pub(crate) fn added(&self) -> usize {
        let got = self.got.len();
        self.writes.iter().filter(|(end, _)| *end > got).map(|(_, added)| added).sum()
    }

    /// What the counter, the marks and the last answer say of each other.
    fn check_count(&self, flow: Flow) -> Step {
        let (size, Watermarks { low, high }) =
            (self.transport.write_buffer_size(), self.transport.write_buffer_limits());
        let most = self.sent - self.got.len() + self.added();
        let expected = format_args!("at most {most}: the peer has the others");
        ensure(size <= most, Invariant::SizeIsCounted, expected, size)?;
        let told = match flow {
            Flow::Open => size <= high,
            Flow::Paused => size > low,
            Flow::Closed => true,
        };
        let expected = format_args!("Paused above {high}, Open at or below {low}");
        ensure(told, Invariant::FlowTells, expected, format_args!("{flow:?} at {size}"))
    }

    /// Waits until the peer has sent all of this.
    pub(crate) fn peer_sends(&mut self, stage: &mut Stage<'_>, bytes: &[u8]) -> Step {
        let mut left = bytes;
        let record = self.record.clone();
        let (peer, rule) = (&mut self.peer, Invariant::ResumedIsRead);
        let mut failed = None;
        stage.until_of(&record, rule, "all that the peer sends is read", || {
            match peer.send(left) {
                Ok(n) => left = &left[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(error) => failed = Some(error),
            }
            left.is_empty() || failed.is_some()
        })?;
        match failed {
            Some(error) => Err(Violation::new(rule, "a peer that can send", error)),
            None => Ok(()),
        }
    }

    /// Waits until the peer has sent a byte, or can't: the connection may end as soon as something comes, which need not be bytes of
    /// the peer's.
    pub(crate) fn peer_speaks(&mut self, stage: &mut Stage<'_>, invariant: Invariant) -> Step {
        let record = self.record.clone();
        stage.until_of(&record, invariant, "a byte of the peer's, or an end", || {
            let sent = self.peer.send(b"x");
            record.is_lost() || sent.is_ok_and(|n| n > 0)
        })
    }

    /// The peer takes what has come.
    pub(crate) fn peer_takes(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let before = self.got.len();
        while self.peer_takes_some(&mut buffer) {}
        self.got.len() > before
    }

    /// The peer takes as much of it as fits. False when nothing has come, or it is over.
    fn peer_takes_some(&mut self, buffer: &mut [u8]) -> bool {
        if self.over.is_some() {
            return false;
        }
        match self.peer.receive(buffer) {
            Ok(0) => self.over = Some(Ok(())),
            Ok(n) => {
                self.got.extend_from_slice(&buffer[..n]);
                let got = self.got.len();
                self.writes.retain(|(end, _)| *end > got);
                return true;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.over = Some(Err(error.kind())),
        }
        false
    }

    /// A close that needs the peer gets what it needs: someone who takes what comes, and ends when the end has come.
    fn peer_answers(&mut self) {
        if self.transport.is_closing() && self.transport.close_outcome().is_none() {
            self.peer_takes();
            if self.over.is_some() {
                self.peer.end();
            }
        }
    }

    /// Waits until the peer has received all that was accepted, as it was written.
    pub(crate) fn peer_has_all(&mut self, stage: &mut Stage<'_>, invariant: Invariant) -> Step {
        let (n, record) = (self.sent, self.record.clone());
        let expected = format!("all {n} bytes at the peer");
        stage.until_of(&record, invariant, &expected, || {
            self.peer_takes();
            self.got.len() >= n || self.over.is_some()
        })?;
        is_pattern(&self.got, n, invariant)
    }

    /// Waits until the peer has received a byte, the first of all. Those that came with it lie unread.
    pub(crate) fn peer_has_one(&mut self, stage: &mut Stage<'_>, invariant: Invariant) -> Step {
        let record = self.record.clone();
        stage.until_of(&record, invariant, "a byte at the peer", || {
            self.peer_takes_some(&mut [0]) || self.over.is_some()
        })?;
        is_pattern(&self.got, 1, invariant)
    }

    /// Waits until the peer has received the end of file, or an error where that is allowed.
    pub(crate) fn peer_sees_the_end(
        &mut self,
        stage: &mut Stage<'_>,
        invariant: Invariant,
    ) -> Step {
        let record = self.record.clone();
        stage.until_of(&record, invariant, "an end of file at the peer", || {
            self.peer_takes();
            self.over.is_some()
        })?;
        let over = self.over;
        let got = format_args!("{over:?}");
        ensure(over == Some(Ok(())), invariant, "an end of file at the peer", got)
    }

    /// As it came to be over for the peer, if it did.
    pub(crate) fn peer_over(&self) -> Option<Result<(), ErrorKind>> {
        self.over
    }

    /// Waits for `connection_lost`.
    pub(crate) fn lost(&mut self, stage: &mut Stage<'_>) -> Step<Option<(ErrorKind, String)>> {
        self.lost_by(stage, Invariant::LostAlways, "connection_lost")?;
        Ok(self.record.lost().unwrap_or_default())
    }

    /// Waits for `connection_lost`, by this rule.
    pub(crate) fn lost_by(
        &mut self,
        stage: &mut Stage<'_>,
        invariant: Invariant,
        expected: &str,
    ) -> Step {
        let record = self.record.clone();
        self.lost_of(stage, &record, invariant, expected)
    }

    /// Waits for the `connection_lost` that is for this record.
    pub(crate) fn lost_of(
        &mut self,
        stage: &mut Stage<'_>,
        record: &Record,
        invariant: Invariant,
        expected: &str,
    ) -> Step {
        let is_lone = stage.able.lone_close;
        stage.until_of(record, invariant, expected, || {
            if !is_lone {
                self.peer_answers();
            }
            record.is_lost()
        })
    }

    /// Waits for `connection_lost`, while the peer takes what comes.
    pub(crate) fn lost_to_a_reader(&mut self, stage: &mut Stage<'_>, invariant: Invariant) -> Step {
        let (record, is_lone) = (self.record.clone(), stage.able.lone_close);
        stage.until_of(&record, invariant, "connection_lost: the peer reads", || {
            self.peer_takes();
            if !is_lone {
                self.peer_answers();
            }
            record.is_lost()
        })
    }

    /// Waits for `connection_lost`, which has to be without an error.
    pub(crate) fn lost_in_peace(&mut self, stage: &mut Stage<'_>) -> Step {
        let error = self.lost(stage)?;
        let got = format_args!("{error:?}");
        ensure(error.is_none(), Invariant::LostTellsWhy, "lost without an error", got)
    }

    /// Waits for this callback.
    pub(crate) fn told(&self, stage: &mut Stage<'_>, event: Event, invariant: Invariant) -> Step {
        let expected = format!("{event:?}");
        stage.until(self, invariant, &expected, || self.record.has(&event))
    }
}
