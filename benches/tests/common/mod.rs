//! Servers that can't be had on every machine.

use std::process::{Command, Stdio};

use millrun_benches::check::Program;
use millrun_benches::contract::NO_SUCH_SHAPE;

/// As `check_server!`, of a `Result<Program, String>`: an error is why it is left out.
macro_rules! check_or_skip {
    ($program:expr) => {
        check_or_skip!($program, echo, lines, sink, source, fanout, relay, mixed);
    };
    ($program:expr, $($shape:ident),+) => {
        $(
            #[test]
            fn $shape() -> millrun_benches::check::Outcome {
                match $program {
                    Ok(program) => millrun_benches::check::$shape(&program),
                    Err(why) => {
                        println!("skipped: {why}");
                        Ok(())
                    }
                }
            }
        )+
    };
}

/// The server, or why it says that it can't run here.
#[allow(dead_code, reason = "not every test has a server that may refuse")]
pub(crate) fn willing(path: &str) -> Result<Program, String> {
    // No word of this is a shape: what needs none of the machine's help fails in the same way, but with other words.
    let mut ask = Command::new(path);
    let asked = ask.arg("").stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let words = String::from_utf8_lossy(&asked.stderr);
    let refused = asked.status.code() == Some(i32::from(NO_SUCH_SHAPE));
    if refused && words.contains("io_uring") {
        Err(words.trim().to_owned())
    } else {
        Ok(Program::new(path))
    }
}
