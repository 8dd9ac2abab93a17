//! [`Node`]: a [`Network`](crate::Network) whose links are str0m connections. Still no I/O.
//!
//! Where a comment says "trap 4", the test of that number in `tests/traps.rs` (3: in `clock`) shows what its parts do
//! otherwise.

mod certificate;
mod clock;
mod credentials;
mod crypto;
mod demux;
mod description;
mod doctor;
mod dtls;
mod echo;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gather;
mod hidden;
mod integrity;
mod io;
mod link;
mod node;
mod own_description;
mod probe;
mod stun;
pub(crate) mod turn;

pub use crate::report::StreamFailure;
pub use doctor::Doctor;
pub use gather::is_virtual_interface;
pub use io::{Input, Interface, Output, StreamCommand, StreamId, StreamUpdate, Transmit};
pub use node::Node;

#[cfg(test)]
mod tests;
