//! The loop without anything above it: callbacks, timers and a descriptor. It counts down by timers, tells a pipe of
//! each step, and stops when the pipe has said it all.
//!
//! ```text
//! cargo run -p millrun-examples --example loop_alone
//! ```

use std::cell::RefCell;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{EventLoop, LoopHandle};

/// Far more than it needs: the program ends in any case.
const DEADLINE: Duration = Duration::from_secs(10);

fn count_down(handle: &LoopHandle, pipe: Rc<UnixStream>, left: u8) {
    let inner = handle.clone();
    let step = move || {
        if (&*pipe).write_all(&[left]).is_ok() && left > 0 {
            count_down(&inner, pipe, left - 1);
        }
    };
    if let Err(closed) = handle.call_later(Duration::from_millis(5), step) {
        eprintln!("{closed}");
    }
}

fn run(event_loop: &mut EventLoop) -> Result<Vec<u8>, Box<dyn Error>> {
    let handle = event_loop.handle();
    let (left, right) = UnixStream::pair()?;
    let (left, right) = (Rc::new(left), Rc::new(right));
    let heard = Rc::new(RefCell::new(Vec::new()));

    let (reader, inner, into) = (Rc::clone(&left), handle.clone(), Rc::clone(&heard));
    handle.add_reader(&*left, move || {
        let mut byte = [0];
        if (&*reader).read_exact(&mut byte).is_ok() {
            println!("{}", byte[0]);
            into.borrow_mut().push(byte[0]);
        }
        if byte[0] == 0 {
            inner.remove_reader(&*reader);
            inner.stop();
        }
    })?;

    handle.call_soon(|| println!("callbacks run in the order queued:"))?;
    let inner = handle.clone();
    handle.call_soon(move || count_down(&inner, right, 3))?;
    let inner = handle.clone();
    let deadline = handle.call_later(DEADLINE, move || inner.stop())?;
    event_loop.run_forever()?;
    deadline.cancel();
    Ok(heard.take())
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut event_loop = EventLoop::new()?;
    let heard = run(&mut event_loop)?;
    println!("{:?}", event_loop.handle().metrics());
    Ok(if heard == [3, 2, 1, 0] { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
