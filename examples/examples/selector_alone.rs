//! An echo server on the selector alone: no loop, no callbacks, no futures. Without an argument it
//! serves three clients of its own and ends; `-- 127.0.0.1:7000` serves whoever comes.
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::{collections::HashMap, thread, time::Duration};

use millrun_selector::{Clock, Interest, ListenOptions, Listener, MioSelector, Monotonic, Time};
use millrun_selector::{Network, OsNetwork, Selector, Socket};

/// Echoes until so many clients have come and gone.
fn serve(
    (selector, clock): (&mut dyn Selector, &dyn Clock),
    listener: &dyn Listener,
    (mut clients, until): (usize, Time),
) -> io::Result<()> {
    selector.register(&listener, Interest::READ)?;
    let (mut guests, mut events) = (HashMap::<_, (Box<dyn Socket>, _)>::new(), Vec::new());
    while clients > 0 {
        let left = until - clock.now();
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        selector.select(Some(left), &mut events)?;
        for event in events.drain(..) {
            if let Some((socket, unsent)) = guests.get_mut(&event.key) {
                // It is reported for as long as it is ready: no need to read or write it all.
                match echo(&**socket, unsent) {
                    Err(end) if end.kind() != ErrorKind::WouldBlock => {
                        println!("a client has ended: {}", end.kind());
                        selector.deregister(event.key, socket)?; // before it is closed
                        guests.remove(&event.key);
                        clients -= 1;
                    }
                    _ if unsent.is_empty() => selector.set_interest(event.key, Interest::READ)?,
                    _ => selector.set_interest(event.key, Interest::WRITE)?,
                }
            } else if let Ok((socket, _)) = listener.try_accept() {
                guests.insert(selector.register(&socket, Interest::READ)?, (socket, Vec::new()));
            }
        }
    }
    Ok(())
}

/// One step of a ready socket: it reads only when nothing is left to write.
fn echo(socket: &dyn Socket, unsent: &mut Vec<u8>) -> io::Result<()> {
    let mut block = [0; 4096];
    if unsent.is_empty() {
        match socket.try_read(&mut block)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => unsent.extend_from_slice(&block[..n]),
        }
    }
    unsent.drain(..socket.try_write(unsent)?);
    Ok(())
}

fn client(to: SocketAddr, said: &[u8]) -> io::Result<()> {
    let (mut stream, mut heard) = (TcpStream::connect(to)?, Vec::new());
    stream.write_all(said)?;
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut heard)?;
    if heard == said { Ok(()) } else { Err(io::Error::other("the echo differs")) }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut selector, clock) = (MioSelector::new()?, Monotonic::new());
    let at = std::env::args().nth(1);
    let address: SocketAddr = at.as_deref().unwrap_or("127.0.0.1:0").parse()?;
    let listener = OsNetwork.listen(&address.into(), &ListenOptions::default())?;
    let to = listener.local_addr()?.as_inet().ok_or("an internet address was asked for")?;
    println!("echoing at {to}");
    let sizes: &[usize] = if at.is_none() { &[1, 1000, 99_999] } else { &[] };
    let start = |&n: &usize| thread::spawn(move || client(to, &vec![b'x'; n]));
    let clients: Vec<_> = sizes.iter().map(start).collect();
    let until = at.map_or(clock.now() + Duration::from_secs(10), |_| Time::MAX);
    let enough = if sizes.is_empty() { usize::MAX } else { sizes.len() };
    serve((&mut selector, &clock), &*listener, (enough, until))?;
    clients.into_iter().try_for_each(|c| Ok(c.join().map_err(|_| "a client panicked")??))
}
