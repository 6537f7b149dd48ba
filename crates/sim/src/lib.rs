//! millrun-sim
