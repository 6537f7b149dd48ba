//! Corners in which a TLS transport could lose a byte, a wake-up or an end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;
use common::*;
use millrun_loop::{LoopHandle, sleep};
use millrun_sim::Delay;
use millrun_transport::*;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

struct Sips(Told, usize, bool);
impl Protocol for Sips {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        Tell::new(&self.0).connection_made(transport);
    }
    fn landing(&mut self) -> Landing<'_> {
        Landing::Shared(self.1)
    }
    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        if self.2 {
            self.0.transport().pause_reading();
        }
        self.0.transport().write(b"ack");
        if !self.2 {
            self.0.transport().flush();
        }
        Tell::new(&self.0).data_received(data)
    }
    fn eof_received(&mut self) -> bool {
        Tell::new(&self.0).eof_received()
    }
    fn connection_lost(&mut self, e: Option<io::Error>) {
        Tell::new(&self.0).connection_lost(e)
    }
}

fn exact(pauses: bool) {
    let certificates = Certificates::new();
    run(|_| async move {
        let there = Told::default();
        let server = serve(certificates.server_config(), &there, Tell::new).await;
        let here = Told::default();
        let handle = LoopHandle::current().unwrap();
        let told = here.clone();
        let connect = Connect::address(at()).tls(&certificates.client_config(), NAME);
        connect.connect(&handle, move || Sips(told, 4096, pauses)).await.unwrap();
        while !there.is_made() {
            settle().await;
        }
        settle().await;
        let sent = noise(48 * 1024);
        there.transport().write(&sent);
        for _ in 0..100 {
            settle().await;
            here.transport().resume_reading();
        }
        let (n, e, f) = (here.received().len(), here.events(), there.events());
        here.transport().abort();
        there.transport().abort();
        settle().await;
        here.forget();
        there.forget();
        server.close();
        assert!(n == sent.len(), "{n} {e:?} {f:?}");
    });
}
#[test]
fn a_write_while_records_wait_unopened_loses_none() {
    exact(true)
}
#[test]
fn a_flush_inside_data_received_loses_no_record() {
    exact(false)
}

#[test]
fn a_full_reader_whose_task_writes_loses_no_record() {
    let certificates = Certificates::new();
    run(|_| async move {
        let server = millrun_streams::StartServer::tasks(
            Serve::address(at()),
            async |mut reader, writer| {
                for _ in 0..64 {
                    if writer.write(&noise(16384)).is_err() {
                        return;
                    }
                }
                let mut all = Vec::new();
                let r = reader.read_to_end(&mut all).await;
                eprintln!("server read {:?} {}", r.map_err(|e| e.to_string()), all.len());
                let _ = writer.close().await;
            },
        )
        .tls(certificates.server_config())
        .await
        .unwrap();
        let opening = millrun_streams::OpenConnection::from(Connect::address(at()));
        let (mut reader, writer) = opening.tls(&certificates.client_config(), NAME).await.unwrap();
        let mut got = 0;
        let mut err = None;
        'o: for _ in 0..200 {
            sleep(Duration::from_millis(10)).await;
            let _ = writer.write(b"ping");
            sleep(Duration::from_millis(10)).await;
            if got < 64 * 16384 {
                match reader.read_exact(16384).await {
                    Ok(b) => got += b.len(),
                    Err(e) => {
                        err = Some(format!("{e:?}"));
                        break 'o;
                    }
                }
            }
        }
        writer.abort();
        server.close();
        settle().await;
        assert!(got == 64 * 16384, "{got} {err:?}");
    });
}

#[test]
fn tls_028_an_upgrade_whose_connection_is_gone_tells_its_protocol() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let (near, far) = sim.tcp_pair();
        let handle = LoopHandle::current().unwrap();
        let here = Told::default();
        let below = Connect::socket(far).connect(&handle, || Tell::new(&here)).await.unwrap();
        let layer = ClientTls::layer(&certificates.client_config(), NAME).unwrap();
        let upper = Upper::Made(Box::new(Tell::new(&here)));
        below.abort();
        let r = start_tls(&handle, below.clone(), upper, &*layer, bytes::Bytes::new()).await;
        settle().await;
        let e = here.events();
        drop(below);
        here.forget();
        drop(near);
        assert_eq!(e, ["made", "lost: EofInHandshake"], "{r:?}");
    });
}

#[test]
fn a_close_after_the_peers_end_still_tells_what_is_unsent() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(4000, 4000);
        let keeps: fn(&Told) -> Tell = |told| Tell::new(told).keep_open();
        let pair = Pair::new(&certificates, keeps).await;
        pair.here.transport().write_eof();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.there.events(), ["made", "eof"]);
        sim.add_rule(Delay(Duration::from_secs(365 * 24 * 3600)));
        let t = pair.there.transport();
        t.write(&vec![1; 100_000]);
        t.close();
        sleep(Duration::from_secs(100)).await;
        let (e, o) = (pair.there.events(), t.close_outcome());
        drop(t);
        for told in [&pair.here, &pair.there] {
            told.transport().abort();
            told.forget();
        }
        pair.server.close();
        assert_eq!(e, ["made", "eof", "lost: TimedOut"], "{o:?}");
    });
}

#[test]
fn the_shutdown_timeout_is_that_of_the_whole_close() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(4000, 4000);
        let keeps: fn(&Told) -> Tell = |told| Tell::new(told).keep_open();
        let cfg = certificates.server_config().shutdown_timeout(Duration::from_secs(2)).unwrap();
        let pair = Pair::of(certificates.client_config(), cfg, keeps).await;
        pair.here.transport().write_eof();
        sleep(Duration::from_secs(1)).await;
        sim.add_rule(Delay(Duration::from_secs(365 * 24 * 3600)));
        let t = pair.there.transport();
        t.write(&vec![1; 100_000]);
        t.close();
        sleep(Duration::from_secs(8)).await;
        let e = pair.there.events();
        drop(t);
        for told in [&pair.here, &pair.there] {
            told.transport().abort();
            told.forget();
        }
        pair.server.close();
        assert_eq!(e.len(), 3, "{e:?}");
    });
}

#[test]
fn a_task_that_drains_hears_of_a_reset_though_its_reader_is_full() {
    let certificates = Certificates::new();
    run(|_sim| async move {
        let done = Rc::new(Cell::new(false));
        let d = Rc::clone(&done);
        let server = millrun_streams::StartServer::tasks(
            Serve::address(at()),
            async move |mut reader, writer| {
                let d = Rc::clone(&d);
                loop {
                    let Ok(b) = reader.read(65536).await else { break };
                    let b = b.to_vec();
                    if b.is_empty() || writer.write(&b).is_err() {
                        break;
                    }
                    if writer.drain().await.is_err() {
                        break;
                    }
                }
                d.set(true);
                writer.abort();
            },
        )
        .tls(certificates.server_config())
        .await
        .unwrap();
        let told = Told::default();
        let t = connect(&certificates.client_config(), Tell::new(&told)).await.unwrap();
        settle().await;
        t.pause_reading();
        // more than both directions hold
        for _ in 0..400 {
            t.write(&noise(10_000));
            settle().await;
        }
        sleep(Duration::from_secs(5)).await;
        assert!(!done.get());
        t.abort();
        sleep(Duration::from_secs(600)).await;
        let ok = done.get();
        drop(t);
        told.forget();
        server.close();
        server.abort_clients();
        sleep(Duration::from_secs(1)).await;
        assert!(ok, "the server's task waits for ever");
    });
}

#[test]
fn sv_020_closing_the_clients_of_a_server_says_close_notify() {
    let certificates = Certificates::new();
    run(|_sim| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        pair.there.transport().write(&noise(3_000_000));
        pair.server.close_clients();
        sleep(Duration::from_secs(5)).await;
        let (e, f, n) = (pair.here.events(), pair.there.events(), pair.here.received().len());
        pair.over().await;
        assert_eq!(
            (e, n),
            (vec!["made".to_string(), "data".into(), "eof".into(), "lost".into()], 3_000_000),
            "{f:?}"
        );
    });
}

#[test]
fn a_close_within_any_time_is_a_close() {
    let certificates = Certificates::new();
    run(|_sim| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        pair.here.transport().close_within(Duration::MAX);
        pair.over().await;
    });
}

#[test]
fn sv_020_closing_the_clients_of_a_server_flushes_what_is_not_sealed() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_buffers(4000, 4000);
        let pair = Pair::new(&certificates, Tell::new).await;
        pair.here.transport().pause_reading();
        let t = pair.there.transport();
        t.write(&noise(100_000));
        settle().await;
        settle().await;
        t.write(&noise(200_000));
        settle().await;
        pair.server.close_clients();
        settle().await;
        pair.here.transport().resume_reading();
        sleep(Duration::from_secs(5)).await;
        let (e, f, n, o) = (
            pair.here.events(),
            pair.there.events(),
            pair.here.received().len(),
            t.close_outcome(),
        );
        drop(t);
        pair.over().await;
        assert_eq!(n, 300_000, "{e:?} {f:?} {o:?}");
    });
}

#[test]
fn the_options_of_a_connect_are_the_layers() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let told = Told::default();
        let server = serve(certificates.server_config(), &told, Tell::new).await;
        let handle = LoopHandle::current().unwrap();
        let here = Told::default();
        let c = Connect::address(at())
            .tls(&certificates.client_config(), NAME)
            .watermarks(Watermarks::from_high(1000))
            .gathering(false);
        let t = c.connect(&handle, || Tell::new(&here)).await.unwrap();
        settle().await;
        let before = sim.counters().sends();
        t.write(b"a");
        t.write(b"b");
        let sends = sim.counters().sends() - before;
        let m = t.write_buffer_limits();
        t.abort();
        settle().await;
        here.forget();
        told.forget();
        server.close();
        drop(t);
        assert_eq!((m, sends), (Watermarks::from_high(1000), 2));
    });
}

#[test]
fn a_hello_in_crumbs_is_no_report() {
    let certificates = Certificates::new();
    run(|_sim| async move {
        let handle = LoopHandle::current().unwrap();
        let reports = reports(&handle);
        let told = Told::default();
        let server = serve(certificates.server_config(), &told, Tell::new).await;
        let here = Told::default();
        let t = Connect::address(at()).connect(&handle, || Tell::new(&here)).await.unwrap();
        let mut hello = vec![1u8, 0, 0xea, 0x60];
        hello.resize(60_000, 0);
        for b in hello {
            t.write(&[0x16, 3, 1, 0, 1, b]);
        }
        sleep(Duration::from_secs(10)).await;
        t.abort();
        settle().await;
        let e = here.events();
        here.forget();
        told.forget();
        server.close();
        drop(t);
        sleep(Duration::from_secs(1)).await;
        assert!(reports.borrow().is_empty(), "{e:?} {reports:?}");
    });
}

#[test]
fn a_write_to_a_connection_that_is_gone_is_refused_while_reading_is_paused() {
    let certificates = Certificates::new();
    run(|_sim| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        pair.there.transport().pause_reading();
        pair.here.transport().write(&noise(30_000));
        settle().await;
        // one record opened? let it take some
        pair.there.transport().resume_reading();
        settle().await;
        pair.there.transport().pause_reading();
        pair.here.transport().write(&noise(30_000));
        settle().await;
        settle().await;
        pair.here.transport().abort();
        sleep(Duration::from_secs(1)).await;
        let t = pair.there.transport();
        let mut flows = vec![];
        for _ in 0..4 {
            flows.push(t.write(&noise(100_000)));
            sleep(Duration::from_secs(1)).await;
        }
        let (e, o, s) = (pair.there.events(), t.close_outcome(), t.write_buffer_size());
        t.abort();
        drop(t);
        pair.over().await;
        assert!(flows.contains(&Flow::Closed), "{flows:?} {e:?} {o:?} {s}");
    });
}

/// garbage behind data; the app pauses and drains
#[test]
fn a_writer_does_not_wait_for_a_connection_that_failed_while_reading_is_paused() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let (near, far) = sim.tcp_pair();
        let handle = LoopHandle::current().unwrap();
        let there = Told::default();
        let told = there.clone();
        let layer = Rc::new(certificates.server_config());
        let serving = Connect::socket(near).layer(layer);
        let serving = handle.spawn(serving.connect(&handle, move || {
            Tell::new(&told).on_data(|t, _| {
                t.transport().pause_reading();
                t.transport().write(&noise(10));
                Ok(())
            })
        }));
        let here = Told::default();
        let below = Connect::socket(far).connect(&handle, || Tell::new(&here)).await.unwrap();
        let layer = ClientTls::layer(&certificates.client_config(), NAME).unwrap();
        let upper = Upper::Made(Box::new(Tell::new(&here)));
        let transport =
            start_tls(&handle, below.clone(), upper, &*layer, bytes::Bytes::new()).await.unwrap();
        let t = serving.await.unwrap().unwrap();
        settle().await;
        transport.write(b"data");
        transport.flush();
        below.write(&[0x17, 3, 3, 0, 30]);
        below.write(&[7; 30]);
        settle().await;
        for _ in 0..10 {
            t.write(&noise(100_000));
            settle().await;
        }
        sleep(Duration::from_secs(100)).await;
        below.abort();
        sleep(Duration::from_secs(600)).await;
        let (e, f) = (there.events(), here.events());
        t.abort();
        drop(t);
        drop(transport);
        drop(below);
        settle().await;
        here.forget();
        there.forget();
        assert!(e.last().unwrap() != "pause", "{e:?} {f:?}");
    });
}
