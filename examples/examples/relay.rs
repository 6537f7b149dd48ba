//! A TCP relay with back-pressure: two directions, each at the pace of its reader, each half closed on
//! its own.
//!
//! ```text
//! relay PORT HOST TARGET-PORT     serves on PORT until interrupted
//! relay                           8 MiB to a slow server and back, and it ends
//! ```

use std::time::Duration;

use millrun::streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun::transport::Server;
use millrun::{sleep, spawn};

type Failure = Box<dyn std::error::Error>;

/// One direction: memory stays at one chunk and the two buffers' limits, however slow `to` is.
async fn pump(mut from: StreamReader, to: StreamWriter) -> Result<u64, Failure> {
    let mut moved = 0;
    loop {
        let bytes = from.read(64 * 1024).await?;
        if bytes.is_empty() {
            break;
        }
        to.write(bytes)?;
        moved += bytes.len() as u64;
        to.drain().await?;
    }
    to.write_eof(); // the end of one direction travels on; the other lives
    to.flush();
    Ok(moved)
}

async fn relay(port: &str, host: String, target: String) -> Result<Server, Failure> {
    let serve = async move |near_reader, near_writer| {
        let Ok((far_reader, far_writer)) = open_connection(&*host, &*target).await else {
            return eprintln!("{host}:{target} can't be reached");
        };
        let out = spawn(pump(near_reader, far_writer));
        let back = pump(far_reader, near_writer).await;
        println!("out {:?}, back {back:?}", out.await);
    };
    Ok(start_server("127.0.0.1", port, serve).await?)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    millrun::run(async {
        if let [port, host, target] = &arguments[..] {
            relay(port, host.clone(), target.clone()).await?.wait_closed().await;
            return Ok(());
        }
        let slow_echo = start_server("127.0.0.1", 0, async |mut reader, writer| {
            while let Ok(bytes) = reader.read(128 * 1024).await {
                if bytes.is_empty() || writer.write(bytes).is_err() || writer.drain().await.is_err()
                {
                    break;
                }
                sleep(Duration::from_micros(200)).await;
            }
        })
        .await?;
        let port = |server: &Server| server.local_addrs()[0].port().unwrap_or(0);
        let between = relay("0", "127.0.0.1".into(), port(&slow_echo).to_string()).await?;
        let (mut reader, writer) = open_connection("127.0.0.1", port(&between)).await?;
        let sender = spawn(async move {
            for n in 0..128_u8 {
                writer.write(&[n; 64 * 1024])?;
                writer.drain().await?;
            }
            writer.write_eof();
            Ok::<_, Failure>(writer)
        });
        let mut echo = Vec::new();
        reader.read_to_end(&mut echo).await?;
        drop(sender.await??);
        assert!((0..128_u8).flat_map(|n| [n; 64 * 1024]).eq(echo));
        Ok(())
    })?
}
