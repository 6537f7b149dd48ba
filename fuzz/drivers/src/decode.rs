//! Which case do these bytes mean? Few bytes for each step, so that the fuzzer can cut and splice them.

use arbitrary::{Result, Unstructured};

/// More steps find nothing that fewer don't, and take longer.
const MOST_STEPS: usize = 96;

/// Steps until the bytes are used up.
pub(crate) fn steps<'a, T>(
    u: &mut Unstructured<'a>,
    mut step: impl FnMut(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut steps = Vec::new();
    while !u.is_empty() && steps.len() < MOST_STEPS {
        steps.push(step(u)?);
    }
    Ok(steps)
}

/// Small as a rule, sometimes about a small block of the pool, seldom about a large one.
pub(crate) fn size(u: &mut Unstructured<'_>) -> Result<usize> {
    let word: u16 = u.arbitrary()?;
    let n = usize::from(word & 0x1fff);
    Ok(match word >> 13 {
        0..=4 => n % 64,
        5 => n % 512,
        6 => n,
        _ => n * 12,
    })
}

/// One byte's worth: below 240, and above that in pages up to 64 KiB.
pub(crate) fn small_size(u: &mut Unstructured<'_>) -> Result<usize> {
    let n: u8 = u.arbitrary()?;
    Ok(if n < 240 { usize::from(n) } else { usize::from(n - 239) * 4096 })
}
