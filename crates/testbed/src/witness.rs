//! Were a connection's callbacks in order? Each is told to a [`Witness`], which knows the order and nothing else.

use std::cell::{Cell, RefCell};

/// The record of one connection: `connection_made`, then data any number of times, then the end of file at most once,
/// then `connection_lost` exactly once; `pause_writing` and `resume_writing` in turn.
///
/// A protocol under test calls each method first thing in the callback of that name.
#[derive(Debug)]
pub struct Witness {
    name: &'static str,
    stage: Cell<Stage>,
    is_paused: Cell<bool>,
    problems: RefCell<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    New,
    Made,
    Ended,
    Lost,
}

impl Witness {
    pub(crate) fn new(name: &'static str) -> Witness {
        Witness {
            name,
            stage: Cell::new(Stage::New),
            is_paused: Cell::new(false),
            problems: RefCell::default(),
        }
    }

    /// `connection_made`.
    pub fn made(&self) {
        self.may_come("connection_made", &[Stage::New]);
        self.stage.set(Stage::Made);
    }

    /// It takes the place of another protocol, and is not told of `connection_made`.
    pub fn takes_over(&self) {
        self.made();
    }

    /// `data_received`, or `landed` with bytes.
    pub fn data(&self) {
        self.may_come("data_received", &[Stage::Made]);
    }

    /// `eof_received`.
    pub fn eof(&self) {
        self.may_come("eof_received", &[Stage::Made]);
        self.stage.set(Stage::Ended);
    }

    /// `pause_writing`.
    pub fn pause(&self) {
        self.may_come("pause_writing", &[Stage::Made, Stage::Ended]);
        self.turn("pause_writing", true);
    }

    /// `resume_writing`.
    pub fn resume(&self) {
        self.may_come("resume_writing", &[Stage::Made, Stage::Ended]);
        self.turn("resume_writing", false);
    }

    /// `connection_lost`, or another protocol took the place of this one: nothing may follow.
    pub fn lost(&self) {
        self.may_come("connection_lost", &[Stage::Made, Stage::Ended]);
        self.stage.set(Stage::Lost);
    }

    fn turn(&self, callback: &str, is_paused: bool) {
        if self.is_paused.replace(is_paused) == is_paused {
            self.problem(format!("{callback} twice in a row"));
        }
    }

    fn may_come(&self, callback: &str, stages: &[Stage]) {
        let stage = self.stage.get();
        if !stages.contains(&stage) {
            self.problem(format!("{callback} came when it was {stage:?}"));
        }
    }

    fn problem(&self, what: String) {
        self.problems.borrow_mut().push(format!("{}: {what}", self.name));
    }

    /// What was out of order, and a connection that was made and never lost.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.problems.borrow().clone();
        if matches!(self.stage.get(), Stage::Made | Stage::Ended) {
            problems.push(format!("{}: connection_lost never came", self.name));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::Witness;

    fn problems(story: impl Fn(&Witness)) -> Vec<String> {
        let witness = Witness::new("it");
        story(&witness);
        witness.problems()
    }

    #[test]
    fn a_whole_life_is_in_order() {
        let whole = problems(|w| {
            w.made();
            w.data();
            w.pause();
            w.resume();
            w.data();
            w.eof();
            w.pause();
            w.lost();
        });
        assert_eq!((whole, problems(|_| ())), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_is_out_of_order_is_told() {
        assert_eq!(problems(Witness::made), ["it: connection_lost never came"]);
        let twice = problems(|w| {
            w.made();
            w.lost();
            w.lost();
        });
        assert_eq!(twice, ["it: connection_lost came when it was Lost"]);
        assert_eq!(problems(Witness::data), ["it: data_received came when it was New"]);
        assert_eq!(problems(Witness::lost), ["it: connection_lost came when it was New"]);
        let after_the_end = problems(|w| {
            w.made();
            w.eof();
            w.data();
            w.eof();
            w.lost();
        });
        assert_eq!(
            after_the_end,
            ["it: data_received came when it was Ended", "it: eof_received came when it was Ended"]
        );
        let paused = problems(|w| {
            w.made();
            w.resume();
            w.pause();
            w.pause();
            w.lost();
        });
        assert_eq!(
            paused,
            ["it: resume_writing twice in a row", "it: pause_writing twice in a row"]
        );
    }
}
