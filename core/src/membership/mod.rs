//! Who is in the network, and what each pair of nodes still owes the other.

mod pair;
mod relay;
mod roster;
mod stall;

pub(crate) use pair::{Delivered, Pair, cost};
pub(crate) use relay::Relay;
pub(crate) use roster::Roster;
