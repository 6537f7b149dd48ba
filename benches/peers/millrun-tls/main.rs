//! Millrun over TLS: `server-millrun-tls protocol|streams echo --certificate DIRECTORY`.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use millrun_benches::contract::{self, Arguments, Shape};
use millrun_benches::tls;
use millrun_loop::{EventLoop, LoopHandle};
use millrun_streams::{StartServer, StreamReader, StreamWriter};
use millrun_tls::ServerConfig;
use millrun_transport::{Protocol, Serve, Transport};

/// The most that one read lends.
const MOST: usize = 64 * 1024;

fn main() -> ExitCode {
    contract::main_with(&["protocol", "streams"], |arguments| {
        let mut event_loop = EventLoop::new()?;
        let handle = event_loop.handle();
        event_loop.run_until_complete(run(&handle, arguments))?
    })
}

async fn run(handle: &LoopHandle, arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.shape != Shape::Echo {
        return Err(format!("no such shape: {:?}", arguments.shape).into());
    }
    let directory = arguments.certificate.ok_or("expected --certificate")?;
    let config = ServerConfig::from_rustls(tls::server(&directory)?)?;
    let serve = Serve::on("127.0.0.1", 0).backlog(contract::BACKLOG.unsigned_abs());
    let server = match arguments.word {
        Some("protocol") => serve.tls(config).serve(handle, Echo::default).await?,
        _ => StartServer::tasks(serve.tls(config), echo).await?,
    };
    let address = server.local_addrs().first().and_then(|address| address.port());
    contract::announce(address.ok_or("listens on no port")?)?;
    server.wait_closed().await;
    Ok(())
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.read(MOST).await?;
        if data.is_empty() {
            return Ok(()); // who drops both ends closes, flushing first
        }
        writer.write(data)?;
        writer.drain().await?;
    }
}

/// What comes goes back, at the pace of who reads it.
#[derive(Default)]
struct Echo {
    transport: Option<Rc<dyn Transport>>,
}

impl Protocol for Echo {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(transport) = &self.transport {
            transport.write(data);
        }
        Ok(())
    }

    fn pause_writing(&mut self) {
        if let Some(transport) = &self.transport {
            transport.pause_reading();
        }
    }

    fn resume_writing(&mut self) {
        if let Some(transport) = &self.transport {
            transport.resume_reading();
        }
    }
}
