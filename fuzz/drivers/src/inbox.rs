//! The inbox of the protocol layer: whatever lands and whichever reads are given up, the bytes are those of a plain `Vec`.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::decode::{size, small_size, steps};

#[path = "../../../crates/protocol/tests/model/mod.rs"]
mod model;

use model::{Both, SEPARATORS, Step};

/// An inbox and what happens to it.
#[derive(Debug)]
pub struct Case {
    limit: usize,
    steps: Vec<Step>,
}

/// Compares with the model after each step.
pub fn run(case: Case) {
    let mut both = Both::new(case.limit);
    for step in &case.steps {
        both.step(step);
    }
    both.finish();
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        Ok(Case { limit: size(u)?.max(1), steps: steps(u, step)? })
    }
}

fn step(u: &mut Unstructured<'_>) -> Result<Step> {
    Ok(match u.arbitrary::<u8>()? % 12 {
        0 => Step::Arrive(size(u)?, piece(u)?),
        1..=3 => {
            let n = u.arbitrary::<u8>()? % 16;
            let data = u.bytes(usize::from(n).min(u.len()))?;
            Step::ArriveBytes(data.to_vec(), piece(u)?)
        }
        4 => Step::Feed(size(u)?),
        5 => Step::UpTo(size(u)?),
        6 => Step::Exact(size(u)?),
        7 => Step::Line,
        8 => Step::Until(usize::from(u.arbitrary::<u8>()?) % SEPARATORS.len()),
        9 => Step::Peek,
        10 => Step::Again,
        // Often nothing is to be cleared: it would only make the cases shorter.
        _ if u.ratio(1, 4)? => Step::Clear,
        _ => Step::PassOn,
    })
}

/// How much one receive brings at most.
fn piece(u: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match small_size(u)? {
        0 => usize::MAX,
        n => n,
    })
}
