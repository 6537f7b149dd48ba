//! The examples are in `examples/examples/`.
