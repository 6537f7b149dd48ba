//! What the matrix of TLS is made of: worlds of TLS transports, peers that are rustls's alone, and transports that break a rule.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod broken;
pub mod identity;
pub mod peer;
pub mod worlds;
