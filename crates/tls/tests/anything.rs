//! Whatever is called, from wherever and in whatever order: every byte arrives, and each end is told once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::{Certificates, NAME, reports, run_on, settle};
use millrun_loop::{LoopHandle, sleep};
use millrun_sim::{Faults, Sim};
use millrun_tls::{ClientConfig, TlsInfo};
use millrun_transport::{Connect, Flow, Landing, Protocol, Transport, Watermarks};

/// One end: a die, what it has sent and received (the bytes count up), and what it was told.
#[derive(Default)]
struct Side {
    t: RefCell<Option<Rc<dyn Transport>>>,
    rng: Cell<u64>,
    sent: Cell<u64>,
    got: Cell<u64>,
    events: RefCell<Vec<String>>,
    /// It does nothing by itself any more.
    quiet: Cell<bool>,
    /// The last signal was a pause.
    paused: Cell<bool>,
}

impl Side {
    /// Below `n`.
    fn r(&self, n: u64) -> u64 {
        let mut x = self.rng.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.rng.set(x);
        x % n
    }

    fn t(&self) -> Rc<dyn Transport> {
        self.t.borrow().clone().unwrap()
    }

    fn write(&self) {
        if self.sent.get() > 1_500_000 {
            return;
        }
        let n = [0u64, 1, 100, 4096, 16384, 16384, 32768, 50000][self.r(8) as usize];
        let s = self.sent.get();
        let v: Vec<u8> = (s..s + n).map(|i| (i % 251) as u8).collect();
        let f = match self.r(3) {
            0 => self.t().write(&v),
            1 => self.t().write_bytes(v.into()),
            _ => {
                let m = v.len() / 3;
                self.t().writelines(&[&v[..m], &v[m..]])
            }
        };
        assert_ne!(f, Flow::Closed);
        self.sent.set(s + n);
    }

    /// Calls some methods of the transport.
    fn poke(self: &Rc<Self>) {
        if self.quiet.get() {
            return;
        }
        let t = self.t();
        for _ in 0..self.r(4) {
            match self.r(13) {
                0..=2 => self.write(),
                3 => t.flush(),
                4 => t.pause_reading(),
                5 | 6 => t.resume_reading(),
                7 => {
                    let h = [0usize, 100, 20_000, 500_000][self.r(4) as usize];
                    t.set_write_buffer_limits(Watermarks::from_high(h)).unwrap()
                }
                8 => t.set_gathering(self.r(2) == 0),
                9 => {
                    let _ = (
                        format!("{t:?}"),
                        t.extension(TypeId::of::<TlsInfo>()),
                        t.can_write_eof(),
                        t.write_buffer_size(),
                        t.is_reading(),
                        t.is_closing(),
                        t.close_outcome(),
                        t.peer_addr(),
                    );
                }
                10 => {
                    self.paused.set(false);
                    t.set_protocol(Box::new(P(
                        self.clone(),
                        vec![0; [1000, 4096, 8192, 16384][self.r(4) as usize]],
                        self.r(3),
                    )))
                }
                11 => t.set_close_timeout(Duration::from_secs(5)),
                _ => {}
            }
        }
    }
}

/// Its protocol, with memory of its own, and where bytes shall land.
struct P(Rc<Side>, Vec<u8>, u64);

impl Protocol for P {
    fn connection_made(&mut self, t: Rc<dyn Transport>) {
        self.0.t.replace(Some(t));
        self.0.events.borrow_mut().push("made".into());
        self.0.poke();
    }
    fn landing(&mut self) -> Landing<'_> {
        if self.0.r(4) == 0 {
            let s = self.0.clone();
            s.poke();
        }
        match self.2 {
            0 => Landing::Own(&mut self.1),
            1 => Landing::Shared(self.1.len()),
            _ => Landing::Shared(usize::MAX),
        }
    }
    fn landed(&mut self, n: usize) -> io::Result<()> {
        let v = self.1[..n].to_vec();
        self.take(&v);
        Ok(())
    }
    fn data_received(&mut self, d: &[u8]) -> io::Result<()> {
        self.take(d);
        Ok(())
    }
    fn eof_received(&mut self) -> bool {
        self.0.events.borrow_mut().push("eof".into());
        self.0.quiet.get()
    }
    fn connection_lost(&mut self, e: Option<io::Error>) {
        self.0.events.borrow_mut().push(match e {
            None => "lost".into(),
            Some(e) => format!("lost {e:?}"),
        });
    }
    fn pause_writing(&mut self) {
        assert!(!self.0.paused.replace(true));
        self.0.poke();
    }
    fn resume_writing(&mut self) {
        assert!(self.0.paused.replace(false));
        self.0.poke();
    }
}

impl P {
    fn take(&mut self, d: &[u8]) {
        let g = self.0.got.get();
        for (i, b) in d.iter().enumerate() {
            assert_eq!(*b, ((g + i as u64) % 251) as u8, "at {}", g + i as u64);
        }
        self.0.got.set(g + d.len() as u64);
        self.0.poke();
    }
}

/// Both ends of a TLS connection, whose every call and callback pokes.
struct Both {
    seed: u64,
    near: Rc<Side>,
    far: Rc<Side>,
}

impl Both {
    async fn connect(sim: &Sim, seed: u64) -> Both {
        let certificates = Certificates::new();
        let handle = LoopHandle::current().unwrap();
        let both = Both { seed, near: Rc::default(), far: Rc::default() };
        both.near.rng.set(seed * 7919 + 1);
        both.far.rng.set(seed * 104_729 + 3);
        let builder = ClientConfig::builder().root_certificates(certificates.root.as_bytes());
        let client = if seed % 4 == 1 { builder.only_tls12() } else { builder }.build().unwrap();
        let (a, b) = sim.tcp_pair();
        let far = both.far.clone();
        let serving = Connect::socket(b)
            .layer(Rc::new(certificates.server_config()))
            .connect(&handle, move || P(far, vec![0; 4096], 1));
        let serving = handle.spawn(serving);
        let near = both.near.clone();
        let connecting = Connect::socket(a).tls(&client, NAME);
        connecting.connect(&handle, move || P(near, vec![0; 16384], 0)).await.unwrap();
        serving.await.unwrap().unwrap();
        both
    }

    fn have_all(&self) -> bool {
        let (near, far) = (&self.near, &self.far);
        near.got.get() == far.sent.get() && far.got.get() == near.sent.get()
    }

    /// Until something ended that should not have.
    async fn poke(&self) {
        for _ in 0..3000 {
            self.near.poke();
            self.far.poke();
            settle().await;
            if self.near.events.borrow().len() > 1 || self.far.events.borrow().len() > 1 {
                break;
            }
        }
        self.near.quiet.set(true);
        self.far.quiet.set(true);
    }

    async fn read_all(&self) {
        for _ in 0..3000 {
            self.near.t().resume_reading();
            self.far.t().resume_reading();
            settle().await;
            if self.have_all() {
                break;
            }
        }
        settle().await;
        let told = (&self.near.events, &self.far.events, self.near.t());
        assert!(self.have_all(), "seed {}: bytes are missing: {told:?}", self.seed);
        let paused = self.near.paused.get() || self.far.paused.get();
        assert!(!paused, "seed {}: a writer waits for ever: {told:?}", self.seed);
    }

    async fn close(self) {
        self.near.t().close();
        sleep(Duration::from_secs(2)).await;
        if self.far.events.borrow().last().unwrap() == "eof" {
            self.far.t().close();
        }
        sleep(Duration::from_secs(40)).await;
        assert_eq!(*self.near.events.borrow(), ["made", "lost"], "seed {}", self.seed);
        assert_eq!(*self.far.events.borrow(), ["made", "eof", "lost"], "seed {}", self.seed);
        self.near.t.take();
        self.far.t.take();
    }
}

#[test]
fn any_calls_in_any_order_lose_nothing_and_wait_for_nobody() {
    for seed in 1..25 {
        let sim = Sim::new(seed);
        let buffers = [3000, 20_000, 200_000][(seed % 3) as usize];
        sim.set_buffers(buffers, buffers);
        if seed % 2 == 0 {
            sim.faults(Faults { short_reads: 0.3, short_writes: 0.3, would_block: 0.2 });
        }
        run_on(&sim.clone(), async move {
            let reports = reports(&LoopHandle::current().unwrap());
            let both = Both::connect(&sim, seed).await;
            both.poke().await;
            both.read_all().await;
            both.close().await;
            assert!(reports.borrow().is_empty(), "seed {seed}: {reports:?}");
        });
    }
}
