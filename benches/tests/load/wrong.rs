//! Servers that do what no server should: each is noticed, and told from the others.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::session::{Load, measure, transfer};

/// A process that sleeps: the load waits for its server to do so.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        // It waits for input that never comes.
        let mut cat = Command::new("cat");
        Self(cat.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it can't have ended
        let _ = self.0.wait();
    }
}

/// A server whose connections are handled by that function, one after the other.
fn serve(handle: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        listener.incoming().map_while(Result::ok).for_each(handle);
    });
    port
}

/// Echoes what `change` makes of each message and its number.
fn echo(size: usize, change: fn(u32, &mut Vec<u8>)) -> u16 {
    serve(move |mut stream| {
        for number in 0.. {
            let mut message = vec![0; size];
            if stream.read_exact(&mut message).is_err() {
                return;
            }
            change(number, &mut message);
            if message.is_empty() || stream.write_all(&message).is_err() {
                return;
            }
        }
    })
}

/// Why a load gives up on one connection to that server. The first message is the check, which passes.
fn why(scenario: &str, port: u16, options: &[&str]) -> String {
    let sleeper = Sleeper::new();
    let options = [&["--connections", "1"], options].concat();
    let mut load = Load::start(scenario, port, sleeper.0.id(), &options);
    assert_eq!(load.ready(), 1);
    load.say(&measure(60_000, None));
    load.failed()
}

#[test]
fn a_byte_that_flipped() {
    let port = echo(64, |number, message| {
        if number == 3 {
            message[60] ^= 1;
        }
    });
    let why = why("pipelined", port, &[]);
    // The check is not counted; two messages and a part of the third one were right. How many were sent by then is a matter of time.
    assert!(why.contains("connection 0, 188 bytes of 1"), "{why}");
    assert!(why.contains(" came: expected \""), "{why}");
}

#[test]
fn bytes_that_were_lost() {
    let port = echo(64, |number, message| {
        if number == 3 {
            message.drain(7..9);
        }
    });
    let why = why("pipelined", port, &[]);
    assert!(why.contains("135 bytes of ") && why.contains("expected \""), "{why}");
}

#[test]
fn the_last_bytes_lost() {
    let port = echo(1024, |number, message| {
        if number == 3 {
            message.pop();
        }
    });
    let why = why("echo-1", port, &["--patience", "5000"]);
    assert_eq!(why, "expected the replies to 1 messages, nothing came for 5s");
}

#[test]
fn messages_that_came_twice() {
    let port = echo(64, |number, message| {
        if number == 3 {
            message.extend_from_within(..);
        }
    });
    let why = why("pipelined", port, &[]);
    assert!(why.contains("192 bytes of ") && why.contains("expected \""), "{why}");
}

#[test]
fn more_than_was_sent() {
    let port = echo(1024, |number, message| {
        if number == 3 {
            message.extend([0; 5]);
        }
    });
    let why = why("echo-1", port, &[]);
    assert!(why.contains("expected \"") || why.contains("more than"), "{why}");
}

#[test]
fn lines_that_were_swapped() {
    let port = serve(|mut stream| {
        let mut lines = [0; 200];
        // The check passes, and so do the first two of a window.
        for length in [100, 200] {
            stream.read_exact(&mut lines[..length]).unwrap();
            stream.write_all(&lines[..length]).unwrap();
        }
        stream.read_exact(&mut lines).unwrap();
        lines.rotate_left(100);
        let _ = stream.write_all(&lines); // the load may be gone
    });
    let why = why("lines", port, &["--depth", "4"]);
    assert!(why.contains(" 200 bytes of ") && why.contains("expected \""), "{why}");
}

#[test]
fn an_end_of_file() {
    let port = echo(1024, |number, message| {
        if number == 3 {
            message.clear();
        }
    });
    let why = why("echo-1", port, &[]);
    assert!(why.ends_with("expected a reply, got the end of file"), "{why}");
}

#[test]
fn a_download_that_others_wait_for() {
    let port = serve(|mut stream| {
        let _ = stream.write_all(b"what"); // the load may be gone
        std::mem::forget(stream);
    });
    let sleeper = Sleeper::new();
    let why = Load::start("mixed", port, sleeper.0.id(), &["--stalled", "1"]).failed();
    assert_eq!(why, "a reader that stalls: expected the pattern, got \"w\"");
}

#[test]
fn nobody_listens() {
    let (_kept, address) = millrun_benches::check::nobody_listens().unwrap();
    let sleeper = Sleeper::new();
    for scenario in ["echo-1", "upload", "churn", "fanout"] {
        let why = Load::start(scenario, address.port(), sleeper.0.id(), &[]).failed();
        assert!(why.contains("refused"), "{why}");
    }
}

#[test]
fn a_process_that_is_none() {
    let port = echo(1024, |_, _| {});
    let mut load = Load::start("echo-1", port, i32::MAX as u32, &[]);
    load.ready();
    load.say(&measure(10, None));
    let why = load.failed();
    assert!(why.starts_with("the server, process 2147483647: No such file"), "{why}");
}

#[test]
fn an_upload_with_another_digest() {
    let port = serve(|mut stream| {
        let mut count = Vec::new();
        stream.read_to_end(&mut count).unwrap();
        let mut digest = crc32fast::hash(&count);
        // The check passes.
        if count.len() != 65_537 {
            digest ^= 1;
        }
        let answer = [&(count.len() as u64).to_be_bytes()[..], &digest.to_be_bytes()].concat();
        stream.write_all(&answer).unwrap();
    });
    let sleeper = Sleeper::new();
    let mut load = Load::start("upload", port, sleeper.0.id(), &[]);
    load.ready();
    load.say(&transfer(20_000));
    let why = load.failed();
    assert!(why.starts_with("expected 1000 bytes with the digest "), "{why}");
    assert!(why.contains(", got 1000 with "), "{why}");
}

#[test]
fn a_download_that_is_short_or_wrong() {
    let port = serve(|mut stream| {
        let mut count = [0; 8];
        stream.read_exact(&mut count).unwrap();
        let count = u64::from_be_bytes(count) as usize;
        let mut bytes = millrun_benches::digest::pattern().repeat(2);
        bytes.truncate(count);
        match count {
            65_537 => {}
            1_000 => bytes[999] ^= 1,
            _ => bytes.truncate(count - 1),
        }
        let _ = stream.write_all(&bytes); // the load may be gone
    });
    let sleeper = Sleeper::new();
    for (bytes, expected) in [(20_000, "got 1000 with"), (40_000, "got 1999 with")] {
        let mut load = Load::start("download", port, sleeper.0.id(), &[]);
        load.ready();
        load.say(&transfer(bytes));
        let why = load.failed();
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn a_visit_that_gets_other_bytes_or_no_end() {
    let sleeper = Sleeper::new();
    let failed = |port| {
        let options = ["--connections", "1", "--patience", "5000"];
        Load::start("churn", port, sleeper.0.id(), &options).failed()
    };
    let why = failed(echo(1024, |_, message| message[1] ^= 1));
    assert!(why.contains("got other bytes after 0"), "{why}");
    let why = failed(echo(1024, |_, message| message.push(0)));
    assert!(why.contains("more came"), "{why}");
    let why = failed(echo(1024, |_, message| message.clear()));
    assert!(why.contains("got the end of file after 0"), "{why}");
    let why = failed(serve(|mut stream| {
        let mut message = [0; 1024];
        let _ = stream.read_exact(&mut message).and_then(|()| stream.write_all(&message));
        std::mem::forget(stream);
    }));
    assert!(why.contains("1 connections wait"), "{why}");
}
