//! millrun
