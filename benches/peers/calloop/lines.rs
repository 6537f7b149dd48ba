//! Each line goes back. Those of one read are written into the connection's buffer one by one, and leave together.

use std::io;
use std::net::TcpStream;

use memchr::memchr;

use crate::Handle;
use crate::echo::settle;
use crate::link::Link;

/// Who sends no line feed does not get more of our memory.
const LONGEST: usize = 64 * 1024;

pub(crate) fn accepted(handle: &Handle, stream: TcpStream) -> io::Result<()> {
    let (mut link, socket) = Link::new(handle, stream)?;
    let mut begun = Vec::new();
    socket.insert(handle, move |readiness, shared| {
        if readiness.readable && !link.has_ended() && !link.is_full() {
            let n = link.receive(&mut shared.buffer)?;
            answer(&mut link, &mut begun, &shared.buffer[..n])?;
        }
        link.flush()?;
        settle(&link)
    })
}

fn answer(link: &mut Link, begun: &mut Vec<u8>, mut data: &[u8]) -> io::Result<()> {
    while let Some(feed) = memchr(b'\n', data) {
        let (line, rest) = data.split_at(feed + 1);
        data = rest;
        if begun.is_empty() {
            link.keep(line);
        } else {
            begun.extend_from_slice(line);
            link.keep(begun);
            begun.clear();
        }
    }
    if begun.len() + data.len() > LONGEST {
        return Err(io::Error::other(format!("a line is longer than {LONGEST} bytes")));
    }
    begun.extend_from_slice(data);
    Ok(())
}
