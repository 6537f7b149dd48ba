//! What the errors of a read say.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use common::{run, scripted, settle};

/// The error names the limit and what came: as it is shown, and as an `io::Error`.
#[test]
fn a_line_over_the_limit_is_told_with_its_numbers() {
    run(async |sim| {
        let (mut reader, _writer, peer) = scripted(&sim, 8).await;
        peer.send(b"0123456789\r");
        settle().await;
        let line = reader.read_line().await.unwrap_err();
        let text = "expected a separator within the limit of 8 bytes, got 11 bytes without one";
        assert_eq!(line.to_string(), text);
        assert_eq!(std::io::Error::from(line).to_string(), text);
        // The last byte may be the beginning of one.
        let until = reader.read_until(b"\r\n").await.unwrap_err().to_string();
        let text = "expected a separator within the limit of 8 bytes, got 10 bytes without one";
        assert_eq!(until, text);
        peer.send(b"\n");
        settle().await;
        let until = reader.read_until(b"\r\n").await.unwrap_err().to_string();
        assert_eq!(
            until,
            "expected a separator within the limit of 8 bytes, got one after 10 bytes"
        );
        let line = reader.next_line().await.unwrap_err().to_string();
        assert_eq!(
            line,
            "expected a separator within the limit of 8 bytes, got one after 11 bytes"
        );
    });
}
