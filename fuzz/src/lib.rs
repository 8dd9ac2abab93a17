//! Fuzz targets: each is a plain function that panics when a law is broken.
//!
//! libFuzzer is there under `cfg(fuzzing)` alone. Without it the same functions replay files, in
//! `tests/replay.rs` and as programs: `cargo run --bin codes FILE…`.

mod application;
mod channel;
mod codecs;
mod datagrams;
mod description;
mod duo;
mod json;
mod network;
mod replay;
mod server;
mod signaling;
mod source;
mod turn;
mod watched;
mod world;

pub use application::application;
pub use codecs::{codes, frames, payloads, stun, urls};
pub use datagrams::datagrams;
pub use description::description;
pub use json::json;
pub use network::network;
pub use replay::{replay, run_arguments};
pub use server::server;
pub use signaling::signaling;
pub use turn::{turn, turn_messages, turn_stream};
pub use world::world;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 16] = [
    ("frames", frames),
    ("json", json),
    ("codes", codes),
    ("urls", urls),
    ("payloads", payloads),
    ("stun", stun),
    ("description", description),
    ("server", server),
    ("signaling", signaling),
    ("network", network),
    ("application", application),
    ("datagrams", datagrams),
    ("turn_messages", turn_messages),
    ("turn_stream", turn_stream),
    ("turn", turn),
    ("world", world),
];

/// The program of a target: a fuzzer, or without one a replayer of files.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name(data));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::run_arguments($crate::$name);
        }
    };
}
