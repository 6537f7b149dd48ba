//! What may bytes make a layer do, and what must hold whatever they say?
//!
//! Each module is a driver: [`Case`](inbox::Case) is decoded from bytes, `run` does what it says and panics when something
//! that was promised does not hold. The fuzzer in `fuzz/` looks for bytes that break it; the test `corpus` of this crate
//! replays what it has found so far, on the stable compiler, with the same code.
//!
//! It refuses to know the fuzzer. A panic that a case asks for makes no noise (`resume_unwind`), since the fuzzer takes each
//! panic that is told to the panic hook for a failure, whoever catches it.
#![forbid(unsafe_code)]

mod decode;
mod turns;

pub mod buffer;
pub mod inbox;
pub mod tls;
pub mod transport;

use arbitrary::{Arbitrary, Unstructured};

/// Runs the case that bytes mean.
pub type Drive = fn(&[u8]);

/// What can be fuzzed, by name: `fuzz/fuzz_targets/NAME.rs` and `fuzz/corpus/NAME`.
pub const TARGETS: [(&str, Drive); 4] = [
    ("inbox", |bytes| replay(bytes, inbox::run)),
    ("buffer", |bytes| replay(bytes, buffer::run)),
    ("transport", |bytes| replay(bytes, transport::run)),
    ("tls", |bytes| replay(bytes, tls::run)),
];

/// Decodes a case as the fuzzer does, and runs it.
fn replay<'a, Case: Arbitrary<'a>>(bytes: &'a [u8], run: fn(Case)) {
    // Bytes that are no case are none to the fuzzer either.
    if let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(bytes)) {
        run(case);
    }
}
