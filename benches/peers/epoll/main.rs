//! A server on level-triggered epoll as one writes it by hand, with nothing between the program and the kernel: the limit that
//! every other server is compared with.
//!
//! One buffer shared by all connections takes what comes; it goes out from there, and only what the kernel doesn't take is
//! kept. Nothing is read from a peer that has more than [`link::KEPT`] bytes unsent, so memory is bounded.

mod echo;
mod link;
mod poll;
mod table;

use std::error::Error;
use std::process::ExitCode;

use millrun_benches::contract::{self, Arguments, Shape};

fn main() -> ExitCode {
    contract::main(serve)
}

fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    match arguments.shape {
        Shape::Echo => poll::serve(|| Ok(echo::Echo::default())),
        _ => std::process::exit(i32::from(contract::NO_SUCH_SHAPE)),
    }
}
