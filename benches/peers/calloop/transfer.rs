//! One way: up with a digest, down as much as is asked for, or for ever.

use std::io;
use std::net::TcpStream;

use crate::Handle;
use crate::echo::{echo, settle};
use crate::link::Link;

pub(crate) fn sink(handle: &Handle, stream: TcpStream) -> io::Result<()> {
    let (mut link, socket) = Link::new(handle, stream)?;
    let mut count = 0_u64;
    let mut digest = crc32fast::Hasher::new();
    socket.insert(handle, move |readiness, shared| {
        if readiness.writable {
            link.flush()?;
        }
        if readiness.readable && !link.has_ended() {
            let n = link.receive(&mut shared.buffer)?;
            count += n as u64;
            digest.update(&shared.buffer[..n]);
            if link.has_ended() {
                link.send(&count.to_be_bytes())?;
                link.send(&digest.clone().finalize().to_be_bytes())?;
            }
        }
        settle(&link)
    })
}

pub(crate) fn source(handle: &Handle, stream: TcpStream) -> io::Result<()> {
    let (mut link, socket) = Link::new(handle, stream)?;
    let mut asked = Vec::new();
    let mut download = Download::default();
    socket.insert(handle, move |readiness, shared| {
        if readiness.readable && !download.has_begun() {
            let mut buffer = [0; size_of::<u64>()];
            let n = link.receive(&mut buffer[asked.len()..])?;
            asked.extend_from_slice(&buffer[asked.len()..][..n]);
            match asked[..].try_into() {
                Ok(count) => download = Download::of(u64::from_be_bytes(count)),
                Err(_) => return Ok(!link.has_ended()),
            }
        }
        download.send(&link, &shared.pattern)
    })
}

pub(crate) fn mixed(handle: &Handle, stream: TcpStream) -> io::Result<()> {
    let (mut link, socket) = Link::new(handle, stream)?;
    let mut kind = Kind::New;
    socket.insert(handle, move |readiness, shared| {
        if let Kind::New = kind {
            let mut first = [0];
            if link.receive(&mut first)? == 0 {
                return Ok(!link.has_ended());
            }
            kind = match &first {
                b"E" => Kind::Echo,
                b"D" => Kind::Download(Download::of(u64::MAX)),
                _ => return Ok(false),
            };
        }
        match &mut kind {
            Kind::Download(download) => download.send(&link, &shared.pattern),
            _ => echo(&mut link, readiness, &mut shared.buffer),
        }
    })
}

enum Kind {
    New,
    Echo,
    Download(Download),
}

/// A transfer to the peer: a block at a time, from the pattern itself.
#[derive(Default)]
struct Download {
    /// `None` until it is known.
    count: Option<u64>,
    sent: u64,
}

impl Download {
    fn of(count: u64) -> Self {
        Self { count: Some(count), sent: 0 }
    }

    fn has_begun(&self) -> bool {
        self.count.is_some()
    }

    /// Sends what the kernel takes of a block; false when that was the last.
    fn send(&mut self, link: &Link, pattern: &[u8]) -> io::Result<bool> {
        let left = self.count.unwrap_or(0) - self.sent;
        let place = (self.sent % pattern.len() as u64) as usize;
        let block = &pattern[place..];
        let length = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.sent += link.offer(&block[..length])? as u64;
        link.watch(false, true)?;
        Ok(self.count > Some(self.sent))
    }
}
