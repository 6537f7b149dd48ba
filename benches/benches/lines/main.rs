//! What do lines cost above the kernel: to find them, and to gather small writes?
//!
//! - *read_line*: an iteration reads [`LINES`] lines of [`LINE`] bytes, which come in chunks of [`CHUNK`] bytes.
//! - *read_until*: an iteration reads [`RECORDS`] records of [`RECORD`] bytes up to their separator; they come in chunks of
//!   [`PIECE`] bytes, so that each record lies across a border.
//! - *write gathering*: an iteration writes [`UNITS`] times 16 pieces of [`SMALL`] bytes, which leave in one send of all 16. An
//!   element is one piece.
//!
//! No socket is below: Millrun's transport is fed by hand, and sends into a sink; tokio's and smol's `BufReader` (as large as a
//! chunk) and `BufWriter` are over a source and a sink of the same kind. Theirs read into a vector, which is cleared and
//! used again; Millrun's reader lends.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use criterion::Criterion;

#[path = "../common/mod.rs"]
mod common;
mod fed;
mod ours;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod peers;

/// Lines in an iteration of *read_line*.
const LINES: usize = 160 * 16;
/// Bytes of a line, its newline included.
const LINE: usize = 100;
/// Bytes that come at once: what 16 KiB hold of whole lines.
const CHUNK: usize = 160 * LINE;

/// Records in an iteration of *read_until*.
const RECORDS: usize = 700;
/// Bytes of a record, its separator included.
const RECORD: usize = 1000;
/// Bytes that come at once.
const PIECE: usize = 700;

/// Units in an iteration of *write gathering*.
const UNITS: usize = 64;
/// Bytes of a piece.
const SMALL: usize = 32;

fn main() {
    common::main(|criterion| {
        read_line(criterion);
        read_until(criterion);
        write_gathering(criterion);
    });
}

fn read_line(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "read_line", LINES as u64);
    let input = records(LINE, LINES);
    let check = |bytes: usize| assert_eq!(bytes, LINES * LINE);
    group.bench_function("millrun", |bencher| {
        let mut reader = ours::Reader::new();
        bencher.iter(|| check(reader.lines(&input)));
    });
    #[cfg(feature = "tokio")]
    group.bench_function("tokio", |bencher| {
        let runtime = common::tokio();
        bencher.iter(|| check(runtime.block_on(peers::tokio_records(&input, CHUNK, LINES))));
    });
    #[cfg(feature = "smol")]
    group.bench_function("smol", |bencher| {
        bencher.iter(|| check(smol::block_on(peers::smol_records(&input, CHUNK, LINES))));
    });
    group.finish();
}

fn read_until(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "read_until", RECORDS as u64);
    let input = records(RECORD, RECORDS);
    let check = |bytes: usize| assert_eq!(bytes, RECORDS * RECORD);
    group.bench_function("millrun", |bencher| {
        let mut reader = ours::Reader::new();
        bencher.iter(|| check(reader.records(&input)));
    });
    #[cfg(feature = "tokio")]
    group.bench_function("tokio", |bencher| {
        let runtime = common::tokio();
        bencher.iter(|| check(runtime.block_on(peers::tokio_records(&input, PIECE, RECORDS))));
    });
    #[cfg(feature = "smol")]
    group.bench_function("smol", |bencher| {
        bencher.iter(|| check(smol::block_on(peers::smol_records(&input, PIECE, RECORDS))));
    });
    group.finish();
}

fn write_gathering(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "write gathering", (UNITS * 16) as u64);
    // A send for each unit, and all bytes in them.
    let check = |sent: (usize, usize)| assert_eq!(sent, (UNITS, UNITS * 16 * SMALL));
    group.bench_function("millrun", |bencher| {
        let writer = ours::Writer::new();
        bencher.iter(|| check(writer.units()));
    });
    #[cfg(feature = "tokio")]
    group.bench_function("tokio", |bencher| {
        let runtime = common::tokio();
        bencher.iter(|| check(runtime.block_on(peers::tokio_units())));
    });
    #[cfg(feature = "smol")]
    group.bench_function("smol", |bencher| {
        bencher.iter(|| check(smol::block_on(peers::smol_units())));
    });
    group.finish();
}

/// `count` records of `length` bytes, each with a newline as its last.
fn records(length: usize, count: usize) -> Vec<u8> {
    let mut record = vec![b'x'; length];
    record[length - 1] = b'\n';
    record.repeat(count)
}
