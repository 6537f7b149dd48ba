//! A process of clients: many connections in one loop, each of which checks what it hears.
//!
//! ```text
//! crowd PORT SEED COUNT                all at once: `ready` when each was answered, goes on when it is told `go`
//! short PORT SEED COUNT WIDTH HOLD     one after the other, WIDTH at a time, each kept for HOLD milliseconds
//! endless PORT SEED COUNT              echoes without end: to be killed
//! slow PORT SEED COUNT BYTES           asks for so many bytes, and reads slowly when it is told `go`
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use millrun_loop::{EventLoop, LoopHandle, interval, sleep, spawn};
use millrun_selector::SocketOption;
use millrun_streams::{StreamReader, StreamWriter, open_connection};

use crate::pattern::{self, Digest};
use crate::{Outcome, limits};

/// The ports of one target are 28 thousand by default, and one that was used rests for a minute: several targets.
const TARGETS: u64 = 16;
/// Connections of this process that connect at the same time: a full backlog costs a second each.
const CONNECTING: usize = 100;
/// One message of an echo, far below what fits into the kernel's buffers: it is written whole, then read.
const MESSAGE: u64 = 16 * 1024;
const CROWD_MESSAGES: u64 = 4;
/// What a slow reader takes at a time, and how long it then rests.
const SLOW_PIECE: usize = 64 * 1024;
const SLOW_REST: Duration = Duration::from_millis(5);
/// Errors that are told in words.
const ERRORS_TOLD: u64 = 5;

/// What the connections of this process share.
struct Crew {
    port: u16,
    seed: u64,
    ready: Cell<u64>,
    finished: Cell<u64>,
    failed: Cell<u64>,
    /// Those that may connect, and those that wait for it.
    connecting: Cell<usize>,
    queue: RefCell<VecDeque<Waker>>,
    /// `go` was said; who waits for it, and who waits for all to be ready.
    gone: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
    counts: RefCell<Option<Waker>>,
}

pub(crate) fn run(words: &[&str]) -> Outcome {
    let [job, port, seed, numbers @ ..] = words else {
        return Err("client JOB PORT SEED …".into());
    };
    let numbers = numbers.iter().map(|word| word.parse()).collect::<Result<Vec<u64>, _>>()?;
    limits::raise_descriptors()?;
    let crew = Rc::new(Crew {
        port: port.parse()?,
        seed: seed.parse()?,
        ready: Cell::new(0),
        finished: Cell::new(0),
        failed: Cell::new(0),
        connecting: Cell::new(0),
        queue: RefCell::default(),
        gone: Cell::new(false),
        waiting: RefCell::default(),
        counts: RefCell::default(),
    });
    let mut event_loop = EventLoop::new()?;
    event_loop.run_until_complete(work(crew, (*job).to_owned(), numbers))?
}

async fn work(crew: Rc<Crew>, job: String, numbers: Vec<u64>) -> Outcome {
    let telling = Rc::clone(&crew);
    let teller = spawn(async move {
        let mut seconds = interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            telling.tell(&format!("at {}", telling.finished.get()));
        }
    });
    let waits_for_go = matches!(job.as_str(), "crowd" | "slow");
    let (count, width) = match (job.as_str(), numbers.as_slice()) {
        ("crowd" | "endless", [count]) | ("slow", [count, _]) => (*count, *count),
        ("short", [count, width, _]) => (*count, *width),
        _ => return Err(format!("{job} {numbers:?}?").into()),
    };
    let next = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..width)
        .map(|_| {
            spawn(several(Rc::clone(&crew), job.clone(), numbers.clone(), Rc::clone(&next), count))
        })
        .collect();
    if waits_for_go {
        poll_fn(|context| crew.poll_ready(count, context.waker())).await;
        crew.tell("ready");
        let handle = LoopHandle::current()?;
        handle.run_in_executor(|| io::stdin().read_line(&mut String::new())).await??;
        crew.gone.set(true);
        crew.waiting.take().into_iter().for_each(Waker::wake);
    }
    for task in tasks {
        task.await?;
    }
    teller.abort();
    crew.tell(&format!("end {} {}", crew.finished.get(), crew.failed.get()));
    Ok(())
}

/// One connection after the other, until all were made.
async fn several(crew: Rc<Crew>, job: String, numbers: Vec<u64>, next: Rc<Cell<u64>>, count: u64) {
    while next.get() < count {
        let number = next.replace(next.get() + 1);
        let seed = crew.seed.wrapping_mul(1_000_003).wrapping_add(number);
        let outcome = match (job.as_str(), numbers.as_slice()) {
            ("crowd", _) => crew.crowd(seed).await,
            ("short", [_, _, hold]) => crew.short(seed, Duration::from_millis(*hold)).await,
            ("slow", [_, bytes]) => crew.slow(seed, *bytes).await,
            _ => crew.endless(seed).await,
        };
        match outcome {
            Ok(()) => crew.finished.set(crew.finished.get() + 1),
            Err(error) => crew.fail(&error),
        }
    }
}

impl Crew {
    async fn crowd(&self, seed: u64) -> io::Result<()> {
        let mut echo = Echo::open(self, seed).await?;
        echo.say(100).await?;
        self.wait_for_go().await;
        for _ in 0..CROWD_MESSAGES {
            echo.say(MESSAGE).await?;
        }
        echo.end().await
    }

    async fn short(&self, seed: u64, hold: Duration) -> io::Result<()> {
        let mut echo = Echo::open(self, seed).await?;
        echo.say(1 + seed % 2000).await?;
        if !hold.is_zero() {
            sleep(hold).await;
        }
        echo.end().await
    }

    async fn endless(&self, seed: u64) -> io::Result<()> {
        let mut echo = Echo::open(self, seed).await?;
        loop {
            echo.say(1 + (seed ^ echo.at).wrapping_mul(7919) % MESSAGE).await?;
        }
    }

    async fn slow(&self, seed: u64, bytes: u64) -> io::Result<()> {
        let (mut reader, writer) = self.connect(seed).await?;
        writer.transport().set_option(SocketOption::ReceiveBuffer(SLOW_PIECE))?;
        writer.write(format!("give {seed} {bytes}\n").as_bytes())?;
        writer.drain().await?;
        let first = reader.peek().await?.len();
        if first == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.wait_for_go().await;
        let (mut got, mut expected, mut at) = (Digest::new(), Digest::new(), 0);
        loop {
            let data = reader.read(SLOW_PIECE).await?;
            if data.is_empty() {
                break;
            }
            got.add(data);
            expected.add(&pattern::bytes(seed, at, data.len()));
            at += data.len() as u64;
            sleep(SLOW_REST).await;
        }
        same(at == bytes && got == expected)
    }

    async fn connect(&self, seed: u64) -> io::Result<(StreamReader, StreamWriter)> {
        poll_fn(|context| self.poll_connecting(context.waker())).await;
        let host = format!("127.0.0.{}", 1 + seed % TARGETS);
        let connected = open_connection(host, self.port).await;
        self.connecting.set(self.connecting.get() - 1);
        if let Some(next) = self.queue.borrow_mut().pop_front() {
            next.wake();
        }
        connected
    }

    fn poll_connecting(&self, waker: &Waker) -> Poll<()> {
        if self.connecting.get() < CONNECTING {
            self.connecting.set(self.connecting.get() + 1);
            return Poll::Ready(());
        }
        self.queue.borrow_mut().push_back(waker.clone());
        Poll::Pending
    }

    async fn wait_for_go(&self) {
        self.ready.set(self.ready.get() + 1);
        self.recount();
        poll_fn(|context| {
            if self.gone.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// All have been answered, or failed.
    fn poll_ready(&self, count: u64, waker: &Waker) -> Poll<()> {
        if self.ready.get() + self.failed.get() >= count {
            return Poll::Ready(());
        }
        *self.counts.borrow_mut() = Some(waker.clone());
        Poll::Pending
    }

    fn recount(&self) {
        if let Some(waker) = self.counts.take() {
            waker.wake();
        }
    }

    fn fail(&self, error: &io::Error) {
        self.failed.set(self.failed.get() + 1);
        if self.failed.get() <= ERRORS_TOLD {
            eprintln!("a client: {error}");
        }
        self.recount();
    }

    /// The director reads lines. When it is gone there is nobody to go on for.
    fn tell(&self, line: &str) {
        let mut out = io::stdout();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            std::process::exit(1);
        }
    }
}

/// A connection that is echoed to, with the digests of both ways.
struct Echo {
    reader: StreamReader,
    writer: StreamWriter,
    seed: u64,
    at: u64,
    sent: Digest,
    got: Digest,
}

impl Echo {
    async fn open(crew: &Crew, seed: u64) -> io::Result<Echo> {
        let (reader, writer) = crew.connect(seed).await?;
        writer.write(b"echo\n")?;
        Ok(Echo { reader, writer, seed, at: 0, sent: Digest::new(), got: Digest::new() })
    }

    /// Sends so many bytes and reads as many.
    async fn say(&mut self, bytes: u64) -> io::Result<()> {
        let data = pattern::bytes(self.seed, self.at, bytes as usize);
        self.at += bytes;
        self.sent.add(&data);
        self.writer.write(&data)?;
        self.writer.drain().await?;
        self.got.add(self.reader.read_exact(data.len()).await?);
        Ok(())
    }

    /// Ends the way out, and hears the end of the way in: what came is what was sent.
    async fn end(mut self) -> io::Result<()> {
        self.writer.write_eof();
        let rest = self.reader.read(1).await?;
        same(rest.is_empty() && self.sent == self.got)
    }
}

fn same(holds: bool) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other("what came is not what was sent")) }
}
