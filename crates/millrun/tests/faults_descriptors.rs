//! Descriptors that run out, and descriptors that are closed behind our back: on the real kernel, each test
//! in a process of its own.
#![cfg(all(feature = "os", feature = "streams"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use millrun::event_loop::{EventLoop, LoopHandle, sleep, yield_now};
use millrun::streams::{StreamReader, StreamWriter, open_connection, start_server};
use support::{
    alone, bounded, connect, lower_limit, open_descriptors, ping, port, reports, role, until,
};

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.read(4096).await?;
        if data.is_empty() {
            return Ok(());
        }
        writer.write(data).map_err(io::Error::other)?;
        writer.drain().await?;
    }
}

/// All descriptors but so many.
fn hoard(but: usize) -> Vec<File> {
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    files.truncate(files.len().saturating_sub(but));
    files
}

/// One report and one retry a second, those who are connected are served, and so are the others later.
#[test]
fn a_server_without_descriptors_reports_once_and_serves_on() {
    if role().is_none() {
        return alone("a_server_without_descriptors_reports_once_and_serves_on");
    }
    lower_limit(64);
    bounded(30, async {
        let reported = reports();
        let handle = LoopHandle::current().unwrap();
        let server = start_server("127.0.0.1", 0, echo).await.unwrap();
        let mut early = connect(port(&server));
        until(|| server.connections() == 1).await;

        // Room for the clients' ends, none for the server's.
        let (mut hoarded, began) = (hoard(3), handle.now());
        let mut late: Vec<_> = (0..3).map(|_| connect(port(&server))).collect();
        until(|| !reported.borrow().is_empty()).await;
        let turns = handle.metrics().turns;
        for i in 0..20 {
            early.write_all(&[i]).unwrap();
            let mut answer = [0];
            early.set_nonblocking(true).unwrap();
            until(|| early.read(&mut answer).is_ok()).await;
            early.set_nonblocking(false).unwrap();
            assert_eq!(answer, [i]);
        }
        // One report for each second's try, not for each event.
        let tries = 1 + handle.now().since(began).as_secs() as usize;
        assert!(reported.borrow().len() <= tries, "{:?}", reported.borrow());
        assert!(reported.borrow()[0].starts_with("socket.accept() out of system resource"));
        assert_eq!(server.connections(), 1);
        let spent = handle.metrics().turns - turns;
        assert!(spent < 2000, "{spent} turns: the loop spins on the listener");

        hoarded.clear();
        until(|| server.connections() == 4).await;
        let job = handle.run_in_executor(move || {
            late.iter_mut().for_each(|client| ping(client, b"at last"));
            ping(&mut early, b"still");
        });
        job.await.unwrap();
        until(|| server.connections() == 0).await;
    });
}

/// Who makes sockets is told, by an error with its number, and nothing is half made.
#[test]
fn without_descriptors_connecting_serving_and_new_loops_fail_and_leak_nothing() {
    if role().is_none() {
        return alone("without_descriptors_connecting_serving_and_new_loops_fail_and_leak_nothing");
    }
    lower_limit(64);
    bounded(30, async {
        let server = start_server("127.0.0.1", 0, echo).await.unwrap();
        let at = port(&server);
        open_connection("127.0.0.1", at).await.map(drop).unwrap();
        until(|| server.connections() == 0).await;
        let before = open_descriptors();
        // With one or two left some of a loop's parts can be made, and have to be given back.
        for left in 0..3 {
            let hoarded = hoard(left);
            let held = hoarded.len();
            if left < 2 {
                EventLoop::new().unwrap_err();
            }
            if left == 0 {
                let emfile = Some(rustix::io::Errno::MFILE.raw_os_error());
                let error = open_connection("127.0.0.1", at).await.map(drop).unwrap_err();
                assert!(
                    error.raw_os_error() == emfile || error.to_string().contains("os error 24")
                );
                let error = start_server("127.0.0.1", 0, echo).await.map(drop).unwrap_err();
                assert!(
                    error.raw_os_error() == emfile || error.to_string().contains("os error 24")
                );
            }
            drop(hoarded);
            assert_eq!(open_descriptors(), before, "{left} were left, {held} held");
        }
        let (mut reader, writer) = open_connection("127.0.0.1", at).await.unwrap();
        writer.write(b"as before").unwrap();
        assert_eq!(reader.read_exact(9).await.unwrap(), b"as before");
    });
}

/// Waits, and says how many turns that took: a storm takes thousands.
async fn turns_of_a_wait() -> u64 {
    let handle = LoopHandle::current().unwrap();
    let before = handle.metrics().turns;
    sleep(Duration::from_millis(50)).await;
    handle.metrics().turns - before
}

fn counted(count: &Rc<Cell<u32>>) -> impl FnMut() + 'static {
    let count = Rc::clone(count);
    move || count.set(count.get() + 1)
}

/// SEL-005: a watched descriptor that is closed is never reported again, whatever gets its number.
#[test]
fn a_descriptor_that_is_closed_while_it_is_watched_is_silent() {
    if role().is_none() {
        return alone("a_descriptor_that_is_closed_while_it_is_watched_is_silent");
    }
    bounded(30, async {
        let handle = LoopHandle::current().unwrap();
        let reported = reports();
        let watches = handle.metrics().watches;
        let (old, mut peer) = UnixStream::pair().unwrap();
        let number = old.as_raw_fd();
        let (first, second, writer) = Default::default();
        handle.add_reader(&old, counted(&first)).unwrap();
        handle.add_writer(&old, counted(&writer)).unwrap();
        yield_now().await;
        peer.write_all(b"x").unwrap();
        until(|| first.get() > 0).await;
        // Ready at this very moment, both ways; and its peer says something more, and hangs up.
        drop(old);
        let _ = peer.write_all(b"y");
        let (reads, writes) = (first.get(), writer.get());
        let turns = turns_of_a_wait().await;
        assert!(turns < 20, "{turns} turns for one wait");
        drop(peer);

        // The number is given to another file, which is readable.
        let (new, mut peer) = UnixStream::pair().unwrap();
        let new: OwnedFd = new.into();
        assert_eq!(new.as_raw_fd(), number, "the lowest free number is given");
        peer.write_all(b"z").unwrap();
        assert!(turns_of_a_wait().await < 20);
        handle.add_reader(&new, counted(&second)).unwrap();
        until(|| second.get() > 0).await;
        assert!(
            first.get() <= reads + 1 && writer.get() <= writes + 1,
            "an old callback was called"
        );
        assert!(handle.remove_reader(&new));
        assert!(!handle.remove_writer(&new), "the old one's writer went with it");
        assert_eq!(handle.metrics().watches, watches);
        assert!(reported.borrow().is_empty(), "{:?}", reported.borrow());
    });
}

/// A connection that gets the number of a descriptor that was closed while it was watched.
#[test]
fn a_socket_with_the_number_of_a_closed_descriptor_is_served() {
    if role().is_none() {
        return alone("a_socket_with_the_number_of_a_closed_descriptor_is_served");
    }
    bounded(30, async {
        let handle = LoopHandle::current().unwrap();
        let server = start_server("127.0.0.1", 0, echo).await.unwrap();
        for round in 0..4 {
            let (closed, mut peer) = UnixStream::pair().unwrap();
            let calls = Default::default();
            handle.add_reader(&closed, counted(&calls)).unwrap();
            if round % 2 == 1 {
                // Reported, and to be armed anew when its number is somebody else's.
                peer.write_all(b"x").unwrap();
                until(|| calls.get() > 0).await;
            }
            drop(closed);
            let before = calls.get();
            let (mut reader, writer) = open_connection("127.0.0.1", port(&server)).await.unwrap();
            for _ in 0..3 {
                writer.write(b"hello").unwrap();
                assert_eq!(reader.read_exact(5).await.unwrap(), b"hello");
            }
            assert!(turns_of_a_wait().await < 20);
            assert!(calls.get() <= before + 1, "an old callback was called");
            writer.close().await.unwrap();
        }
        until(|| server.connections() == 0).await;
    });
}

/// The file lives on under another number: the kernel goes on telling of it, and nobody is called.
#[test]
fn a_descriptor_that_is_closed_while_a_duplicate_lives_makes_no_storm() {
    if role().is_none() {
        return alone("a_descriptor_that_is_closed_while_a_duplicate_lives_makes_no_storm");
    }
    bounded(30, async {
        let handle = LoopHandle::current().unwrap();
        let (old, mut peer) = UnixStream::pair().unwrap();
        let duplicate = old.as_fd().try_clone_to_owned().unwrap();
        let calls = Default::default();
        handle.add_reader(&old, counted(&calls)).unwrap();
        drop(old);
        for _ in 0..5 {
            peer.write_all(b"x").unwrap();
            let turns = turns_of_a_wait().await;
            assert!(turns < 20, "{turns} turns for one wait");
        }
        assert!(calls.get() <= 1, "called {} times for a number that is closed", calls.get());
        // The duplicate is a descriptor like any other.
        let again = Default::default();
        handle.add_reader(&duplicate, counted(&again)).unwrap();
        until(|| again.get() > 0).await;
        assert!(handle.remove_reader(&duplicate));
    });
}

/// Readers and writers that close what they are called for, or what is next in the same batch of events.
#[test]
fn callbacks_that_close_descriptors_of_the_same_batch_hurt_nobody() {
    if role().is_none() {
        return alone("callbacks_that_close_descriptors_of_the_same_batch_hurt_nobody");
    }
    let before = open_descriptors();
    bounded(30, async {
        let handle = LoopHandle::current().unwrap();
        let reported = reports();
        for round in 0..20 {
            let pairs: Vec<_> = (0..10).map(|_| UnixStream::pair().unwrap()).collect();
            let (mine, mut theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let mine: Rc<Vec<Cell<Option<UnixStream>>>> =
                Rc::new(mine.into_iter().map(|s| Cell::new(Some(s))).collect());
            for i in 0..mine.len() {
                let all = Rc::clone(&mine);
                let victim = (i * 7 + round) % mine.len();
                let stream = mine[i].take().unwrap();
                let loop_handle = handle.clone();
                let orderly = (i + round) % 3 == 0;
                let close = move || {
                    for number in [victim, i] {
                        if let Some(stream) = all[number].take() {
                            if orderly {
                                loop_handle.remove_reader(&stream);
                            }
                            drop(stream);
                        }
                    }
                };
                handle.add_reader(&stream, close).unwrap();
                mine[i].set(Some(stream));
            }
            theirs.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
            until(|| {
                mine.iter().all(|s| {
                    let gone = s.take();
                    let is = gone.is_none();
                    s.set(gone);
                    is
                })
            })
            .await;
            assert!(turns_of_a_wait().await < 50);
        }
        assert!(reported.borrow().is_empty(), "{:?}", reported.borrow());
    });
    assert_eq!(open_descriptors(), before);
}
