//! Reading, against a peer that the test plays.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{pair, run, scripted, settle};
use millrun_loop::{catch, sleep, spawn, timeout};
use millrun_sim::{Faults, Sim};
use millrun_streams::{IncompleteRead, ReadError, stream_with_limit};

/// Polls a future once and drops it.
async fn give_up<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// A stranger's waker that panics when the last of it is dropped.
struct PanicsInDrop;

impl Wake for PanicsInDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// The poll ends early, and the future is dropped afterwards: the read is given up as any other.
#[test]
fn a_read_whose_waker_panics_is_given_up_when_it_is_dropped() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 10).await;
        let mut read = Box::pin(reader.read_exact(5000));
        let stranger = Waker::from(Arc::new(PanicsInDrop));
        assert!(read.as_mut().poll(&mut Context::from_waker(&stranger)).is_pending());
        drop(stranger);
        // Another one waits now: what was kept is dropped.
        let mut noop = Context::from_waker(Waker::noop());
        assert!(catch(|| read.as_mut().poll(&mut noop)).is_err());
        drop(read);
        let text = format!("{reader:?}");
        assert!(text.contains("waiting: false"), "{text}");
        // The room is the limit's again, not that of 5000 bytes.
        peer.send([b'x'; 5000]);
        settle().await;
        assert!(reader.buffered() <= 20, "{} bytes", reader.buffered());
        assert_eq!(reader.read_exact(5000).await.unwrap(), [b'x'; 5000]);
    });
}

#[test]
fn st_001_a_limit_of_zero_is_refused() {
    run(async |_sim| {
        let error = stream_with_limit(0, |_| -> std::io::Result<()> { unreachable!() }).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

/// ST-005, ST-006, ST-007, ST-008, ST-010, ST-011, ST-016.
#[test]
fn st_006_read_lends_what_is_there() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 4).await;
        assert_eq!(reader.read(0).await.unwrap(), b"");
        peer.send(b"one\ntwo\n");
        settle().await;
        assert_eq!(reader.buffered(), 8);
        assert_eq!(reader.read(7).await.unwrap(), b"one\ntwo");
        assert_eq!(reader.read(7).await.unwrap(), b"\n");
        peer.send_eof();
        assert!(!reader.at_eof());
        assert_eq!(reader.read(7).await.unwrap(), b"");
        assert!(reader.at_eof());
        assert_eq!(reader.read(7).await.unwrap(), b"");
    });
}

/// ST-009, D-05: collected bytes stay in the caller's vector when the read is given up.
#[test]
fn st_009_read_to_end_has_no_limit_and_keeps_what_it_had() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 3).await;
        let mut all = b"before ".to_vec();
        peer.send(b"0123456789");
        let ended = timeout(Duration::from_secs(1), reader.read_to_end(&mut all)).await;
        assert!(ended.is_err());
        assert_eq!(all, b"before 0123456789");
        peer.send(b"abc");
        peer.send_eof();
        assert_eq!(reader.read_to_end(&mut all).await.unwrap(), 3);
        assert_eq!(all, b"before 0123456789abc");
    });
}

/// ST-017, ST-019, ST-039.
#[test]
fn st_039_lines_until_the_empty_one() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 100).await;
        peer.send(b"one\n\ntwo\nthree");
        peer.send_eof();
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().await.unwrap() {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(lines, ["one\n", "\n", "two\n", "three"]);
        assert_eq!(reader.read_line().await.unwrap(), b"");
    });
}

/// ST-021, ST-022 as D-06 has it; ST-045.
#[test]
fn st_022_a_line_over_the_limit_stays_and_can_be_skipped() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 8).await;
        peer.send(b"much too long for this reader\nnext\n");
        let mut skipped = Vec::new();
        let line = loop {
            match reader.read_line().await {
                Ok(line) => break line.to_vec(),
                Err(ReadError::LimitOverrun(over)) => {
                    skipped.extend_from_slice(reader.read_exact(over.consumed).await.unwrap());
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        skipped.extend_from_slice(&line);
        assert_eq!(skipped, b"much too long for this reader\n");
        assert_eq!(reader.read_line().await.unwrap(), b"next\n");
    });
}

/// ST-023, ST-024, ST-025, ST-026, ST-031.
#[test]
fn st_023_read_until_one_or_several() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 100).await;
        peer.send(b"head\r");
        settle().await;
        give_up(reader.read_until(b"\r\n")).await;
        peer.send(b"\nkey=value;rest");
        assert_eq!(reader.read_until(b"\r\n").await.unwrap(), b"head\r\n");
        let several: [&[u8]; 2] = [b";", b"="];
        assert_eq!(reader.read_until(&several).await.unwrap(), b"key=");
        assert_eq!(reader.read_until(&several).await.unwrap(), b"value;");
        assert!(matches!(reader.read_until(b"").await, Err(ReadError::EmptySeparator(_))));
        peer.send_eof();
        let Err(ReadError::Incomplete(error)) = reader.read_until("|").await else { panic!() };
        assert_eq!(error, IncompleteRead { partial: b"rest".to_vec(), expected: None });
        let error: std::io::Error = reader.read_exact(2).await.unwrap_err().into();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn st_036_exact_reads_in_the_callers_memory_and_as_bytes() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 2).await;
        peer.send(b"0123456789abcdef");
        assert_eq!(reader.read_exact(0).await.unwrap(), b"");
        assert_eq!(reader.read_exact(9).await.unwrap(), b"012345678");
        let mut buffer = [0; 3];
        settle().await;
        assert_eq!(reader.read_into(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer, b"9ab");
        settle().await;
        assert_eq!(reader.peek().await.unwrap()[0], b'c');
        let owned = reader.read_bytes(1).await.unwrap();
        let next = reader.read_exact(3).await.unwrap();
        assert_eq!((&owned[..], next), (&b"c"[..], &b"def"[..]));
    });
}

/// ST-046, invariant 8: whatever is given up, wherever, the bytes come out once and in order.
#[test]
fn st_046_a_read_that_is_given_up_takes_nothing() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 4).await;
        let mut seen = Vec::new();
        for i in 0..200u32 {
            peer.send([u8::try_from(i).unwrap()]);
            match i % 5 {
                0 => give_up(reader.read_exact(100_000)).await,
                1 => drop(timeout(Duration::ZERO, reader.read_until(b"\xff\xff")).await),
                2 => settle().await,
                3 => {
                    let read = timeout(Duration::from_millis(1), reader.read_exact(50)).await;
                    seen.extend_from_slice(read.map_or(&[], |data| data.unwrap()));
                }
                _ => seen.extend_from_slice(reader.read(3).await.unwrap()),
            }
        }
        peer.send_eof();
        reader.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, (0..200).collect::<Vec<u8>>());
    });
}

/// Invariant 6: the room for a big read goes with the read.
#[test]
fn st_046_the_room_of_a_read_that_is_given_up_is_the_limits_again() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 10).await;
        give_up(reader.read_exact(100_000)).await;
        peer.send([b'x'; 5000]);
        settle().await;
        assert_eq!(reader.buffered(), 20);
    });
}

/// ST-013, D-04, invariant 7, through a real transport.
#[test]
fn st_013_bytes_come_before_the_reset() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 100).await;
        peer.send(b"last words\nand");
        peer.reset();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(reader.read_line().await.unwrap(), b"last words\n");
        assert!(matches!(reader.read_line().await, Err(ReadError::Io(_))));
        assert_eq!(reader.read(100).await.unwrap(), b"and");
        for _ in 0..3 {
            let error = reader.read(100).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    });
}

/// E-004, E-007, ST-040 to ST-042: a limit of 1 deadlocks with nothing.
#[test]
fn e_007_a_limit_of_one_never_deadlocks() {
    run(async |sim| {
        let [(mut reader, _keep), (_other, writer)] = pair(&sim, 1).await;
        let sent: Vec<u8> = (0..40_000u32).map(|i| (i % 251) as u8).collect();
        let data = sent.clone();
        let send = spawn(async move {
            for piece in data.chunks(777) {
                writer.write(piece).unwrap();
                writer.drain().await.unwrap();
            }
            writer.close().await.unwrap();
        });
        let mut got = Vec::new();
        got.extend_from_slice(reader.read_exact(20_000).await.unwrap());
        for _ in 0..1000 {
            got.extend_from_slice(reader.read(1).await.unwrap());
        }
        got.extend_from_slice(reader.read_until(&[250, 0]).await.map_or(&[], |b| b));
        got.extend_from_slice(reader.read_exact(5_000).await.unwrap());
        reader.read_to_end(&mut got).await.unwrap();
        assert!(got == sent);
        send.await.unwrap();
    });
}

/// ST-042: a paused reader that asks for much, in pieces that never fit.
#[test]
fn e_007_any_exact_size_under_any_limit() {
    run(async |sim| {
        for limit in [1, 2, 3, 7, 100, 4095, 4096, 5000, 65_536] {
            for n in [1, 2, 5, 100, 4096, 9000, 70_000, 200_000] {
                let (mut reader, _writer, peer) = scripted(&sim, limit).await;
                peer.send(vec![b'x'; n + 1]);
                settle().await;
                assert!(reader.buffered() <= 2 * limit, "D-01");
                let read = timeout(Duration::from_secs(60), reader.read_exact(n)).await;
                assert_eq!(read.unwrap().unwrap().len(), n, "limit {limit}");
            }
        }
    });
}

/// E-008, invariant 6: a fast producer, a slow consumer; what is kept is bounded all the time.
#[test]
fn e_008_memory_is_bounded_on_both_sides() {
    run(async |sim| {
        for limit in [1000, 65_536] {
            let [(mut reader, _keep), (_other, writer)] = pair(&sim, limit).await;
            const TOTAL: usize = 3 << 20;
            let send = spawn(async move {
                let (piece, mut highest) = (vec![b'x'; 30_000], 0);
                for _ in 0..TOTAL / piece.len() {
                    writer.write(&piece).unwrap();
                    highest = highest.max(writer.transport().write_buffer_size());
                    writer.drain().await.unwrap();
                }
                drop(writer);
                highest
            });
            let (mut total, mut most, mut memory) = (0, 0, 0);
            loop {
                let n = reader.read(700).await.unwrap().len();
                if n == 0 {
                    break;
                }
                total += n;
                most = most.max(reader.buffered());
                memory = memory.max(reader.memory());
                if total % 70_000 < 700 {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            assert_eq!(total, TOTAL / 30_000 * 30_000);
            assert!(most <= 2 * limit, "{most} bytes buffered, limit {limit}");
            assert!(memory <= 2 * 65_536, "{memory} bytes of memory, limit {limit}");
            assert!(send.await.unwrap() <= 65_536 + 30_000);
        }
    });
}

/// E-005: every split of the sends and of the receives gives the same bytes.
#[test]
fn e_005_any_split_of_sends_and_receives() {
    for seed in 0..30 {
        let sim = Sim::new(seed);
        sim.faults(Faults { short_reads: 0.4, short_writes: 0.4, would_block: 0.2 });
        common::run_on(&sim, async {
            let [(mut reader, keep), (_other, writer)] = pair(&sim, 500).await;
            let sent: Vec<u8> = (0..60_000u32).map(|i| (i % 253) as u8).collect();
            let data = sent.clone();
            let send = spawn(async move {
                for piece in data.chunks(1 + usize::try_from(seed).unwrap() * 331) {
                    writer.write(piece).unwrap();
                    writer.drain().await.unwrap();
                }
                writer.close().await.unwrap()
            });
            let mut got = Vec::new();
            reader.read_to_end(&mut got).await.unwrap();
            assert!(got == sent, "{sim:?}");
            send.await.unwrap();
            keep.close().await.unwrap();
        });
        assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0), "{sim:?}");
    }
}

/// 16 MiB to a peer whose kernel takes, and gives, little at a time: nothing is lost, and the loop lives.
#[test]
fn sixteen_mebibytes_through_one_byte_reads_of_a_slow_peer() {
    run(async |sim| {
        // The peer is a reader with room for two bytes that takes one at a time.
        let [(mut slow, _keep), (_other, writer)] = pair(&sim, 1).await;
        const TOTAL: usize = 16 << 20;
        let send = spawn(async move {
            let piece: Vec<u8> = (0..65_536u32).map(|i| (i % 256) as u8).collect();
            for _ in 0..TOTAL / piece.len() {
                writer.write(&piece).unwrap();
                writer.drain().await.unwrap();
            }
            writer.close().await.unwrap()
        });
        // One byte at a time over a part of the way, which is the same state again and again, then all.
        let mut at = 0usize;
        while at < 1 << 18 {
            assert_eq!(slow.read(1).await.unwrap(), [(at % 256) as u8]);
            at += 1;
        }
        let expected: Vec<u8> = (0..65_536u32).map(|i| (i % 256) as u8).collect();
        loop {
            match slow.read_exact(65_536).await {
                Ok(data) => assert!(data == expected),
                Err(ReadError::Incomplete(rest)) if rest.partial.is_empty() => break,
                Err(other) => panic!("{other:?}"),
            }
            at += 65_536;
        }
        assert_eq!(at, TOTAL);
        send.await.unwrap();
    });
}

/// The peer leaves after any number of bytes, in any way: the reader gives all that came, then the end.
#[test]
fn a_peer_that_leaves_at_any_point() {
    run(async |sim| {
        let message = b"HELLO 5\r\nworld\r\n";
        for cut in 0..=message.len() {
            for resets in [false, true] {
                let (mut reader, writer, peer) = scripted(&sim, 64).await;
                peer.send(&message[..cut]);
                if resets {
                    peer.reset()
                } else {
                    peer.send_eof()
                }
                let mut got = Vec::new();
                let outcome = loop {
                    match reader.read_until(b"\r\n").await {
                        Ok(line) => got.extend_from_slice(line),
                        Err(error) => break error,
                    }
                };
                match outcome {
                    ReadError::Incomplete(error) => got.extend_from_slice(&error.partial),
                    ReadError::Io(error) => {
                        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                        while let Ok(rest) = reader.read(3).await {
                            got.extend_from_slice(rest);
                        }
                    }
                    other => panic!("{other:?}"),
                }
                assert_eq!(got, &message[..cut]);
                drop((reader, writer));
            }
        }
        sleep(Duration::from_secs(60)).await;
    });
}

#[test]
fn a_peer_that_sends_nothing_or_garbage() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 64).await;
        let silent = timeout(Duration::from_secs(3600), reader.read_line()).await;
        assert!(silent.is_err());
        assert_eq!(reader.memory(), 0);
        peer.send([0xff; 5000]);
        assert!(matches!(reader.read_line().await, Err(ReadError::LimitOverrun(_))));
        assert!(reader.buffered() <= 128);
    });
}

/// What was lent stays as it was while more arrives: it is the reader's own memory.
#[test]
fn a_lent_slice_outlives_what_lands_meanwhile() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 1000).await;
        peer.send(b"first");
        let lent = reader.read(100).await.unwrap();
        peer.send(b"second");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(lent, b"first");
        writer.write(lent).unwrap();
        assert_eq!(reader.read(100).await.unwrap(), b"second");
        settle().await;
        assert_eq!(peer.received(), b"first");
    });
}

/// The server's side of 1 KiB echoes: one receive, one send and no further question a message.
#[test]
fn an_echo_is_one_receive_and_one_send() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 65_536).await;
        let echo = spawn(async move {
            loop {
                let data = reader.read(65_536).await.unwrap();
                if data.is_empty() {
                    break;
                }
                writer.write(data).unwrap();
                writer.drain().await.unwrap();
            }
        });
        settle().await;
        let _ = peer.take_calls();
        for _ in 0..100 {
            peer.send([b'x'; 1024]);
            settle().await;
        }
        assert_eq!(peer.calls().len(), 200, "{:?}", &peer.calls()[..6]);
        assert_eq!(peer.received().len(), 102_400);
        peer.send_eof();
        echo.await.unwrap();
    });
}

#[test]
fn st_048_debug_says_what_is_buffered() {
    run(async |sim| {
        let (reader, writer, peer) = scripted(&sim, 321).await;
        peer.send(b"secret");
        settle().await;
        let text = format!("{reader:?} {writer:?}");
        assert!(text.contains("bytes: 6") && text.contains("limit: 321"), "{text}");
        assert!(text.contains("SocketTransport") && !text.contains("secret"), "{text}");
    });
}
