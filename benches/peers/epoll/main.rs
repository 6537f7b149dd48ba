//! A server on level-triggered epoll as one writes it by hand, with nothing between the program and the kernel: the limit that
//! every other server is compared with.
//!
//! One buffer shared by all connections takes what comes; it goes out from there, and only what the kernel doesn't take is
//! kept. Nothing is read from a peer that has more than [`link::KEPT`] bytes unsent, so memory is bounded.
//!
//! With `--spin` it asks epoll again and again for so long before it sleeps, which is all that such an option can be: what that
//! brings on a machine, no stack can better.

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
use std::time::Duration;

use each::Each;
use millrun_benches::contract::{self, Arguments, Shape};

fn main() -> ExitCode {
    contract::main(serve)
}

fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let spin = Duration::from_micros(arguments.spin_micros);
    match arguments.shape {
        Shape::Echo => poll::serve(Each::<echo::Echo>::default(), spin),
        Shape::Lines => poll::serve(Each::<lines::Lines>::default(), spin),
        Shape::Sink => poll::serve(Each::<sink::Sink>::default(), spin),
        Shape::Source => poll::serve(Each::<source::Source>::default(), spin),
        Shape::Mixed => poll::serve(Each::<mixed::Mixed>::default(), spin),
        Shape::Fanout => poll::serve(fanout::Fanout::default(), spin),
        Shape::Relay => {
            let backend = arguments.backend.ok_or("expected --backend, got none")?;
            poll::serve(relay::Relay::new(backend), spin)
        }
        _ => std::process::exit(i32::from(contract::NO_SUCH_SHAPE)),
    }
}
