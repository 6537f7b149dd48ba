//! TLS. A handshake that is given up ends its connection: what was begun can't be taken back, so it is made anew.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use millrun_loop::oneshot;
use millrun_streams::{ReadAhead, StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::cancel::Cut;
use millrun_testbed::{Scene, Witness};
use millrun_transport::{Connect, Protocol, Transport, Upper, start_tls};

use super::{Case, cases};
use crate::certificates::{NAME, client, client_layer, server, server_layer};

pub(super) const CASES: &[Case] = cases![
    "open_connection, over TLS" ("streams::tls") = connecting;
    "StreamWriter::start_tls" ("streams::start_tls") = upgrading;
    "start_tls" ("transport::start_tls") = on_callbacks;
];

/// Sends lines back. A client that goes away is an ordinary thing.
async fn echo(mut reader: StreamReader, writer: StreamWriter) {
    while let Ok(line) = reader.read_line().await {
        if line.is_empty() || writer.write(line).is_err() || writer.drain().await.is_err() {
            break;
        }
    }
    let _ = writer.close().await;
}

async fn connecting(_: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let server = start_server("server", 80, echo).tls(server()?).await?;
    let config = client()?;
    let (mut reader, writer) =
        cut.again(async || open_connection("many", 80).tls(&config, NAME).await).await?;
    writer.write(b"word\n")?;
    let heard = reader.read_line().await?.to_vec();
    writer.close().await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}

/// Answers a line, and goes on over TLS.
async fn upgraded(mut reader: StreamReader, writer: StreamWriter) {
    let Ok(b"STARTTLS\n") = reader.read_line().await else { return };
    let Ok(layer) = server_layer() else { return };
    if writer.write(b"OK\n").is_ok() {
        if let Ok((reader, writer)) = writer.start_tls(reader, layer, ReadAhead::Refuse).await {
            echo(reader, writer).await;
        }
    }
}

/// A connection on which the server is about to begin TLS.
async fn asked() -> io::Result<(StreamReader, StreamWriter)> {
    let (mut reader, writer) = open_connection("server", 80).await?;
    writer.write(b"STARTTLS\n")?;
    reader.read_exact(3).await?;
    Ok((reader, writer))
}

async fn upgrading(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let guard = scene.guard();
    let server = start_server("server", 80, async move |reader, writer| {
        let _guard = guard.clone();
        upgraded(reader, writer).await;
    })
    .await?;
    let (mut reader, writer) = loop {
        let (reader, writer) = asked().await?;
        let upgrade = writer.start_tls(reader, client_layer()?, ReadAhead::Refuse);
        if let Some(ends) = cut.once(upgrade).await {
            break ends?;
        }
    };
    writer.write(b"word\n")?;
    let heard = reader.read_line().await?.to_vec();
    writer.close().await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}

/// Below TLS: asks for it, and tells when that was answered.
struct Asks(usize, Option<oneshot::Sender<()>>);

impl Protocol for Asks {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        transport.write(b"STARTTLS\n");
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.0 += data.len();
        let is_answered = self.0 == "OK\n".len();
        if let Some(asked) = self.1.take_if(|_| is_answered) {
            let _ = asked.send(());
        }
        Ok(())
    }
}

/// Above TLS: says a word, and gives what came back.
struct Says {
    witness: Rc<Witness>,
    transport: Option<Rc<dyn Transport>>,
    heard: Vec<u8>,
    done: Option<oneshot::Sender<Vec<u8>>>,
}

impl Protocol for Says {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.witness.made();
        transport.write(b"word\n");
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.witness.data();
        self.heard.extend_from_slice(data);
        if let Some(transport) = self.transport.take_if(|_| data.ends_with(b"\n")) {
            transport.close();
        }
        Ok(())
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.witness.lost();
        self.transport = None;
        if let Some(done) = self.done.take() {
            let _ = done.send(std::mem::take(&mut self.heard));
        }
    }
}

async fn on_callbacks(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let guard = scene.guard();
    let server = start_server("server", 80, async move |reader, writer| {
        let _guard = guard.clone();
        upgraded(reader, writer).await;
    })
    .await?;
    let handle = scene.handle().clone();
    let heard = loop {
        let (asked, is_asked) = oneshot::channel();
        let below = Connect::to("server", 80).connect(&handle, || Asks(0, Some(asked))).await?;
        is_asked.await.map_err(io::Error::other)?;
        let (done, outcome) = oneshot::channel();
        let witness = scene.witness("above TLS");
        let (heard, transport) = (Vec::new(), None);
        let says = Says { witness, transport, heard, done: Some(done) };
        let layer = client_layer()?;
        let upper = Upper::New(Box::new(says));
        let upgrade = start_tls(&handle, below, upper, &*layer, Bytes::new());
        if let Some(transport) = cut.once(upgrade).await {
            transport?;
            break outcome.await.map_err(io::Error::other)?;
        }
    };
    server.close();
    server.wait_closed().await;
    Ok(heard)
}
