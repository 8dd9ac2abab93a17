//! Links: one remote node each.

pub(crate) mod negotiation;
