//! Writing, draining and closing, against a peer and a kernel that the test plays.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use common::{reports, run, scripted, settle};
use millrun_loop::{LoopHandle, sleep, spawn, timeout};
use millrun_sim::Failure;
use millrun_streams::{CloseOutcome, ConnectionLost, WriteError};
use millrun_transport::{CloseTimedOut, Watermarks, os_error};

/// Whether a future is done at its first poll.
async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[test]
fn st_065_the_writer_passes_straight_to_the_transport() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 100).await;
        writer.write(b"a").unwrap();
        writer.write(b"").unwrap();
        writer.writelines(&[b"b", b"", b"c"]).unwrap();
        writer.write_bytes(bytes::Bytes::from_static(b"d")).unwrap();
        assert!(writer.can_write_eof() && !writer.is_closing());
        assert!(writer.peer_addr().is_some() || writer.local_addr().is_some());
        writer.flush();
        assert_eq!(peer.received(), b"abcd");
        writer.write_eof();
        settle().await;
        assert!(peer.saw_eof());
        peer.send_eof();
        assert_eq!(reader.read(1).await.unwrap(), b"");
        assert_eq!(writer.close().await.unwrap(), CloseOutcome::Flushed);
        assert!(writer.is_closing());
    });
}

/// ST-066 and D-12: no turn is given up, and all leaves together at the end of the unit.
#[test]
fn st_066_sixteen_lines_with_drains_leave_in_one_send() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 1000).await;
        for i in 0..16 {
            peer.send(format!("line {i:02}\n"));
        }
        let before = peer.counters();
        for _ in 0..16 {
            let line = reader.read_line().await.unwrap();
            writer.write(line).unwrap();
            writer.drain().await.unwrap();
        }
        settle().await;
        assert_eq!(peer.sends().len(), 1, "{:?}", peer.calls());
        assert_eq!(peer.received().len(), 16 * 8);
        assert_eq!(peer.reads().len(), 1, "{before:?}");
    });
}

#[test]
fn st_067_drain_waits_until_the_peer_takes_enough() {
    run(async |sim| {
        let (_reader, writer, peer) = scripted(&sim, 100).await;
        writer.transport().set_write_buffer_limits(Watermarks::new(10, 20).unwrap()).unwrap();
        peer.set_send_window(0);
        writer.write(&[b'x'; 50]).unwrap();
        assert!(at_once(writer.drain()).await.is_none());
        let mut drain = pin!(writer.drain());
        assert!(timeout(Duration::from_secs(1), drain.as_mut()).await.is_err());
        peer.set_send_window(39);
        assert!(timeout(Duration::from_secs(1), drain.as_mut()).await.is_err(), "11 are left");
        peer.set_send_window(usize::MAX);
        drain.await.unwrap();
        assert_eq!(peer.received().len(), 50);
        assert!(at_once(writer.drain()).await.unwrap().is_ok());
    });
}

/// ST-068, ST-073, D-15 for drains.
#[test]
fn st_068_many_tasks_drain_at_once() {
    run(async |sim| {
        let (_reader, writer, peer) = scripted(&sim, 100).await;
        let writer = Rc::new(writer);
        peer.set_send_window(0);
        writer.write(&[b'x'; 100_000]).unwrap();
        let done = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let (writer, done) = (writer.clone(), done.clone());
                spawn(async move {
                    writer.drain().await.unwrap();
                    done.set(done.get() + 1);
                })
            })
            .collect();
        sleep(Duration::from_secs(1)).await;
        tasks[2].abort();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(done.get(), 0);
        peer.set_send_window(usize::MAX);
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.is_ok(), i != 2);
        }
        assert_eq!(done.get(), 4);
    });
}

/// A future that counts its polls.
async fn counting<F: Future>(polls: &Cell<u32>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.set(polls.get() + 1);
        future.as_mut().poll(cx)
    })
    .await
}

/// ST-073, D-15: who gave up is not woken for it any more.
#[test]
fn st_073_a_drain_or_a_wait_for_the_close_that_is_dropped_is_forgotten() {
    run(async |sim| {
        let (_reader, writer, peer) = scripted(&sim, 100).await;
        let (writer, polls) = (Rc::new(writer), Rc::new(Cell::new(0)));
        peer.set_send_window(0);
        writer.write(&[b'x'; 100_000]).unwrap();
        sleep(Duration::from_millis(1)).await;
        let (shared, count) = (writer.clone(), polls.clone());
        let task = spawn(async move {
            let patience = async {
                assert!(at_once(shared.drain()).await.is_none());
                assert!(at_once(shared.wait_closed()).await.is_none());
                sleep(Duration::from_secs(10)).await;
            };
            counting(&count, patience).await;
        });
        sleep(Duration::from_secs(1)).await;
        peer.set_send_window(usize::MAX);
        writer.close().await.unwrap();
        task.await.unwrap();
        assert_eq!(polls.get(), 2, "begin and end");
    });
}

#[test]
fn st_069_drain_fails_with_the_readers_error() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 100).await;
        peer.send(b"last words");
        peer.fail(Failure::ETIMEDOUT);
        settle().await;
        assert_eq!(os_error(&writer.drain().await.unwrap_err()), Some(110));
        assert_eq!(reader.read(100).await.unwrap(), b"last words");
        assert_eq!(os_error(&reader.read(100).await.unwrap_err()), Some(110));
    });
}

/// Before `connection_lost` has come, too.
#[test]
fn a_write_behind_one_that_failed_tells_what_failed() {
    run(async |sim| {
        let (_reader, writer, peer) = scripted(&sim, 100).await;
        peer.fail_next_write(Failure::EPIPE);
        writer.write(b"lost").unwrap();
        writer.flush();
        for _ in 0..2 {
            let Err(WriteError::Lost(error)) = writer.write(b"more") else { panic!("taken") };
            assert_eq!((error.kind(), os_error(&error)), (ErrorKind::BrokenPipe, Some(32)));
            assert!(error.to_string().starts_with("sending to 127.0.0.1:"), "{error}");
            settle().await;
        }
    });
}

#[test]
fn st_070_drain_after_a_close_is_a_reset_error() {
    run(async |sim| {
        let (_reader, writer, _peer) = scripted(&sim, 100).await;
        drop(writer.close());
        assert!(at_once(writer.drain()).await.is_none(), "gives up one turn");
        let error = writer.drain().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(error.get_ref().unwrap().is::<ConnectionLost>());
        assert!(matches!(writer.write(b"x"), Err(WriteError::Closed)));
    });
}

/// ST-071, ST-077: a writer that only writes and drains hears of the end, and nothing is reported.
#[test]
fn st_071_writing_to_a_peer_that_left_ends_in_an_error() {
    run(async |sim| {
        let reports = reports(&LoopHandle::current().unwrap());
        let (reader, writer, peer) = scripted(&sim, 100).await;
        drop(reader);
        peer.reset();
        let error = async {
            loop {
                if let Err(error) = writer.write(b"data") {
                    return error.into();
                }
                if let Err(error) = writer.drain().await {
                    return error;
                }
            }
        };
        let error = timeout(Duration::from_secs(60), error).await.unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(reports.borrow().is_empty());
    });
}

/// ST-072.
#[test]
fn st_072_a_reset_fails_each_waiting_drain() {
    run(async |sim| {
        let (_reader, writer, peer) = scripted(&sim, 100).await;
        let writer = Rc::new(writer);
        peer.set_send_window(100);
        writer.write(&[b'x'; 100_000]).unwrap();
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let writer = writer.clone();
                spawn(async move { writer.drain().await })
            })
            .collect();
        settle().await;
        peer.reset();
        for task in tasks {
            let error = task.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert!(matches!(writer.write(b"x"), Err(WriteError::Lost(_))));
    });
}

#[test]
fn d_02_abort_fails_the_drains_of_dropped_bytes() {
    run(async |sim| {
        let (_reader, writer, peer) = scripted(&sim, 100).await;
        let writer = Rc::new(writer);
        peer.set_send_window(100);
        writer.write(&[b'x'; 100_100]).unwrap();
        let drain = {
            let writer = writer.clone();
            spawn(async move { writer.drain().await })
        };
        settle().await;
        writer.abort();
        let error = drain.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        let lost = error.get_ref().unwrap().downcast_ref::<ConnectionLost>().unwrap();
        assert_eq!(lost, &ConnectionLost { unsent: 100_000 });
        assert_eq!(writer.wait_closed().await.unwrap(), CloseOutcome::Unsent(100_000));
    });
}

#[test]
fn d_09_a_fast_writer_lets_others_run() {
    run(async |sim| {
        let (_reader, writer, _peer) = scripted(&sim, 100).await;
        let ran = Rc::new(Cell::new(false));
        let flag = ran.clone();
        drop(spawn(async move { flag.set(true) }));
        for drains in 0..10_000 {
            writer.write(b"x").unwrap();
            writer.drain().await.unwrap();
            if ran.get() {
                assert!(drains > 50, "yields too often");
                return;
            }
        }
        panic!("the other task never ran");
    });
}

/// ST-074, ST-075.
#[test]
fn st_074_close_flushes_and_every_waiter_hears_of_it() {
    run(async |sim| {
        let (reader, writer, peer) = scripted(&sim, 100).await;
        let writer = Rc::new(writer);
        peer.send(b"unread");
        peer.set_send_window(10);
        settle().await;
        writer.write(&[b'x'; 1000]).unwrap();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let writer = writer.clone();
                spawn(async move { writer.wait_closed().await })
            })
            .collect();
        settle().await;
        waiters[0].abort();
        drop(writer.close());
        drop(writer.close());
        sleep(Duration::from_secs(1)).await;
        peer.set_send_window(usize::MAX);
        for (i, waiter) in waiters.into_iter().enumerate() {
            match waiter.await {
                Ok(outcome) => assert_eq!(outcome.unwrap(), CloseOutcome::Flushed),
                Err(_) => assert_eq!(i, 0),
            }
        }
        assert_eq!(writer.wait_closed().await.unwrap(), CloseOutcome::Flushed);
        assert_eq!(peer.received().len(), 1000);
        drop(reader);
    });
}

/// D-20, invariant 11.
#[test]
fn d_20_a_close_that_makes_no_progress_ends() {
    run(async |sim| {
        let (_reader, writer, peer) = scripted(&sim, 100).await;
        peer.set_send_window(10);
        writer.write(&[b'x'; 1010]).unwrap();
        let before = sim.now();
        let error = writer.close().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        let unsent = loop {
            let Some(error) = cause else { panic!("no CloseTimedOut in {error:?}") };
            if let Some(error) = error.downcast_ref::<CloseTimedOut>() {
                break error.unsent;
            }
            cause = error.source();
        };
        assert_eq!(unsent, 1000);
        assert_eq!((sim.now() - before).as_secs(), 30);
    });
}

#[test]
fn st_076_after_a_close_the_reader_is_at_the_end_of_file() {
    run(async |sim| {
        let reports = reports(&LoopHandle::current().unwrap());
        let (mut reader, writer, peer) = scripted(&sim, 100).await;
        peer.send(b"early");
        settle().await;
        writer.close().await.unwrap();
        assert_eq!(reader.read(100).await.unwrap(), b"early");
        assert_eq!(reader.read(100).await.unwrap(), b"");
        assert!(reader.at_eof() && reports.borrow().is_empty());
    });
}

/// ST-061, ST-079.
#[test]
fn st_079_writing_goes_on_after_the_peers_end_of_file() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 100).await;
        peer.send_eof();
        assert_eq!(reader.read(1).await.unwrap(), b"");
        sleep(Duration::from_secs(100)).await;
        writer.write(b"answer").unwrap();
        writer.drain().await.unwrap();
        writer.close().await.unwrap();
        assert_eq!(peer.received(), b"answer");
    });
}

#[test]
fn st_082_a_half_close_exchange() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 100).await;
        writer.write(b"request").unwrap();
        writer.write_eof();
        assert!(matches!(writer.write(b"x"), Err(WriteError::Eof)));
        settle().await;
        assert!(peer.saw_eof());
        assert_eq!(peer.received(), b"request");
        peer.send(b"answer");
        peer.send_eof();
        let mut answer = Vec::new();
        assert_eq!(reader.read_to_end(&mut answer).await.unwrap(), 6);
        assert!(reader.at_eof());
        writer.close().await.unwrap();
    });
}

#[test]
fn a_dropped_writer_flushes_and_ends_its_half() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 100).await;
        peer.set_send_window(3);
        writer.write(b"goodbye").unwrap();
        drop(writer);
        settle().await;
        assert!(!peer.saw_eof());
        peer.set_send_window(usize::MAX);
        settle().await;
        assert_eq!(peer.received(), b"goodbye");
        assert!(peer.saw_eof());
        peer.send(b"and you");
        assert_eq!(reader.read(100).await.unwrap(), b"and you");
        assert!(peer.is_open());
        drop(reader);
        settle().await;
        assert!(!peer.is_open());
    });
}

#[test]
fn a_dropped_reader_discards_and_the_writer_goes_on() {
    run(async |sim| {
        let (reader, writer, peer) = scripted(&sim, 4).await;
        peer.send([b'x'; 100_000]);
        settle().await;
        assert_eq!(reader.buffered(), 8);
        drop(reader);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(peer.unread(), 0, "discarded");
        writer.write(b"still here").unwrap();
        settle().await;
        assert_eq!(peer.received(), b"still here");
        peer.reset();
        assert_eq!(writer.wait_closed().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

/// Both dropped: closed, flushing, with the deadline.
#[test]
fn both_dropped_is_a_close_and_never_an_abort() {
    run(async |sim| {
        let (reader, writer, peer) = scripted(&sim, 100).await;
        peer.set_send_window(1);
        writer.write(b"all of this").unwrap();
        drop((reader, writer));
        sleep(Duration::from_secs(20)).await;
        assert!(peer.is_open());
        peer.set_send_window(usize::MAX);
        settle().await;
        assert_eq!(peer.received(), b"all of this");
        assert!(!peer.is_open());

        let (reader, writer, peer) = scripted(&sim, 100).await;
        peer.set_send_window(1);
        writer.write(b"all of this").unwrap();
        drop((writer, reader));
        sleep(Duration::from_secs(31)).await;
        assert!(!peer.is_open(), "the deadline of a close");
    });
}

/// A peer that resets while bytes are under way: the writer hears of it at its next step, whatever that is.
#[test]
fn e_005_a_reset_mid_write_is_told_by_write_drain_and_close() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 100).await;
        peer.set_send_window(5);
        peer.send(b"bye");
        writer.write(b"0123456789").unwrap();
        settle().await;
        peer.reset();
        settle().await;
        assert!(matches!(writer.write(b"x"), Err(WriteError::Lost(_))));
        assert_eq!(writer.drain().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(writer.close().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(reader.read(10).await.unwrap(), b"bye");
        assert!(reader.read(10).await.is_err());
    });
}
