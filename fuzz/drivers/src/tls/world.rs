//! A simulated machine with a client and a server, and whoever is between them.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{BlockSize, EventLoop, Inline, LARGE_BLOCK, LoopHandle, SMALL_BLOCK};
use millrun_selector::Socket;
use millrun_sim::Sim;
use millrun_transport::{ClientTls, Flow, Layer, SocketTransport, TransportOptions, Wrapping};

use crate::turns;

use super::end::{End, Stage, Watcher, bytes};
use super::identity::{NAME, configs};
use super::script::{Call, Ending, From, OnTheWay, Step};
use super::wire::Wire;

/// Longer than anything takes: 60 s of a handshake, 30 s of a close, twice, and 2 s for what the peer still sends.
const PATIENCE: Duration = Duration::from_secs(130);

/// More than this an end does not write: a case is to be short.
const MOST_WRITTEN: usize = 1 << 20;

/// What an end that has nothing to send holds at most: ciphertext that it has received.
const MOST_HELD: usize = 2 * LARGE_BLOCK;

pub(super) struct World {
    sim: Sim,
    event_loop: EventLoop,
    ends: [Rc<End>; 2],
    /// From the client, from the server.
    wires: [Wire; 2],
    reports: Rc<RefCell<Vec<String>>>,
}

impl World {
    /// Both ends, which have not shaken hands.
    pub(super) fn new(tls12: bool, tolerates: bool) -> io::Result<World> {
        let sim = Sim::new(1);
        let event_loop = EventLoop::builder()
            .selector(sim.selector())
            .clock(sim.clock())
            .network(sim.network())
            .resolver(sim.resolver())
            .executor(Rc::new(Inline::new()))
            .build()?;
        let handle = event_loop.handle();
        let reports = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&reports);
        handle.set_exception_handler(Some(Rc::new(move |_, context| {
            told.borrow_mut().push(context.to_string());
        })));
        let (client, server) = configs(tls12, tolerates)?;
        let (near, near_peer) = sim.scripted();
        let (far, far_peer) = sim.scripted();
        let ends = [End::new(0, near_peer), End::new(1, far_peer)];
        attach(&handle, near, &*client.layer(NAME)?, &ends[0])?;
        attach(&handle, far, &server, &ends[1])?;
        Ok(World { sim, event_loop, ends, wires: Default::default(), reports })
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::OnTheWay(from, how) => self.meddle(from, how),
            Step::Call(which, call) => self.call(which, call),
            Step::Window(which, n) => {
                self.ends[which].peer.set_send_window(if n == 239 { usize::MAX } else { n });
            }
            Step::Talk => self.talk(),
            Step::Pass(seconds) => self.pass(Duration::from_secs(seconds.into())),
        }
        self.settle();
        self.check();
    }

    /// Whatever state this is: it ends, each connection that was made once, and leaves nothing.
    pub(super) fn finish(mut self, end: Ending) {
        for which in 0..2 {
            match end {
                Ending::Close => {
                    self.ends[which].peer.set_send_window(usize::MAX);
                    self.call(which, Call::Close);
                }
                Ending::Abort => self.call(which, Call::Abort),
                Ending::CloseLoop => {}
            }
        }
        if end == Ending::CloseLoop {
            self.event_loop.close();
        } else {
            self.settle();
            self.check();
            self.pass(PATIENCE);
        }
        self.check();
        for end in &self.ends {
            end.transport.take();
            let stage = end.stage.get();
            end.must(matches!(stage, Stage::New | Stage::Lost), || format!("ends in {stage:?}"));
            end.must(!end.is_held.get(), || "the protocol is left".into());
            end.must(!end.peer.is_open(), || "the socket is open".into());
            end.verify();
        }
        let metrics = self.event_loop.handle().metrics();
        let left = (self.sim.open_sockets(), self.sim.registrations(), metrics.watches);
        assert_eq!(left, (0, 0, 0), "sockets, registrations and watches left");
        assert_eq!((metrics.timers, metrics.tasks), (0, 0), "timers and tasks left");
    }

    fn call(&mut self, which: From, call: Call) {
        let end = Rc::clone(&self.ends[which]);
        let Some(t) = end.transport.borrow().clone() else { return };
        match call {
            Call::Write(n) if end.sent.get() + n <= MOST_WRITTEN => {
                if t.write(&bytes(which, end.sent.get(), n)) != Flow::Closed {
                    end.sent.set(end.sent.get() + n);
                }
            }
            Call::Write(_) => {}
            Call::WriteEof => t.write_eof(),
            Call::Close => t.close(),
            Call::Abort => t.abort(),
            Call::Pause => t.pause_reading(),
            Call::Resume => t.resume_reading(),
            Call::Gathering(on) => t.set_gathering(on),
            Call::Room(n) => end.room.set(n),
        }
    }

    /// What an end has sent is on its way.
    fn collect(&mut self) -> bool {
        let mut any = false;
        for (end, wire) in self.ends.iter().zip(&mut self.wires) {
            let sent = end.peer.take_received();
            any |= !sent.is_empty();
            wire.push(&sent);
        }
        any
    }

    fn meddle(&mut self, from: From, how: OnTheWay) {
        self.collect();
        let to = Rc::clone(&self.ends[1 - from]);
        match how {
            OnTheWay::Eof => to.peer.send_eof(),
            OnTheWay::Reset => to.peer.reset(),
            how => to.peer.send(self.wires[from].meddle(how)),
        }
    }

    /// All arrives as it was sent, ends too.
    fn talk(&mut self) {
        loop {
            self.settle();
            let any = self.collect();
            for from in 0..2 {
                let all = self.wires[from].take_all();
                self.ends[1 - from].peer.send(all);
            }
            if !any {
                break;
            }
        }
        for (from, end) in self.ends.iter().enumerate() {
            if end.peer.saw_eof() && self.wires[from].is_empty() {
                self.ends[1 - from].peer.send_eof();
            }
        }
    }

    fn check(&self) {
        for end in &self.ends {
            let (got, other) = (end.got.get(), self.ends[1 - end.which].sent.get());
            end.must(got <= other, || format!("{got} bytes came, and {other} were sent"));
            end.verify();
        }
        for report in self.reports.borrow().iter() {
            assert!(!report.contains("panic"), "{report}");
        }
        let unsent =
            |end: &Rc<End>| end.transport.borrow().as_ref().map_or(0, |t| t.write_buffer_size());
        if self.ends.iter().all(|end| unsent(end) == 0) {
            let held = |size: BlockSize, bytes: usize| {
                let counts = self.event_loop.handle().blocks().counts(size);
                (counts.made + counts.reused).saturating_sub(counts.given) as usize * bytes
            };
            let held = held(BlockSize::Small, SMALL_BLOCK) + held(BlockSize::Large, LARGE_BLOCK);
            assert!(
                held <= 2 * MOST_HELD,
                "{held} bytes of blocks are held, and nothing is unsent"
            );
        }
    }

    fn settle(&mut self) {
        turns::settle(&mut self.event_loop, &self.sim);
    }

    fn pass(&mut self, time: Duration) {
        turns::pass(&mut self.event_loop, &self.sim, time);
    }
}

/// A TLS transport over a socket. Nobody waits for its handshake: the protocol hears of it.
fn attach(
    handle: &LoopHandle,
    socket: Box<dyn Socket>,
    layer: &dyn Layer,
    end: &Rc<End>,
) -> io::Result<()> {
    let (wrapping, _nobody) = Wrapping::new(handle, Box::new(Watcher(Rc::clone(end))));
    let wrapped = layer.wrap(wrapping)?;
    SocketTransport::new(handle, socket, wrapped.protocol, TransportOptions::default())?;
    *end.transport.borrow_mut() = Some(wrapped.transport);
    Ok(())
}
