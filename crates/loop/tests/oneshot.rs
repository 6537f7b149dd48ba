//! A one-shot channel gives its value once, whatever is dropped when.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use millrun_loop::oneshot::{Dropped, Receiver, Sender, channel};
use static_assertions::assert_not_impl_any;

assert_not_impl_any!(Sender<u8>: Send, Sync);
assert_not_impl_any!(Receiver<u8>: Send, Sync);

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<T>(receiver: &mut Receiver<T>, waker: &Waker) -> Poll<Result<T, Dropped>> {
    Pin::new(receiver).poll(&mut Context::from_waker(waker))
}

fn counted() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

#[test]
fn a_value_wakes_the_last_who_asked_once() {
    let (first, first_waker) = counted();
    let (second, second_waker) = counted();
    let (sender, mut receiver) = channel();
    assert!(poll(&mut receiver, &first_waker).is_pending());
    assert!(poll(&mut receiver, &second_waker).is_pending());
    sender.send(5).unwrap();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert_eq!(poll(&mut receiver, &second_waker), Poll::Ready(Ok(5)));
}

#[test]
fn a_sender_dropped_says_so() {
    let (count, waker) = counted();
    let (sender, mut receiver) = channel::<u8>();
    assert!(poll(&mut receiver, &waker).is_pending());
    drop(sender);
    assert_eq!(count.wakes(), 1);
    assert_eq!(poll(&mut receiver, &waker), Poll::Ready(Err(Dropped)));
}

#[test]
fn a_value_for_nobody_comes_back() {
    let (sender, receiver) = channel();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send("late"), Err("late"));
}

#[test]
fn close_refuses_what_comes_and_keeps_what_came() {
    let (sender, mut receiver) = channel();
    receiver.close();
    assert_eq!(sender.send(1), Err(1));
    assert_eq!(receiver.try_recv(), Some(Err(Dropped)));

    let (sender, mut receiver) = channel();
    assert_eq!(receiver.try_recv(), None);
    sender.send(2).unwrap();
    receiver.close();
    assert_eq!(receiver.try_recv(), Some(Ok(2)));
    assert_eq!(receiver.try_recv(), Some(Err(Dropped)));
}

#[test]
fn nothing_is_leaked() {
    let value = Rc::new(());
    let (sender, receiver) = channel();
    sender.send(Rc::clone(&value)).unwrap();
    drop(receiver);
    assert_eq!(Rc::strong_count(&value), 1);

    let (count, waker) = counted();
    let (sender, mut receiver) = channel::<u8>();
    assert!(poll(&mut receiver, &waker).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 2);
    drop(receiver);
    assert_eq!(Arc::strong_count(&count), 1, "the waker outlived who waited");
    drop(sender);
    assert_eq!(count.wakes(), 0);
}

/// The waker of an earlier poll may send when it is dropped: the new one must hear of it.
#[test]
fn a_value_sent_by_the_drop_of_the_waker_before_wakes_the_new_one() {
    thread_local! {
        static SENDER: RefCell<Option<Sender<u8>>> = const { RefCell::new(None) };
    }
    struct SendsOnDrop;
    impl Wake for SendsOnDrop {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for SendsOnDrop {
        fn drop(&mut self) {
            SENDER.take().unwrap().send(7).unwrap();
        }
    }
    let (sender, mut receiver) = channel();
    SENDER.set(Some(sender));
    let first = Waker::from(Arc::new(SendsOnDrop));
    assert!(poll(&mut receiver, &first).is_pending());
    drop(first);
    let (count, second) = counted();
    assert!(poll(&mut receiver, &second).is_pending());
    assert_eq!(count.wakes(), 1);
    assert_eq!(poll(&mut receiver, &second), Poll::Ready(Ok(7)));
}
