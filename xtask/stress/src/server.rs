//! The server: answers as the first line of a connection asks.
//!
//! ```text
//! echo              sends back what comes, to the end
//! give SEED BYTES   sends so many bytes of a pattern
//! control           answers `stats` with a line of numbers, and `limit N` with `done`
//! ```

use std::cell::Cell;
use std::io::{self, ErrorKind, Write as _};
use std::rc::Rc;

use millrun_loop::{EventLoop, LoopHandle};
use millrun_selector::SocketOption;
use millrun_streams::{StartServer, StreamReader, StreamWriter};
use millrun_transport::{CloseOutcome, Serve};

use crate::{ALLOCATOR, Outcome, limits, pattern};

/// Most of what one read brings.
const PIECE: usize = 64 * 1024;
/// As much as kernels allow by default: thousands connect at once.
const BACKLOG: u32 = 4096;

/// What is counted beside what the loop counts.
#[derive(Default)]
struct Counts {
    open: Cell<usize>,
    served: Cell<u64>,
    /// Ended by an error: of a peer that was killed.
    broken: Cell<u64>,
    /// Reports of anything but a want of descriptors.
    strange: Cell<u64>,
}

/// A connection that is open, until this is dropped.
struct Open(Rc<Counts>);

impl Open {
    fn new(counts: &Rc<Counts>) -> Open {
        counts.open.set(counts.open.get() + 1);
        Open(Rc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

pub(crate) fn run() -> Outcome {
    limits::raise_descriptors()?;
    let mut event_loop = EventLoop::new()?;
    let handle = event_loop.handle();
    let remote = handle.remote();
    // Nobody is left to serve when the director is gone.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = remote.call_soon_threadsafe(|| LoopHandle::current().map_or((), |h| h.stop()));
    });
    let counts = Rc::new(Counts::default());
    report_to(&handle, &counts);
    let handler = move |reader, writer| serve(reader, writer, Rc::clone(&counts));
    let serving = Serve::on("0.0.0.0", 0).backlog(BACKLOG);
    let server =
        event_loop.run_until_complete(async { StartServer::tasks(serving, handler).await })??;
    let address = server.local_addrs().into_iter().next();
    let port = address.and_then(|address| address.port()).ok_or("no port")?;
    println!("listening {port}");
    io::stdout().flush()?;
    Ok(event_loop.run_forever()?)
}

/// A want of descriptors is reported, and that is counted; anything else is printed too.
fn report_to(handle: &LoopHandle, counts: &Rc<Counts>) {
    let counts = Rc::clone(counts);
    handle.set_exception_handler(Some(Rc::new(move |_, context| {
        let text = context.to_string();
        if !text.contains("out of system resource") {
            counts.strange.set(counts.strange.get() + 1);
            eprintln!("{text}");
        }
    })));
}

async fn serve(reader: StreamReader, writer: StreamWriter, counts: Rc<Counts>) {
    let _open = Open::new(&counts);
    let count = match converse(reader, writer, &counts).await {
        Ok(()) => &counts.served,
        Err(_) => &counts.broken,
    };
    count.set(count.get() + 1);
}

async fn converse(
    mut reader: StreamReader,
    writer: StreamWriter,
    counts: &Rc<Counts>,
) -> io::Result<()> {
    let line = String::from_utf8_lossy(reader.read_line().await?).into_owned();
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["echo"] => echo(reader, writer).await,
        ["give", seed, bytes] => {
            let number = |word: &str| word.parse().map_err(|_| ErrorKind::InvalidData);
            give(writer, number(seed)?, number(bytes)?).await
        }
        ["control"] => control(reader, writer, counts).await,
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.read(PIECE).await?;
        if data.is_empty() {
            return close(&writer).await;
        }
        writer.write(data)?;
        writer.drain().await?;
    }
}

async fn give(writer: StreamWriter, seed: u64, bytes: u64) -> io::Result<()> {
    // The kernel shall not take it all: then nobody would be slow.
    writer.transport().set_option(SocketOption::SendBuffer(PIECE))?;
    let mut from = 0;
    while from < bytes {
        let n = (bytes - from).min(PIECE as u64);
        writer.write(&pattern::bytes(seed, from, n as usize))?;
        writer.drain().await?;
        from += n;
    }
    close(&writer).await
}

async fn close(writer: &StreamWriter) -> io::Result<()> {
    match writer.close().await? {
        CloseOutcome::Flushed => Ok(()),
        CloseOutcome::Unsent(bytes) => Err(io::Error::other(format!("{bytes} bytes unsent"))),
    }
}

async fn control(
    mut reader: StreamReader,
    writer: StreamWriter,
    counts: &Rc<Counts>,
) -> io::Result<()> {
    let handle = LoopHandle::current().map_err(io::Error::other)?;
    loop {
        let line = String::from_utf8_lossy(reader.read_line().await?).into_owned();
        let answer = match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => return Ok(()),
            ["stats"] => stats(&handle, counts),
            ["limit", most] => {
                let most = most.parse().map_err(|_| ErrorKind::InvalidData)?;
                limits::limit_descriptors(most)?;
                "done\n".to_owned()
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        writer.write(answer.as_bytes())?;
        writer.drain().await?;
    }
}

fn stats(handle: &LoopHandle, counts: &Counts) -> String {
    let (m, heap) = (handle.metrics(), ALLOCATOR.stats());
    format!(
        "open {} served {} broken {} tasks {} timers {} watches {} reports {} strange {} heap {}\n",
        counts.open.get(),
        counts.served.get(),
        counts.broken.get(),
        m.tasks,
        m.timers,
        m.watches,
        m.reports,
        counts.strange.get(),
        heap.bytes_allocated - heap.bytes_deallocated
    )
}
