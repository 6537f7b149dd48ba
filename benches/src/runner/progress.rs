//! What the user sees while it runs: a bar on a terminal, plain lines elsewhere; both on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How far the run is.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    /// The planned time of all scenarios before this one and of this one, in milliseconds.
    planned: (u64, u64),
}

impl Progress {
    /// A run that is to take so long.
    #[must_use]
    pub fn new(whole: Duration) -> Self {
        let bar = ProgressBar::new(millis(whole));
        let plain = bar.is_hidden();
        // The text is ours: it can't be wrong.
        if let Ok(style) =
            ProgressStyle::with_template("{bar:24} {percent:>3} %  {eta:>4} left  {wide_msg}")
        {
            bar.set_style(style);
        }
        Self { bar, plain, planned: (0, 0) }
    }

    /// Some scenarios begin that are planned to take so long.
    pub fn begin(&mut self, title: &str, planned: Duration) {
        self.planned = (self.planned.0 + self.planned.1, millis(planned));
        self.bar.set_position(self.planned.0);
        self.step(title);
        if self.plain {
            eprintln!("{title}");
        }
    }

    /// What is done now; on a terminal only, since it is said for every window.
    pub fn step(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// So much of what was planned is done.
    pub fn advance(&self, by: Duration) {
        // What takes longer than planned waits at the end of its scenario.
        let end = self.planned.0 + self.planned.1;
        self.bar.set_position((self.bar.position() + millis(by)).min(end));
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// A result, on standard output.
    pub fn show(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }

    /// The bar goes.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
