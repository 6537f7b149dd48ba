//! Does the load drive what it should, count what it did, and notice what is wrong?
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "load/session.rs"]
mod session;
#[path = "load/works.rs"]
mod works;
#[path = "load/wrong.rs"]
mod wrong;
