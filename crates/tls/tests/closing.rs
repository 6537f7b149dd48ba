//! How a TLS connection ends: in order, half, cut off, by a peer that never answers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::{Certificates, Pair, Tell, Told, connect, reports, run, serve, settle};
use millrun_loop::{LoopHandle, sleep};
use millrun_sim::{Delay, Sim};
use millrun_tls::{ClientConfig, ServerConfig};
use millrun_transport::{CloseOutcome, Flow};

/// TLS-010, TLS-011: what is pending is flushed, close_notify is sent and awaited, and the peer hears an end of file.
#[test]
fn tls_010_tls_011_a_close_flushes_and_both_sides_hear_of_a_clean_end() {
    let certificates = Certificates::new();
    run(|_| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        let transport = pair.here.transport();
        let sent = vec![7; 300_000];
        transport.write(&sent);
        transport.close();
        assert!(transport.is_closing());
        assert_eq!(transport.close_outcome(), None, "not yet");
        assert_eq!(pair.here.events(), ["made"], "nothing is called from inside");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.here.events(), ["made", "lost"]);
        assert_eq!(pair.there.events(), ["made", "data", "eof", "lost"]);
        assert!(pair.there.received() == sent);
        assert_eq!(transport.close_outcome(), Some(CloseOutcome::Flushed));
        drop(transport);
        pair.over().await;
    });
}

/// A server that shakes hands and then does nothing any more: the client's other side, stalled.
async fn stalled(sim: &Sim, certificates: &Certificates) -> Pair {
    let pair = Pair::new(certificates, Tell::new).await;
    // From here on nothing arrives at either side for a year.
    sim.add_rule(Delay(Duration::from_secs(365 * 24 * 3600)));
    pair
}

#[test]
fn tls_012_a_peer_that_never_answers_a_close_costs_the_shutdown_timeout() {
    let certificates = Certificates::new();
    run(|sim| async move {
        let pair = stalled(&sim, &certificates).await;
        let began = sim.now();
        pair.here.transport().close();
        while pair.here.events().len() < 2 {
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(pair.here.events(), ["made", "lost: ShutdownTimedOut"]);
        let took = sim.now().since(began).as_secs();
        assert!((30..=32).contains(&took), "took {took} s");
        end(pair);
    });
}

fn end(pair: Pair) {
    for told in [&pair.here, &pair.there] {
        told.transport().abort();
        told.forget();
    }
    pair.server.close();
}

#[test]
fn close_within_is_over_in_that_time_and_set_close_timeout_moves_the_deadline() {
    for (within, timeout) in [(Some(3), None), (None, Some(4))] {
        let certificates = Certificates::new();
        run(|sim| async move {
            let pair = stalled(&sim, &certificates).await;
            let (began, transport) = (sim.now(), pair.here.transport());
            if let Some(seconds) = timeout {
                transport.set_close_timeout(Duration::from_secs(seconds));
                transport.close();
            }
            if let Some(seconds) = within {
                transport.close_within(Duration::from_secs(seconds));
            }
            while pair.here.events().len() < 2 {
                sleep(Duration::from_millis(500)).await;
            }
            let took = sim.now().since(began).as_secs();
            assert!((3..=5).contains(&took), "took {took} s");
            end(pair);
        });
    }
}

/// D-14: TLS 1.3 ends each direction on its own.
#[test]
fn tls_013_tls_014_half_close_as_tls_1_3_has_it() {
    let certificates = Certificates::new();
    run(|_| async move {
        let answers: fn(&Told) -> Tell = |told| Tell::new(told).keep_open();
        let pair = Pair::new(&certificates, answers).await;
        let transport = pair.here.transport();
        assert!(transport.can_write_eof());
        transport.write(b"question");
        transport.write_eof();
        assert_eq!(transport.write(b"late"), Flow::Closed);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.there.events(), ["made", "data", "eof"], "it is still open");
        assert_eq!(pair.there.transport().write(b"answer"), Flow::Open);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.here.received(), b"answer");
        pair.there.transport().close();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.here.events(), ["made", "data", "eof", "lost"]);
        assert_eq!(pair.there.events(), ["made", "data", "eof", "lost"]);
        drop(transport);
        pair.over().await;
    });
}

fn only_12(certificates: &Certificates) -> ClientConfig {
    let builder = ClientConfig::builder().root_certificates(certificates.root.as_bytes());
    builder.only_tls12().build().unwrap()
}

#[test]
fn tls_013_tls_014_tls_1_2_has_no_half_close() {
    let certificates = Certificates::new();
    run(|_| async move {
        let keeps: fn(&Told) -> Tell = |told| Tell::new(told).keep_open();
        let pair = Pair::of(only_12(&certificates), certificates.server_config(), keeps).await;
        let transport = pair.here.transport();
        assert!(!transport.can_write_eof());
        transport.write_eof();
        assert_eq!(transport.write(b"goes on"), Flow::Open, "it had no effect");
        settle().await;
        transport.close();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.there.received(), b"goes on");
        // An eof_received that answers true does not keep it open.
        assert_eq!(pair.there.events(), ["made", "data", "eof", "lost"]);
        drop(transport);
        pair.over().await;
    });
}

/// D-03: the call tells it.
#[test]
fn tls_015_tls_040_a_write_after_any_number_of_closes_is_refused() {
    let certificates = Certificates::new();
    run(|_| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        let transport = pair.here.transport();
        transport.write(b"before");
        for _ in 0..3 {
            transport.close();
            assert_eq!(transport.write(b"after"), Flow::Closed);
            assert_eq!(transport.writelines(&[b"after", b"that"]), Flow::Closed);
            assert_eq!(transport.write_bytes("after".into()), Flow::Closed);
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(transport.write(b"later"), Flow::Closed);
        assert_eq!(pair.there.received(), b"before");
        assert_eq!(pair.here.events(), ["made", "lost"]);
        drop(transport);
        pair.over().await;
    });
}

/// TLS-016: what the peer has on its way at our close is discarded, and is no error for anybody.
#[test]
fn tls_016_data_in_flight_at_a_close_is_discarded_without_an_error() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.add_rule(Delay(Duration::from_millis(50)));
        let handle = LoopHandle::current().unwrap();
        let reports = reports(&handle);
        let pair = Pair::new(&certificates, Tell::new).await;
        pair.there.transport().write(&vec![1; 200_000]);
        sleep(Duration::from_millis(10)).await;
        pair.here.transport().close();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(pair.here.events(), ["made", "lost"], "no data after the close");
        assert_eq!(pair.there.events().last().unwrap(), "lost");
        assert!(reports.borrow().is_empty(), "{reports:?}");
        pair.over().await;
    });
}

/// A peer that goes on sending for ever is not waited for: the close is over before its timeout.
#[test]
fn a_peer_that_sends_on_does_not_hold_up_a_close() {
    let certificates = Certificates::new();
    run(|sim| async move {
        sim.set_select_cost(Duration::from_micros(10));
        let floods: fn(&Told) -> Tell = |told| Tell::new(told).keep_open();
        let pair = Pair::new(&certificates, floods).await;
        let there = pair.there.transport();
        let flood = LoopHandle::current().unwrap().spawn(async move {
            let block = vec![9; 64 * 1024];
            while there.write(&block) != Flow::Closed {
                sleep(Duration::from_millis(1)).await;
            }
        });
        sleep(Duration::from_millis(20)).await;
        let began = sim.now();
        pair.here.transport().close();
        while pair.here.events().last().is_none_or(|e| !e.starts_with("lost")) {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(sim.now().since(began) < Duration::from_secs(10));
        assert_eq!(pair.here.events().last().unwrap(), "lost");
        pair.there.transport().abort();
        let _ = flood.await;
        end(pair);
    });
}

#[test]
fn tls_017_an_abort_is_told_at_once_and_sends_no_close_notify() {
    let certificates = Certificates::new();
    run(|_| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        let transport = pair.here.transport();
        transport.write(b"never");
        transport.abort();
        assert_eq!(pair.here.events(), ["made"], "queued, not called");
        settle().await;
        assert_eq!(pair.here.events(), ["made", "lost"]);
        sleep(Duration::from_secs(1)).await;
        // The peer can't tell it from an attack.
        assert_eq!(pair.there.events(), ["made", "lost: Truncated"]);
        assert_eq!(transport.close_outcome(), Some(CloseOutcome::Unsent(5)));
        drop(transport);
        pair.over().await;
    });
}

#[test]
fn tls_032_what_is_queued_is_still_sent_when_the_peer_shuts_down() {
    for tls13 in [true, false] {
        let certificates = Certificates::new();
        run(|sim| async move {
            sim.set_buffers(2048, 2048);
            let client = if tls13 { certificates.client_config() } else { only_12(&certificates) };
            let keeps: fn(&Told) -> Tell = |told| Tell::new(told).keep_open();
            let pair = Pair::with(client, certificates.server_config(), keeps, Tell::new).await;
            let answer = vec![5; 100_000];
            pair.there.transport().write(&answer);
            if tls13 {
                // It ends its direction while the answer is on its way.
                pair.here.transport().write_eof();
            }
            sleep(Duration::from_secs(5)).await;
            assert!(pair.here.received() == answer, "{} bytes", pair.here.received().len());
            pair.here.transport().close();
            pair.over().await;
        });
    }
}

/// TLS-034: data first, then the end.
#[test]
fn tls_034_an_end_while_reading_is_paused_comes_behind_the_data() {
    let certificates = Certificates::new();
    run(|_| async move {
        let pair = Pair::new(&certificates, Tell::new).await;
        pair.here.transport().pause_reading();
        pair.there.transport().write(&[3; 50_000]);
        pair.there.transport().close();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.here.events(), ["made"]);
        pair.here.transport().resume_reading();
        assert_eq!(pair.here.events(), ["made"], "TLS-021: never inside the call");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.here.events(), ["made", "data", "eof", "lost"]);
        assert_eq!(pair.here.received().len(), 50_000);
        pair.over().await;
    });
}

/// D-14, TLS-039: the end of file without close_notify.
#[test]
fn tls_039_an_end_without_close_notify_is_a_truncation_unless_it_is_tolerated() {
    for tolerates in [false, true] {
        let certificates = Certificates::new();
        run(|_| async move {
            let mut client = certificates.client_config();
            if tolerates {
                client = client.tolerate_truncation();
            }
            let pair = Pair::of(client, certificates.server_config(), Tell::new).await;
            pair.there.transport().write(b"the beginning only");
            settle().await;
            pair.there.transport().abort();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(pair.here.received(), b"the beginning only", "bytes come first");
            let end: &[&str] = if tolerates { &["eof", "lost"] } else { &["lost: Truncated"] };
            assert_eq!(pair.here.events()[2..], *end);
            pair.over().await;
        });
    }
}

/// A callback that closes, and one that aborts, from inside data_received.
#[test]
fn closing_from_inside_a_callback_is_like_closing_from_outside() {
    for abort in [false, true] {
        let certificates = Certificates::new();
        run(|_| async move {
            let aborts = Rc::new(Cell::new(abort));
            let told = Told::default();
            let server = serve(certificates.server_config(), &told, |told| {
                Tell::new(told).on_data(|told, data| {
                    told.transport().write(b"bye");
                    if data == b"abort" {
                        told.transport().abort()
                    } else {
                        told.transport().close()
                    }
                    Ok(())
                })
            })
            .await;
            let here = Told::default();
            connect(&certificates.client_config(), Tell::new(&here)).await.unwrap();
            here.transport().write(if aborts.get() { b"abort" } else { b"close" });
            sleep(Duration::from_secs(1)).await;
            assert_eq!(told.events(), ["made", "data", "lost"]);
            let expected: &[&str] =
                if abort { &["made", "lost: Truncated"] } else { &["made", "data", "eof", "lost"] };
            assert_eq!(here.events(), expected);
            Pair { server, here, there: told }.over().await;
        });
    }
}

#[test]
fn tls_024_tls_037_an_error_of_the_applications_is_reported_and_ends_the_connection() {
    let certificates = Certificates::new();
    run(|_| async move {
        let handle = LoopHandle::current().unwrap();
        let reports = reports(&handle);
        let fails: fn(&Told) -> Tell =
            |told| Tell::new(told).on_data(|_, _| Err(io::Error::other("no taste for this")));
        let pair = Pair::new(&certificates, fails).await;
        pair.here.transport().write(b"spinach");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.there.events(), ["made", "data", "lost: Other"]);
        assert_eq!(reports.borrow().len(), 1);
        let report = reports.borrow()[0].clone();
        assert!(
            report.contains("fatal error on SSL protocol") && report.contains("no taste"),
            "{report}"
        );
        pair.over().await;
    });
}

#[test]
fn a_panic_of_the_applications_ends_its_connection_alone() {
    let certificates = Certificates::new();
    run(|_| async move {
        let handle = LoopHandle::current().unwrap();
        let reports = reports(&handle);
        let panics: fn(&Told) -> Tell =
            |told| Tell::new(told).on_data(|_, data| panic!("at {}", data.len()));
        let pair = Pair::new(&certificates, panics).await;
        pair.here.transport().write(b"boo");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pair.there.events(), ["made", "data", "lost: Other"]);
        assert!(reports.borrow()[0].contains("data_received() failed"), "{reports:?}");
        pair.over().await;
    });
}

/// The loop closes: every connection hears of it, none is left.
#[test]
fn a_loop_that_closes_tells_each_connection() {
    let certificates = Certificates::new();
    let sim = Sim::new(1);
    let (here, there) = common::run_on(&sim, async {
        let pair = Pair::new(&certificates, Tell::new).await;
        (pair.here, pair.there)
    });
    assert_eq!(here.events().last().unwrap(), "lost");
    assert_eq!(there.events().last().unwrap(), "lost");
    here.forget();
    there.forget();
}

/// … also one that has paused in the middle of what came: it will not be asked again.
#[test]
fn a_loop_that_closes_tells_a_reader_that_has_paused() {
    let certificates = Certificates::new();
    let sim = Sim::new(1);
    let (here, there) = common::run_on(&sim, async {
        let (client, server) = (certificates.client_config(), certificates.server_config());
        let pauses = |told: &Told| {
            Tell::new(told).on_data(|told, _| {
                told.transport().pause_reading();
                Ok(())
            })
        };
        let pair = Pair::with(client, server, pauses, Tell::new).await;
        pair.there.transport().write(&vec![7; 200_000]);
        settle().await;
        assert!(pair.here.received().len() < 200_000);
        (pair.here, pair.there)
    });
    assert_eq!(here.events(), ["made", "data", "lost"]);
    assert_eq!(there.events().last().unwrap(), "lost");
    here.forget();
    there.forget();
}

/// TLS-041: a drain between close and its end is no error; one after it is a reset.
#[test]
fn tls_041_a_drain_while_closing_is_done_and_after_the_end_it_is_an_error() {
    let certificates = Certificates::new();
    run(|_| async move {
        let server = millrun_streams::StartServer::tasks(
            millrun_transport::Serve::address(common::at()),
            async |mut reader, _writer| {
                let mut all = Vec::new();
                let _ = reader.read_to_end(&mut all).await;
            },
        )
        .tls(certificates.server_config())
        .await
        .unwrap();
        let connect = millrun_transport::Connect::address(common::at());
        let opening = millrun_streams::OpenConnection::from(connect);
        let (_reader, writer) =
            opening.tls(&certificates.client_config(), common::NAME).await.unwrap();
        writer.write(b"x").unwrap();
        let closing = writer.close();
        writer.drain().await.unwrap();
        closing.await.unwrap();
        assert_eq!(writer.drain().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        server.close();
    });
}

/// A server's configuration as a value: what is missing is said when it is built.
#[test]
fn a_server_without_a_certificate_is_no_server() {
    assert!(ServerConfig::builder().build().is_err_and(|e| e.to_string().contains("got none")));
    assert!(ServerConfig::new(b"nothing", b"nothing").is_err());
}
