//! Does it work with programs that are not ours? The tour's halves against nc, curl, dd and Python; the
//! digest that is expected comes from `sha256sum`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::commands::{answers, cargo, each, output_of, scratch, succeed, target, wait_within};

/// Far above what any of them takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than both kernels and both loops buffer for a connection that nobody reads.
const LARGE: usize = 16 << 20;
/// curl's telnet reads a little at a time and does not end by itself, but when its time is over.
const SMALL: usize = 4 << 10;

/// Someone to take the other side: a name, the program that must be there, how many bytes, and a shell script
/// that is given HOST, PORT and FILE.
type Peer = (&'static str, &'static str, usize, &'static str);

const SENDERS: [Peer; 5] = [
    ("nc", "nc", LARGE, "nc -N $HOST $PORT < $FILE | grep -q \"$(cut -d' ' -f1 < $FILE.sum)\""),
    ("dd through bash", "bash", LARGE, "dd if=$FILE bs=64k status=none > /dev/tcp/$HOST/$PORT"),
    // 28: the time that it was given is over, which is how it always ends here.
    (
        "curl telnet",
        "curl",
        SMALL,
        "curl -s --max-time 3 telnet://$HOST:$PORT < $FILE; [ $? = 28 ]",
    ),
    ("Python asyncio", "python3", LARGE, "python3 -c \"$PYTHON_SENDS\""),
    ("our own half", "bash", LARGE, "$TOUR send $HOST:$PORT $FILE"),
];

/// Sends, ends its direction, and compares the answer with a digest of its own.
const PYTHON_SENDS: &str = "
import asyncio, hashlib, os
async def main():
    reader, writer = await asyncio.open_connection(os.environ['HOST'], int(os.environ['PORT']))
    data = open(os.environ['FILE'], 'rb').read()
    for start in range(0, len(data), 100_000):
        writer.write(data[start:start + 100_000])
        await writer.drain()
    writer.write_eof()
    answer = (await reader.readline()).decode()
    assert answer == f'{len(data)} {hashlib.sha256(data).hexdigest()}\\n', answer
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
";

/// Receives from `tour send`, answers, and prints the port first.
const PYTHON_RECEIVES: &str = "
import asyncio, hashlib
async def main():
    done = asyncio.Event()
    async def receive(reader, writer):
        data = await reader.read()
        writer.write(f'{len(data)} {hashlib.sha256(data).hexdigest()}\\n'.encode())
        writer.close()
        done.set()
    server = await asyncio.start_server(receive, '127.0.0.1', 0)
    print(f'listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}', flush=True)
    await done.wait()
asyncio.run(main())
";

/// How to have much more than the tests move: 1 GiB each way over TLS, against Python's ssl, in both roles.
const GIB: &str = "--gib";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => tour(),
        [word] if word == GIB => tour().and_then(|()| gib()),
        [word, ..] => Err(format!("expected nothing or {GIB}, got {word:?}")),
    }
}

/// What the test of TLS says while it runs is seen.
fn gib() -> Result<(), String> {
    let mut bulk = cargo("test --release --package millrun-tls --test bulk -- --nocapture");
    succeed(bulk.arg("--test-threads=1").env("MILLRUN_TLS_BYTES", (1_u64 << 30).to_string()))
}

fn tour() -> Result<(), String> {
    succeed(&mut cargo("build --release --package millrun-examples --example tour"))?;
    let tour = target().join("release/examples/tour");
    let received = each(SENDERS, |(name, program, bytes, script)| {
        if !is_here(program) {
            println!("{name} -> tour serve: skipped, {program} is not on this machine");
            return Ok(());
        }
        sends(&tour, bytes, script).map_err(|why| format!("{name} -> tour serve: {why}"))?;
        println!("{name} -> tour serve: the digests are the same");
        Ok(())
    });
    let sent = if is_here("python3") {
        python_receives(&tour).map_err(|why| format!("tour send -> Python asyncio: {why}"))
    } else {
        println!("tour send -> Python asyncio: skipped, python3 is not on this machine");
        Ok(())
    };
    each([received, sent], |result| result)
}

fn is_here(program: &str) -> bool {
    answers(Command::new("sh").args(["-c", &format!("command -v {program}")]))
}

fn sends(tour: &Path, bytes: usize, script: &str) -> Result<(), String> {
    let (file, receipt) = file_of(bytes)?;
    let (mut server, address) = start(Command::new(tour).args(["serve", "127.0.0.1:0", "--once"]))?;
    let (host, port) = address.rsplit_once(':').ok_or(format!("no port in {address}"))?;
    let mut peer = Command::new("bash")
        .args(["-c", script])
        .env("HOST", host)
        .env("PORT", port)
        .env("FILE", &file)
        .env("TOUR", tour)
        .env("PYTHON_SENDS", PYTHON_SENDS)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let peer = wait_within(&mut peer, PATIENCE).map_err(|why| format!("the peer {why}"));
    let served = wait_within(&mut server, PATIENCE).map_err(|why| format!("the tour {why}"))?;
    let mut said = String::new();
    if let Some(mut out) = server.stdout.take() {
        out.read_to_string(&mut said).map_err(|error| error.to_string())?;
    }
    let peer = peer?;
    if !peer.success() || !served.success() || !said.contains(&receipt) {
        return Err(format!(
            "expected `{receipt}`, got `{}`; the peer ended with {peer}, the tour with {served}",
            said.trim_end()
        ));
    }
    Ok(())
}

fn python_receives(tour: &Path) -> Result<(), String> {
    let (file, receipt) = file_of(LARGE)?;
    let (mut python, address) = start(Command::new("python3").args(["-c", PYTHON_RECEIVES]))?;
    let said = output_of(Command::new(tour).args(["send", &address]).arg(file));
    let ended = wait_within(&mut python, PATIENCE)?;
    let said = said?;
    if !ended.success() || !said.contains(&receipt) || !said.contains("the same") {
        return Err(format!("expected `{receipt}`, got `{}`", said.trim_end()));
    }
    println!("tour send -> Python asyncio: the digests are the same");
    Ok(())
}

/// Starts a server and reads from its first line where it listens.
fn start(command: &mut Command) -> Result<(Child, String), String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut out = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    // A byte at a time: what comes behind the line is for someone else.
    BufReader::with_capacity(1, &mut out).read_line(&mut line).map_err(|e| e.to_string())?;
    child.stdout = Some(out);
    match line.trim_end().strip_prefix("listening on ") {
        Some(address) => Ok((child, address.to_owned())),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("expected `listening on ADDRESS`, got `{}`", line.trim_end()))
        }
    }
}

/// A file of so many bytes of text (curl would double a byte 255), and what a receiver of it should say.
fn file_of(bytes: usize) -> Result<(std::path::PathBuf, String), String> {
    let file = scratch(&format!("peers-{bytes}"))?;
    let text: Vec<u8> = (0..bytes).map(|i| b' ' + (i * i / 7 % 94) as u8).collect();
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let sum = output_of(Command::new("sha256sum").arg(&file))?;
    let sum = sum.split(' ').next().unwrap_or_default().to_owned();
    let beside = file.with_extension("sum");
    std::fs::write(&beside, &sum).map_err(|error| format!("{}: {error}", beside.display()))?;
    Ok((file, format!("{bytes} {sum}")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_option_that_there_is_not_is_named() {
        let error = super::run(&["--tib".to_owned()]).unwrap_err();
        assert_eq!(error, "expected nothing or --gib, got \"--tib\"");
    }
}
