//! No descriptors left: alone in its file, since the limit is the whole process's.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};

use common::{look_at, wait_for};
use millrun_selector::{
    Interest, ListenOptions, MioSelector, Network, OsNetwork, Readiness, Selector,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The connection waits on, and the listener is reported on: a pause is a mask change, and the retry
/// needs no new edge.
#[test]
fn emfile_on_accept_keeps_the_listener_readable() {
    let mut selector = MioSelector::new().unwrap();
    let listener =
        OsNetwork.listen(&(Ipv4Addr::LOCALHOST, 0).into(), &ListenOptions::default()).unwrap();
    let key = selector.register(&listener, Interest::READ).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap().as_inet().unwrap()).unwrap();
    wait_for(&mut selector, key, Readiness::is_readable);

    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    let mut filler = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        filler.push(file);
    }
    let error = listener.try_accept().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
    assert!(look_at(&mut selector, key).is_readable());
    selector.set_interest(key, Interest::NONE).unwrap();
    assert!(look_at(&mut selector, key).is_none(), "paused");

    filler.clear();
    setrlimit(Resource::Nofile, limit).unwrap();
    selector.set_interest(key, Interest::READ).unwrap();
    assert!(look_at(&mut selector, key).is_readable(), "at once, without an edge");
    let (_socket, peer) = listener.try_accept().unwrap();
    assert_eq!(peer.as_inet(), Some(client.local_addr().unwrap()));
}
