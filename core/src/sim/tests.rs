//! The world keeps its promises.
