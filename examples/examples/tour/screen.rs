//! What the person sees: a progress bar on a terminal, plain lines elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// The figures that the tour shows, written by the two halves and read by the screen.
#[derive(Default)]
pub(crate) struct Gauges {
    pub(crate) sent: Cell<u64>,
    pub(crate) received: Cell<u64>,
    /// Bytes in the sender's write buffer, and in the receiver's read buffer.
    pub(crate) write_buffer: Cell<usize>,
    pub(crate) read_buffer: Cell<usize>,
    /// Times that the sender was told to stop, and to go on.
    pub(crate) pauses: Cell<u32>,
    pub(crate) resumes: Cell<u32>,
    pub(crate) slow: Cell<bool>,
}

/// One line of progress, drawn by whatever suits the output.
pub(crate) struct Screen {
    bar: Option<ProgressBar>,
    total: u64,
    shown: Cell<(u64, Duration)>,
}

impl Screen {
    pub(crate) fn new(total: u64) -> Screen {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:32.cyan/blue} {percent:>3} % {msg}");
            ProgressBar::new(total)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Screen { bar, total, shown: Cell::new((0, Duration::ZERO)) }
    }

    /// Draws the gauges; `elapsed` is the loop's own time since the start.
    pub(crate) fn draw(&self, gauges: &Gauges, elapsed: Duration) {
        let (before, when) = self.shown.replace((gauges.received.get(), elapsed));
        let moved = gauges.received.get() - before;
        let seconds = (elapsed - when).as_secs_f64().max(1e-9);
        let message = format!(
            "{}/s{}  write buffer {:>9}  read buffer {:>9}  pauses {} resumes {}",
            HumanBytes((moved as f64 / seconds) as u64),
            if gauges.slow.get() { " (slow consumer)" } else { "" },
            HumanBytes(gauges.write_buffer.get() as u64).to_string(),
            HumanBytes(gauges.read_buffer.get() as u64).to_string(),
            gauges.pauses.get(),
            gauges.resumes.get(),
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(gauges.received.get());
                bar.set_message(message);
            }
            None => {
                let percent = gauges.received.get() * 100 / self.total.max(1);
                eprintln!("{percent:>3} %  {message}");
            }
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
