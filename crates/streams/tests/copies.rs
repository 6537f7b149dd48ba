//! How often is a byte copied on its way through streams? Told by addresses: of what a read lends, and of what the
//! transport is given to send. And whatever is shared: the bytes are right.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{run, scripted};
use millrun_loop::{BlockSize, LoopHandle, yield_now};
use proptest::prelude::*;

/// Blocks of one size that are in use now, out of the pool.
fn in_use(size: BlockSize) -> u64 {
    let counts = LoopHandle::current().unwrap().blocks().counts(size);
    counts.made + counts.reused - counts.given
}

/// A block in all, which the reader lends from and the writer sends from: no byte is copied between them.
#[test]
fn what_is_read_and_written_shares_one_block() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 64 * 1024).await;
        for n in [1, 1000, 4000] {
            peer.send(vec![7; n]);
            let data = reader.read(n).await.unwrap();
            let before = in_use(BlockSize::Small) + in_use(BlockSize::Large);
            writer.write(data).unwrap();
            assert_eq!(before, in_use(BlockSize::Small) + in_use(BlockSize::Large), "no other");
            writer.drain().await.unwrap();
        }
        yield_now().await;
        assert_eq!(peer.received(), vec![7; 5001]);
    });
}

/// The block that was read into is the one that the reader lends from, of 64 KiB too.
#[test]
fn a_large_read_is_lent_from_the_block_that_was_read_into() {
    run(async |sim| {
        let (mut reader, writer, peer) = scripted(&sim, 64 * 1024).await;
        let mut sum = 0;
        peer.send(vec![7; 500_000]);
        let mut largest = 0;
        while sum < 500_000 {
            let data = reader.read(usize::MAX).await.unwrap();
            largest = largest.max(data.len());
            sum += data.len();
            let sent = peer.received().len();
            writer.write_bytes(Bytes::from_static(&[1; 65_536])).unwrap();
            // It left at once, as it was.
            assert_eq!(peer.received().len(), sent + 65_536);
        }
        assert_eq!(largest, 65_536, "a block, not pieces that were joined");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Lines and parts of them are written back in any order, while more comes behind a part that was read, and while
    /// the peer takes a few bytes at a time: every byte is right.
    #[test]
    fn what_is_shared_is_not_changed(
        pieces in prop::collection::vec((1..3000_usize, 0..4_u8), 1..30),
        window in 1..5000_usize,
    ) {
        let total: usize = pieces.iter().map(|(n, _)| n).sum();
        let input: Vec<u8> = (0..total).map(|i| (i % 251) as u8).collect();
        let (sent, expected) = run(async |sim| {
            let (mut reader, writer, peer) = scripted(&sim, 2000).await;
            let (mut expected, mut at) = (Vec::new(), 0);
            for (n, how) in pieces {
                peer.set_send_window(window);
                peer.send(&input[at..at + n]);
                let data = reader.read_exact(n).await.unwrap();
                assert_eq!(data, &input[at..at + n]);
                match how {
                    0 => writer.write(data).unwrap(),
                    1 => {
                        writer.write(&data[n / 2..]).unwrap();
                        writer.write(b"between").unwrap();
                        writer.write(&data[..n / 2]).unwrap();
                    }
                    2 => data.chunks(100).for_each(|part| writer.write(part).unwrap()),
                    _ => writer.writelines(&[&data[..n / 3], &data[n / 3..]]).unwrap(),
                }
                if how == 1 {
                    expected.extend_from_slice(&data[n / 2..]);
                    expected.extend_from_slice(b"between");
                    expected.extend_from_slice(&data[..n / 2]);
                } else {
                    expected.extend_from_slice(data);
                }
                at += n;
                if how != 2 {
                    yield_now().await;
                }
            }
            peer.set_send_window(usize::MAX);
            writer.close().await.unwrap();
            (peer.received(), expected)
        });
        prop_assert!(sent == expected);
    }
}
