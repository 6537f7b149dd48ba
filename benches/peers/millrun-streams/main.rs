//! Millrun's streams: a task for each connection.

mod echo;
mod fanout;
mod lines;
mod relay;
mod transfer;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use millrun_benches::contract::{self, Arguments, Shape};
use millrun_loop::{EventLoop, Failure, LoopHandle};
use millrun_streams::{StartServer, StreamReader, StreamWriter};
use millrun_transport::{Serve, Server};

use fanout::Room;

fn main() -> ExitCode {
    contract::main(|arguments| {
        let mut event_loop = EventLoop::new()?;
        let handle = event_loop.handle();
        handle.set_spin(Duration::from_micros(arguments.spin_micros));
        event_loop.run_until_complete(serve(handle, arguments))?
    })
}

async fn serve(handle: LoopHandle, arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let pattern = transfer::pattern();
    let server = match arguments.shape {
        Shape::Echo => listen(echo::echo).await?,
        Shape::Lines => listen(lines::lines).await?,
        Shape::Sink => listen(transfer::sink).await?,
        Shape::Source => {
            listen(move |reader, writer| transfer::source(reader, writer, pattern.clone())).await?
        }
        Shape::Fanout => {
            let room = Rc::new(Room::default());
            listen(move |reader, writer| fanout::join(room.clone(), reader, writer)).await?
        }
        Shape::Relay => {
            let backend = arguments.backend.ok_or("a relay needs --backend")?;
            listen(move |reader, writer| relay::relay(backend, reader, writer)).await?
        }
        Shape::Mixed => {
            listen(move |reader, writer| transfer::mixed(reader, writer, pattern.clone())).await?
        }
        other => return Err(format!("no such shape: {other:?}").into()),
    };
    // A conversation's error is its peer's doing, most often a reset: not worth a line. A panic is ours.
    handle.set_exception_handler(Some(Rc::new(|_, context| {
        if let Some(Failure::Panic(panic)) = &context.error {
            eprintln!("{}: {panic}", context.message);
        }
    })));
    let address = server.local_addrs().first().and_then(|address| address.port());
    contract::announce(address.ok_or("listens on no port")?)?;
    server.wait_closed().await;
    Ok(())
}

async fn listen(
    conversation: impl AsyncFn(StreamReader, StreamWriter) -> io::Result<()> + 'static,
) -> io::Result<Server> {
    let serve = Serve::on("127.0.0.1", 0).backlog(contract::BACKLOG.unsigned_abs());
    StartServer::tasks(serve, conversation).await
}
