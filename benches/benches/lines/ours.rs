//! Millrun's reader and writer.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use millrun_loop::EventLoop;
use millrun_streams::{StreamReader, StreamWriter, stream};
use millrun_transport::{SocketTransport, TransportOptions};

use crate::fed::{Fed, Sent, Sink};
use crate::{CHUNK, PIECE, SMALL, UNITS};

/// A reader that is fed.
pub(crate) struct Reader {
    event_loop: EventLoop,
    reader: StreamReader,
    _writer: StreamWriter,
    fed: Rc<Fed>,
}

impl Reader {
    pub(crate) fn new() -> Reader {
        let mut event_loop = EventLoop::new().unwrap();
        let mut kept = None;
        let connect = stream(|protocol| {
            kept = Some(Fed::new(protocol));
            Ok(())
        });
        let (reader, writer) = event_loop.run_until_complete(connect).unwrap().unwrap();
        Reader { event_loop, reader, _writer: writer, fed: kept.unwrap() }
    }

    /// Reads all lines, a chunk of them at a time; gives the bytes read.
    pub(crate) fn lines(&mut self, input: &[u8]) -> usize {
        let Reader { event_loop, reader, fed, .. } = self;
        let all = async {
            let mut bytes = 0;
            for chunk in input.chunks(CHUNK) {
                fed.deliver(chunk);
                while reader.buffered() > 0 {
                    let line = reader.read_line().await.unwrap();
                    bytes += line.len();
                }
            }
            bytes
        };
        event_loop.run_until_complete(all).unwrap()
    }

    /// Reads all records; the next piece comes when the reader waits for it.
    pub(crate) fn records(&mut self, input: &[u8]) -> usize {
        let Reader { event_loop, reader, fed, .. } = self;
        let all = async {
            let (mut bytes, mut pieces) = (0, input.chunks(PIECE));
            while bytes < input.len() {
                let mut record = pin!(reader.read_until(b"\n"));
                let record = poll_fn(|context| {
                    loop {
                        if let Poll::Ready(record) = record.as_mut().poll(context) {
                            return Poll::Ready(record.unwrap());
                        }
                        fed.deliver(pieces.next().unwrap());
                    }
                });
                bytes += record.await.len();
            }
            bytes
        };
        event_loop.run_until_complete(all).unwrap()
    }
}

/// A writer into a sink.
pub(crate) struct Writer {
    event_loop: EventLoop,
    writer: StreamWriter,
    _reader: StreamReader,
    sent: Sent,
}

impl Writer {
    pub(crate) fn new() -> Writer {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let sent = Sent::default();
        let socket = Box::new(Sink::new(&sent));
        let connect = stream(|protocol| {
            SocketTransport::new(&handle, socket, protocol, TransportOptions::default())
        });
        let (reader, writer) = event_loop.run_until_complete(connect).unwrap().unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        Writer { event_loop, writer, _reader: reader, sent }
    }

    /// Writes all units; gives sends and bytes.
    pub(crate) fn units(&self) -> (usize, usize) {
        let handle = self.event_loop.handle();
        for _ in 0..UNITS {
            handle.unit(|| {
                for _ in 0..16 {
                    self.writer.write(&[b'x'; SMALL]).unwrap();
                }
            });
        }
        self.sent.take()
    }
}
