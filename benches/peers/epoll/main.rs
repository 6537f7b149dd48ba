//! A server on level-triggered epoll as one writes it by hand, with nothing between the program and the kernel: the limit that
//! every other server is compared with.
//!
//! One buffer shared by all connections takes what comes; it goes out from there, and only what the kernel doesn't take is
//! kept. Nothing is read from a peer that has more than [`link::KEPT`] bytes unsent, so memory is bounded.

mod each;
mod echo;
mod fanout;
mod lines;
mod link;
mod mixed;
mod poll;
mod relay;
mod sink;
mod source;
mod table;

use std::error::Error;
use std::process::ExitCode;

use each::Each;
use millrun_benches::contract::{self, Arguments, Shape};

fn main() -> ExitCode {
    contract::main(serve)
}

fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    match arguments.shape {
        Shape::Echo => poll::serve(Each::<echo::Echo>::default()),
        Shape::Lines => poll::serve(Each::<lines::Lines>::default()),
        Shape::Sink => poll::serve(Each::<sink::Sink>::default()),
        Shape::Source => poll::serve(Each::<source::Source>::default()),
        Shape::Mixed => poll::serve(Each::<mixed::Mixed>::default()),
        Shape::Fanout => poll::serve(fanout::Fanout::default()),
        Shape::Relay => {
            let backend = arguments.backend.ok_or("expected --backend, got none")?;
            poll::serve(relay::Relay::new(backend))
        }
        _ => std::process::exit(i32::from(contract::NO_SUCH_SHAPE)),
    }
}
