//! Readers and writers of descriptors: section 5 of docs/behaviours.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use common::{Call, Log, Script, log_reports};
use millrun_loop::{DescriptorInUse, EventLoop, Handle, LoopClosed, LoopHandle, Watch, catch};
use millrun_selector::{Foreign, Interest, Key, Readiness, ReadyCell, Source};

/// A loop over a script, and a descriptor that only has to have a number.
struct Bench {
    script: Rc<Script>,
    event_loop: EventLoop,
    handle: LoopHandle,
    log: Log,
    fd: Rc<UnixStream>,
    _peer: UnixStream,
}

impl Bench {
    fn new() -> Bench {
        let script = Script::new();
        let event_loop = script.build();
        let (fd, _peer) = UnixStream::pair().unwrap();
        let (handle, fd) = (event_loop.handle(), Rc::new(fd));
        Bench { script, event_loop, handle, log: Log::default(), fd, _peer }
    }

    fn note(&self, what: &str) -> impl FnMut() + 'static + use<> {
        let (log, what) = (Rc::clone(&self.log), what.to_owned());
        move || log.borrow_mut().push(what.clone())
    }

    fn reader(&self, what: &str) -> Handle {
        self.handle.add_reader(&*self.fd, self.note(what)).unwrap()
    }

    fn writer(&self, what: &str) -> Handle {
        self.handle.add_writer(&*self.fd, self.note(what)).unwrap()
    }

    fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// One turn in which the descriptor is ready for both.
    fn turn_ready(&mut self) {
        self.script.report(&[(self.script.last_key(), Readiness::READABLE | Readiness::WRITABLE)]);
        self.event_loop.turn(None).unwrap();
    }

    fn take_log(&self) -> Vec<String> {
        self.log.take()
    }
}

#[test]
fn l_080_l_083_one_registration_serves_both_directions() {
    let bench = Bench::new();
    bench.reader("r");
    let key = bench.script.last_key();
    bench.writer("w");
    assert_eq!(
        bench.script.take_calls(),
        [Call::Register(bench.raw(), Interest::READ), Call::SetInterest(key, Interest::BOTH)]
    );
    assert!(bench.handle.remove_reader(&*bench.fd));
    assert!(!bench.handle.remove_reader(&*bench.fd));
    bench.reader("r");
    assert!(bench.handle.remove_writer(&*bench.fd));
    assert!(bench.handle.remove_reader(&*bench.fd));
    assert!(!bench.handle.remove_writer(&*bench.fd));
    assert_eq!(
        bench.script.take_calls(),
        [
            Call::SetInterest(key, Interest::WRITE),
            Call::SetInterest(key, Interest::BOTH),
            Call::SetInterest(key, Interest::READ),
            Call::Deregister(key),
        ]
    );
    assert_eq!(bench.handle.metrics().watches, 0);
}

#[test]
fn l_081_a_second_reader_replaces_and_cancels_the_first() {
    let mut bench = Bench::new();
    let first = bench.reader("first");
    let key = bench.script.last_key();
    bench.script.take_calls();
    let second = bench.reader("second");
    assert!(first.is_cancelled() && !second.is_cancelled());
    // Nothing changes for the kernel, but it is asked: the number may be another file's by now.
    assert_eq!(bench.script.take_calls(), [Call::SetInterest(key, Interest::READ)]);
    bench.turn_ready();
    bench.turn_ready();
    assert_eq!(bench.take_log(), ["second", "second"]);
}

#[test]
fn l_082_removing_cancels_the_handle_and_drops_the_callback() {
    let bench = Bench::new();
    let captured = Rc::new(());
    let held = Rc::clone(&captured);
    let reader = bench.handle.add_reader(&*bench.fd, move || drop(Rc::clone(&held))).unwrap();
    assert!(bench.handle.remove_reader(&*bench.fd));
    assert!(reader.is_cancelled());
    assert_eq!(Rc::strong_count(&captured), 1);
}

#[test]
fn l_084_an_event_for_a_cancelled_handle_removes_the_registration() {
    let mut bench = Bench::new();
    let (reader, writer) = (bench.reader("r"), bench.writer("w"));
    let key = bench.script.last_key();
    reader.cancel();
    bench.script.take_calls();
    bench.turn_ready();
    assert_eq!(bench.take_log(), ["w"]);
    assert_eq!(bench.script.take_calls()[1..], [Call::SetInterest(key, Interest::WRITE)]);
    writer.cancel();
    bench.turn_ready();
    assert_eq!(bench.script.take_calls()[1..], [Call::Deregister(key)]);
    assert!(bench.take_log().is_empty());
    assert!(!bench.handle.remove_reader(&*bench.fd) && !bench.handle.remove_writer(&*bench.fd));
}

#[test]
fn l_085_the_reader_runs_before_the_writer() {
    let mut bench = Bench::new();
    bench.writer("w");
    bench.reader("r");
    bench.turn_ready();
    assert_eq!(bench.take_log(), ["r", "w"]);
}

#[test]
fn l_086_on_a_closed_loop_removing_is_false_and_adding_an_error() {
    let mut bench = Bench::new();
    let reader = bench.reader("r");
    bench.event_loop.close();
    assert!(!bench.handle.remove_reader(&*bench.fd) && !bench.handle.remove_writer(&*bench.fd));
    drop(reader);
    let error = bench.handle.add_reader(&*bench.fd, || ()).unwrap_err();
    assert!(error.get_ref().unwrap().is::<LoopClosed>());
    assert_eq!(Rc::strong_count(&bench.log), 1, "the callback was dropped with the loop");
}

/// A socket of ours, as a transport has it.
#[derive(Debug)]
struct Owned(UnixStream, Rc<ReadyCell>);

impl Source for Owned {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        Some(&self.1)
    }
}

struct Silent;

impl Watch for Silent {
    fn on_ready(self: Rc<Self>, _: Readiness) {}
}

#[test]
fn l_087_a_descriptor_of_a_transport_is_refused_by_number() {
    let bench = Bench::new();
    let socket = Owned(bench.fd.try_clone().unwrap(), Rc::default());
    let key = bench.handle.watch(&socket, Interest::READ, Rc::new(Silent)).unwrap();
    for result in
        [bench.handle.add_reader(&socket.0, || ()), bench.handle.add_writer(&socket.0, || ())]
    {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        let fd = socket.0.as_raw_fd();
        let inner = error.get_ref().unwrap().downcast_ref::<DescriptorInUse>();
        assert_eq!(inner, Some(&DescriptorInUse { fd }));
        assert!(error.to_string().contains(&fd.to_string()), "{error}");
    }
    assert!(!bench.handle.remove_reader(&socket.0) && !bench.handle.remove_writer(&socket.0));
    assert_eq!(bench.handle.metrics().watches, 1, "the transport's is not touched");
    bench.handle.unwatch(key, &socket).unwrap();
    bench.handle.add_reader(&socket.0, || ()).unwrap();
}

#[test]
fn l_089_a_removed_or_replaced_reader_whose_event_is_queued_is_not_called() {
    let mut bench = Bench::new();
    bench.reader("old reader");
    bench.writer("old writer");
    let (handle, new_reader) = (bench.handle.clone(), bench.note("new reader"));
    let fd = Rc::clone(&bench.fd);
    // Queued before the event, so it runs between the event and its delivery.
    bench
        .handle
        .call_soon(move || {
            assert!(handle.remove_writer(&*fd));
            handle.add_reader(&*fd, new_reader).unwrap();
        })
        .unwrap();
    bench.turn_ready();
    assert!(bench.take_log().is_empty(), "neither the old ones nor, for their event, the new one");
    bench.turn_ready();
    assert_eq!(bench.take_log(), ["new reader"]);
}

#[test]
fn l_089_a_reader_that_removes_the_writer_of_the_same_event() {
    let mut bench = Bench::new();
    let fd = Rc::new(bench.fd.try_clone().unwrap());
    let (handle, inner, log) = (bench.handle.clone(), Rc::clone(&fd), Rc::clone(&bench.log));
    bench
        .handle
        .add_reader(&*fd, move || {
            log.borrow_mut().push("r".into());
            // Both directions end, the reader's from inside itself.
            assert_eq!(handle.remove_writer(&*inner), handle.remove_reader(&*inner));
        })
        .unwrap();
    bench.handle.add_writer(&*fd, bench.note("w")).unwrap();
    bench.turn_ready();
    bench.turn_ready();
    assert_eq!(bench.take_log(), ["r"]);
    assert_eq!(bench.handle.metrics().reports, 0);
    assert_eq!(Rc::strong_count(&fd), 1, "the reader is dropped");
}

#[test]
fn a_reader_that_panics_is_reported_and_stays_and_the_writer_runs() {
    let mut bench = Bench::new();
    let reports = log_reports(&bench.handle);
    bench.handle.add_reader(&*bench.fd, || panic!("reader")).unwrap();
    bench.writer("w");
    bench.turn_ready();
    bench.turn_ready();
    assert_eq!(bench.take_log(), ["w", "w"]);
    assert_eq!(reports.borrow().len(), 2);
    assert!(reports.borrow()[0].ends_with("|reader"));
}

/// SEL-008: what the kernel refuses is deregistered; the number belongs to another file by now.
#[test]
fn a_number_that_was_closed_and_given_away_is_registered_anew() {
    let mut bench = Bench::new();
    let stale = bench.reader("stale");
    let first = bench.script.last_key();
    bench.script.refuse(io::ErrorKind::NotFound);
    bench.writer("fresh");
    assert!(stale.is_cancelled());
    assert_eq!(
        bench.script.take_calls()[1..],
        [Call::SetInterest(first, Interest::BOTH), Call::Register(bench.raw(), Interest::WRITE)]
    );
    assert_eq!(bench.handle.metrics().watches, 1);
    bench.turn_ready();
    assert_eq!(bench.take_log(), ["fresh"]);
}

/// An event for a place that has another tenant by now.
#[test]
fn an_event_with_an_old_key_reaches_nobody() {
    let mut bench = Bench::new();
    bench.reader("r");
    let key = bench.script.last_key();
    let stale = Key { index: key.index, generation: key.generation - 1 };
    bench.script.report(&[(stale, Readiness::READABLE)]);
    bench.event_loop.turn(None).unwrap();
    assert!(bench.take_log().is_empty());
    let error = bench.handle.set_interest(stale, Interest::NONE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// What is queued and not wanted any more is not delivered; what still is, cut down to it.
#[test]
fn interest_is_looked_at_again_when_the_event_is_delivered() {
    struct Notes(Log);
    impl Watch for Notes {
        fn on_ready(self: Rc<Self>, readiness: Readiness) {
            self.0.borrow_mut().push(format!("{readiness:?}"));
        }
    }
    let mut bench = Bench::new();
    let socket = Owned(bench.fd.try_clone().unwrap(), Rc::default());
    let watch = Rc::new(Notes(Rc::clone(&bench.log)));
    let key = bench.handle.watch(&socket, Interest::BOTH, watch).unwrap();
    for interest in [Interest::READ, Interest::NONE] {
        let handle = bench.handle.clone();
        bench.handle.call_soon(move || handle.set_interest(key, interest).unwrap()).unwrap();
        bench.turn_ready();
    }
    assert_eq!(bench.take_log(), ["READABLE"]);
    bench.script.take_calls();
    bench.handle.set_interest(key, Interest::NONE).unwrap();
    assert_eq!(bench.script.take_calls(), [], "nothing changed");
}

#[cfg(feature = "os")]
mod real {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn l_088_the_callback_comes_again_for_as_long_as_it_is_readable() {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let (left, mut right) = UnixStream::pair().unwrap();
        right.write_all(b"abc").unwrap();
        let left = Rc::new(left);
        let (reader, inner, read) = (Rc::clone(&left), handle.clone(), Log::default());
        let into = Rc::clone(&read);
        let callback = move || {
            let mut byte = [0];
            (&*reader).read_exact(&mut byte).unwrap();
            into.borrow_mut().push((byte[0] as char).to_string());
            if byte == *b"c" {
                assert!(inner.remove_reader(&*reader));
                inner.stop();
            }
        };
        handle.add_reader(&*left, callback).unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(*read.borrow(), ["a", "b", "c"]);
        assert_eq!((handle.metrics().io_events, handle.metrics().watches), (3, 0));
    }

    #[test]
    fn l_083_a_writer_is_called_when_there_is_room() {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let (left, _right) = UnixStream::pair().unwrap();
        let inner = handle.clone();
        handle.add_writer(&left, move || inner.stop()).unwrap();
        event_loop.run_forever().unwrap();
        assert!(handle.remove_writer(&left));
    }

    /// epoll refuses a regular file: the callback is dropped, and nothing is left behind.
    #[cfg(target_os = "linux")]
    #[test]
    fn l_080_what_the_kernel_refuses_is_not_registered() {
        let event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let captured = Rc::new(());
        let held = Rc::clone(&captured);
        let error = handle.add_reader(&file, move || drop(Rc::clone(&held))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!((handle.metrics().watches, Rc::strong_count(&captured)), (0, 1));
        assert!(!handle.remove_reader(&file));
    }
}

/// A watch whose end is seen: it is dropped, and fails at that.
struct Fragile(Rc<Script>);

impl Watch for Fragile {
    fn on_ready(self: Rc<Self>, _: Readiness) {}
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(matches!(self.0.take_calls()[..], [.., Call::Deregister(_)]), "still registered");
        panic!("a watch that fails when it is dropped");
    }
}

/// Its drop is a stranger's code, which must find the registration gone, and must not keep it by a panic.
#[test]
fn a_watch_is_out_of_the_selector_before_it_is_dropped() {
    let bench = Bench::new();
    let source = Foreign::new(&*bench.fd);
    let watch = Rc::new(Fragile(Rc::clone(&bench.script)));
    let key = bench.handle.watch(&source, Interest::READ, watch).unwrap();
    let panic = catch(|| bench.handle.unwatch(key, &source)).unwrap_err();
    assert_eq!(panic.text(), "a watch that fails when it is dropped");
    assert_eq!(bench.handle.metrics().watches, 0);
}
