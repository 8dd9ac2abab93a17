//! Two links in virtual time, without a network above them.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one update among many"
)]

mod doctor;
mod echo;
mod hostile;
mod link;
mod traps;
mod world;
