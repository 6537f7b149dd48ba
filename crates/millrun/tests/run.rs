//! `millrun::run`: what it gives, and what becomes of what still runs when it returns.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "os", feature = "streams"))]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun::transport::{Connect, Protocol, Transport};
use millrun::{LoopHandle, open_connection, sleep, spawn, start_server, yield_now};

/// Says when it is dropped, and whether a loop could still be called then.
struct Falls(Rc<Cell<u32>>);

impl Drop for Falls {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn run_gives_what_main_gives() {
    let borrowed = String::from("main may borrow");
    assert_eq!(millrun::run(async { borrowed.len() }).unwrap(), 15);
    assert!(LoopHandle::current().is_err(), "the loop is gone with it");
}

#[test]
fn a_task_still_running_is_dropped_at_its_await_and_never_polled_again() {
    let (fallen, went_on) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (falls, flag) = (Falls(fallen.clone()), went_on.clone());
    millrun::run(async {
        drop(spawn(async move {
            let _falls = falls;
            sleep(Duration::from_secs(3600)).await;
            flag.set(true);
        }));
        yield_now().await;
        assert_eq!(fallen.get(), 0, "it runs while main does");
    })
    .unwrap();
    assert_eq!((fallen.get(), went_on.get()), (1, false));
}

#[test]
fn a_task_that_was_never_polled_is_dropped_too() {
    let fallen = Rc::new(Cell::new(0));
    let falls = Falls(fallen.clone());
    millrun::run(async move {
        drop(spawn(async move {
            let _falls = falls;
            pending::<()>().await;
        }));
    })
    .unwrap();
    assert_eq!(fallen.get(), 1);
}

#[test]
fn a_task_that_spawns_while_it_is_dropped_harms_nothing() {
    struct Spawns;
    impl Drop for Spawns {
        fn drop(&mut self) {
            drop(spawn(pending::<()>()));
        }
    }
    millrun::run(async {
        drop(spawn(async {
            let _spawns = Spawns;
            pending::<()>().await;
        }));
        yield_now().await;
    })
    .unwrap();
}

#[test]
fn every_live_connection_hears_connection_lost_before_the_tasks_go() {
    struct Notes(Rc<RefCell<Vec<&'static str>>>);
    impl Protocol for Notes {
        fn connection_made(&mut self, _: Rc<dyn Transport>) {
            self.0.borrow_mut().push("made");
        }
        fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn connection_lost(&mut self, _: Option<io::Error>) {
            self.0.borrow_mut().push("lost");
        }
    }
    struct Notice(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Notice {
        fn drop(&mut self) {
            self.0.borrow_mut().push("task dropped");
        }
    }
    let heard = Rc::new(RefCell::new(Vec::new()));
    millrun::run(async {
        let server = start_server("127.0.0.1", 0, async |_r, _w| pending::<()>().await);
        let server = server.await.unwrap();
        let notice = Notice(heard.clone());
        drop(spawn(async move {
            let _notice = notice;
            pending::<()>().await;
        }));
        let handle = LoopHandle::current().unwrap();
        let notes = heard.clone();
        let address = server.local_addrs()[0].clone();
        Connect::address(address).connect(&handle, || Notes(notes)).await.unwrap();
    })
    .unwrap();
    assert_eq!(*heard.borrow(), ["made", "lost", "task dropped"]);
}

#[test]
fn what_was_closed_and_awaited_arrives_though_the_loop_is_gone() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    millrun::run(async {
        let (_reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
        writer.write(&[7; 100_000]).unwrap();
        writer.close().await.unwrap();
    })
    .unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut all = Vec::new();
    io::Read::read_to_end(&mut peer, &mut all).unwrap();
    assert!(all.len() == 100_000 && all.iter().all(|&b| b == 7));
}

#[test]
fn a_panic_of_main_goes_through_and_the_next_run_works() {
    let caught = std::panic::catch_unwind(|| millrun::run(async { panic!("main fell") }));
    let payload = caught.expect_err("the panic of main reaches the caller of run");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"main fell"));
    assert_eq!(millrun::run(async { 5 }).unwrap(), 5);
}

#[test]
fn run_inside_run_is_an_error_and_the_first_goes_on() {
    millrun::run(async {
        let inner = millrun::run(async { 1 });
        assert!(inner.unwrap_err().to_string().contains("running"), "says what is wrong");
        sleep(Duration::from_millis(1)).await;
    })
    .unwrap();
}
