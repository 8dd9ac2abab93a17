//! Two links in virtual time, without a network above them.

mod hostile;
mod link;
mod world;
