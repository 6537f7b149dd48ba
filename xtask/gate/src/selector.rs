//! An echo server on the lowest layer alone: a registry, sockets, and nothing that schedules.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;

use millrun_selector::{
    Address, Interest, Key, ListenOptions, MioSelector, Network as _, OsNetwork, Selector as _,
    Socket,
};

const BUFFER: usize = 64 * 1024;

/// Echoes until so many connections ended.
pub(crate) fn serve(ended: usize) -> crate::Outcome {
    let mut selector = MioSelector::new()?;
    let at = Address::Inet((Ipv4Addr::LOCALHOST, 0).into());
    let listener = OsNetwork.listen(&at, &ListenOptions::default())?;
    let accepting = selector.register(&*listener, Interest::READ)?;
    crate::announce(listener.local_addr()?.as_inet().ok_or("not an internet address")?)?;
    let mut sockets: Vec<(Key, Box<dyn Socket>)> = Vec::new();
    let mut left = ended;
    let mut buffer = vec![0; BUFFER];
    let mut events = Vec::new();
    while left > 0 {
        events.clear();
        selector.select(None, &mut events)?;
        for event in &events {
            if event.key == accepting {
                let Some((socket, _)) = unless_blocked(listener.try_accept())? else { continue };
                let key = selector.register(&*socket, Interest::READ)?;
                sockets.push((key, socket));
                continue;
            }
            let found = sockets.iter().position(|(key, _)| *key == event.key);
            let Some(index) = found else { continue };
            let (key, socket) = &sockets[index];
            let Some(length) = unless_blocked(socket.try_read(&mut buffer))? else { continue };
            if length > 0 {
                // The client has one small message in flight: the kernel takes it whole.
                socket.try_write(&buffer[..length])?;
            } else {
                selector.deregister(*key, &**socket)?;
                sockets.swap_remove(index);
                left -= 1;
            }
        }
    }
    Ok(())
}

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
