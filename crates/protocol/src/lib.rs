//! millrun-protocol
pub mod inbox;
