//! What do bytes mean? [`Machine`]: TLS itself, by rustls, without any I/O. Ciphertext and plaintext go in and come out; the
//! memory is the caller's.
//!
//! It is over rustls's unbuffered connections: the record that is received is opened where it lies, and the one that is sent is
//! sealed into memory of ours, so that an idle connection holds keys and no buffers. Two facts about them shape this file:
//! - A state has to be dealt with before the next is asked for, and asking may open a record. So whoever wants to seal passes what
//!   has come, too, unless the last record gave plaintext that has no taker yet: then nothing is passed, and none is opened.
//! - After an error the alert for the peer is still to be fetched, by asking again.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use millrun_loop::catch;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, ProtocolVersion};

use crate::spill::Spill;

/// The most plaintext of a record (RFC 8446, section 5.1).
pub(crate) const RECORD: usize = 16 * 1024;

/// The most that sealing adds to a record: header, explicit nonce or content type, tag (at most 29 with the suites of rustls), rounded up.
pub(crate) const OVERHEAD: usize = 64;

/// What a failure is called that rustls has no word for.
const BEHIND_FAREWELL: &str = "what came after our close_notify can't be opened";

/// Where plaintext goes.
pub(crate) enum Sink<'a> {
    /// Into this memory; what does not fit waits there.
    Memory(&'a mut [u8], &'a mut Spill),
    /// Nowhere: it is counted.
    Discard,
}

/// What an [`advance`](Machine::advance) came to.
#[derive(Debug)]
pub(crate) struct Advance {
    /// How many bytes of ciphertext are worked off.
    pub(crate) discard: usize,
    /// How many bytes of plaintext were put into the sink's memory, or discarded.
    pub(crate) taken: usize,
    pub(crate) event: Event,
}

/// Why an [`advance`](Machine::advance) ended.
#[derive(Debug)]
pub(crate) enum Event {
    /// What has come is worked off as far as it can be; more may be sealed if the handshake is done.
    Idle,
    /// The sink is full: there may be more.
    Full,
    /// The handshake is done. Said once.
    Handshaken,
    /// The peer will send no more, and said so. Said once; nothing more is opened.
    PeerClosed,
    /// The connection can't go on. An alert for the peer is behind what is to be sent. Said once; what comes after is discarded.
    Failed(rustls::Error),
}

/// One end of a TLS connection.
pub(crate) struct Machine {
    end: End,
    handshaken: bool,
    /// Nothing more is asked of it: rustls would have to say a second last word.
    failed: bool,
    /// `close_notify` was said: nothing of ours comes behind it, and what comes from the peer may still be good.
    said_farewell: bool,
}

enum End {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl Machine {
    pub(crate) fn client(
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Machine, rustls::Error> {
        let end = End::Client(Box::new(UnbufferedClientConnection::new(config, name)?));
        Ok(Machine { end, handshaken: false, failed: false, said_farewell: false })
    }

    pub(crate) fn server(config: Arc<rustls::ServerConfig>) -> Result<Machine, rustls::Error> {
        let end = End::Server(Box::new(UnbufferedServerConnection::new(config)?));
        Ok(Machine { end, handshaken: false, failed: false, said_farewell: false })
    }

    /// Works off ciphertext until something happens. What the peer shall get is appended to `out`: send it, whatever the event is.
    ///
    /// Call it again after every event but [`Event::Idle`] and [`Event::Failed`].
    pub(crate) fn advance(
        &mut self,
        ciphertext: &mut [u8],
        mut sink: Sink<'_>,
        out: &mut Vec<u8>,
    ) -> Advance {
        if self.failed {
            return Advance { discard: ciphertext.len(), taken: 0, event: Event::Idle };
        }
        let (discard, before) = (ciphertext.len(), out.len());
        // rustls asserts, where assertions are on, that no alert follows the `close_notify` that was sent, and says one when garbage comes
        // (rustls#959). It has to be shown what comes then: the peer's direction is open until its own `close_notify`.
        let advanced = catch(|| match &mut self.end {
            End::Client(end) => advance(&mut **end, ciphertext, &mut sink, out),
            End::Server(end) => advance(&mut **end, ciphertext, &mut sink, out),
        });
        let mut advance = advanced.unwrap_or_else(|panic| {
            let why = if self.said_farewell { BEHIND_FAREWELL.into() } else { panic.to_string() };
            let event = Event::Failed(rustls::Error::General(why));
            Advance { discard, taken: 0, event }
        });
        self.failed = matches!(advance.event, Event::Failed(_));
        if self.said_farewell {
            out.truncate(before);
        }
        let fresh = !self.handshaken && !self.common().is_handshaking();
        if fresh && !matches!(advance.event, Event::Failed(_)) {
            self.handshaken = true;
            // What else happened is seen again by the next call, but for the peer's end.
            if !matches!(advance.event, Event::PeerClosed) {
                advance.event = Event::Handshaken;
            }
        }
        advance
    }

    /// Seals plaintext, in records as full as can be, and says how many bytes of `out` they take: [`sealed`] is room enough.
    /// `ciphertext` is what has come and was worked off until [`Event::Idle`], or nothing if plaintext of it waits to be taken.
    ///
    /// # Errors
    /// The keys are used up, or something else has to be done first: [`advance`](Machine::advance).
    pub(crate) fn seal(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, NotSealed> {
        if self.failed {
            return Err(NotSealed::NotNow);
        }
        let mut encrypt = |traffic: &mut dyn Seal| traffic.seal(plaintext, out);
        match &mut self.end {
            End::Client(end) => with_traffic(end.process(ciphertext), &mut encrypt),
            End::Server(end) => with_traffic(end.process(ciphertext), &mut encrypt),
        }
    }

    /// The alert that says that we send no more, appended to `out`. For once.
    ///
    /// # Errors
    /// The handshake is not done, or the connection failed.
    pub(crate) fn close_notify(
        &mut self,
        ciphertext: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), NotSealed> {
        if self.failed {
            return Err(NotSealed::NotNow);
        }
        let before = out.len();
        out.resize(before + 2 * OVERHEAD, 0);
        let mut notify = |traffic: &mut dyn Seal| match traffic.close_notify(&mut out[before..]) {
            Err(EncryptError::InsufficientSize(size)) => {
                // Something else has to be sent before it.
                out.resize(before + size.required_size, 0);
                traffic.close_notify(&mut out[before..])
            }
            result => result,
        };
        let result = match &mut self.end {
            End::Client(end) => with_traffic(end.process(ciphertext), &mut notify),
            End::Server(end) => with_traffic(end.process(ciphertext), &mut notify),
        };
        out.truncate(before + result.unwrap_or(0));
        self.said_farewell |= result.is_ok();
        result.map(drop)
    }

    /// There are keys for both directions.
    pub(crate) fn is_handshaken(&self) -> bool {
        self.handshaken
    }

    /// After an end of file: either direction ends on its own (RFC 8446, section 6.1). TLS 1.2 has no such thing.
    pub(crate) fn has_half_close(&self) -> bool {
        self.common().protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// What was agreed.
    pub(crate) fn common(&self) -> &CommonState {
        match &self.end {
            End::Client(end) => end,
            End::Server(end) => end,
        }
    }
}

/// How many bytes this much plaintext is at most when it is sealed.
pub(crate) const fn sealed(plaintext: usize) -> usize {
    plaintext + plaintext.div_ceil(RECORD) * OVERHEAD
}

/// Nothing was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotSealed {
    /// The handshake is not done, or something has to be received or sent first.
    NotNow,
    /// So much room was needed.
    NoRoom(usize),
    /// So much was sealed with these keys that no more may be (RFC 8446, section 5.5).
    Exhausted,
}

/// What client and server have in common.
trait Process {
    type Data;
    fn process<'c, 'i>(
        &'c mut self,
        ciphertext: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Process for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(
        &'c mut self,
        ciphertext: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(ciphertext)
    }
}

impl Process for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(
        &'c mut self,
        ciphertext: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(ciphertext)
    }
}

fn advance<P>(end: &mut P, ciphertext: &mut [u8], sink: &mut Sink<'_>, out: &mut Vec<u8>) -> Advance
where
    P: Process + Deref<Target: Deref<Target = CommonState>>,
{
    let (mut discard, mut taken) = (0, 0);
    let event = loop {
        let was_handshaking = end.is_handshaking();
        let status = end.process(&mut ciphertext[discard..]);
        discard += status.discard;
        match status.state {
            Err(error) => {
                alert(end, out);
                break Event::Failed(error);
            }
            Ok(ConnectionState::EncodeTlsData(encode)) => append_encoded(out, encode),
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done();
                if was_handshaking && !end.is_handshaking() {
                    break Event::Idle; // the caller says that it is done
                }
            }
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut full = false;
                while let Some(Ok(record)) = traffic.next_record() {
                    discard += record.discard;
                    full |= !sink.put(&mut taken, record.payload);
                }
                if full {
                    break Event::Full;
                }
                // All of it is worked off: most messages end here, and the machine need not be asked to find nothing.
                if discard == ciphertext.len() && !end.wants_write() {
                    break Event::Idle;
                }
            }
            Ok(ConnectionState::PeerClosed) => break Event::PeerClosed,
            // `Closed` and what waits: nothing more to do now. (Early data is not accepted by any config of ours, so it never comes.)
            Ok(_) => break Event::Idle,
        }
    };
    Advance { discard, taken, event }
}

impl Sink<'_> {
    /// False when not all of it had a place, or no more would have.
    fn put(&mut self, taken: &mut usize, payload: &[u8]) -> bool {
        match self {
            Sink::Discard => {
                *taken += payload.len();
                true
            }
            Sink::Memory(memory, spill) => {
                let room = &mut memory[*taken..];
                let (now, later) = payload.split_at(payload.len().min(room.len()));
                room[..now.len()].copy_from_slice(now);
                *taken += now.len();
                spill.push(later);
                *taken < memory.len()
            }
        }
    }
}

/// What is left to be said to the peer of a connection that failed. What is to be sent comes before anything is opened, so nothing
/// need be passed.
fn alert<P>(end: &mut P, out: &mut Vec<u8>)
where
    P: Process + Deref<Target: Deref<Target = CommonState>>,
{
    while end.wants_write() {
        match end.process(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(encode)) => append_encoded(out, encode),
            _ => return,
        }
    }
}

fn append_encoded<D>(out: &mut Vec<u8>, mut encode: EncodeTlsData<'_, D>) {
    append(out, |memory| match encode.encode(memory) {
        Ok(n) => Ok(n),
        Err(EncodeError::InsufficientSize(size)) => Err(size.required_size),
        Err(EncodeError::AlreadyEncoded) => Ok(0),
    });
}

/// Lets `encode` write behind what is there, with as much room as it says that it needs.
fn append(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, usize>) {
    let before = out.len();
    let written = match encode(&mut []) {
        Ok(n) => n,
        Err(needed) => {
            out.resize(before + needed, 0);
            encode(&mut out[before..]).unwrap_or(0)
        }
    };
    out.truncate(before + written);
}

/// What can be sealed when the state allows it, without the type of the end.
trait Seal {
    fn seal(&mut self, plaintext: &[u8], out: &mut [u8]) -> Result<usize, EncryptError>;
    fn close_notify(&mut self, out: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<D> Seal for WriteTraffic<'_, D> {
    fn seal(&mut self, plaintext: &[u8], out: &mut [u8]) -> Result<usize, EncryptError> {
        self.encrypt(plaintext, out)
    }

    fn close_notify(&mut self, out: &mut [u8]) -> Result<usize, EncryptError> {
        self.queue_close_notify(out)
    }
}

fn with_traffic<D>(
    status: UnbufferedStatus<'_, '_, D>,
    f: &mut dyn FnMut(&mut dyn Seal) -> Result<usize, EncryptError>,
) -> Result<usize, NotSealed> {
    match status {
        UnbufferedStatus {
            discard: 0,
            state: Ok(ConnectionState::WriteTraffic(mut traffic)),
            ..
        } => f(&mut traffic).map_err(NotSealed::from),
        _ => Err(NotSealed::NotNow),
    }
}

impl From<EncryptError> for NotSealed {
    fn from(error: EncryptError) -> NotSealed {
        match error {
            EncryptError::InsufficientSize(size) => NotSealed::NoRoom(size.required_size),
            EncryptError::EncryptExhausted => NotSealed::Exhausted,
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if matches!(self.end, End::Client(_)) { "client" } else { "server" };
        write!(f, "Machine({side}, {:?})", self.common().protocol_version())
    }
}
