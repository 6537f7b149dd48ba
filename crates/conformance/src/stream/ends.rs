//! Does each way to end do what it promises: a close, an abort, a drop of one half or of both?

use millrun_streams::CloseOutcome;

use super::scene::{PASSED, Scenario, Scene, able, both, polled, settle, write};
use crate::Invariant;
use crate::pattern::{is_pattern, pattern};
use crate::report::{OrViolation, Played, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a close, awaited by many", |scene| Box::pin(close(scene))),
    ("an abort", |scene| Box::pin(abort(scene))),
    ("a writer that is dropped", |scene| Box::pin(writer_dropped(scene))),
    ("a reader that is dropped", |scene| Box::pin(reader_dropped(scene))),
    ("both dropped, in either order", |scene| Box::pin(both_dropped(scene))),
    ("a peer that closes", |scene| Box::pin(peer_closes(scene))),
];

async fn close(scene: &Scene) -> Played {
    let rule = Invariant::CloseTellsOutcome;
    let (_reader, writer, mut other) = scene.open(1000).await?;
    let n = 100_000;
    write(&writer, 0, n)?;
    let flushed = |outcome: std::io::Result<CloseOutcome>| {
        let outcome = outcome.or_violation(rule, "an outcome")?;
        ensure_eq(rule, CloseOutcome::Flushed, outcome)
    };
    let closed = async {
        // One that is given up disturbs nobody.
        polled(1, writer.wait_closed()).await;
        let (a, b) = both(
            scene.soon(rule, "a close that ends", writer.close()),
            scene.soon(rule, "a close that ends", writer.wait_closed()),
        )
        .await;
        flushed(a?)?;
        flushed(b?)
    };
    let peer = async {
        other.has(n, rule).await?;
        other.answers_the_end(rule).await
    };
    let (peer, closed) = both(peer, closed).await;
    peer?;
    closed?;
    flushed(scene.soon(rule, "the same again", writer.wait_closed()).await?)?;
    ensure_eq(rule, true, writer.is_closing())?;
    PASSED
}

async fn abort(scene: &Scene) -> Played {
    let rule = Invariant::CloseTellsOutcome;
    let (_reader, writer, _other) = scene.open(1000).await?;
    // More than any buffer below takes: its peer does not read.
    let much = 16 * scene.able.buffers;
    write(&writer, 0, much)?;
    settle().await;
    let unsent = writer.transport().write_buffer_size();
    writer.abort();
    let outcome = scene.soon(rule, "an end at once", writer.wait_closed()).await?;
    let outcome = outcome.or_violation(rule, "an outcome")?;
    ensure_eq(rule, CloseOutcome::Unsent(unsent), outcome)?;
    PASSED
}

async fn writer_dropped(scene: &Scene) -> Played {
    able!(scene, half_close);
    let rule = Invariant::DroppedWriterEndsWriting;
    let (mut reader, writer, mut other) = scene.open(1000).await?;
    write(&writer, 0, 100_000)?;
    drop(writer);
    other.has(100_000, rule).await?;
    other.sees_the_end(rule).await?;
    other.sends(&pattern(0, 500), rule).await?;
    let read = scene.soon(rule, "bytes: the reader goes on", reader.read_exact(500)).await?;
    is_pattern(read.or_violation(rule, "bytes")?, 500, rule)?;
    PASSED
}

async fn reader_dropped(scene: &Scene) -> Played {
    let rule = Invariant::DroppedReaderDiscards;
    let (reader, writer, mut other) = scene.open(100).await?;
    // A reader that has paused by now, or has taken what it was sent.
    for _ in 0..4 {
        let _ = other.peer.send(&pattern(0, scene.able.buffers / 2));
        settle().await;
    }
    drop(reader);
    let much = 2 * scene.able.buffers;
    other.sends(&pattern(0, much), rule).await?;
    write(&writer, 0, 5000)?;
    other.has(5000, rule).await?;
    let closed = async {
        let closed = scene.soon(rule, "a close that ends", writer.close()).await?;
        closed.or_violation(rule, "an outcome")
    };
    let (ended, closed) = both(other.answers_the_end(rule), closed).await;
    ended?;
    ensure_eq(rule, CloseOutcome::Flushed, closed?)?;
    PASSED
}

async fn both_dropped(scene: &Scene) -> Played {
    let rule = Invariant::DroppedBothCloses;
    for reader_first in [true, false] {
        let (reader, writer, mut other) = scene.open(1000).await?;
        let transport = writer.transport().clone();
        write(&writer, 0, 100_000)?;
        if reader_first {
            drop(reader);
            drop(writer);
        } else {
            drop(writer);
            drop(reader);
        }
        other.has(100_000, rule).await?;
        other.answers_the_end(rule).await?;
        let outcome = async {
            loop {
                settle().await;
                if let Some(outcome) = transport.close_outcome() {
                    break outcome;
                }
            }
        };
        let outcome = scene.soon(rule, "an outcome", outcome).await?;
        ensure_eq(rule, CloseOutcome::Flushed, outcome)?;
    }
    PASSED
}

/// Half-close or not: the writer finds out.
async fn peer_closes(scene: &Scene) -> Played {
    let rule = Invariant::EndComesLast;
    let (mut reader, writer, mut other) = scene.open(1000).await?;
    other.sends(&pattern(0, 300), rule).await?;
    other.peer.close();
    let mut got = Vec::new();
    let read = scene.soon(rule, "all of it, and the end", reader.read_to_end(&mut got)).await?;
    read.or_violation(rule, "all of it")?;
    is_pattern(&got, 300, rule)?;
    let closed = scene.soon(rule, "a close that ends", writer.close()).await?;
    ensure(closed.is_ok(), rule, "an outcome", format_args!("{closed:?}"))?;
    PASSED
}
