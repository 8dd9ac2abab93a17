//! Links: one remote node each.

mod channels;
mod liveness;
pub(crate) mod negotiation;
