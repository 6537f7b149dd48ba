//! The calls of a writer. Whatever is given up, all that was written arrives.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::sleep;
use millrun_streams::{CloseOutcome, StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::Scene;
use millrun_testbed::cancel::Cut;
use millrun_transport::Watermarks;

use super::{Case, cases};
use crate::certificates;

pub(super) const CASES: &[Case] = cases![
    "drain" ("streams::drain" "streams::Drain" "protocol::poll_drain") = drain;
    "close" ("streams::close" "streams::Closed" "protocol::poll_closed") = close;
    "wait_closed" ("streams::wait_closed") = wait_closed;
    "drain, over TLS" () = drain_over_tls;
    "close, over TLS" () = close_over_tls;
    "wait_closed, over TLS" () = wait_closed_over_tls;
];

/// What is between the writer and its peer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Tcp,
    Tls,
}

/// A writer whose peer reads slowly; then what `call` made of it, and how many bytes the peer got.
async fn written<T>(
    scene: Scene,
    over: Over,
    call: impl AsyncFnOnce(&StreamWriter) -> io::Result<T>,
) -> io::Result<(T, usize)> {
    let (guard, got) = (scene.guard(), Rc::new(RefCell::new(0)));
    let into = Rc::clone(&got);
    let serving =
        start_server("server", 80, async move |mut reader: StreamReader, writer: StreamWriter| {
            let _guard = guard.clone();
            while let Ok(data) = reader.read(25).await {
                if data.is_empty() {
                    break;
                }
                *into.borrow_mut() += data.len();
                sleep(Duration::from_millis(2)).await;
            }
            let _ = writer.close().await;
        });
    let (serving, opening) = match over {
        Over::Tcp => (serving, open_connection("server", 80)),
        Over::Tls => {
            let config = certificates::client()?;
            let opening = open_connection("server", 80).tls(&config, certificates::NAME);
            (serving.tls(certificates::server()?), opening)
        }
    };
    let server = serving.await?;
    let (mut reader, writer) = opening.await?;
    let marks = Watermarks::new(20, 60).map_err(io::Error::other)?;
    writer.transport().set_write_buffer_limits(marks).map_err(io::Error::other)?;
    let result = call(&writer).await?;
    writer.close().await?;
    let mut end = Vec::new();
    // Closed by us: nothing comes any more.
    reader.read_to_end(&mut end).await?;
    server.close();
    server.wait_closed().await;
    let got = *got.borrow();
    Ok((result, got))
}

async fn drain(scene: Scene, cut: Cut) -> io::Result<((), usize)> {
    drain_over(scene, Over::Tcp, cut).await
}

async fn drain_over_tls(scene: Scene, cut: Cut) -> io::Result<((), usize)> {
    drain_over(scene, Over::Tls, cut).await
}

async fn drain_over(scene: Scene, over: Over, cut: Cut) -> io::Result<((), usize)> {
    written(scene, over, async |writer| {
        for _ in 0..2 {
            writer.write(&[b'x'; 200])?;
            cut.again(async || writer.drain().await).await?;
        }
        Ok(())
    })
    .await
}

async fn close(scene: Scene, cut: Cut) -> io::Result<(CloseOutcome, usize)> {
    close_over(scene, Over::Tcp, cut).await
}

async fn close_over_tls(scene: Scene, cut: Cut) -> io::Result<(CloseOutcome, usize)> {
    close_over(scene, Over::Tls, cut).await
}

async fn close_over(scene: Scene, over: Over, cut: Cut) -> io::Result<(CloseOutcome, usize)> {
    written(scene, over, async |writer| {
        writer.write(&[b'x'; 300])?;
        cut.again(async || writer.close().await).await
    })
    .await
}

async fn wait_closed(scene: Scene, cut: Cut) -> io::Result<(CloseOutcome, usize)> {
    wait_closed_over(scene, Over::Tcp, cut).await
}

async fn wait_closed_over_tls(scene: Scene, cut: Cut) -> io::Result<(CloseOutcome, usize)> {
    wait_closed_over(scene, Over::Tls, cut).await
}

/// The peer ends it, when it has got all.
async fn wait_closed_over(scene: Scene, over: Over, cut: Cut) -> io::Result<(CloseOutcome, usize)> {
    written(scene, over, async |writer| {
        writer.write(&[b'x'; 300])?;
        drop(writer.close());
        cut.again(async || writer.wait_closed().await).await
    })
    .await
}
