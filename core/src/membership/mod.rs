//! Who is in the network, and what each pair of nodes still owes the other.

mod direct;
mod interpreter;
mod pair;
mod relay;
mod roster;
mod stall;

pub(crate) use direct::{Direct, GiveUp, Leaves};
pub(crate) use interpreter::{Interpreter, PING, STALE};
pub(crate) use pair::{ACK_DELAY, Delivered, Pair, cost};
pub(crate) use relay::{Passed, Relay};
pub(crate) use roster::Roster;
pub(crate) use stall::Stall;
