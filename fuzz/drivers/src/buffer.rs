//! The write buffer of the transport layer: gathered, shared, kept or cut off, the bytes are those of a plain `Vec`.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::decode::{size, steps};

#[path = "../../../crates/transport/tests/buffer_model/mod.rs"]
mod model;

use model::{Both, Step};

/// What happens to a buffer.
#[derive(Debug)]
pub struct Case {
    steps: Vec<Step>,
}

/// Compares with the model after each step.
pub fn run(case: Case) {
    let mut both = Both::new();
    for step in case.steps {
        both.step(step);
    }
    both.finish();
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        Ok(Case { steps: steps(u, step)? })
    }
}

fn step(u: &mut Unstructured<'_>) -> Result<Step> {
    // Positions in a small block, which is 4 KiB.
    let place = |u: &mut Unstructured<'_>| Ok(usize::from(u.arbitrary::<u16>()? % 4096));
    Ok(match u.arbitrary::<u8>()? % 12 {
        0..=3 => Step::Gather(size(u)?),
        4 | 5 => Step::Share(place(u)?, place(u)?, usize::from(u.arbitrary::<u8>()? & 3)),
        6 => Step::Push(size(u)?),
        7 | 8 => Step::Consume(size(u)?),
        9 => Step::Append(size(u)?, size(u)?),
        10 => Step::Shrink,
        _ => Step::Clear,
    })
}
