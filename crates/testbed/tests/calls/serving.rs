//! Serving. Nothing listens before the call is done; what is given up leaves no listener.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{sleep, spawn};
use millrun_streams::{
    StreamReader, StreamWriter, open_connection, open_unix_connection, start_server,
    start_unix_server,
};
use millrun_testbed::Scene;
use millrun_testbed::cancel::Cut;
use millrun_transport::{Protocol, Serve, Server, Transport, create_server};

use super::{Case, cases};

pub(super) const CASES: &[Case] = cases![
    "start_server" ("streams::start_server" "streams::StartServer" "streams::tasks" "streams::calls")
        = start;
    "start_unix_server" ("streams::start_unix_server") = start_unix;
    "Serve::serve" ("transport::serve") = serve;
    "create_server" ("transport::create_server") = create;
    "Server::wait_closed" ("transport::wait_closed" "transport::WaitClosed") = wait_closed;
    "Server::serve_forever" ("transport::serve_forever") = serve_forever;
];

/// Greets, and closes.
async fn greet(_reader: StreamReader, writer: StreamWriter) {
    let _ = writer.write(b"hello");
    let _ = writer.close().await;
}

/// The same on callbacks.
struct Greeter;

impl Protocol for Greeter {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        transport.write(b"hello");
        transport.close();
    }

    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// What a client hears of it; then it closes.
async fn greeted(server: Server) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    let (mut reader, writer) = match server.local_addrs().first().and_then(|at| at.port()) {
        Some(port) => open_connection("server", port).await?,
        None => open_unix_connection("/socket").await?,
    };
    reader.read_to_end(&mut heard).await?;
    writer.close().await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}

async fn start(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let guard = scene.guard();
    let server = cut
        .again(async || {
            let guard = guard.clone();
            start_server("server", 80, async move |reader, writer| {
                let _guard = guard.clone();
                greet(reader, writer).await;
            })
            .await
        })
        .await?;
    greeted(server).await
}

async fn start_unix(_scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    // It resolves nothing, and so never waits: the wait is its own task's first turn.
    let server = cut
        .again(async || {
            millrun_loop::yield_now().await;
            start_unix_server("/socket", greet).await
        })
        .await?;
    greeted(server).await
}

async fn serve(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let handle = scene.handle();
    let serve = || Serve::on_each(["server", "here"], 80).serve(handle, || Greeter);
    greeted(cut.again(async || serve().await).await?).await
}

async fn create(scene: Scene, cut: Cut) -> io::Result<Vec<u8>> {
    let handle = scene.handle();
    let create = || create_server(handle, "server", 80, || Greeter);
    greeted(cut.again(async || create().await).await?).await
}

/// A server that is closed after a while, when a client still talks; and whether that client heard all.
async fn closed_later(
    scene: &Scene,
    wait: impl AsyncFnOnce(&Server),
) -> io::Result<(Vec<u8>, usize)> {
    let guard = scene.guard();
    let server =
        start_server("server", 80, async move |_reader: StreamReader, writer: StreamWriter| {
            let _guard = guard.clone();
            sleep(Duration::from_millis(30)).await;
            let _ = writer.write(b"hello");
            let _ = writer.close().await;
        })
        .await?;
    let guard = scene.guard();
    let client = spawn(async move {
        let _guard = guard;
        let (mut reader, writer) = open_connection("server", 80).await?;
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).await?;
        writer.close().await?;
        Ok::<_, io::Error>(heard)
    });
    let (guard, to_close) = (scene.guard(), server.clone());
    let closer = spawn(async move {
        let _guard = guard;
        sleep(Duration::from_millis(20)).await;
        to_close.close();
    });
    wait(&server).await;
    let heard = client.await.map_err(io::Error::other)??;
    closer.await.map_err(io::Error::other)?;
    server.wait_closed().await;
    Ok((heard, server.connections()))
}

async fn wait_closed(scene: Scene, cut: Cut) -> io::Result<(Vec<u8>, usize)> {
    closed_later(&scene, async |server| cut.again(async || server.wait_closed().await).await).await
}

/// Given up, it closes the server: a client that was connected by then is served all the same.
async fn serve_forever(scene: Scene, cut: Cut) -> io::Result<(Vec<u8>, usize)> {
    closed_later(&scene, async |server| {
        // Let the client come first.
        sleep(Duration::from_millis(10)).await;
        if cut.once(server.serve_forever()).await.is_none() && server.is_serving() {
            server.close_clients(); // which the client notices
        }
    })
    .await
}
