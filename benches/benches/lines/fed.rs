//! What is below Millrun's streams here: a transport that is fed by hand, and a socket that only counts.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use millrun_selector::{Address, ReadyCell, Socket, SocketOption, SocketOptionName, Source};
use millrun_transport::{
    CloseOutcome, Flow, InvalidLimits, Landing, Protocol, Transport, Watermarks,
};

/// A transport whose peer is the bench: bytes are handed to the protocol as a socket transport does it.
pub(crate) struct Fed(RefCell<Box<dyn Protocol>>);

impl Fed {
    /// Connects a protocol.
    pub(crate) fn new(mut protocol: Box<dyn Protocol>) -> Rc<Fed> {
        protocol.connection_made(Rc::new(Silent));
        Rc::new(Fed(RefCell::new(protocol)))
    }

    /// So many bytes arrive, in one receive if the protocol has room for all.
    pub(crate) fn deliver(&self, mut bytes: &[u8]) {
        let mut protocol = self.0.borrow_mut();
        while !bytes.is_empty() {
            let n = match protocol.landing() {
                Landing::Own(memory) => {
                    let n = memory.len().min(bytes.len());
                    memory[..n].copy_from_slice(&bytes[..n]);
                    n
                }
                other => panic!("a stream lends its own memory, not {other:?}"),
            };
            assert!(n > 0, "no room for {} bytes", bytes.len());
            protocol.landed(n).unwrap();
            bytes = &bytes[n..];
        }
    }
}

/// The transport as a stream sees it: nothing is written, and what it asks for is granted.
#[derive(Debug)]
struct Silent;

impl Transport for Silent {
    fn write(&self, _: &[u8]) -> Flow {
        Flow::Closed
    }
    fn write_eof(&self) {}
    fn close(&self) {}
    fn abort(&self) {}
    fn fail(&self, _: io::Error) {}
    fn is_closing(&self) -> bool {
        false
    }
    fn close_outcome(&self) -> Option<CloseOutcome> {
        None
    }
    fn pause_reading(&self) {
        panic!("the bench feeds no more than is read");
    }
    fn resume_reading(&self) {}
    fn is_reading(&self) -> bool {
        true
    }
    fn set_protocol(&self, _: Box<dyn Protocol>) {}
    fn write_buffer_size(&self) -> usize {
        0
    }
    fn write_buffer_limits(&self) -> Watermarks {
        Watermarks::default()
    }
    fn set_write_buffer_limits(&self, _: Watermarks) -> Result<(), InvalidLimits> {
        Ok(())
    }
}

/// Sends and bytes.
pub(crate) type Sent = Rc<Cell<(usize, usize)>>;

/// A socket that takes all and counts. The descriptors are there for the selector.
#[derive(Debug)]
pub(crate) struct Sink {
    socket: UnixStream,
    _peer: UnixStream,
    cell: Rc<ReadyCell>,
    sent: Sent,
}

impl Sink {
    /// A socket that counts into `sent`.
    pub(crate) fn new(sent: &Sent) -> Sink {
        let (socket, peer) = UnixStream::pair().unwrap();
        Sink { socket, _peer: peer, cell: Rc::default(), sent: Rc::clone(sent) }
    }
}

impl Source for Sink {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        Some(&self.cell)
    }
}

impl Socket for Sink {
    fn try_read(&self, _: &mut [u8]) -> io::Result<usize> {
        self.cell.clear_readable();
        Err(io::ErrorKind::WouldBlock.into())
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let (sends, all) = self.sent.get();
        self.sent.set((sends + 1, all + bytes.len()));
        Ok(bytes.len())
    }
    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let (sends, all) = self.sent.get();
        let bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        self.sent.set((sends + 1, all + bytes));
        Ok(bytes)
    }
    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        Ok(())
    }
    fn local_addr(&self) -> io::Result<Address> {
        Err(io::ErrorKind::NotConnected.into())
    }
    fn peer_addr(&self) -> io::Result<Address> {
        Err(io::ErrorKind::NotConnected.into())
    }
    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }
    fn set_option(&self, _: SocketOption) -> io::Result<()> {
        Ok(())
    }
    fn option(&self, _: SocketOptionName) -> io::Result<SocketOption> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
