//! As tokio's users write it.

pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod lines;
pub(crate) mod relay;
pub(crate) mod transfer;

/// The buffer of `copy`, `BufReader` and `BufWriter`, in bytes.
pub(crate) const BUFFER: usize = 8 * 1024;
