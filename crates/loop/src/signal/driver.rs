//! The signals of one loop: what is installed, and the pipe that tells of them.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::{Signal, SignalTaken, sys::Installed};

/// Deliveries of one signal that are told one by one. A loop that was away for so many has heard the
/// news, and a flood must not become a queue of four billion callbacks.
const TOLD_MOST: u32 = 1024;

/// The signals of one loop. Dropping it brings all dispositions back that were found.
#[derive(Debug)]
pub(crate) struct SignalDriver {
    // The order is that of dropping: no handler may write to a pipe that nobody reads.
    installed: Vec<(Signal, Installed)>,
    writer: Rc<OwnedFd>,
    reader: UnixStream,
}

impl SignalDriver {
    /// With no signal yet. Opens two descriptors.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new() -> io::Result<SignalDriver> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(SignalDriver { installed: Vec::new(), writer: Rc::new(writer.into()), reader })
    }

    /// Takes a signal. One that it has already is left as it is.
    ///
    /// # Errors
    /// [`SignalTaken`] in an error of the kind `ResourceBusy`; what the kernel says. The signal is
    /// left as it was then (L-109).
    pub(crate) fn install(&mut self, signal: Signal) -> io::Result<()> {
        if self.installed.iter().any(|(present, _)| *present == signal) {
            return Ok(());
        }
        let installed = Installed::new(signal.number(), &self.writer).map_err(|error| {
            if error.kind() == io::ErrorKind::ResourceBusy {
                io::Error::new(io::ErrorKind::ResourceBusy, SignalTaken { signal })
            } else {
                error
            }
        })?;
        self.installed.push((signal, installed));
        Ok(())
    }

    /// Gives a signal back: the disposition found when it was installed is set again (L-110). Says
    /// whether it had it.
    pub(crate) fn remove(&mut self, signal: Signal) -> bool {
        let before = self.installed.len();
        self.installed.retain(|(present, _)| *present != signal);
        self.installed.len() < before
    }

    /// Whether no signal is installed.
    pub(crate) fn is_empty(&self) -> bool {
        self.installed.is_empty()
    }

    /// Takes what came: each signal as often as it came (up to a limit), in the order of installing.
    pub(crate) fn drain(&mut self, each: &mut dyn FnMut(Signal)) {
        // First the bytes, then the counts: what comes between leaves a byte, and is looked for again.
        let mut bytes = [0; 64]; // one a signal, at most so many signals: one read, as a rule
        loop {
            match self.reader.read(&mut bytes) {
                Ok(read) if read == bytes.len() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A short read has emptied it. It can't end: we hold the other side.
                Ok(_) | Err(_) => break,
            }
        }
        for (signal, installed) in &self.installed {
            for _ in 0..installed.take_pending().min(TOLD_MOST) {
                each(*signal);
            }
        }
    }
}

/// To be watched for reading.
impl AsFd for SignalDriver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::{ErrorKind, Read as _};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::thread;

    use rustix::process::{Signal as Raw, getpid, kill_process};

    use super::{Signal, SignalDriver, SignalTaken};

    fn drained(driver: &mut SignalDriver) -> Vec<Signal> {
        let mut signals = Vec::new();
        driver.drain(&mut |signal| signals.push(signal));
        signals
    }

    /// Ends the senders, also when the test fails.
    struct Over<'a>(&'a AtomicBool);

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }

    /// Signals whose default is to be ignored, so that the moments without a handler are harmless. Other
    /// threads send while this one installs and removes: no handler may write to a descriptor that was
    /// closed, which is to write to the stranger that took its number.
    #[test]
    fn removal_races_with_handlers_on_other_threads() {
        let over = AtomicBool::new(false);
        let mut told = 0;
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(SeqCst) {
                        kill_process(getpid(), Raw::URG).unwrap();
                        kill_process(getpid(), Raw::CONT).unwrap();
                    }
                });
            }
            let _over = Over(&over);
            for _ in 0..100 {
                let mut driver = SignalDriver::new().unwrap();
                driver.install(Signal::URG).unwrap();
                driver.install(Signal::CONT).unwrap();
                told += drained(&mut driver).len();
                while told == 0 {
                    // The senders have not begun: without them this would show nothing.
                    thread::yield_now();
                    told += drained(&mut driver).len();
                }
                assert!(driver.remove(Signal::URG));
                assert!(drained(&mut driver).iter().all(|signal| *signal == Signal::CONT));
                drop(driver);
                let (mut stranger, mut other) = UnixStream::pair().unwrap();
                stranger.set_nonblocking(true).unwrap();
                other.set_nonblocking(true).unwrap();
                (0..3).for_each(|_| thread::yield_now());
                assert_eq!(stranger.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
                assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            }
        });
    }

    /// One loop at a time; another one is told whose it is, and gets it later. L-109: a signal that
    /// can't be installed is not kept.
    #[test]
    fn l_109_a_failed_install_changes_nothing() {
        let mut first = SignalDriver::new().unwrap();
        let mut second = SignalDriver::new().unwrap();
        first.install(Signal::WINCH).unwrap();
        first.install(Signal::WINCH).unwrap();
        let error = second.install(Signal::WINCH).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let taken = error.get_ref().and_then(|inner| inner.downcast_ref::<SignalTaken>());
        assert_eq!(taken, Some(&SignalTaken { signal: Signal::WINCH }));
        assert!(second.is_empty() && !second.remove(Signal::WINCH));
        kill_process(getpid(), Raw::WINCH).unwrap();
        while drained(&mut first) != [Signal::WINCH] {
            thread::yield_now();
        }
        drop(first);
        second.install(Signal::WINCH).unwrap();
        assert!(second.remove(Signal::WINCH) && second.is_empty());
    }

    /// The C library keeps 32 and 33: in range, refused by it.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn l_109_what_the_system_refuses_is_not_kept() {
        let mut driver = SignalDriver::new().unwrap();
        let error = driver.install(Signal::new(32).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(driver.is_empty());
        assert!(SignalDriver::new().unwrap().install(Signal::new(32).unwrap()).is_err());
    }
}
