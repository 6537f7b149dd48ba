//! An echo server on streams: what comes in goes out, at the pace of who reads it.
//!
//! ```text
//! echo_server PORT     serves until interrupted: try `nc localhost PORT`
//! echo_server          serves on a free port, asks itself one thing, and ends
//! ```

use millrun::streams::{StreamReader, StreamWriter, open_connection, start_server};

type Failure = Box<dyn std::error::Error>;

/// Copies until the peer ends its direction, then ends ours. `drain` is the back-pressure: a peer that
/// does not read stops us from reading.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<(), Failure> {
    loop {
        let bytes = reader.read(64 * 1024).await?;
        if bytes.is_empty() {
            break;
        }
        writer.write(bytes)?;
        writer.drain().await?;
    }
    writer.close().await?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let asked = std::env::args().nth(1);
    millrun::run(async {
        let server = start_server("127.0.0.1", asked.as_deref().unwrap_or("0"), echo).await?;
        let at = server.local_addrs()[0].clone();
        println!("echoing on {at}");
        if asked.is_some() {
            server.wait_closed().await;
            return Ok(());
        }

        let (mut reader, writer) = open_connection("127.0.0.1", at.port().unwrap_or(0)).await?;
        writer.write(b"anybody there?")?;
        writer.write_eof();
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await?;
        println!("the echo: {}", String::from_utf8_lossy(&answer));
        if answer != b"anybody there?" { Err("the echo differs".into()) } else { Ok(()) }
    })?
}
