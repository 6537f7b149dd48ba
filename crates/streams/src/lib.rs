//! millrun-streams
