//! A protocol of one's own on the callback layer: frames, each behind its length in two bytes. The client sends words,
//! the server answers each with its reverse; both run in one loop.
//!
//! ```text
//! cargo run -p millrun-examples --example length_prefixed
//! ```

use std::error::Error;
use std::io;
use std::rc::Rc;

use millrun_loop::{EventLoop, LoopHandle, oneshot};
use millrun_transport::{Protocol, Transport, create_connection, create_server};

const WORDS: [&str; 4] = ["stressed", "drawer", "", "live"];

/// Cuts the stream into frames and hands each on.
struct Framed<H> {
    transport: Option<Rc<dyn Transport>>,
    /// The beginning of a frame that has not come whole.
    partial: Vec<u8>,
    on_frame: H,
}

fn framed<H: FnMut(&[u8], &dyn Transport)>(on_frame: H) -> Framed<H> {
    Framed { transport: None, partial: Vec::new(), on_frame }
}

impl<H: FnMut(&[u8], &dyn Transport)> Protocol for Framed<H> {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        let Some(transport) = &self.transport else { return Ok(()) };
        self.partial.extend(data);
        let mut rest = &self.partial[..];
        while let Some((length, body)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((frame, next)) = body.split_at_checked(length) else { break };
            (self.on_frame)(frame, &**transport);
            rest = next;
        }
        let taken = self.partial.len() - rest.len();
        self.partial.drain(..taken);
        Ok(())
    }
}

/// Two writes and one send: what one callback writes leaves together.
fn send(transport: &dyn Transport, frame: impl Iterator<Item = u8>) {
    let frame: Vec<u8> = frame.take(usize::from(u16::MAX)).collect();
    transport.write(&(frame.len() as u16).to_be_bytes());
    transport.write(&frame);
}

async fn run(event_loop: LoopHandle) -> Result<Vec<String>, Box<dyn Error>> {
    let reverser = || framed(|frame, transport| send(transport, frame.iter().rev().copied()));
    let server = create_server(&event_loop, "127.0.0.1", 0, reverser).await?;
    let port = server.local_addrs()[0].port().ok_or("no port")?;
    let (done, answers) = oneshot::channel();
    let (mut done, mut words) = (Some(done), Vec::new());
    let collector = framed(move |frame, _| {
        words.push(String::from_utf8_lossy(frame).into_owned());
        if let Some(done) = done.take_if(|_| words.len() == WORDS.len()) {
            drop(done.send(std::mem::take(&mut words)));
        }
    });
    let client = create_connection(&event_loop, "127.0.0.1", port, || collector).await?;
    WORDS.iter().for_each(|word| send(&*client, word.bytes()));
    Ok(answers.await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop = EventLoop::new()?;
    let answers = event_loop.run_until_complete(run(event_loop.handle()))??;
    println!("{WORDS:?} come back as {answers:?}");
    assert_eq!(answers, ["desserts", "reward", "", "evil"]);
    Ok(())
}
