//! On streams.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{sleep, spawn};
use millrun_selector::SocketOption;
use millrun_streams::{
    StreamReader, StreamWriter, open_connection, open_unix_connection, start_server,
    start_unix_server,
};
use millrun_testbed::Scene;

use super::{bytes, short};

type Ends = (StreamReader, StreamWriter);

/// Sends back what comes, until the end of file.
pub async fn echo_handler(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.read(3000).await?;
        if data.is_empty() {
            break;
        }
        writer.write(data)?;
        writer.drain().await?;
    }
    writer.close().await?;
    Ok(())
}

/// Says some things, each of which must come back, and closes in order.
pub async fn talk((mut reader, writer): Ends, sizes: &[usize]) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    for size in sizes {
        writer.write(&bytes(*size))?;
        writer.drain().await?;
        heard.extend_from_slice(reader.read_exact(*size).await?);
    }
    writer.write_eof();
    reader.read_to_end(&mut heard).await?;
    writer.close().await?;
    Ok(heard)
}

pub async fn echo(scene: Scene) -> io::Result<Vec<u8>> {
    let guard = scene.guard();
    let server = start_server("server", 80, async move |reader, writer| {
        let _guard = guard.clone();
        echo_handler(reader, writer).await
    })
    .await?;
    let heard = talk(open_connection("server", 80).await?, &[1, 500, 6000, 20]).await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}

/// The client ends its direction first; the server answers after that.
pub async fn lines(_scene: Scene) -> io::Result<Vec<u8>> {
    let server =
        start_server("server", 80, async |mut reader: StreamReader, writer: StreamWriter| {
            let mut count = 0;
            let mut answer = Vec::new();
            while let Some(line) = reader.next_line().await? {
                count += 1;
                answer.extend(line.iter().rev());
            }
            // Not before the end of file: the client has long stopped writing.
            sleep(Duration::from_millis(5)).await;
            writer.write(format!("{count} lines:").as_bytes())?;
            writer.write(&answer)?;
            writer.close().await?;
            Ok::<(), io::Error>(())
        })
        .await?;
    let (mut reader, writer) = open_connection("server", 80).await?;
    for line in 0..5 {
        writer.write(format!("this is line {line}\n").as_bytes())?;
        writer.drain().await?;
        sleep(Duration::from_millis(2)).await;
    }
    writer.write_eof();
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer).await?;
    writer.close().await?;
    server.close();
    server.wait_closed().await;
    let whole = "5 lines:".len() + 5 * "this is line 0\n".len();
    if answer.len() < whole { Err(short("the answer", answer.len(), whole)) } else { Ok(answer) }
}

/// Says two lines, and keeps its connection.
async fn one_of_the_clients(number: u64) -> io::Result<(StreamReader, StreamWriter, Vec<u8>)> {
    sleep(Duration::from_millis(number)).await;
    let (mut reader, writer) = open_connection("server", 80).await?;
    match writer.transport().set_option(SocketOption::NoDelay(true)) {
        // Of a connection that is over already the next call tells why.
        Err(error) if error.kind() != io::ErrorKind::NotConnected => {
            let text = format!("setting an option: {error}");
            return Err(io::Error::new(error.kind(), text));
        }
        _ => {}
    }
    let mut heard = Vec::new();
    for _ in 0..2 {
        writer.write(format!("client {number}\n").as_bytes())?;
        heard.extend_from_slice(reader.read_line().await?);
    }
    Ok((reader, writer, heard))
}

/// Several clients at once; then the server closes them, and they see it.
pub async fn clients(scene: Scene) -> io::Result<Vec<u8>> {
    let server =
        start_server("server", 80, async |mut reader: StreamReader, writer: StreamWriter| {
            loop {
                let line = reader.read_line().await?;
                if line.is_empty() {
                    return Ok::<(), io::Error>(());
                }
                writer.write(line)?;
                writer.drain().await?;
            }
        })
        .await?;
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let guard = scene.guard();
            spawn(async move {
                let _guard = guard;
                one_of_the_clients(number).await
            })
        })
        .collect();
    let mut all = Vec::new();
    let mut open = Vec::new();
    // Each is waited for, whatever became of the others.
    let mut failed = None;
    for client in clients {
        match client.await.map_err(io::Error::from).and_then(|outcome| outcome) {
            Ok((reader, writer, heard)) => {
                all.extend(heard);
                open.push((reader, writer));
            }
            Err(error) => failed = Some(error),
        }
    }
    server.close();
    server.close_clients();
    for (mut reader, writer) in open {
        let end = reader.read_to_end(&mut all).await;
        writer.close().await?;
        end?;
    }
    server.wait_closed().await;
    let whole = 4 * 2 * "client 0\n".len();
    match failed {
        Some(error) => Err(error),
        None if all.len() < whole => Err(short("the lines", all.len(), whole)),
        None => Ok(all),
    }
}

/// Two of the addresses refuse, the third one listens.
pub async fn addresses(_scene: Scene) -> io::Result<Vec<u8>> {
    let server = start_server("server", 80, echo_handler).await?;
    let heard = talk(open_connection("many", 80).await?, &[10]).await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}

/// More than all buffers hold, to a slow consumer: the writer has to wait, and the reader's transport too.
pub async fn transfer(scene: Scene) -> io::Result<Vec<u8>> {
    const ALL: usize = 120_000;
    let into = Rc::new(std::cell::RefCell::new(Vec::new()));
    let (guard, received) = (scene.guard(), Rc::clone(&into));
    let server =
        start_server("server", 80, async move |mut reader: StreamReader, writer: StreamWriter| {
            let (_guard, received) = (guard.clone(), Rc::clone(&received));
            loop {
                let data = reader.read(9000).await?;
                if data.is_empty() {
                    break;
                }
                received.borrow_mut().extend_from_slice(data);
                sleep(Duration::from_millis(1)).await;
            }
            writer.write(b"thanks")?;
            writer.close().await?;
            Ok::<(), io::Error>(())
        })
        .await?;
    let (mut reader, writer) = open_connection("server", 80).await?;
    for chunk in bytes(ALL).chunks(30_000) {
        writer.write(chunk)?;
        writer.drain().await?;
    }
    writer.write_eof();
    let thanks = reader.read_exact(6).await?.to_vec();
    writer.close().await?;
    server.close();
    server.wait_closed().await;
    let received = into.take();
    if received.len() < ALL {
        return Err(short("the transfer", received.len(), ALL));
    }
    Ok([thanks, received].concat())
}

pub async fn unix(_scene: Scene) -> io::Result<Vec<u8>> {
    let server = start_unix_server("/socket", echo_handler).await?;
    let heard = talk(open_unix_connection("/socket").await?, &[5, 9000, 1]).await?;
    server.close();
    server.wait_closed().await;
    Ok(heard)
}
