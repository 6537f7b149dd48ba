//! The bytes of a transfer, and how both sides agree on what came: CRC-32 (IEEE), which every peer has at hand.

/// Length of the repeated pattern, in bytes.
pub const PATTERN: usize = 65_536;

/// The bytes that a source sends, over and over, from their beginning: byte `i` is `(i * 31 + i / 256) mod 256`.
#[must_use]
pub fn pattern() -> Vec<u8> {
    (0..PATTERN).map(|place| (place * 31 + place / 256) as u8).collect()
}

/// The CRC-32 of the first `count` bytes of the pattern over and over.
#[must_use]
pub fn expected(count: u64) -> u32 {
    let block = pattern();
    let mut hasher = crc32fast::Hasher::new();
    let mut left = count;
    while left > 0 {
        let length = left.min(PATTERN as u64);
        hasher.update(&block[..length as usize]);
        left -= length;
    }
    hasher.finalize()
}
