//! A protocol that does what its scripts say, and writes down what it was told.

use std::io::{self, ErrorKind};
use std::panic::resume_unwind;
use std::rc::Rc;

use millrun_transport::{Landing, Protocol, Transport};

use super::script::Ending;
use super::side::{Side, Stage};
use super::world::Shared;

/// What a panic says that was asked for.
pub(super) const AS_TOLD: &str = "as told";

pub(super) struct Actor {
    shared: Rc<Shared>,
    which: usize,
    /// Memory of its own; otherwise it takes the loop's, at most so many bytes.
    own: Option<Vec<u8>>,
    most: usize,
    drop_panics: bool,
}

impl Actor {
    /// `kind` says where it lets bytes land, and whether it panics when it is dropped.
    pub(super) fn new(shared: &Rc<Shared>, which: usize, kind: u8) -> Box<Actor> {
        let side = shared.side(which);
        side.protocols.set(side.protocols.get() + 1);
        side.told.set(false);
        let own = match kind & 3 {
            0 => Some(vec![0; 7]),
            1 => Some(vec![0; 5000]),
            _ => None,
        };
        let most = if kind & 4 == 0 { usize::MAX } else { 100 };
        Box::new(Actor {
            shared: Rc::clone(shared),
            which,
            own,
            most,
            drop_panics: kind & 0xf8 == 8,
        })
    }

    fn side(&self) -> &Side {
        self.shared.side(self.which)
    }

    /// A callback came: does what the next script says. `Err` is what an error, or no interest, comes to.
    fn act(&self) -> Result<(), Ending> {
        let side = self.side();
        side.must(!side.inside.replace(true), || "a callback inside a callback".into());
        let script = self.shared.next_script();
        let ending = script.map_or(Ending::Well, |script| {
            for (other, call) in script.calls {
                self.shared.call(self.which ^ usize::from(other), call);
            }
            script.ending
        });
        self.side().inside.set(false);
        match ending {
            Ending::Well => return Ok(()),
            Ending::Enough => {}
            Ending::Error => self.side().harm(),
            Ending::Panic => {
                self.side().harm();
                // The panic hook need not know.
                resume_unwind(Box::new(AS_TOLD));
            }
        }
        Err(ending)
    }

    fn act_or_fail(&self) -> io::Result<()> {
        match self.act() {
            Err(Ending::Error) => Err(ErrorKind::InvalidData.into()),
            _ => Ok(()),
        }
    }
}

impl Protocol for Actor {
    fn connection_made(&mut self, _: Rc<dyn Transport>) {
        let side = self.side();
        side.must(side.stage.replace(Stage::Made) == Stage::New, || "made twice".into());
        let _ = self.act();
    }

    fn landing(&mut self) -> Landing<'_> {
        let side = self.side();
        side.must(side.stage.get() == Stage::Made, || "a landing out of order".into());
        match self.act() {
            Err(Ending::Error) => Landing::Failed(ErrorKind::InvalidData.into()),
            Err(_) => {
                self.side().undisturbed.set(false);
                Landing::Shared(0)
            }
            Ok(()) => match &mut self.own {
                Some(memory) => Landing::Own(memory),
                None => Landing::Shared(self.most),
            },
        }
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        let Some(memory) = self.own.take() else { return Ok(()) };
        self.side().must(n <= memory.len(), || format!("{n} bytes in {}", memory.len()));
        if n > 0 {
            self.side().got(&memory[..n]);
        }
        self.own = Some(memory);
        self.act_or_fail()
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.side().must(data.len() <= self.most, || format!("{} bytes too many", data.len()));
        self.side().got(data);
        self.act_or_fail()
    }

    fn eof_received(&mut self) -> bool {
        let side = self.side();
        side.must(side.stage.replace(Stage::Eof) == Stage::Made, || "eof out of order".into());
        side.must_have_all("eof");
        let stays = self.act().is_ok();
        if !stays {
            self.side().undisturbed.set(false);
        }
        stays
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        let side = self.side();
        let before = side.stage.replace(Stage::Lost);
        side.must(matches!(before, Stage::Made | Stage::Eof), || {
            format!("lost after {before:?}: {error:?}")
        });
        if side.undisturbed.get() {
            side.must(side.peer_ended.get(), || format!("lost of itself: {error:?}"));
            side.must_have_all("lost");
        }
        let _ = self.act();
    }

    fn pause_writing(&mut self) {
        let side = self.side();
        let open = matches!(side.stage.get(), Stage::Made | Stage::Eof);
        side.must(open, || "pause out of order".into());
        // Before it acts: a set_protocol from inside resets it.
        side.must(!side.told.replace(true), || "paused twice".into());
        let _ = self.act();
    }

    fn resume_writing(&mut self) {
        let side = self.side();
        let open = matches!(side.stage.get(), Stage::Made | Stage::Eof);
        side.must(open, || "resume out of order".into());
        side.must(side.told.replace(false), || "resumed, and was not paused".into());
        let _ = self.act();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let side = self.side();
        side.protocols.set(side.protocols.get() - 1);
        if self.drop_panics && !std::thread::panicking() {
            side.harm();
            resume_unwind(Box::new(AS_TOLD));
        }
    }
}
