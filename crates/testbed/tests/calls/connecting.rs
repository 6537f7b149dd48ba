//! Connecting. Given up, it leaves no socket, and a protocol that was made is told of its end.

use std::io;
use std::rc::Rc;

use millrun_loop::{LoopHandle, oneshot};
use millrun_protocol::StreamReaderProtocol;
use millrun_streams::{
    OpenConnection, StreamReader, StreamWriter, open_connection, open_unix_connection,
    start_server, start_unix_server, stream, stream_with_limit,
};
use millrun_testbed::cancel::Cut;
use millrun_testbed::{Scene, Witness};
use millrun_transport::{
    Connect, Protocol, SocketTransport, Transport, TransportOptions, create_connection,
};

use super::{Case, cases};

pub(super) const CASES: &[Case] = cases![
    "open_connection" ("streams::open_connection" "streams::OpenConnection")
        = by_name;
    "open_connection, several addresses" () = several;
    "open_connection, from a local address" () = from_local;
    "open_unix_connection" ("streams::open_unix_connection") = unix;
    "Connect::connect" ("transport::connect") = connect;
    "create_connection" ("transport::create_connection") = create;
    "stream" ("streams::stream") = over_a_transport;
    "stream_with_limit" ("streams::stream_with_limit") = with_a_limit;
    "protocol::Connecting" ("protocol::Connecting" "protocol::new") = made;
];

/// Says a word and hears it back.
async fn word((mut reader, writer): (StreamReader, StreamWriter)) -> io::Result<Vec<u8>> {
    writer.write(b"word\n")?;
    let heard = reader.read_line().await?.to_vec();
    writer.close().await?;
    Ok(heard)
}

/// Sends lines back. A client that goes away is an ordinary thing.
async fn echo(mut reader: StreamReader, writer: StreamWriter) {
    while let Ok(line) = reader.read_line().await {
        if line.is_empty() || writer.write(line).is_err() || writer.drain().await.is_err() {
            break;
        }
    }
    let _ = writer.close().await;
}

async fn against_a_server(
    scene: Scene,
    call: impl AsyncFnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let guard = scene.guard();
    let server = start_server("server", 80, async move |reader, writer| {
        let _guard = guard.clone();
        echo(reader, writer).await;
    })
    .await?;
    let heard = call().await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}

async fn by_name(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    against_a_server(scene, async || {
        word(cut.again(async || open_connection("server", 80).await).await?).await
    })
    .await
}

async fn several(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    against_a_server(scene, async || {
        word(cut.again(async || open_connection("many", 80).await).await?).await
    })
    .await
}

async fn from_local(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    against_a_server(scene, async || {
        let open =
            || OpenConnection::from(Connect::to("many", 80).local_addr("here", 0)).limit(100);
        word(cut.again(async || open().await).await?).await
    })
    .await
}

async fn unix(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let guard = scene.guard();
    let server = start_unix_server("/socket", async move |reader, writer| {
        let _guard = guard.clone();
        echo(reader, writer).await;
    })
    .await?;
    let heard = word(cut.again(async || open_unix_connection("/socket").await).await?).await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}

/// Says a word, and gives what came back when the connection is over.
struct Caller {
    witness: Rc<Witness>,
    heard: Vec<u8>,
    done: Option<oneshot::Sender<Vec<u8>>>,
    transport: Option<Rc<dyn Transport>>,
}

impl Caller {
    fn new(scene: &Scene) -> (Caller, oneshot::Receiver<Vec<u8>>) {
        let (done, outcome) = oneshot::channel();
        let witness = scene.witness("the client");
        (Caller { witness, heard: Vec::new(), done: Some(done), transport: None }, outcome)
    }
}

impl Protocol for Caller {
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

async fn connect(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let within = scene.clone();
    against_a_server(scene, async || {
        let outcome = cut
            .again(async || {
                let (caller, outcome) = Caller::new(&within);
                let handle = within.handle();
                Connect::to("many", 80).connect(handle, || caller).await.map(|_| outcome)
            })
            .await?;
        outcome.await.map_err(io::Error::other)
    })
    .await
}

async fn create(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let within = scene.clone();
    against_a_server(scene, async || {
        let outcome = cut
            .again(async || {
                let (caller, outcome) = Caller::new(&within);
                create_connection(within.handle(), "server", 80, || caller).await.map(|_| outcome)
            })
            .await?;
        outcome.await.map_err(io::Error::other)
    })
    .await
}

/// One end of a pair, as streams; the other end echoes by itself.
async fn over(scene: &Scene, limit: Option<usize>) -> io::Result<(StreamReader, StreamWriter)> {
    let (here, there) = scene.sim().pair();
    let handle = LoopHandle::current().map_err(io::Error::other)?;
    let options = TransportOptions::default;
    SocketTransport::new(&handle, there, Box::new(Back(None)), options())?;
    let make = |protocol: Box<StreamReaderProtocol>| {
        SocketTransport::new(&handle, here, protocol, options())
    };
    match limit {
        None => stream(make).await,
        Some(limit) => stream_with_limit(limit, make).await,
    }
}

struct Back(Option<Rc<dyn Transport>>);

impl Protocol for Back {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.0 = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(transport) = &self.0 {
            transport.write(data);
        }
        Ok(())
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.0 = None;
    }
}

async fn over_a_transport(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    word(cut.again(async || over(&scene, None).await).await?).await
}

async fn with_a_limit(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    word(cut.again(async || over(&scene, Some(10)).await).await?).await
}

async fn made(scene: Scene, cut: Cut) -> io::Result<bool> {
    let connection = cut
        .again(async || {
            let (socket, _peer) = scene.sim().scripted();
            let (protocol, connecting) =
                StreamReaderProtocol::new(scene.handle(), 100).map_err(io::Error::other)?;
            let options = TransportOptions::default();
            SocketTransport::new(scene.handle(), socket, Box::new(protocol), options)?;
            connecting.await
        })
        .await?;
    Ok(connection.transport().is_closing())
}
