//! millrun-loop
