//! The selector's contract on the simulated kernel: level above, edges below.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::{Event, Interest, Key, Readiness, ReadyCell, Socket, Source};
use millrun_sim::{Call, Failure, ForeignSource, Sim};
use support::{connected, kind, listen, look, ms, read, ready, watch};

const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;

/// A source that is not a simulated socket.
#[derive(Debug)]
struct Other {
    fd: Option<File>,
    cell: Option<Rc<ReadyCell>>,
}

impl Source for Other {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        self.cell.as_ref()
    }
}

#[test]
fn sel_001_a_second_registration_is_refused_and_the_first_stays() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let (mut selector, mut other) = (sim.selector(), sim.selector());
    let key = watch(&mut *selector, &*a, Interest::READ);
    assert_eq!(kind(selector.register(&a, Interest::BOTH)), ErrorKind::AlreadyExists);
    assert_eq!(kind(other.register(&a, Interest::BOTH)), ErrorKind::AlreadyExists);
    b.try_write(b"x").unwrap();
    assert_eq!(ready(&mut *selector, key), READABLE);
    assert_eq!(sim.registrations(), 1);
}

/// SEL-004, SEL-006: also when the place has a new tenant.
#[test]
fn sel_004_an_old_key_names_nothing() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let old = watch(&mut *selector, &*a, Interest::READ);
    b.try_write(b"in flight").unwrap();
    selector.deregister(old, &a).unwrap();
    assert_eq!(look(&mut *selector), []);
    let new = watch(&mut *selector, &*b, Interest::READ);
    assert_eq!((old.index, look(&mut *selector)), (new.index, vec![]));
    assert_ne!(old.generation, new.generation);
    for key in [old, Key { index: 99, generation: 0 }] {
        assert_eq!(kind(selector.set_interest(key, Interest::READ)), ErrorKind::NotFound);
        assert_eq!(kind(selector.deregister(key, &a)), ErrorKind::NotFound);
    }
    let error = selector.deregister(new, &a).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "the key of another source: {error}");
    assert_eq!(sim.registrations(), 1);
}

#[test]
fn sel_007_a_change_of_interest_is_no_call() {
    let sim = Sim::new(1);
    let (a, _b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::NONE);
    let before = sim.counters();
    for interest in [Interest::BOTH, Interest::NONE, Interest::WRITE] {
        selector.set_interest(key, interest).unwrap();
    }
    assert_eq!(sim.counters(), before);
    assert_eq!(ready(&mut *selector, key), WRITABLE);
}

#[test]
fn sel_009_a_refused_source_leaves_nothing_behind() {
    let sim = Sim::new(1);
    let mut selector = sim.selector();
    let file = || Some(File::open("/dev/null").unwrap());
    let cell = Some(Rc::new(ReadyCell::new()));
    for foreign in [
        Other { fd: file(), cell: None },
        Other { fd: file(), cell },
        Other { fd: None, cell: None },
    ] {
        let error = selector.register(&foreign, Interest::READ).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<ForeignSource>()).unwrap();
        assert!(inner.to_string().contains("simulated sockets only"), "{inner}");
    }
    let (a, _b) = sim.pair();
    sim.fail_next(Call::Register, 1);
    assert_eq!(selector.register(&a, Interest::READ).unwrap_err().raw_os_error(), Some(1));
    assert_eq!(sim.registrations(), 0);
    watch(&mut *selector, &*a, Interest::READ);
}

#[test]
fn sel_010_what_is_ready_is_reported_until_it_is_read() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::READ);
    assert_eq!(look(&mut *selector), []);
    b.try_write(b"0123456789").unwrap();
    for _ in 0..3 {
        assert_eq!(ready(&mut *selector, key), READABLE);
    }
    // A full read says nothing about the rest, so the bit stays; a short one clears it.
    assert_eq!(read(&*a, 5).unwrap(), b"01234");
    assert_eq!(ready(&mut *selector, key), READABLE);
    assert_eq!(read(&*a, 6).unwrap(), b"56789");
    assert_eq!(look(&mut *selector), []);
    b.try_write(b"more").unwrap();
    assert_eq!(ready(&mut *selector, key), READABLE);
}

/// What makes a careless transport hang: no edge comes for what was there already.
#[test]
fn sel_010_below_there_are_edges_only() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::READ);
    b.try_write(b"0123456789").unwrap();
    assert_eq!(ready(&mut *selector, key), READABLE);
    a.readiness().unwrap().clear_readable(); // as if its bytes had been read
    assert_eq!(look(&mut *selector), [], "ten bytes wait, and no edge tells of them again");
    b.try_write(b"!").unwrap();
    assert_eq!(ready(&mut *selector, key), READABLE, "the next change does");
}

#[test]
fn sel_010_writable_until_the_kernel_is_full_and_again_when_there_is_room() {
    let sim = Sim::new(1);
    sim.set_buffers(4, 4);
    let (a, b) = sim.tcp_pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::WRITE);
    assert_eq!(ready(&mut *selector, key), WRITABLE);
    assert_eq!(a.try_write(b"0123").unwrap(), 4);
    assert_eq!(a.try_write(b"4567").unwrap(), 4);
    assert_eq!(ready(&mut *selector, key), WRITABLE, "a full transfer says nothing");
    assert_eq!(kind(a.try_write(b"8")), ErrorKind::WouldBlock);
    assert_eq!(look(&mut *selector), []);
    assert_eq!(read(&*b, 1).unwrap(), b"0");
    assert_eq!(ready(&mut *selector, key), WRITABLE);
    assert_eq!(a.try_write(b"89").unwrap(), 1, "short");
    assert_eq!(look(&mut *selector), []);
}

/// SEL-011: cut down to the interest; SEL-015: in one report.
#[test]
fn sel_011_a_reset_is_reported_to_readers_and_to_writers() {
    for (interest, reads, writes) in [
        (Interest::READ, true, false),
        (Interest::WRITE, false, true),
        (Interest::BOTH, true, true),
    ] {
        let sim = Sim::new(1);
        let (a, peer) = sim.scripted();
        let mut selector = sim.selector();
        let key = watch(&mut *selector, &*a, interest);
        look(&mut *selector);
        peer.reset();
        let events = look(&mut *selector);
        let [Event { key: found, readiness }] = events[..] else { panic!("{events:?}") };
        assert_eq!((found, readiness.is_error()), (key, true));
        assert_eq!(readiness.contains(READABLE), reads);
        assert_eq!(readiness.contains(WRITABLE), writes);
        assert_eq!(readiness.is_read_closed(), reads);
        assert_eq!(readiness.is_write_closed(), writes);
        selector.set_interest(key, Interest::NONE).unwrap();
        assert_eq!(look(&mut *selector), [], "no interest is silence");
    }
}

#[test]
fn sel_011_the_end_of_file_behind_a_short_read_is_not_lost() {
    let sim = Sim::new(1);
    let (a, peer) = sim.scripted();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::READ);
    peer.send("bytes");
    peer.send_eof();
    assert!(ready(&mut *selector, key).is_read_closed());
    assert_eq!(read(&*a, 64).unwrap(), b"bytes");
    for _ in 0..3 {
        assert!(ready(&mut *selector, key).is_readable(), "the closed bit is final");
        assert_eq!(read(&*a, 64).unwrap(), b"");
    }
}

/// SEL-012, SEL-014: a wait passes without passing; zero only looks.
#[test]
fn sel_012_a_timeout_is_waited_out_on_the_virtual_clock() {
    let sim = Sim::new(1);
    let mut selector = sim.selector();
    let mut events = Vec::new();
    selector.select(Some(ms(90)), &mut events).unwrap();
    selector.select(Some(Duration::from_nanos(1)), &mut events).unwrap();
    selector.select(Some(Duration::ZERO), &mut events).unwrap();
    assert_eq!((sim.now().as_nanos(), events), (90_000_001, vec![]));
}

#[test]
fn sel_012_what_is_ready_costs_no_time() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::READ);
    b.try_write(b"x").unwrap();
    let mut events = Vec::new();
    selector.select(Some(ms(90)), &mut events).unwrap();
    assert_eq!((events[0].key, sim.now().as_nanos()), (key, 0));
}

#[test]
fn sel_015_both_directions_are_one_event_added_to_the_others() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::BOTH);
    b.try_write(b"x").unwrap();
    let kept = Event { key: Key { index: 7, generation: 7 }, readiness: READABLE };
    let mut events = vec![kept];
    selector.select(support::NOW, &mut events).unwrap();
    assert_eq!(events, [kept, Event { key, readiness: READABLE | WRITABLE }]);
}

#[test]
fn a_listener_is_readable_while_somebody_waits() {
    let sim = Sim::new(1);
    let listener = listen(&sim, "127.0.0.1:80");
    let mut selector = sim.selector();
    let key = selector.register(&listener, Interest::READ).unwrap();
    assert_eq!(look(&mut *selector), []);
    let _clients = [support::connect(&sim, "127.0.0.1:80"), support::connect(&sim, "127.0.0.1:80")];
    for _ in 0..2 {
        assert_eq!(ready(&mut *selector, key), READABLE);
        listener.try_accept().unwrap();
    }
    assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(look(&mut *selector), []);
}

#[test]
fn a_source_of_the_tests_own_is_believed() {
    let sim = Sim::new(1);
    let own = Other { fd: None, cell: Some(Rc::default()) };
    let mut selector = sim.selector();
    let key = selector.register(&own, Interest::READ).unwrap();
    assert_eq!(look(&mut *selector), []);
    own.readiness().unwrap().set(READABLE);
    assert_eq!(ready(&mut *selector, key), READABLE);
    selector.deregister(key, &own).unwrap();
}

#[test]
fn a_socket_can_move_to_another_selector() {
    let sim = Sim::new(1);
    let (client, server) = connected(&sim);
    let (mut first, mut second) = (sim.selector(), sim.selector());
    let key = watch(&mut *first, &*client, Interest::READ);
    drop(first);
    assert_eq!(sim.registrations(), 0);
    assert_eq!(key, watch(&mut *second, &*client, Interest::READ));
    server.try_write(b"x").unwrap();
    assert_eq!(ready(&mut *second, key), READABLE);
}

#[test]
fn leaks_can_be_counted() {
    let sim = Sim::new(1);
    let (client, server) = connected(&sim);
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*client, Interest::READ);
    assert_eq!((sim.open_sockets(), sim.registrations()), (2, 1));
    drop(server);
    assert_eq!(sim.open_sockets(), 1);
    selector.deregister(key, &client).unwrap();
    drop(client);
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
    let counters = sim.counters();
    assert_eq!((counters.registers, counters.deregisters), (1, 1));
}

#[test]
fn the_error_number_is_this_platforms() {
    let sim = Sim::new(1);
    let (a, _b) = sim.pair();
    assert_eq!(read(&*a, 1).unwrap_err().raw_os_error(), Failure::EAGAIN.to_error().raw_os_error(),);
    fn is_object_safe(_: &dyn Socket) {}
    is_object_safe(&*a);
}

/// What a select looks at is kept in a list: whatever changes a report has to be seen in it.
#[test]
fn what_was_not_wanted_is_reported_when_it_is() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::NONE);
    b.try_write(b"x").unwrap();
    assert_eq!(look(&mut *selector), []);
    selector.set_interest(key, Interest::READ).unwrap();
    assert_eq!(ready(&mut *selector, key), READABLE);
    selector.set_interest(key, Interest::NONE).unwrap();
    assert_eq!(look(&mut *selector), []);
    selector.set_interest(key, Interest::BOTH).unwrap();
    assert_eq!(ready(&mut *selector, key), READABLE | WRITABLE);
}

#[test]
fn a_place_that_was_left_and_taken_again_is_reported_once() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let old = watch(&mut *selector, &*a, Interest::WRITE);
    assert_eq!(look(&mut *selector).len(), 1);
    selector.deregister(old, &a).unwrap();
    let new = watch(&mut *selector, &*b, Interest::WRITE);
    assert_eq!(old.index, new.index);
    assert_eq!(look(&mut *selector), [Event { key: new, readiness: WRITABLE }]);
}

#[test]
fn of_many_those_that_are_ready_are_reported_by_place() {
    let sim = Sim::new(1);
    let mut selector = sim.selector();
    let pairs: Vec<_> = (0..200).map(|_| sim.pair()).collect();
    let keys: Vec<_> =
        pairs.iter().map(|(a, _)| watch(&mut *selector, &**a, Interest::READ)).collect();
    assert_eq!(look(&mut *selector), []);
    for place in [7, 150, 3] {
        pairs[place].1.try_write(b"x").unwrap();
    }
    let places: Vec<_> = look(&mut *selector).iter().map(|event| event.key).collect();
    assert_eq!(places, [keys[3], keys[7], keys[150]], "by place, as before");
    read(&*pairs[7].0, 9).unwrap();
    assert_eq!(look(&mut *selector).len(), 2);
}
