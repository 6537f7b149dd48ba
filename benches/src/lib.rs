//! How fast is Millrun, beside what a user would pick instead, and beside what the machine allows?
//!
//! Three kinds of programs, each its own process: *servers* (one for each peer, written as its users would write it), the *load*
//! that drives one of them, and the *runner*, which starts both, takes turns between the peers and writes the report. They
//! share what is here: the [table of scenarios](scenario), the [table of peers](peer), what a server promises on its command line and
//! on its sockets ([`contract`]), what runner and load say to each other ([`talk`]), and the [report] as data.
//!
//! None of it is published, and no peer is a dependency of anything else.

pub mod check;
pub mod contract;
pub mod counts;
pub mod digest;
pub mod load;
pub mod peer;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod talk;
pub mod tls;
