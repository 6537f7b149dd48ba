//! An echo server by hand, on epoll alone: no event loop, no buffer, no back-pressure. What the layers are compared with.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const LISTENER: u64 = u64::MAX;
const BUFFER: usize = 64 * 1024;
const EVENTS: usize = 256;

/// Echoes until so many connections ended.
pub(crate) fn serve(listener: &TcpListener, ended: usize) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    // Connections keep their place: an index is never given out twice.
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut left = ended;
    let mut buffer = vec![0; BUFFER];
    let mut events = Vec::with_capacity(EVENTS);
    while left > 0 {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                epoll::add(
                    &epoll,
                    &stream,
                    EventData::new_u64(streams.len() as u64),
                    EventFlags::IN,
                )?;
                streams.push(Some(stream));
            } else if let Some(place) = streams.get_mut(key as usize) {
                if !echo(place.as_ref(), &mut buffer)? {
                    *place = None;
                    left -= 1;
                }
            }
        }
    }
    Ok(())
}

/// False at the end of the stream.
fn echo(stream: Option<&TcpStream>, buffer: &mut [u8]) -> io::Result<bool> {
    let Some(mut stream) = stream else { return Ok(true) };
    let length = stream.read(buffer)?;
    // The client has one small message in flight: the kernel takes it whole.
    stream.write_all(&buffer[..length])?;
    Ok(length > 0)
}
