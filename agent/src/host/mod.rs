//! Where this host is: its paths, its clocks, its facts, and the system calls that no crate wraps.

pub mod cgroups;
pub mod clock;
pub mod ethtool;
pub mod facts;
pub mod identity;
pub mod packet_statistics;
pub mod paths;
