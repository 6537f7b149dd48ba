//! The calls of a reader. Whatever is given up, all bytes come, once, in order.

use std::io;
use std::time::Duration;

use millrun_loop::sleep;
use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::Scene;
use millrun_testbed::cancel::Cut;

use super::{Case, cases};

pub(super) const CASES: &[Case] = cases![
    "read" ("streams::read" "protocol::poll_read" "protocol::waits" "protocol::poll_further") = read;
    "read_exact" ("streams::read_exact") = read_exact;
    "read_line" ("streams::read_line") = read_line;
    "next_line" ("streams::next_line") = next_line;
    "read_until" ("streams::read_until") = read_until;
    "peek" ("streams::peek") = peek;
    "read_into" ("streams::read_into") = read_into;
    "read_bytes" ("streams::read_bytes") = read_bytes;
    "read_to_end" ("streams::read_to_end") = read_to_end;
];

const TEXT: &[u8] = b"a first line of some length\nsecond;third one, which is longer than all of the buffers together\nrest";

/// A reader whose peer says [`TEXT`], some bytes at a time; then what `call` made of it, and what it left.
async fn heard<T>(
    scene: Scene,
    call: impl AsyncFnOnce(&mut StreamReader) -> io::Result<T>,
) -> io::Result<(T, Vec<u8>)> {
    let guard = scene.guard();
    let server =
        start_server("server", 80, async move |_reader: StreamReader, writer: StreamWriter| {
            let _guard = guard.clone();
            for piece in TEXT.chunks(9) {
                // A peer that has gone is an ordinary thing here.
                if writer.write(piece).is_err() || writer.drain().await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(3)).await;
            }
            let _ = writer.close().await;
        })
        .await?;
    let (mut reader, writer) = open_connection("server", 80).await?;
    let result = call(&mut reader).await?;
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await?;
    writer.close().await?;
    server.close();
    server.wait_closed().await;
    Ok((result, rest))
}

/// Everything that was read, in pieces whose sizes are chance.
async fn joined(
    scene: Scene,
    mut call: impl AsyncFnMut(&mut StreamReader) -> io::Result<Vec<u8>>,
) -> io::Result<String> {
    let whole = async |reader: &mut StreamReader| {
        let mut all = Vec::new();
        loop {
            let piece = call(reader).await?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend(piece);
        }
    };
    let (all, _) = heard(scene, whole).await?;
    Ok(all.escape_ascii().to_string())
}

async fn read(scene: Scene, cut: Cut) -> io::Result<String> {
    joined(scene, async |r| cut.again(async || r.read(7).await.map(<[u8]>::to_vec)).await).await
}

async fn read_bytes(scene: Scene, cut: Cut) -> io::Result<String> {
    joined(scene, async |r| cut.again(async || r.read_bytes(7).await).await.map(Vec::from)).await
}

async fn read_into(scene: Scene, cut: Cut) -> io::Result<String> {
    joined(scene, async |r| {
        let mut buffer = [0; 7];
        let n = cut.again(async || r.read_into(&mut buffer).await).await?;
        Ok(buffer[..n].to_vec())
    })
    .await
}

/// What it shows is still there.
async fn peek(scene: Scene, cut: Cut) -> io::Result<String> {
    joined(scene, async |r| {
        let seen = cut.again(async || r.peek().await.map(<[u8]>::to_vec)).await?;
        Ok(r.read_exact(seen.len()).await?.to_vec())
    })
    .await
}

async fn read_exact(scene: Scene, cut: Cut) -> io::Result<(Vec<u8>, Vec<u8>)> {
    heard(scene, async |r| {
        Ok(cut.again(async || r.read_exact(60).await.map(<[u8]>::to_vec)).await?)
    })
    .await
}

async fn read_line(scene: Scene, cut: Cut) -> io::Result<(Vec<u8>, Vec<u8>)> {
    heard(scene, async |r| Ok(cut.again(async || r.read_line().await.map(<[u8]>::to_vec)).await?))
        .await
}

async fn next_line(scene: Scene, cut: Cut) -> io::Result<(Option<Vec<u8>>, Vec<u8>)> {
    heard(scene, async |r| {
        Ok(cut.again(async || r.next_line().await.map(|line| line.map(<[u8]>::to_vec))).await?)
    })
    .await
}

async fn read_until(scene: Scene, cut: Cut) -> io::Result<(Vec<u8>, Vec<u8>)> {
    heard(scene, async |r| {
        let separators: &[&[u8]] = &[b"no", b";t"];
        Ok(cut.again(async || r.read_until(separators).await.map(<[u8]>::to_vec)).await?)
    })
    .await
}

async fn read_to_end(scene: Scene, cut: Cut) -> io::Result<(Vec<u8>, Vec<u8>)> {
    heard(scene, async |r| {
        let mut out = Vec::new();
        cut.again(async || r.read_to_end(&mut out).await).await?;
        Ok(out)
    })
    .await
}
