//! What the scenarios on streams share: a [`Scene`] with connections, and the [`Other`] end of each.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use millrun_loop::{LoopHandle, sleep, timeout};
use millrun_streams::{StreamReader, StreamWriter, stream_with_limit};

use crate::pattern::{is_pattern, pattern};
use crate::report::{OrViolation, Outcome, Played, Report, Step, ensure};
use crate::transport::{Connection, FarEnd, TransportAbilities, TransportWorld};
use crate::{Invariant, Violation};

const MOMENT: Duration = Duration::from_millis(1);

/// So many connections a scenario may open.
const CONNECTIONS: usize = 8;

type Playing<'a> = Pin<Box<dyn Future<Output = Played> + 'a>>;

/// A scenario of this world.
pub(super) type Scenario = (&'static str, for<'a> fn(&'a Scene) -> Playing<'a>);

/// Plays them, each in a world of its own.
pub(super) fn play<W: TransportWorld>(
    scenarios: &[&[Scenario]],
    mut make: impl FnMut() -> io::Result<W>,
) -> Report {
    let mut report = Report::default();
    for (name, scenario) in scenarios.iter().copied().flatten() {
        report.play(name, || {
            let mut world = make().or_violation(Invariant::WorldIsMade, "a world")?;
            let connections = (0..CONNECTIONS).map(|_| world.connect()).collect::<Result<_, _>>();
            let connections = connections.or_violation(Invariant::WorldIsMade, "a connection")?;
            let reports = Rc::new(RefCell::new(Vec::new()));
            let told = reports.clone();
            world.event_loop().handle().set_exception_handler(Some(Rc::new(move |_, context| {
                told.borrow_mut().push(context.to_string());
            })));
            let scene = Scene { connections: RefCell::new(connections), able: world.abilities() };
            let played = world.event_loop().run_until_complete(scenario(&scene));
            let outcome = played.or_violation(Invariant::WorldIsMade, "a loop that runs")??;
            let reports = reports.take();
            let got = reports.first().map_or("", String::as_str);
            let silent = reports.is_empty();
            ensure(silent, Invariant::NoPanic, "no word to the exception handler", got)?;
            Ok(outcome)
        });
    }
    report
}

/// A scenario needs this ability.
macro_rules! able {
    ($scene:expr, $ability:ident) => {
        if !$scene.able.$ability {
            return Ok($crate::report::Outcome::Skipped(concat!("needs ", stringify!($ability))));
        }
    };
}
pub(super) use able;

pub(super) const PASSED: Played = Ok(Outcome::Passed);

/// A running loop, and connections that have not begun.
pub(super) struct Scene {
    connections: RefCell<Vec<Connection>>,
    pub(super) able: TransportAbilities,
}

impl Scene {
    /// A reader with this limit, a writer, and who is at the other end.
    pub(super) async fn open(&self, limit: usize) -> Step<(StreamReader, StreamWriter, Other)> {
        let rule = Invariant::WorldIsMade;
        let connection = self.connections.borrow_mut().pop();
        let Connection { near, far } =
            connection.ok_or_else(|| Violation::new(rule, "one connection more", "none"))?;
        let peer = FarEnd::of(far)?;
        let working = peer.working();
        let handle = LoopHandle::current().or_violation(rule, "a loop")?;
        drop(handle.spawn(async move {
            while working.work() {
                sleep(MOMENT).await;
            }
        }));
        let opening = stream_with_limit(limit, |protocol| near(protocol));
        let opened = self.soon(rule, "a connection that is made", opening).await?;
        let (reader, writer) = opened.or_violation(rule, "a connection that is made")?;
        let (patience, is_lone) = (self.able.patience, self.able.lone_close);
        let other = Other { peer, got: Vec::new(), over: None, patience, is_lone };
        Ok((reader, writer, other))
    }

    /// Awaits what has to come.
    pub(super) async fn soon<F: Future>(
        &self,
        invariant: Invariant,
        expected: &str,
        future: F,
    ) -> Step<F::Output> {
        let output = timeout(self.able.patience, future).await;
        output.map_err(|_| Violation::new(invariant, expected, "nothing, however long it waited"))
    }
}

/// Lets happen what happens by itself.
pub(super) async fn settle() {
    for _ in 0..4 {
        sleep(MOMENT).await;
    }
}

/// Polls it so often, and gives up; its output if it is done before that.
pub(super) async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        // Polled again whether it asks for it or not.
        cx.waker().wake_by_ref();
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Both, at the same time.
pub(super) async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|cx| {
        if of_a.is_none() {
            if let Poll::Ready(output) = a.as_mut().poll(cx) {
                of_a = Some(output);
            }
        }
        if of_b.is_none() {
            if let Poll::Ready(output) = b.as_mut().poll(cx) {
                of_b = Some(output);
            }
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (of_a, of_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// The other end: does what it is told, a step at a time.
pub(super) struct Other {
    pub(super) peer: FarEnd,
    pub(super) got: Vec<u8>,
    over: Option<Result<(), ErrorKind>>,
    patience: Duration,
    /// A close does not need it.
    is_lone: bool,
}

impl Other {
    /// Again and again, with the loop's turns between, until it is so.
    async fn until(
        &mut self,
        invariant: Invariant,
        expected: &str,
        mut is_so: impl FnMut(&mut Other) -> bool,
    ) -> Step {
        let handle = LoopHandle::current().or_violation(Invariant::WorldIsMade, "a loop")?;
        let end = handle.now() + self.patience;
        while !is_so(self) {
            let got = format_args!("{} bytes, {:?}", self.got.len(), self.over);
            ensure(handle.now() < end, invariant, expected, got)?;
            sleep(MOMENT).await;
        }
        Ok(())
    }

    /// Sends all of it.
    pub(super) async fn sends(&mut self, bytes: &[u8], invariant: Invariant) -> Step {
        let mut left = bytes;
        let mut failed = None;
        let expected = "a peer whose bytes are taken";
        self.until(invariant, expected, |other| {
            while !left.is_empty() && failed.is_none() {
                match other.peer.send(left) {
                    Ok(n) => left = &left[n..],
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => failed = Some(error),
                }
            }
            left.is_empty() || failed.is_some()
        })
        .await?;
        failed.map_or(Ok(()), |error| Err(Violation::new(invariant, expected, error)))
    }

    /// Takes what has come.
    pub(super) fn takes(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while self.over.is_none() {
            match self.peer.receive(&mut buffer) {
                Ok(0) => self.over = Some(Ok(())),
                Ok(n) => self.got.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(error) => self.over = Some(Err(error.kind())),
            }
        }
    }

    /// Waits until it has this many bytes of the pattern, and no more.
    pub(super) async fn has(&mut self, n: usize, invariant: Invariant) -> Step {
        let expected = format!("{n} bytes at the peer");
        let is_so = |other: &mut Other| {
            other.takes();
            other.got.len() >= n || other.over.is_some()
        };
        self.until(invariant, &expected, is_so).await?;
        is_pattern(&self.got, n, invariant)
    }

    /// Waits until it has seen the end of file, and ends, too, where a close needs that.
    pub(super) async fn answers_the_end(&mut self, invariant: Invariant) -> Step {
        self.sees_the_end(invariant).await?;
        if !self.is_lone {
            self.peer.end();
        }
        Ok(())
    }

    /// Waits until it has seen the end of file.
    pub(super) async fn sees_the_end(&mut self, invariant: Invariant) -> Step {
        let is_so = |other: &mut Other| {
            other.takes();
            other.over.is_some()
        };
        self.until(invariant, "an end of file at the peer", is_so).await?;
        let got = format_args!("{:?}", self.over);
        ensure(self.over == Some(Ok(())), invariant, "an end of file at the peer", got)
    }
}

/// Writes so many bytes of the pattern, from this place.
pub(super) fn write(writer: &StreamWriter, from: usize, n: usize) -> Step {
    let written = writer.write(&pattern(from, n));
    written.or_violation(Invariant::StreamWritesArrive, "a write that is taken")
}
