//! Does what is written arrive, and does a drain wait for as long as it should?

use bytes::Bytes;
use millrun_streams::{StreamWriter, WriteError};
use millrun_transport::Watermarks;

use super::scene::{PASSED, Scenario, Scene, both, polled, settle, write};
use crate::Invariant;
use crate::pattern::{is_pattern, pattern};
use crate::report::{OrViolation, Played, Step, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("writes of all kinds, with drains", |scene| Box::pin(kinds(scene))),
    ("a drain while the peer does not read", |scene| Box::pin(drain(scene))),
    ("many drains", |scene| Box::pin(many_drains(scene))),
    ("drains of a connection that is aborted", |scene| Box::pin(aborted_drain(scene))),
    ("both directions, full", |scene| Box::pin(duplex(scene))),
    ("writes that can't be", |scene| Box::pin(refused(scene))),
];

async fn kinds(scene: &Scene) -> Played {
    let rule = Invariant::StreamWritesArrive;
    let (_reader, writer, mut other) = scene.open(1000).await?;
    let mut sent = 0;
    for size in [1, 100, 4096, 20_000, 100_000] {
        write(&writer, sent, size)?;
        let owned = Bytes::from(pattern(sent + size, size));
        writer.write_bytes(owned).or_violation(rule, "a write that is taken")?;
        let bytes = pattern(sent + 2 * size, size);
        let (a, b) = bytes.split_at(size / 3);
        writer.writelines(&[a, &[], b]).or_violation(rule, "a write that is taken")?;
        sent += 3 * size;
        let drained = async {
            scene.soon(rule, "a drain", writer.drain()).await?.or_violation(rule, "a drain")
        };
        let (had, drained) = both(other.has(sent, rule), drained).await;
        had?;
        drained?;
    }
    PASSED
}

/// Writes until a drain has to wait; gives how much.
async fn fill(scene: &Scene, writer: &StreamWriter, rule: Invariant) -> Step<usize> {
    let limits = Watermarks { low: 0, high: 2000 };
    let set = writer.transport().set_write_buffer_limits(limits);
    set.or_violation(rule, "marks that are set")?;
    let (mut sent, heap) = (0, scene.able.buffers / 4);
    while writer.transport().write_buffer_size() < heap / 2 {
        ensure(sent < 64 << 20, rule, "a transport that is full within 64 MiB", sent)?;
        write(writer, sent, heap)?;
        sent += heap;
        settle().await;
    }
    // A kernel may find some room yet: not for all of this.
    write(writer, sent, scene.able.buffers)?;
    settle().await;
    Ok(sent + scene.able.buffers)
}

async fn drain(scene: &Scene) -> Played {
    let rule = Invariant::DrainWaits;
    let (_reader, writer, mut other) = scene.open(1000).await?;
    let sent = fill(scene, &writer, rule).await?;
    let early = async {
        let drain = polled(3, writer.drain()).await;
        drain.is_none()
    };
    let (waits, ()) = both(early, settle()).await;
    ensure_eq(rule, true, waits)?;
    let drained = async {
        let drained = scene.soon(rule, "a drain that ends: the peer reads", writer.drain()).await?;
        drained.or_violation(rule, "a drain")?;
        ensure_eq(rule, 0, writer.transport().write_buffer_size())
    };
    let (had, drained) = both(other.has(sent, rule), drained).await;
    had?;
    drained?;
    PASSED
}

async fn many_drains(scene: &Scene) -> Played {
    let rule = Invariant::DrainsEndTogether;
    let (_reader, writer, mut other) = scene.open(1000).await?;
    let sent = fill(scene, &writer, rule).await?;
    let drain = || async {
        scene.soon(rule, "each of them", writer.drain()).await?.or_violation(rule, "a drain")
    };
    // One of them gives up.
    let given_up = async {
        polled(1, writer.drain()).await;
    };
    let drains = both(both(drain(), drain()), both(given_up, drain()));
    let (had, ((a, b), ((), c))) = both(other.has(sent, rule), drains).await;
    had?;
    a.and(b).and(c)?;
    PASSED
}

async fn aborted_drain(scene: &Scene) -> Played {
    let rule = Invariant::DrainTellsLoss;
    let (_reader, writer, _other) = scene.open(1000).await?;
    fill(scene, &writer, rule).await?;
    let drained = scene.soon(rule, "a drain that ends", writer.drain());
    let aborted = async {
        settle().await;
        writer.abort();
    };
    let (drained, ()) = both(drained, aborted).await;
    let got = format_args!("success");
    ensure(drained?.is_err(), rule, "an error: bytes were dropped", got)?;
    let again = scene.soon(rule, "a drain that ends", writer.drain()).await?;
    ensure(again.is_err(), rule, "an error: it is over", got)?;
    PASSED
}

/// With small limits on both sides, and a peer that reads only what it has to.
async fn duplex(scene: &Scene) -> Played {
    let rule = Invariant::DuplexCompletes;
    let (mut reader, writer, mut other) = scene.open(500).await?;
    let n = scene.able.buffers.min(300_000);
    let writing = async {
        for at in (0..n).step_by(1000) {
            write(&writer, at, 1000.min(n - at))?;
            let drained = scene.soon(rule, "a drain that ends", writer.drain()).await?;
            drained.or_violation(rule, "a drain")?;
        }
        Ok(())
    };
    let reading = async {
        let mut got = Vec::new();
        while got.len() < n {
            let read = scene.soon(rule, "bytes", reader.read(3000)).await?;
            let bytes = read.or_violation(rule, "bytes")?;
            ensure(!bytes.is_empty(), rule, "bytes", "the end")?;
            got.extend_from_slice(bytes);
        }
        is_pattern(&got, n, rule)
    };
    let peer = async {
        for at in (0..n).step_by(5000) {
            other.sends(&pattern(at, 5000.min(n - at)), rule).await?;
            other.takes();
        }
        other.has(n, rule).await
    };
    let (sides, peer) = both(both(writing, reading), peer).await;
    peer?;
    sides.0?;
    sides.1?;
    PASSED
}

async fn refused(scene: &Scene) -> Played {
    let rule = Invariant::WriteErrorsTell;
    let is = |what: &str, right: fn(&WriteError) -> bool, answer: Result<(), WriteError>| {
        let told = answer.as_ref().is_err_and(right);
        ensure(told, rule, what, format_args!("{answer:?}"))
    };
    if scene.able.half_close {
        let (_reader, writer, _other) = scene.open(1000).await?;
        writer.write_eof();
        is("Eof", |e| matches!(e, WriteError::Eof), writer.write(b"late"))?;
    }
    let (_reader, writer, mut other) = scene.open(1000).await?;
    let closed = writer.close();
    is("Closed", |e| matches!(e, WriteError::Closed), writer.write(b"late"))?;
    let closed = scene.soon(rule, "a close that ends", closed);
    let (ended, closed) = both(other.answers_the_end(rule), closed).await;
    ended?;
    closed?.or_violation(rule, "a close")?;
    is("Closed", |e| matches!(e, WriteError::Closed), writer.write(b"late"))?;
    let (_reader, writer, _other) = scene.open(1000).await?;
    writer.transport().fail(std::io::Error::other("as told"));
    let over = scene.soon(rule, "an end", writer.wait_closed()).await?;
    ensure(over.is_err(), rule, "the error", "success")?;
    is("Lost", |e| matches!(e, WriteError::Lost(_)), writer.write(b"late"))?;
    PASSED
}
