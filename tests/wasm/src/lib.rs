//! One scenario, run natively and in WebAssembly, must leave the same trace.
//!
//! Built as a cdylib for `wasm32-unknown-unknown`, this crate links std for its allocator and its
//! panics alone. If its import section is empty, nothing in the core can have asked for a clock,
//! for randomness or for anything else of the world; if its hash is the native one, nothing
//! depends on the width of a pointer or on the platform. `check.mjs` checks both.

mod scenario;

/// The hash of everything that went in and came out of the scenario's machines.
#[expect(
    unsafe_code,
    reason = "the name must survive for JavaScript to find it, and nothing else in this module has it"
)]
#[unsafe(no_mangle)]
pub extern "C" fn trace_hash(seed: u64) -> u64 {
    scenario::run(seed)
}
