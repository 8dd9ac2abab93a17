//! [`Node`]: a [`Network`](crate::Network) whose links are str0m connections. Still no I/O.
//! (being written)

mod io;
mod node;

pub use io::{Input, Interface, Output, Transmit};
pub use node::Node;
