//! One `Network` against the laws, whatever the others do.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "tests look for the one event or output they want"
)]

mod bare;
mod foreign;
mod foreign_host;
mod foreign_life;
mod harm;
mod hostile;
mod mesh;
mod repeats;
mod reports;
mod resuming;
mod room;
mod watched;
