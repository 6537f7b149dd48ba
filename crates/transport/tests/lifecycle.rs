//! The order of a connection's events, as the pure machine gives it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use millrun_transport::lifecycle::{Lifecycle, Next};
use proptest::prelude::*;

fn open() -> Lifecycle {
    let mut life = Lifecycle::new();
    assert!(life.handle_made());
    life.handle_start();
    life
}

#[test]
fn t_002_nothing_is_delivered_before_made_and_start() {
    let mut life = Lifecycle::new();
    assert!(!life.delivers());
    life.handle_start();
    assert!(!life.delivers());
    assert!(life.handle_made());
    assert!(life.delivers());
    assert!(!life.handle_made(), "made once");
}

#[test]
fn t_013_pause_and_resume_are_idempotent_and_no_ops_when_closing() {
    let mut life = open();
    assert!(life.handle_pause());
    assert!(!life.handle_pause());
    assert!(!life.is_reading() && !life.delivers());
    assert!(life.handle_resume());
    assert!(!life.handle_resume());
    assert!(life.is_reading() && life.delivers());
    assert_eq!(life.handle_close(false), Next::Wait);
    assert!(!life.handle_pause() && !life.handle_resume());
    assert!(!life.is_reading());
}

#[test]
fn t_016_close_waits_for_what_is_buffered() {
    let mut life = open();
    assert_eq!(life.handle_close(false), Next::Wait);
    assert!(life.is_closing() && life.is_flushing() && !life.takes_writes() && life.sends());
    assert_eq!(life.handle_flushed(), Next::Lose);
    assert_eq!(life.handle_flushed(), Next::Wait);
    assert!(life.handle_lost());
}

#[test]
fn t_019_the_first_end_wins() {
    let mut life = open();
    assert_eq!(life.handle_end(), Next::Lose);
    assert_eq!(life.handle_end(), Next::Wait);
    assert_eq!(life.handle_close(true), Next::Wait);
    assert_eq!(life.handle_write_error(), Next::Wait);
}

#[test]
fn t_021_lost_is_called_only_after_made() {
    let mut life = Lifecycle::new();
    assert_eq!(life.handle_end(), Next::Lose);
    assert!(!life.handle_lost());
    assert!(!life.handle_made(), "nothing after lost");
}

#[test]
fn t_058_the_shutdown_waits_for_the_last_byte_and_comes_once() {
    let mut life = open();
    assert_eq!(life.handle_write_eof(false), Next::Wait);
    assert!(!life.takes_writes() && life.sends() && !life.is_closing());
    assert_eq!(life.handle_flushed(), Next::ShutDown);
    assert_eq!(life.handle_flushed(), Next::Wait);
    assert_eq!(life.handle_write_eof(true), Next::Wait, "T-060");
}

#[test]
fn a_write_error_drains_only_for_a_taker() {
    let mut life = open();
    assert_eq!(life.handle_write_error(), Next::Drain);
    assert!(life.is_draining() && life.delivers() && !life.wants_reads() && life.is_closing());
    assert!(!life.sends() && !life.takes_writes());
    assert!(!life.handle_eof(), "the error tells the end, not eof_received");
    assert_eq!(life.handle_end(), Next::Lose);

    let mut paused = open();
    paused.handle_pause();
    assert_eq!(paused.handle_write_error(), Next::Lose);
    let mut closing = open();
    let _ = closing.handle_close(false);
    assert_eq!(closing.handle_write_error(), Next::Lose);
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Made,
    Start,
    Pause,
    Resume,
    Data,
    Eof,
    WriteEof(bool),
    Close(bool),
    Flushed,
    WriteError,
    End,
    Lost,
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        3 => Just(Input::Made),
        3 => Just(Input::Start),
        2 => Just(Input::Pause),
        2 => Just(Input::Resume),
        6 => Just(Input::Data),
        1 => Just(Input::Eof),
        1 => any::<bool>().prop_map(Input::WriteEof),
        1 => any::<bool>().prop_map(Input::Close),
        2 => Just(Input::Flushed),
        1 => Just(Input::WriteError),
        1 => Just(Input::End),
        2 => Just(Input::Lost),
    ]
}

/// What an obedient owner did.
#[derive(Default)]
struct Did {
    calls: String,
    shutdowns: usize,
    drains: usize,
    loses: usize,
    closing: bool,
}

impl Did {
    fn obey(&mut self, next: Next) {
        match next {
            Next::Wait => {}
            Next::ShutDown => {
                self.shutdowns += 1;
                assert_eq!(self.loses, 0, "a shutdown after the end");
            }
            Next::Drain => self.drains += 1,
            Next::Lose => self.loses += 1,
        }
    }
}

/// made, data*, eof?, lost: as a tiny grammar over the calls' initials.
fn in_order(calls: &str) -> bool {
    let Some(rest) = calls.strip_prefix('m') else { return calls.is_empty() };
    let rest = rest.trim_start_matches('d');
    let rest = rest.strip_prefix('e').unwrap_or(rest);
    matches!(rest, "" | "l")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Invariants 2 and 3, P-001: whatever comes in whatever order.
    #[test]
    fn p_001_made_data_eof_lost_and_nothing_after(inputs in prop::collection::vec(input(), 0..40)) {
        let mut life = Lifecycle::new();
        let mut did = Did::default();
        for input in inputs {
            match input {
                Input::Made => if life.handle_made() { did.calls.push('m') },
                Input::Start => life.handle_start(),
                Input::Pause => { life.handle_pause(); }
                Input::Resume => { life.handle_resume(); }
                Input::Data => if life.delivers() { did.calls.push('d') },
                Input::Eof => if life.handle_eof() { did.calls.push('e') },
                Input::WriteEof(empty) => did.obey(life.handle_write_eof(empty)),
                Input::Close(empty) => did.obey(life.handle_close(empty)),
                Input::Flushed => did.obey(life.handle_flushed()),
                Input::WriteError => did.obey(life.handle_write_error()),
                Input::End => did.obey(life.handle_end()),
                // A queue runs only what was put into it.
                Input::Lost => if did.loses > 0 && life.handle_lost() { did.calls.push('l') },
            }
            prop_assert!(in_order(&did.calls), "calls were {}", did.calls);
            prop_assert!(did.shutdowns <= 1 && did.drains <= 1 && did.loses <= 1);
            prop_assert!(!did.closing || life.is_closing(), "closing is final");
            did.closing = life.is_closing();
            if did.closing {
                prop_assert!(!life.takes_writes() && !life.is_reading() && !life.wants_reads());
            }
            prop_assert_eq!(life.is_ending(), did.loses > 0);
        }
        // Any state can still be ended, and then says so once.
        did.obey(life.handle_end());
        prop_assert_eq!(did.loses, 1);
        let made = did.calls.starts_with('m');
        let before = did.calls.ends_with('l');
        prop_assert_eq!(life.handle_lost(), made && !before);
        prop_assert!(!life.delivers() && !life.sends() && !life.handle_made());
    }
}

/// The machine as a reader would draw it: one phase, and what goes beside it.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Drawn {
    phase: Phase,
    made: bool,
    started: bool,
    paused: bool,
    eof_in: bool,
    write: Write,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Phase {
    Open,
    /// Closing in order, with bytes that are still to leave.
    Flushing,
    /// A write failed, and what the kernel holds is still delivered.
    Draining,
    Ending,
    Lost,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Write {
    Open,
    Ended,
    Shut,
}

/// What was answered, in one type.
#[derive(PartialEq, Debug)]
enum Answer {
    Said(bool),
    Do(Next),
    Nothing,
}

const INPUTS: [Input; 13] = [
    Input::Made,
    Input::Start,
    Input::Pause,
    Input::Resume,
    Input::Eof,
    Input::WriteEof(false),
    Input::WriteEof(true),
    Input::Close(false),
    Input::Close(true),
    Input::Flushed,
    Input::WriteError,
    Input::End,
    Input::Lost,
];

impl Drawn {
    fn new() -> Drawn {
        Drawn {
            phase: Phase::Open,
            made: false,
            started: false,
            paused: false,
            eof_in: false,
            write: Write::Open,
            closed: false,
        }
    }

    /// Neither closing in order nor over.
    fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining)
    }

    fn delivers(&self) -> bool {
        self.made && self.started && !self.paused && !self.eof_in && self.is_live()
    }

    fn end(&mut self) -> Answer {
        self.phase = Phase::Ending;
        Answer::Do(Next::Lose)
    }

    fn apply(&mut self, input: Input) -> Answer {
        let before = *self;
        match (input, before.phase) {
            (Input::Made, phase) => {
                self.made |= phase != Phase::Lost;
                Answer::Said(self.made && !before.made)
            }
            (Input::Start, _) => {
                self.started = true;
                Answer::Nothing
            }
            (Input::Pause, _) => {
                self.paused |= self.is_live();
                Answer::Said(self.paused && !before.paused)
            }
            (Input::Resume, _) => {
                self.paused &= !self.is_live();
                Answer::Said(before.paused && !self.paused)
            }
            (Input::Eof, phase) => {
                self.eof_in |= self.delivers();
                Answer::Said(self.eof_in && !before.eof_in && phase == Phase::Open)
            }
            (Input::WriteEof(empty), Phase::Open) if self.write == Write::Open => {
                self.write = if empty { Write::Shut } else { Write::Ended };
                Answer::Do(if empty { Next::ShutDown } else { Next::Wait })
            }
            (Input::Close(false), Phase::Open) => {
                (self.closed, self.phase) = (true, Phase::Flushing);
                Answer::Do(Next::Wait)
            }
            (Input::Close(_), Phase::Open | Phase::Draining) => {
                self.closed = true;
                self.end()
            }
            (Input::Flushed, Phase::Open) if self.write == Write::Ended => {
                self.write = Write::Shut;
                Answer::Do(Next::ShutDown)
            }
            (Input::WriteError, Phase::Open) if !self.paused && !self.eof_in => {
                self.phase = Phase::Draining;
                Answer::Do(Next::Drain)
            }
            (Input::WriteError, Phase::Open)
            | (Input::Flushed | Input::WriteError, Phase::Flushing)
            | (Input::End, Phase::Open | Phase::Flushing | Phase::Draining) => self.end(),
            (Input::Lost, phase) => {
                self.phase = Phase::Lost;
                Answer::Said(phase != Phase::Lost && self.made)
            }
            _ => Answer::Do(Next::Wait),
        }
    }

    /// Each question, and what it should say.
    fn check(&self, life: Lifecycle) {
        let (open, over) =
            (self.phase == Phase::Open, matches!(self.phase, Phase::Ending | Phase::Lost));
        let questions = [
            ("is_made", life.is_made(), self.made),
            ("delivers", life.delivers(), self.delivers()),
            ("wants_reads", life.wants_reads(), self.delivers() && open),
            ("takes_writes", life.takes_writes(), open && self.write == Write::Open),
            ("sends", life.sends(), matches!(self.phase, Phase::Open | Phase::Flushing)),
            ("tells_pressure", life.tells_pressure(), open && self.made),
            ("is_closing", life.is_closing(), !open),
            ("is_reading", life.is_reading(), open && !self.paused),
            ("is_draining", life.is_draining(), self.phase == Phase::Draining),
            ("is_flushing", life.is_flushing(), self.phase == Phase::Flushing),
            ("was_closed", life.was_closed(), self.closed),
            ("saw_eof", life.saw_eof(), self.eof_in),
            ("ended_writing", life.ended_writing(), self.write != Write::Open),
            ("is_ending", life.is_ending(), over),
            ("is_lost", life.is_lost(), self.phase == Phase::Lost),
        ];
        for (name, is, should) in questions {
            assert_eq!(is, should, "{name} of {life:?}, which is {self:?}");
        }
    }
}

fn apply(life: &mut Lifecycle, input: Input) -> Answer {
    match input {
        Input::Made => Answer::Said(life.handle_made()),
        Input::Start => {
            life.handle_start();
            Answer::Nothing
        }
        Input::Pause => Answer::Said(life.handle_pause()),
        Input::Resume => Answer::Said(life.handle_resume()),
        Input::Data => Answer::Said(life.delivers()),
        Input::Eof => Answer::Said(life.handle_eof()),
        Input::WriteEof(empty) => Answer::Do(life.handle_write_eof(empty)),
        Input::Close(empty) => Answer::Do(life.handle_close(empty)),
        Input::Flushed => Answer::Do(life.handle_flushed()),
        Input::WriteError => Answer::Do(life.handle_write_error()),
        Input::End => Answer::Do(life.handle_end()),
        Input::Lost => Answer::Said(life.handle_lost()),
    }
}

/// Not by chance: each state that there is, and from each of them each input.
#[test]
fn every_state_answers_every_input_as_drawn() {
    let mut found = vec![(Lifecycle::new(), Drawn::new())];
    let mut next = 0;
    while let Some(&(life, drawn)) = found.get(next) {
        next += 1;
        drawn.check(life);
        for input in INPUTS {
            let (mut life_after, mut drawn_after) = (life, drawn);
            let answers = (apply(&mut life_after, input), drawn_after.apply(input));
            assert_eq!(answers.0, answers.1, "{input:?} in {life:?}, which is {drawn:?}");
            match found.iter().find(|(known, _)| *known == life_after) {
                Some((_, known)) => assert_eq!(*known, drawn_after, "{life_after:?}"),
                None => found.push((life_after, drawn_after)),
            }
        }
    }
    assert!(found.len() > 100, "{} states were found", found.len());
}

#[test]
fn the_text_form_names_what_is_set() {
    let mut life = Lifecycle::new();
    assert_eq!(format!("{life:?}"), "NEW");
    life.handle_made();
    assert_eq!(format!("{life:?}"), "MADE");
    life.handle_start();
    life.handle_pause();
    assert_eq!(life.handle_close(false), Next::Wait);
    assert_eq!(format!("{life:?}"), "MADE|STARTED|PAUSED|CLOSING");
}
