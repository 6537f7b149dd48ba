//! millrun-protocol
