//! Millrun's callback layer: a [`Protocol`] for each connection.

mod echo;
mod fanout;
mod first_byte;
mod lines;
mod relay;
mod transfer;

use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use millrun_benches::contract::{self, Arguments, Shape};
use millrun_loop::{EventLoop, LoopHandle};
use millrun_transport::{Protocol, Serve, ServeError, Server};

use echo::Echo;
use fanout::Room;
use first_byte::FirstByte;
use lines::Lines;
use relay::Relay;
use transfer::{Sink, Source, pattern};

fn main() -> ExitCode {
    contract::main(|arguments| {
        let mut event_loop = EventLoop::new()?;
        let handle = event_loop.handle();
        handle.set_spin(Duration::from_micros(arguments.spin_micros));
        event_loop.run_until_complete(serve(&handle, arguments))?
    })
}

async fn serve(handle: &LoopHandle, arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let pattern = pattern();
    let server = match arguments.shape {
        Shape::Echo => listen(handle, Echo::default).await?,
        Shape::Lines => listen(handle, Lines::default).await?,
        Shape::Sink => listen(handle, Sink::default).await?,
        Shape::Source => listen(handle, move || Source::new(pattern.clone())).await?,
        Shape::Fanout => {
            let room = Rc::new(Room::default());
            listen(handle, move || FirstByte::new(room.clone(), fanout::role)).await?
        }
        Shape::Relay => {
            let backend = arguments.backend.ok_or("a relay needs --backend")?;
            let inner = handle.clone();
            listen(handle, move || Relay::new(&inner, backend)).await?
        }
        Shape::Mixed => {
            listen(handle, move || FirstByte::new(pattern.clone(), transfer::mixed)).await?
        }
        other => return Err(format!("no such shape: {other:?}").into()),
    };
    let address = server.local_addrs().first().and_then(|address| address.port());
    contract::announce(address.ok_or("listens on no port")?)?;
    server.wait_closed().await;
    Ok(())
}

async fn listen<P: Protocol + 'static>(
    handle: &LoopHandle,
    protocol: impl FnMut() -> P + 'static,
) -> Result<Server, ServeError> {
    let backlog = contract::BACKLOG.unsigned_abs();
    Serve::on("127.0.0.1", 0).backlog(backlog).serve(handle, protocol).await
}
