//! Over TLS.

use std::io;

use millrun_loop::oneshot;
use millrun_streams::{ReadAhead, StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::Scene;
use millrun_tls::ServerConfig;
use millrun_transport::{Layer, Wrapped, Wrapping};

use super::streams::{echo_handler, talk};
use crate::certificates::{NAME, client, client_layer, server, server_layer};

/// A server's TLS that lets the failure of a handshake be heard: no handler runs then, and it is only logged.
#[derive(Debug)]
struct Heard {
    scene: Scene,
    layer: ServerConfig,
}

impl Layer for Heard {
    fn wrap(&self, mut wrapping: Wrapping) -> io::Result<Wrapped> {
        let (opened, outcome) = oneshot::channel();
        let before = std::mem::replace(&mut wrapping.opened, opened);
        let scene = self.scene.clone();
        drop(self.scene.handle().spawn(async move {
            let Ok(outcome) = outcome.await else { return };
            if let Err(error) = &outcome {
                scene.hear(error);
            }
            let _ = before.send(outcome);
        }));
        self.layer.wrap(wrapping)
    }
}

/// From the first byte on.
pub async fn echo(scene: Scene) -> io::Result<Vec<u8>> {
    let layer = Heard { scene, layer: server()? };
    let server = start_server("server", 443, echo_handler).tls(layer).await?;
    let config = client()?;
    let ends = open_connection("server", 443).tls(&config, NAME).await?;
    let heard = talk(ends, &[1, 500, 20_000]).await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}

/// From the middle of a connection on, on both sides.
pub async fn upgrade(_scene: Scene) -> io::Result<Vec<u8>> {
    let server =
        start_server("server", 80, async |mut reader: StreamReader, writer: StreamWriter| {
            reader.read_line().await?;
            writer.write(b"OK\n")?;
            let layer = server_layer()?;
            let (reader, writer) = writer.start_tls(reader, layer, ReadAhead::Refuse).await?;
            echo_handler(reader, writer).await
        })
        .await?;
    let (mut reader, writer) = open_connection("server", 80).await?;
    writer.write(b"STARTTLS\n")?;
    reader.read_exact(3).await?;
    let ends = writer.start_tls(reader, client_layer()?, ReadAhead::Refuse).await?;
    let heard = talk(ends, &[500]).await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}
