//! The tour: 256 MiB (or a file) through a server and a client in one loop, with a consumer that is
//! slow at first. Watch the buffers fill, the flow control stop the sender, and the digest match.
//!
//! ```text
//! tour                     256 MiB of made-up bytes, both halves in one loop
//! tour FILE                the same with a file
//! tour serve ADDR          the receiving half alone, for nc, curl, dd or python on the other side
//! tour serve ADDR --once   the same, for one connection; exits non-zero if it broke
//! tour send ADDR FILE      the sending half alone
//! ```
//!
//! The wire: the sender sends its bytes and ends its write direction; the receiver answers with one
//! line, `<bytes> <sha256>`. The exit code is non-zero when anything differs.

mod both;
mod halves;
mod screen;

use std::process::ExitCode;

const USAGE: &str = "usage: tour [FILE] | tour serve ADDR [--once] | tour send ADDR FILE";

/// What every part of the tour fails with: shown to a person, then a non-zero exit.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = match words[..] {
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [] => millrun::run(both::tour(both::Source::MadeUp(256 << 20))),
        ["serve", address] => millrun::run(halves::serve(address, false)),
        ["serve", address, "--once"] => millrun::run(halves::serve(address, true)),
        ["send", address, file] => millrun::run(halves::send(address, file)),
        [file] if !file.starts_with('-') && file != "serve" && file != "send" => {
            millrun::run(both::tour(both::Source::File(file.into())))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match ran.map_err(Failure::from).and_then(|inner| inner) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tour: {error}");
            ExitCode::FAILURE
        }
    }
}
