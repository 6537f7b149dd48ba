//! TLS as the load speaks it: rustls without buffers of its own, so that one `recv` takes many records and one `send` leaves with as
//! many; the records are opened in memory that all connections share.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, HandshakeKind};

use super::wire::Came;
use crate::tls;

/// What one `recv` takes: a large message with what TLS adds to it, and more.
const MOST_RECEIVED: usize = 128 * 1024;

/// What one write seals.
const MOST_SEALED: usize = 64 * 1024;

/// Room for what comes, and for a part of a record in front of it (RFC 8446, section 5.2: 2^14 + 256 bytes and a header).
pub(super) const SHARED: usize = MOST_RECEIVED + (1 << 14) + 256 + 5;

thread_local! {
    static CIPHERTEXT: RefCell<Vec<u8>> = RefCell::new(vec![0; SHARED]);
}

pub(super) struct Secure {
    stream: TcpStream,
    tls: UnbufferedClientConnection,
    /// A record of which not all has come.
    part: Vec<u8>,
    /// Sealed, and not taken by the kernel so far.
    sealed: Vec<u8>,
    /// The peer said that it sends no more.
    ended: bool,
}

impl Secure {
    /// Nothing is said yet.
    pub(super) fn new(stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let tls = UnbufferedClientConnection::new(Arc::clone(config), tls::name()?)
            .map_err(io::Error::other)?;
        Ok(Self { stream, tls, part: Vec::new(), sealed: Vec::new(), ended: false })
    }

    /// Says what there is to say, and takes what there is, as far as that goes without waiting (on a socket that blocks, until
    /// something came). True when the handshake is done.
    pub(super) fn shake_hands(&mut self) -> io::Result<bool> {
        if self.open(&mut [], &mut [])?.1 > 0 {
            return Err(io::Error::other("plaintext without ciphertext"));
        }
        self.flush()?;
        while self.tls.is_handshaking() {
            match self.receive_into(&mut []) {
                Ok((Came::Nothing, _)) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            // The client's last words are sealed with what follows, if anything does.
            if self.tls.is_handshaking() {
                self.flush()?;
            }
        }
        Ok(true)
    }

    /// How the handshake went.
    pub(super) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The other side said that it sends no more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Says that nothing more will be sent, in the same send as what waits.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.seal(&[], true)?;
        self.flush()
    }

    /// What is registered.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// As a socket's.
    pub(super) fn shut_down(&self, how: std::net::Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }

    /// From now on its socket does not block.
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.stream, true)?)
    }

    /// Seals and sends: everything that is taken will leave, some of it by [`flush`](Secure::flush).
    pub(super) fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let length = plaintext.len().min(MOST_SEALED);
        self.seal(&plaintext[..length], false)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(length),
        }
    }

    /// Sends what is sealed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let outcome = loop {
            if sent == self.sealed.len() {
                break Ok(());
            }
            match self.stream.write(&self.sealed[sent..]) {
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.sealed.drain(..sent);
        outcome
    }

    /// Takes what came, with one `recv`; [`SHARED`] bytes are enough for it. Whether the socket is empty now.
    pub(super) fn receive(&mut self, plaintext: &mut [u8]) -> io::Result<(Came, bool)> {
        let came = self.receive_into(plaintext)?;
        self.flush()?;
        Ok(came)
    }

    fn receive_into(&mut self, plaintext: &mut [u8]) -> io::Result<(Came, bool)> {
        CIPHERTEXT.with_borrow_mut(|shared| {
            let held = self.part.len();
            shared[..held].copy_from_slice(&self.part);
            let n = self.stream.read(&mut shared[held..held + MOST_RECEIVED])?;
            if n == 0 {
                return Ok((Came::Nothing, true));
            }
            let (discard, taken) = self.open(&mut shared[..held + n], plaintext)?;
            self.part.clear();
            self.part.extend_from_slice(&shared[discard..held + n]);
            Ok((Came::Bytes(taken), n < MOST_RECEIVED))
        })
    }

    /// Opens whole records: how much is worked off, and how much plaintext that was.
    fn open(&mut self, ciphertext: &mut [u8], plaintext: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut done, mut taken) = (0, 0);
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.tls.process_tls_records(&mut ciphertext[done..]);
            match state.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        let room = plaintext.get_mut(taken..taken + record.payload.len());
                        room.ok_or_else(|| io::Error::other("more plaintext than was asked for"))?
                            .copy_from_slice(record.payload);
                        taken += record.payload.len();
                    }
                }
                ConnectionState::EncodeTlsData(mut encode) => {
                    let before = self.sealed.len();
                    if let Err(EncodeError::InsufficientSize(size)) = encode.encode(&mut []) {
                        self.sealed.resize(before + size.required_size, 0);
                        encode.encode(&mut self.sealed[before..]).map_err(io::Error::other)?;
                    }
                }
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                ConnectionState::PeerClosed => self.ended = true,
                _ => return Ok((done + discard, taken)),
            }
            done += discard;
        }
    }

    /// Puts plaintext in records, or the end, behind what is sealed.
    fn seal(&mut self, plaintext: &[u8], end: bool) -> io::Result<()> {
        let before = self.sealed.len();
        // What a record adds, generously.
        self.sealed.resize(before + plaintext.len() + (plaintext.len() / (16 * 1024) + 1) * 64, 0);
        let out = &mut self.sealed[before..];
        let UnbufferedStatus { state, .. } = self.tls.process_tls_records(&mut []);
        let sealed = match state.map_err(io::Error::other)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let sealed = if end {
                    traffic.queue_close_notify(out)
                } else {
                    traffic.encrypt(plaintext, out)
                };
                sealed.map_err(|error: EncryptError| io::Error::other(error))?
            }
            other => return Err(io::Error::other(format!("can't send now: {other:?}"))),
        };
        self.sealed.truncate(before + sealed);
        Ok(())
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("stream", &self.stream).finish_non_exhaustive()
    }
}
