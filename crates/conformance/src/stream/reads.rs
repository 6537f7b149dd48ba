//! Do reads give the bytes as they were sent, whatever is asked for, and however often a read is given up?

use millrun_streams::{ReadError, StreamReader};

use super::scene::{PASSED, Scenario, Scene, able, both, polled, settle};
use crate::pattern::{is_pattern, pattern};
use crate::report::{OrViolation, Outcome, Played, Step, ensure, ensure_eq};
use crate::transport::stage::TOO_MUCH;
use crate::{Invariant, Violation};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("reads of all sizes", |scene| Box::pin(sizes(scene))),
    ("exact reads, beyond the limit too", |scene| Box::pin(exact(scene))),
    ("lines, and what is none", |scene| Box::pin(lines(scene))),
    ("a line that is too long", |scene| Box::pin(overrun(scene))),
    ("peeks", |scene| Box::pin(peeks(scene))),
    ("reads that are given up", |scene| Box::pin(given_up(scene))),
    ("the last words and the end", |scene| Box::pin(last_words(scene))),
    ("the last words and an error", |scene| Box::pin(error(scene))),
    ("a peer that floods a reader who does not read", |scene| Box::pin(flooded(scene))),
    ("a limit of one", |scene| Box::pin(limit_of_one(scene))),
];

async fn sizes(scene: &Scene) -> Played {
    let rule = Invariant::ReadsAreTrue;
    for limit in [100, 64 * 1024] {
        let (mut reader, _writer, mut other) = scene.open(limit).await?;
        let n = 200_000;
        let reading = async {
            let mut got = Vec::new();
            for max in [1, 2, 700, 5000, usize::MAX].into_iter().cycle() {
                if got.len() >= n {
                    break;
                }
                let read = scene.soon(rule, "bytes", reader.read(max)).await?;
                let bytes = read.or_violation(rule, "bytes")?;
                let fits = !bytes.is_empty() && bytes.len() <= max;
                ensure(fits, rule, format_args!("1 to {max} bytes"), bytes.len())?;
                got.extend_from_slice(bytes);
                let mut small = [0; 3];
                if got.len() < n {
                    let read = scene.soon(rule, "bytes", reader.read_into(&mut small)).await?;
                    let taken = read.or_violation(rule, "bytes")?;
                    got.extend_from_slice(&small[..taken]);
                }
                if got.len() < n {
                    let read = scene.soon(rule, "bytes", reader.read_bytes(11)).await?;
                    got.extend_from_slice(&read.or_violation(rule, "bytes")?);
                }
            }
            is_pattern(&got, n, rule)
        };
        let (sent, read) = both(other.sends(&pattern(0, n), rule), reading).await;
        sent?;
        read?;
    }
    PASSED
}

async fn exactly(
    scene: &Scene,
    reader: &mut StreamReader,
    n: usize,
    rule: Invariant,
) -> Step<Vec<u8>> {
    let read = scene.soon(rule, &format!("{n} bytes"), reader.read_exact(n)).await?;
    let bytes = read.or_violation(rule, format_args!("{n} bytes"))?;
    ensure_eq(rule, n, bytes.len())?;
    Ok(bytes.to_vec())
}

async fn exact(scene: &Scene) -> Played {
    let rule = Invariant::ExactIsExact;
    let (mut reader, _writer, mut other) = scene.open(100).await?;
    let reading = async {
        let mut at = 0;
        for n in [0, 1, 99, 100, 101, 5000, 64 * 1024, 3] {
            let got = exactly(scene, &mut reader, n, rule).await?;
            ensure(got == pattern(at, n), rule, format_args!("{n} bytes from {at}"), "others")?;
            at += n;
        }
        let read = scene.soon(rule, "an error", reader.read_exact(50)).await?;
        match read {
            Err(ReadError::Incomplete(e)) => {
                ensure_eq(rule, (pattern(at, 20), Some(50)), (e.partial, e.expected))
            }
            other => {
                let got = format_args!("{:?}", other.map(<[u8]>::len));
                Err(Violation::new(rule, "Incomplete, with the 20 bytes that came", got))
            }
        }
    };
    let n = 1 + 99 + 100 + 101 + 5000 + 64 * 1024 + 3 + 20;
    let sending = async {
        other.sends(&pattern(0, n), rule).await?;
        other.peer.end();
        Ok(())
    };
    let (sent, read) = both(sending, reading).await;
    sent?;
    read?;
    PASSED
}

async fn lines(scene: &Scene) -> Played {
    let rule = Invariant::LinesAreLines;
    let (mut reader, _writer, mut other) = scene.open(1000).await?;
    for part in [&b"first\nsec"[..], b"ond\n\nx;y\r", b"\nz\r", b"\nno end"] {
        other.sends(part, rule).await?;
        settle().await;
    }
    other.peer.end();
    let text = |read: Result<&[u8], ReadError>| -> Step<String> {
        let line = read.or_violation(rule, "a line")?;
        Ok(line.escape_ascii().to_string())
    };
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(text(scene.soon(rule, "a line", reader.read_line()).await?)?);
    }
    got.push(text(scene.soon(rule, "until ;", reader.read_until(b";")).await?)?);
    got.push(text(scene.soon(rule, "until CR LF", reader.read_until(b"\r\n")).await?)?);
    got.push(text(scene.soon(rule, "until CR LF", reader.read_until(b"\r\n")).await?)?);
    got.push(text(scene.soon(rule, "what there is", reader.read_line()).await?)?);
    got.push(text(scene.soon(rule, "nothing", reader.read_line()).await?)?);
    let expected = ["first\\n", "second\\n", "\\n", "x;", "y\\r\\n", "z\\r\\n", "no end", ""];
    ensure_eq(rule, expected.map(str::to_owned).to_vec(), got)?;
    let next = scene.soon(rule, "None", reader.next_line()).await?;
    let next = next.or_violation(rule, "None")?.map(<[u8]>::len);
    ensure_eq(rule, None, next)?;
    PASSED
}

async fn overrun(scene: &Scene) -> Played {
    let rule = Invariant::OverrunKeeps;
    let (mut reader, _writer, mut other) = scene.open(50).await?;
    let long: Vec<u8> = (0..62).map(|i| b'a' + i % 26).collect();
    let line = [&long[..], b"\nshort\n"].concat();
    let reading = async {
        let read = scene.soon(rule, "LimitOverrun", reader.read_line()).await?;
        let Err(ReadError::LimitOverrun(overrun)) = read else {
            let got = format_args!("{:?}", read.map(<[u8]>::len));
            return Err(Violation::new(rule, "LimitOverrun", got));
        };
        ensure(
            overrun.consumed <= 62,
            rule,
            "at most 62 bytes that belong to it",
            overrun.consumed,
        )?;
        let mut all = exactly(scene, &mut reader, overrun.consumed, rule).await?;
        while all.last() != Some(&b'\n') {
            all.extend(exactly(scene, &mut reader, 1, rule).await?);
        }
        ensure_eq(rule, &line[..63], &all[..])?;
        let read = scene.soon(rule, "the next line", reader.read_line()).await?;
        ensure_eq(rule, b"short\n".to_vec(), read.or_violation(rule, "a line")?.to_vec())
    };
    let (sent, read) = both(other.sends(&line, rule), reading).await;
    sent?;
    read?;
    PASSED
}

async fn peeks(scene: &Scene) -> Played {
    let rule = Invariant::PeekTakesNothing;
    let (mut reader, _writer, mut other) = scene.open(1000).await?;
    other.sends(&pattern(0, 100), rule).await?;
    for _ in 0..3 {
        let peeked = scene.soon(rule, "bytes", reader.peek()).await?;
        let bytes = peeked.or_violation(rule, "bytes")?;
        let some = !bytes.is_empty() && pattern(0, 100).starts_with(bytes);
        ensure(some, rule, "the first bytes", format_args!("{} others", bytes.len()))?;
    }
    let got = exactly(scene, &mut reader, 100, rule).await?;
    is_pattern(&got, 100, rule)?;
    PASSED
}

/// A read of each kind, polled a few times and dropped, before each one that is awaited.
async fn given_up(scene: &Scene) -> Played {
    let rule = Invariant::CancelledReadsKeep;
    let (mut reader, _writer, mut other) = scene.open(300).await?;
    let n = 30_000;
    let reading = async {
        let mut got = Vec::new();
        let mut round = 0;
        while got.len() < n {
            round += 1;
            let mut taken = None;
            let (times, max) = (round % 4, round % 7 * 40 + 1);
            // What is done after all was not given up.
            match round % 5 {
                0 => taken = done(polled(times, reader.read_exact(max * 9)).await),
                1 => taken = done(polled(times, reader.read_until(b"no such")).await),
                2 => taken = done(polled(times, reader.read_line()).await),
                3 => {
                    taken = polled(times, reader.read(max))
                        .await
                        .and_then(Result::ok)
                        .map(<[u8]>::to_vec)
                }
                _ => drop(polled(times, reader.peek()).await),
            }
            if let Some(bytes) = taken {
                got.extend(bytes);
                continue;
            }
            let read = scene.soon(rule, "bytes", reader.read(max)).await?;
            let bytes = read.or_violation(rule, "bytes")?;
            if bytes.is_empty() {
                break;
            }
            got.extend_from_slice(bytes);
        }
        is_pattern(&got, n, rule)
    };
    let sending = async {
        for at in (0..n).step_by(500) {
            other.sends(&pattern(at, 500), rule).await?;
        }
        other.peer.end();
        Ok(())
    };
    let (sent, read) = both(sending, reading).await;
    sent?;
    read?;
    PASSED
}

/// What a read took, if it was done; an incomplete one gives what there was.
fn done(read: Option<Result<&[u8], ReadError>>) -> Option<Vec<u8>> {
    match read? {
        Ok(bytes) => Some(bytes.to_vec()),
        Err(ReadError::Incomplete(error)) => Some(error.partial),
        Err(_) => None,
    }
}

async fn last_words(scene: &Scene) -> Played {
    let rule = Invariant::EndComesLast;
    let (mut reader, _writer, mut other) = scene.open(1000).await?;
    other.sends(&pattern(0, 700), rule).await?;
    other.peer.end();
    settle().await;
    ensure_eq(rule, false, reader.at_eof())?;
    let mut got = Vec::new();
    let read = scene.soon(rule, "all of it, and the end", reader.read_to_end(&mut got)).await?;
    ensure_eq(rule, 700, read.or_violation(rule, "all of it")?)?;
    is_pattern(&got, 700, rule)?;
    for _ in 0..2 {
        let read = scene.soon(rule, "the end, once more", reader.read(10)).await?;
        ensure_eq(rule, 0, read.or_violation(rule, "the end")?.len())?;
        ensure_eq(rule, true, reader.at_eof())?;
    }
    PASSED
}

async fn error(scene: &Scene) -> Played {
    let rule = Invariant::ErrorComesLast;
    let (mut reader, writer, mut other) = scene.open(1000).await?;
    other.sends(&pattern(0, 700), rule).await?;
    if !other.peer.reset() {
        return Ok(Outcome::Skipped("needs a peer that can die"));
    }
    let got = exactly(scene, &mut reader, 700, rule).await?;
    is_pattern(&got, 700, rule)?;
    let mut first = None;
    for _ in 0..2 {
        // Where a death looks like an end, it is one.
        let read = scene.soon(rule, "an error or an end", reader.read(10)).await?;
        let told = read.map(<[u8]>::len).map_err(|e| e.kind());
        let is_over = matches!(told, Ok(0) | Err(_));
        ensure(is_over, rule, "an error or an end", format_args!("{told:?}"))?;
        ensure_eq(rule, *first.get_or_insert(told), told)?;
    }
    drop(writer);
    PASSED
}

async fn flooded(scene: &Scene) -> Played {
    able!(scene, pausing);
    let rule = Invariant::StreamMemoryIsBounded;
    let limit = 1000;
    let (mut reader, _writer, other) = scene.open(limit).await?;
    let (mut sent, mut refused) = (0, 0);
    while refused < 5 {
        match other.peer.send(&pattern(sent, 60_000)) {
            Ok(n) => (sent, refused) = (sent + n, 0),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => refused += 1,
            Err(e) => ensure(false, rule, "WouldBlock", e)?,
        }
        settle().await;
        ensure(sent < TOO_MUCH, rule, "a peer that is refused within 64 MiB", sent)?;
        // Twice the limit; a completion ring or its like brings what it has.
        if scene.able.room {
            let buffered = reader.buffered();
            ensure(buffered <= 2 * limit, rule, format_args!("at most {}", 2 * limit), buffered)?;
        }
    }
    let reading = async {
        let mut got = Vec::new();
        while got.len() < sent {
            let read = scene.soon(rule, "what was sent", reader.read(50_000)).await?;
            got.extend_from_slice(read.or_violation(rule, "bytes")?);
        }
        is_pattern(&got, sent, rule)
    };
    reading.await?;
    PASSED
}

async fn limit_of_one(scene: &Scene) -> Played {
    let rule = Invariant::NoLimitDeadlocks;
    let (mut reader, _writer, mut other) = scene.open(1).await?;
    let reading = async {
        let mut got = Vec::new();
        for n in [1, 500, 2, 5000] {
            got.extend(exactly(scene, &mut reader, n, rule).await?);
        }
        while got.len() < 6000 {
            let read = scene.soon(rule, "bytes", reader.read(7)).await?;
            got.extend_from_slice(read.or_violation(rule, "bytes")?);
        }
        is_pattern(&got, 6000, rule)
    };
    let (sent, read) = both(other.sends(&pattern(0, 6000), rule), reading).await;
    sent?;
    read?;
    PASSED
}
