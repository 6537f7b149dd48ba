//! The protocol that watches: [`Probe`] writes down what it is told, does what a scenario wants done, and answers.

use std::io;
use std::rc::Rc;

use millrun_transport::{Landing, Protocol, Transport};

use super::record::{Event, Inside, Record};
use crate::Invariant;

/// How a callback of a probe ends.
pub(crate) enum Answer {
    /// Well; of `eof_received`: stay open for writing.
    Well,
    /// Of `eof_received`: close. Else as `Well`.
    Close,
    /// Of `data_received` and `landed`: with this error. Else as `Well`.
    Fail(io::Error),
}

/// Where the next bytes shall land.
pub(crate) enum Room {
    /// From now on.
    Anywhere,
    Shared(usize),
    Own(usize),
    Failed(io::Error),
}

type Hook = Box<dyn FnMut(&Rc<dyn Transport>, &Event) -> Answer>;

/// A protocol that writes down what it is told, does what its hook does, and answers what that answers.
pub(crate) struct Probe {
    record: Rc<Record>,
    hook: Hook,
    room: Box<dyn FnMut() -> Room>,
    memory: Option<Vec<u8>>,
    /// What the room was, if it was asked for.
    most: Option<usize>,
    /// It need not be asked.
    anywhere: bool,
    told: Option<Event>,
    /// It took another one's place: `connection_made` is not for it.
    is_second: bool,
}

impl Probe {
    pub(crate) fn new(record: &Rc<Record>) -> Probe {
        record.probes.set(record.probes.get() + 1);
        Probe {
            record: record.clone(),
            hook: Box::new(|_, _| Answer::Well),
            room: Box::new(|| Room::Anywhere),
            memory: None,
            most: None,
            anywhere: false,
            told: None,
            is_second: false,
        }
    }

    /// One that takes the place of another.
    pub(crate) fn second(record: &Rc<Record>) -> Probe {
        let mut probe = Probe::new(record);
        probe.is_second = true;
        probe
    }

    pub(crate) fn on(
        mut self,
        hook: impl FnMut(&Rc<dyn Transport>, &Event) -> Answer + 'static,
    ) -> Probe {
        self.hook = Box::new(hook);
        self
    }

    pub(crate) fn room(mut self, room: impl FnMut() -> Room + 'static) -> Probe {
        self.room = Box::new(room);
        self
    }

    fn tell(&mut self, event: Event) -> Answer {
        self.record.watch(&event, !self.is_second);
        self.record.events.borrow_mut().push(event.clone());
        let _inside = Inside::enter(&self.record);
        match self.record.transport() {
            Some(transport) => (self.hook)(&transport, &event),
            None => Answer::Well,
        }
    }

    fn data(&mut self, data: &[u8]) -> io::Result<()> {
        self.record.received.borrow_mut().extend_from_slice(data);
        match self.tell(Event::Data(data.len())) {
            Answer::Fail(error) => Err(error),
            Answer::Well | Answer::Close => Ok(()),
        }
    }

    fn pressure(&mut self, event: Event) {
        let is_turn = (event == Event::Pause) != (self.told == Some(Event::Pause));
        let expected = "pause and resume in turn, pause first";
        self.record.notice(is_turn, Invariant::PauseAndResumeAlternate, expected, &event);
        self.told = Some(event.clone());
        self.tell(event);
    }
}

impl Protocol for Probe {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.record.set_transport(&transport);
        self.tell(Event::Made);
    }

    fn landing(&mut self) -> Landing<'_> {
        self.record.landings.set(self.record.landings.get() + 1);
        let room = {
            let _inside = Inside::enter(&self.record);
            (self.room)()
        };
        match room {
            Room::Anywhere => {
                self.memory = None;
                self.anywhere = true;
                Landing::Anywhere
            }
            Room::Shared(most) => {
                self.memory = None;
                self.most = Some(most);
                Landing::Shared(most)
            }
            Room::Own(n) => {
                self.most = Some(n);
                Landing::Own(self.memory.insert(vec![0; n]))
            }
            Room::Failed(error) => Landing::Failed(error),
        }
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        let memory = self.memory.take();
        let most = memory.as_ref().map_or(0, Vec::len);
        let kept = memory.is_some() && n <= most;
        let expected = format!("at most the {most} bytes that were lent");
        self.record.notice(kept, Invariant::RoomIsKept, &expected, &Event::Data(n));
        match memory {
            Some(memory) if n > 0 => self.data(&memory[..n.min(most)]),
            _ => Ok(()),
        }
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        let most = self.most.take();
        if !self.record.may_exceed_room.get() {
            let fits = self.anywhere || most.is_some_and(|most| data.len() <= most);
            let kept = self.memory.is_none() && fits;
            let expected = format!("a landing first, and then at most {most:?} bytes");
            self.record.notice(kept, Invariant::RoomIsKept, &expected, &Event::Data(data.len()));
        }
        self.memory = None;
        self.data(data)
    }

    fn eof_received(&mut self) -> bool {
        !matches!(self.tell(Event::Eof), Answer::Close)
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.tell(Event::Lost(error.map(|e| (e.kind(), e.to_string()))));
    }

    fn pause_writing(&mut self) {
        self.pressure(Event::Pause);
    }

    fn resume_writing(&mut self) {
        self.pressure(Event::Resume);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.record.probes.set(self.record.probes.get() - 1);
    }
}
