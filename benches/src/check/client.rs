//! A client on a plain blocking socket: nothing of ours is under it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::{Outcome, PATIENCE, Running};

/// More than the kernel and a well-behaved server take for a peer that does not read: a receive buffer may grow to 32 MiB (tcp_rmem), and
/// on the way through a relay and back there are three.
const MOST_UNREAD: u64 = 256 << 20;

/// Without progress for so long, nobody is taking more. If it was too short, a check asks for less than it could.
const SILENCE: Duration = Duration::from_millis(200);

/// What a client sends counts from 0 to 250, over and over: no period that a buffer's length has.
const PERIOD: u8 = 251;

/// The first so many bytes of it.
pub(super) fn bytes(count: usize) -> Vec<u8> {
    // Copied, not counted: checks are compiled for debugging, and there are many MiB.
    let period: Vec<u8> = (0..PERIOD).collect();
    let mut bytes = period.repeat(count.div_ceil(period.len()));
    bytes.truncate(count);
    bytes
}

/// Pieces of it from anywhere.
pub(super) struct Pieces(Vec<u8>);

impl Pieces {
    pub(super) fn new(longest: usize) -> Self {
        Self(bytes(longest + usize::from(PERIOD)))
    }

    /// The bytes from this place on, the longest that it can be or up to `end`.
    pub(super) fn at(&self, place: u64, end: u64) -> &[u8] {
        let longest = self.0.len() - usize::from(PERIOD);
        let count = usize::try_from(end - place).map_or(longest, |left| left.min(longest));
        &self.0[(place % u64::from(PERIOD)) as usize..][..count]
    }
}

/// One connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
}

impl Client {
    /// Connects and says hello: what comes before the bytes of the check.
    pub(super) fn connect(server: &Running, hello: &[u8]) -> Outcome<Self> {
        let stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream };
        client.send(hello)?;
        Ok(client)
    }

    pub(super) fn send(&mut self, data: &[u8]) -> Outcome {
        let sent = self.stream.write_all(data);
        Ok(sent.map_err(|error| told(&error, &format!("sending {} bytes", data.len())))?)
    }

    pub(super) fn end(&self) -> Outcome {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// Exactly so many bytes come.
    pub(super) fn take(&mut self, count: usize) -> Outcome<Vec<u8>> {
        let mut data = vec![0; count];
        let mut have = 0;
        while have < count {
            match self.receive(&mut data[have..]) {
                Ok(0) => {
                    return Err(format!("expected {count} bytes, got {have} and the end").into());
                }
                Ok(n) => have += n,
                Err(error) => {
                    return Err(told(&error, &format!("{have} of {count} bytes came")).into());
                }
            }
        }
        Ok(data)
    }

    /// Exactly these bytes come.
    pub(super) fn comes(&mut self, expected: &[u8]) -> Outcome {
        same(&self.take(expected.len())?, expected)
    }

    /// The end of file comes, and nothing before it.
    pub(super) fn expect_end(&mut self) -> Outcome {
        match self.receive(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err("expected the end of file, got a byte".into()),
            Err(error) => Err(told(&error, "waiting for the end of file").into()),
        }
    }

    /// The connection ends, in whatever way.
    pub(super) fn expect_over(&mut self) -> Outcome {
        let mut block = vec![0; 65_536];
        loop {
            match self.receive(&mut block) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(told(&error, "waiting for an end").into()),
            }
        }
    }

    /// Sends, sends these bytes again, and compares, in one go each.
    pub(super) fn round(&mut self, data: &[u8]) -> Outcome {
        self.send(data)?;
        self.comes(data)
    }

    /// Sends bytes until nobody takes more; says how many that were.
    pub(super) fn fill(&mut self) -> Outcome<u64> {
        self.stream.set_nonblocking(true)?;
        let data = Pieces::new(251_000);
        let mut sent = 0;
        let mut silent = false;
        loop {
            match self.stream.write(data.at(sent, u64::MAX)) {
                Ok(n) => {
                    sent += n as u64;
                    silent = false;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && !silent => {
                    thread::sleep(SILENCE);
                    silent = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(told(&error, &format!("{sent} bytes were sent")).into()),
            }
            if sent > MOST_UNREAD {
                return Err(format!("took {sent} bytes while their receiver does not read").into());
            }
        }
        self.stream.set_nonblocking(false)?;
        Ok(sent)
    }

    /// Ends the connection by a reset.
    pub(super) fn reset(self) -> Outcome {
        Ok(set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }

    /// Sends all in pieces of uneven length while it receives what `expected` says; then ends its direction.
    pub(super) fn exchange(&mut self, data: &[u8], expected: &[u8]) -> Outcome {
        let mut sender = self.stream.try_clone()?;
        let sent = AtomicU64::new(0);
        let outcome = thread::scope(|scope| {
            scope.spawn(|| -> io::Result<()> {
                for piece in pieces(data) {
                    sender.write_all(piece)?;
                    sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
                sender.shutdown(Shutdown::Write)
            });
            let outcome = self.comes(expected);
            if outcome.is_err() {
                let _ = self.stream.shutdown(Shutdown::Both); // lets the sender end
            }
            outcome
        });
        let sent = sent.into_inner();
        outcome.map_err(|why| format!("with {sent} of {} bytes sent: {why}", data.len()).into())
    }

    fn receive(&self, data: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(data)
    }
}

/// Uneven pieces: single bytes, and more than any buffer.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut lengths = [1, 70_001, 13, 4_096, 300_007, 2, 999].into_iter().cycle();
    std::iter::from_fn(move || {
        let length = lengths.next()?.min(data.len());
        let (piece, rest) = data.split_at(length);
        data = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Equal, or the first place that differs.
pub(super) fn same(got: &[u8], expected: &[u8]) -> Outcome {
    if got == expected {
        return Ok(());
    }
    let differs = got.iter().zip(expected).position(|(got, expected)| got != expected);
    match differs {
        None => Err(format!("expected {} bytes, got {}", expected.len(), got.len()).into()),
        Some(place) => {
            let (got, expected) = (got[place], expected[place]);
            Err(format!("byte {place}: expected {expected:#04x}, got {got:#04x}").into())
        }
    }
}

/// A timeout of the socket reads "resource unavailable": say what it is.
fn told(error: &io::Error, when: &str) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("{when}: nothing for {PATIENCE:?}"),
        _ => format!("{when}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_counts_over_and_over() {
        let sent = bytes(600);
        assert!((0..600).all(|place| sent[place] == (place % 251) as u8));
        assert_eq!((sent.len(), bytes(0).len(), bytes(251).len()), (600, 0, 251));
    }

    #[test]
    fn a_piece_is_what_is_sent_from_there_on() {
        let (pieces, sent) = (Pieces::new(100), bytes(1000));
        for place in 0..900 {
            assert_eq!(pieces.at(place as u64, 1000), &sent[place..place + 100]);
        }
        assert_eq!(pieces.at(260, 263), [9, 10, 11]);
        assert_eq!(pieces.at(7, 7), b"");
    }

    #[test]
    fn a_difference_is_told_with_its_place() {
        let told = |got: &[u8]| same(got, b"abc").map_err(|why| why.to_string());
        assert_eq!(told(b"abc"), Ok(()));
        assert_eq!(told(b"abd"), Err("byte 2: expected 0x63, got 0x64".to_owned()));
        assert_eq!(told(b"ab"), Err("expected 3 bytes, got 2".to_owned()));
    }
}
