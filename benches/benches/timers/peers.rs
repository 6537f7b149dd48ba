//! The peers' timers.

#[cfg(feature = "calloop")]
pub(crate) use self::calloop::Calloop;
#[cfg(feature = "smol")]
pub(crate) use self::smol::Smol;
#[cfg(feature = "tokio")]
pub(crate) use self::tokio::Tokio;

#[cfg(feature = "tokio")]
mod tokio {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use tokio::runtime::Runtime;
    use tokio::time::{Instant, Sleep, sleep_until};

    use crate::Timers;
    use crate::common::{self, Wakes};

    /// `SOONER`: with a timer that is sooner than those to come, and that the driver knows.
    pub(crate) struct Tokio<const SOONER: bool> {
        runtime: Runtime,
        wakes: Arc<Wakes>,
        waker: Waker,
        made: Instant,
        _sooner: Option<Pin<Box<Sleep>>>,
    }

    impl<const SOONER: bool> Timers for Tokio<SOONER> {
        type Timer = Pin<Box<Sleep>>;

        fn new() -> Self {
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(Arc::clone(&wakes));
            let mut tokio = Tokio {
                runtime: common::tokio(),
                wakes,
                waker,
                made: Instant::now(),
                _sooner: None,
            };
            if SOONER {
                tokio._sooner = Some(tokio.within(|_| {
                    let soon = Instant::now() + Duration::from_millis(100);
                    let mut sleep = Box::pin(sleep_until(soon));
                    let polled = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    assert_eq!(polled, Poll::Pending);
                    sleep
                }));
                tokio.fire();
            }
            tokio
        }

        fn arm(&mut self, after: Duration) -> Pin<Box<Sleep>> {
            let mut sleep = Box::pin(sleep_until(self.made + after));
            if sleep.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
                self.wakes.add();
            }
            sleep
        }

        fn cancel(&mut self, sleep: Pin<Box<Sleep>>) {
            drop(sleep);
        }

        fn fire(&mut self) {
            self.runtime.block_on(tokio::task::yield_now());
        }

        fn within<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
            let handle = self.runtime.handle().clone();
            let _guard = handle.enter();
            work(self)
        }

        fn fired(&self) -> u64 {
            self.wakes.get()
        }
    }
}

#[cfg(feature = "smol")]
mod smol {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};
    use std::time::{Duration, Instant};

    use smol::Timer;

    use crate::Timers;
    use crate::common::Wakes;

    pub(crate) struct Smol {
        wakes: Arc<Wakes>,
        waker: Waker,
        made: Instant,
    }

    impl Timers for Smol {
        type Timer = Pin<Box<Timer>>;

        fn new() -> Smol {
            let wakes = Arc::new(Wakes::default());
            Smol { waker: Waker::from(Arc::clone(&wakes)), made: Instant::now(), wakes }
        }

        fn arm(&mut self, after: Duration) -> Pin<Box<Timer>> {
            let mut timer = Box::pin(Timer::at(self.made + after));
            if timer.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
                self.wakes.add();
            }
            timer
        }

        fn cancel(&mut self, timer: Pin<Box<Timer>>) {
            drop(timer);
        }

        fn fire(&mut self) {
            smol::block_on(smol::future::yield_now());
        }

        fn fired(&self) -> u64 {
            self.wakes.get()
        }
    }
}

#[cfg(feature = "calloop")]
mod calloop {
    use std::time::{Duration, Instant};

    use calloop::timer::{TimeoutAction, Timer};
    use calloop::{EventLoop, RegistrationToken};

    use crate::Timers;
    use crate::common::Counter;

    pub(crate) struct Calloop {
        event_loop: EventLoop<'static, ()>,
        made: Instant,
        fired: Counter,
    }

    impl Timers for Calloop {
        type Timer = RegistrationToken;

        const HAS_MANY: bool = false;

        fn new() -> Calloop {
            Calloop {
                event_loop: EventLoop::try_new().unwrap(),
                made: Instant::now(),
                fired: Counter::default(),
            }
        }

        fn arm(&mut self, after: Duration) -> RegistrationToken {
            let fired = self.fired.clone();
            let callback = move |_, _: &mut (), _: &mut ()| {
                fired.add();
                TimeoutAction::Drop
            };
            self.event_loop
                .handle()
                .insert_source(Timer::from_deadline(self.made + after), callback)
                .unwrap()
        }

        fn cancel(&mut self, timer: RegistrationToken) {
            self.event_loop.handle().remove(timer);
        }

        fn fire(&mut self) {
            self.event_loop.dispatch(Duration::ZERO, &mut ()).unwrap();
        }

        fn fired(&self) -> u64 {
            self.fired.get()
        }
    }
}
