//! One writer, many readers: as in smol's `chat-server`, a dispatcher owns the subscribers and takes events from a channel.

use smol::channel::{self, Receiver, Sender};
use smol::net::TcpStream;
use smol::prelude::*;
use smol::{LocalExecutor, io};

use super::BLOCK;

/// What happens at the hub.
pub(super) enum Event {
    /// Somebody listens.
    Join(TcpStream),
    /// What everybody is to hear.
    Message(Vec<u8>),
}

/// Starts the dispatcher.
pub(super) fn start(executor: &LocalExecutor<'static>) -> Sender<Event> {
    // One event waits while another is worked on: a publisher is not ahead of its slowest reader by more than that.
    let (sender, receiver) = channel::bounded(1);
    executor.spawn(dispatch(receiver)).detach();
    sender
}

async fn dispatch(events: Receiver<Event>) {
    let mut subscribers: Vec<TcpStream> = Vec::new();
    while let Ok(event) = events.recv().await {
        match event {
            Event::Join(stream) => subscribers.push(stream),
            Event::Message(message) => {
                let mut place = 0;
                while let Some(subscriber) = subscribers.get_mut(place) {
                    match subscriber.write_all(&message).await {
                        Ok(()) => place += 1,
                        Err(_) => drop(subscribers.swap_remove(place)), // it left
                    }
                }
            }
        }
    }
}

pub(super) async fn serve(hub: Sender<Event>, mut stream: TcpStream) -> io::Result<()> {
    let gone = |_| io::Error::other("the dispatcher is gone");
    let mut kind = [0];
    stream.read_exact(&mut kind).await?;
    if kind == [b'S'] {
        return hub.send(Event::Join(stream)).await.map_err(gone);
    }
    let mut block = vec![0; BLOCK];
    loop {
        let length = stream.read(&mut block).await?;
        if length == 0 {
            return Ok(());
        }
        hub.send(Event::Message(block[..length].to_vec())).await.map_err(gone)?;
    }
}
