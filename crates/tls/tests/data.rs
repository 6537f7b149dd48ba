//! How bytes go through TLS: in which pieces, how many at most, and who is told to wait.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::{Certificates, Pair, Tell, Told, at, connect, noise, run, serve, settle};
use millrun_loop::{LoopHandle, sleep};
use millrun_sim::Faults;
use millrun_transport::{Buffered, BufferedProtocol, Connect, Landing, Protocol, Transport};

#[test]
fn much_goes_both_ways_through_small_buffers_and_every_fault() {
    for seed in 0..6 {
        let certificates = Certificates::new();
        let sim = millrun_sim::Sim::new(seed);
        sim.set_buffers(5_000, 3_000);
        sim.faults(Faults { short_reads: 0.3, short_writes: 0.3, would_block: 0.2 });
        let check = sim.clone();
        common::run_on(&check, async move {
            let pair = Pair::new(&certificates, Tell::new).await;
            let (out, back) = (noise(300_000), noise(200_000));
            for piece in out.chunks(777) {
                pair.here.transport().write(piece);
            }
            for piece in back.chunks(40_000) {
                pair.there.transport().write(piece);
            }
            while pair.there.received().len() < out.len() || pair.here.received().len() < back.len()
            {
                sleep(Duration::from_millis(100)).await;
            }
            assert!(pair.there.received() == out && pair.here.received() == back, "seed {seed}");
            pair.here.transport().close();
            pair.over().await;
        });
    }
}

#[test]
fn a_record_that_is_changed_on_its_way_ends_the_connection() {
    let certificates = Certificates::new();
    run(|sim| async move {
        // TLS-031: a proxy that turns one bit, behind the handshake.
        let told = Told::default();
        let server = serve(certificates.server_config(), &told, Tell::new).await;
        let handle = LoopHandle::current().unwrap();
        let front: std::net::SocketAddr = "10.0.0.2:443".parse().unwrap();
        let proxy = millrun_streams::StartServer::tasks(
            millrun_transport::Serve::address(front),
            async |mut reader, writer| {
                let back = millrun_streams::OpenConnection::from(Connect::address(at()));
                let (mut back_reader, back_writer) = back.await.unwrap();
                let to_client = LoopHandle::current().unwrap().spawn(async move {
                    loop {
                        let Ok(bytes) = back_reader.read(65536).await else { return };
                        if bytes.is_empty() || writer.write(bytes).is_err() {
                            return;
                        }
                    }
                });
                loop {
                    let Ok(bytes) = reader.read(65536).await else { return };
                    let mut bytes = bytes.to_vec();
                    // Only the message is longer than this: the client's part of a handshake is shorter, but for its hello.
                    if bytes.len() > 5_000 {
                        bytes[3_000] ^= 4;
                    }
                    if bytes.is_empty() || back_writer.write(&bytes).is_err() {
                        break;
                    }
                }
                let _ = to_client.await;
            },
        )
        .await
        .unwrap();
        let here = Told::default();
        let connect = Connect::address(front).tls(&certificates.client_config(), common::NAME);
        connect.connect(&handle, || Tell::new(&here)).await.unwrap();
        settle().await;
        here.transport().write(&[1; 10_000]);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(told.events(), ["made", "lost: Protocol"]);
        assert_eq!(here.events(), ["made", "lost: Alert"]);
        assert!(told.received().is_empty(), "nothing of what was changed");
        here.forget();
        told.forget();
        server.close();
        proxy.close();
        let _ = sim;
    });
}

/// D-12 over TLS: small writes of one unit are one record, and leave in one send.
#[test]
fn small_writes_of_a_unit_are_one_record() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        settle().await;
        let before = sim.counters();
        let transport = pair.here.transport();
        for _ in 0..100 {
            transport.write(b"a hundred times this");
        }
        settle().await;
        let after = sim.counters();
        assert_eq!(after.sends() - before.sends(), 1);
        assert_eq!(pair.there.received().len(), 2000);
        // One record of TLS 1.3: 5 of header, 1 of type, 16 of tag.
        assert_eq!(after.bytes_written - before.bytes_written, 2000 + 22);
        // Off: each write its own.
        transport.set_gathering(false);
        let before = sim.counters();
        for _ in 0..10 {
            transport.write(b"a hundred times this");
        }
        assert_eq!(sim.counters().sends() - before.sends(), 10, "inside the call");
        settle().await;
        assert_eq!(sim.counters().bytes_written - before.bytes_written, 10 * (20 + 22));
        transport.close();
        drop(transport);
        pair.over().await;
    });
}

#[test]
fn large_writes_make_full_records() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(4 << 20, 4 << 20);
        let pair = Pair::new(&certificates, Tell::new).await;
        settle().await;
        let before = sim.counters();
        // 1 MiB in one write, then 1 MiB in small ones.
        pair.here.transport().write(&noise(1 << 20));
        for piece in noise(1 << 20).chunks(100) {
            pair.here.transport().write(piece);
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.there.received().len(), 2 << 20);
        let overhead = (sim.counters().bytes_written - before.bytes_written) as usize - (2 << 20);
        let records = overhead / 22;
        assert!((128..=140).contains(&records), "{records} records for 128 full ones");
        pair.here.transport().close();
        pair.over().await;
    });
}

/// TLS-018, with D-40: one rule for all transports: pause above high, resume at low.
/// Marks of any size: nobody who waits is forgotten, whatever lies between them and those below.
/// TLS-019, and the bound on memory: what is received and not taken is one record of plaintext, and a block of ciphertext.
#[test]
fn tls_021_pause_stops_delivery_at_once_and_resume_delivers_later() {
    let certificates = Certificates::new();
    run(|_| async move {
        // It takes 100 bytes, pauses, and is asked to go on from outside.
        struct Sips(Told);
        impl Protocol for Sips {
            fn connection_made(&mut self, transport: Rc<dyn Transport>) {
                Tell::new(&self.0).connection_made(transport);
            }
            fn landing(&mut self) -> Landing<'_> {
                Landing::Shared(100)
            }
            fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
                assert!(data.len() <= 100, "more than it has room for");
                self.0.transport().pause_reading();
                Tell::new(&self.0).data_received(data)
            }
        }
        let there = Told::default();
        let server = serve(certificates.server_config(), &there, Tell::new).await;
        let here = Told::default();
        let handle = LoopHandle::current().unwrap();
        let told = here.clone();
        let connect = Connect::address(at()).tls(&certificates.client_config(), common::NAME);
        connect.connect(&handle, move || Sips(told)).await.unwrap();
        while !there.is_made() {
            settle().await;
        }
        let sent = noise(35_000);
        there.transport().write(&sent);
        let mut rounds = 0;
        while here.received().len() < sent.len() {
            settle().await;
            let had = here.received().len();
            assert!(had <= rounds * 100 + 100, "it was paused");
            here.transport().resume_reading();
            assert_eq!(here.received().len(), had, "never inside the call");
            rounds += 1;
        }
        assert!(here.received() == sent);
        here.transport().abort();
        settle().await;
        here.forget();
        there.forget();
        server.close();
    });
}

/// TLS-022.
#[test]
fn tls_022_records_that_came_together_are_delivered_together() {
    let certificates = Certificates::new();
    run(|_| async move {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&calls);
        let there = Told::default();
        let server = serve(certificates.server_config(), &there, Tell::new).await;
        let here = Told::default();
        let protocol = Tell::new(&here).on_data(move |_, data| {
            seen.borrow_mut().push(data.len());
            Ok(())
        });
        connect(&certificates.client_config(), protocol).await.unwrap();
        while !there.is_made() {
            settle().await;
        }
        there.transport().set_gathering(false);
        for _ in 0..20 {
            there.transport().write(b"twenty records");
        }
        settle().await;
        assert_eq!(*calls.borrow(), [280]);
        here.transport().close();
        Pair { server, here, there }.over().await;
    });
}

/// TLS-023: an application that lends its memory gets plaintext there.
#[test]
fn tls_023_a_buffered_protocol_is_filled_and_goes_on_when_it_is_full() {
    struct Window {
        told: Told,
        memory: Vec<u8>,
    }
    impl BufferedProtocol for Window {
        fn connection_made(&mut self, transport: Rc<dyn Transport>) {
            Tell::new(&self.told).connection_made(transport);
        }
        fn get_buffer(&mut self, _: Option<usize>) -> io::Result<&mut [u8]> {
            Ok(&mut self.memory)
        }
        fn buffer_updated(&mut self, n: usize) -> io::Result<()> {
            let data = self.memory[..n].to_vec();
            Tell::new(&self.told).data_received(&data)
        }
        fn connection_lost(&mut self, error: Option<io::Error>) {
            Tell::new(&self.told).connection_lost(error);
        }
    }
    for size in [1000, 16 * 1024, 100_000] {
        let certificates = Certificates::new();
        run(|_| async move {
            let there = Told::default();
            let server = serve(certificates.server_config(), &there, Tell::new).await;
            let here = Told::default();
            let handle = LoopHandle::current().unwrap();
            let told = here.clone();
            let window = move || Buffered(Window { told, memory: vec![0; size] });
            let connect = Connect::address(at()).tls(&certificates.client_config(), common::NAME);
            connect.connect(&handle, window).await.unwrap();
            while !there.is_made() {
                settle().await;
            }
            let sent = noise(250_000);
            there.transport().write(&sent);
            sleep(Duration::from_secs(1)).await;
            assert!(here.received() == sent, "{size}: {} bytes", here.received().len());
            there.transport().close();
            Pair { server, here, there }.over().await;
        });
    }
}

/// Another protocol takes over in the middle of a record.
#[test]
fn set_protocol_inside_data_received_leaves_the_rest_to_the_new_one() {
    let certificates = Certificates::new();
    run(|_| async move {
        struct First(Told, Told);
        impl Protocol for First {
            fn connection_made(&mut self, transport: Rc<dyn Transport>) {
                Tell::new(&self.1).connection_made(Rc::clone(&transport));
                Tell::new(&self.0).connection_made(transport);
            }
            fn landing(&mut self) -> Landing<'_> {
                Landing::Shared(7)
            }
            fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
                self.0.transport().set_protocol(Box::new(Tell::new(&self.1)));
                Tell::new(&self.0).data_received(data)
            }
        }
        let there = Told::default();
        let server = serve(certificates.server_config(), &there, Tell::new).await;
        let (first, second) = (Told::default(), Told::default());
        let (a, b) = (first.clone(), second.clone());
        let handle = LoopHandle::current().unwrap();
        let connect = Connect::address(at()).tls(&certificates.client_config(), common::NAME);
        connect.connect(&handle, move || First(a, b)).await.unwrap();
        while !there.is_made() {
            settle().await;
        }
        there.transport().write(b"header.and the body");
        settle().await;
        assert_eq!(
            (first.received(), second.received()),
            (b"header.".to_vec(), b"and the body".to_vec())
        );
        there.transport().close();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(first.events(), ["made", "data"], "no lost: it was replaced");
        assert_eq!(second.events(), ["made", "data", "eof", "lost"]);
        first.forget();
        second.forget();
        there.forget();
        server.close();
    });
}

/// An idle connection owns no buffer: neither of plaintext nor of ciphertext.
#[test]
fn an_idle_connection_holds_no_block_of_the_pool() {
    let certificates = Certificates::new();
    run(|_| async move {
        let handle = LoopHandle::current().unwrap();
        let pair = Pair::new(&certificates, Tell::echo).await;
        pair.here.transport().write(&noise(100_000));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.here.received().len(), 100_000);
        use millrun_loop::BlockSize::{Large, Small};
        for size in [Small, Large] {
            let counts = handle.blocks().counts(size);
            let out = (counts.made - counts.freed) as usize - counts.kept;
            // The one that was lent last is the pool's own.
            assert!(out == 0, "{size:?}: {out} blocks are held: {counts:?}");
        }
        pair.here.transport().close();
        pair.over().await;
    });
}

/// TLS-020: nothing is sealed while the transport below is paused; it goes out when that resumes.
/// C-025: a socket that somebody else accepted.
#[test]
fn c_025_an_accepted_socket_is_the_server_side() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let handle = LoopHandle::current().unwrap();
        let (accepted, connected) = sim.tcp_pair();
        let (here, there) = (Told::default(), Told::default());
        let told = there.clone();
        let layer = Rc::new(certificates.server_config());
        let serving =
            Connect::socket(accepted).layer(layer).connect(&handle, move || Tell::echo(&told));
        let serving = handle.spawn(serving);
        let client = Connect::socket(connected).tls(&certificates.client_config(), common::NAME);
        client.connect(&handle, || Tell::new(&here)).await.unwrap();
        serving.await.unwrap().unwrap();
        here.transport().write(b"hello");
        settle().await;
        assert_eq!(here.received(), b"hello");
        here.transport().close();
        sleep(Duration::from_secs(1)).await;
        assert_eq!((here.events().len(), there.events().last().unwrap().as_str()), (3, "lost"));
        here.forget();
        there.forget();
    });
}
