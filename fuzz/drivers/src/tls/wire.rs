//! What is on its way from one end to the other: records, in which somebody meddles.

use std::collections::VecDeque;

use super::script::OnTheWay;

/// More is not remembered: a replay of any is one.
const MOST_REMEMBERED: usize = 64;

/// A record's header: its type, two bytes of version, two of length.
const HEADER: usize = 5;

#[derive(Default)]
pub(super) struct Wire {
    sent: VecDeque<u8>,
    passed: Vec<Vec<u8>>,
}

impl Wire {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.sent.extend(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// All of it.
    pub(super) fn take_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.is_empty() {
            all.extend(self.next());
        }
        all
    }

    /// What arrives now.
    pub(super) fn meddle(&mut self, how: OnTheWay) -> Vec<u8> {
        match how {
            OnTheWay::Pass(n) => (0..n).flat_map(|_| self.next()).collect(),
            OnTheWay::Piece(n) => self.sent.drain(..n.min(self.sent.len())).collect(),
            OnTheWay::Flip(at, mask) => {
                let mut record = self.next();
                let len = record.len().max(1);
                if let Some(byte) = record.get_mut(at % len) {
                    *byte ^= mask;
                }
                record
            }
            OnTheWay::Lose => {
                self.next();
                Vec::new()
            }
            OnTheWay::Behead(n) => {
                let mut record = self.next();
                record.split_off(n.min(record.len()))
            }
            OnTheWay::Truncate(n) => {
                let mut record = self.next();
                record.truncate(n);
                record
            }
            OnTheWay::Double => {
                let record = self.next();
                record.repeat(2)
            }
            OnTheWay::Exchange => {
                let first = self.next();
                let mut both = self.next();
                both.extend(first);
                both
            }
            OnTheWay::Replay(which) => {
                let known = self.passed.len().max(1);
                self.passed.get(which % known).cloned().unwrap_or_default()
            }
            OnTheWay::MakeUp(kind, n) => {
                let len = (n as u16).to_be_bytes();
                let kind = if kind >= 128 { kind } else { 20 + kind % 5 };
                let header = [kind, 3, 3, len[0], len[1]];
                let body = (0..n).map(|at| (at * 7) as u8);
                header.into_iter().chain(body).collect()
            }
            OnTheWay::Insert(bytes) => bytes,
            OnTheWay::Eof | OnTheWay::Reset => Vec::new(),
        }
    }

    /// The length of the next record, or of what there is of it.
    fn peek(&self) -> usize {
        let byte = |at: usize| self.sent.get(at).copied().map_or(0, usize::from);
        let len = HEADER + byte(3) * 256 + byte(4);
        len.min(self.sent.len())
    }

    fn next(&mut self) -> Vec<u8> {
        let record: Vec<u8> = self.sent.drain(..self.peek()).collect();
        if self.passed.len() < MOST_REMEMBERED && !record.is_empty() {
            self.passed.push(record.clone());
        }
        record
    }
}
