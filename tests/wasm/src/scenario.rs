//! What is run: a host and a joiner, in virtual time.

use std::time::Duration;

use wattle_core::{Config, Hosting, Network, Timestamp};

use crate::trace::Trace;

/// Runs the scenario from `seed` and gives the hash of its trace.
pub(crate) fn run(seed: u64) -> u64 {
    alone(seed)
}

/// A host that nobody answers: every call, output and deadline of it until it gives up.
fn alone(seed: u64) -> u64 {
    let mut trace = Trace::new();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());

    let mut now = Timestamp::ZERO;
    let mut network = Network::new(Config::default().with_verbose(true), bytes, now);
    trace.record("id", &network.id());
    trace.record(
        "host",
        &network.host(now, Hosting::Signaling { code: None }),
    );
    // Bounded, so that a machine that never sleeps fails the test instead of hanging it.
    for _ in 0..1000 {
        while let Some(output) = network.poll_output() {
            trace.record("output", &output);
        }
        let Some(deadline) = network.poll_timeout() else {
            break;
        };
        now = deadline.max(now.plus(Duration::from_nanos(1)));
        trace.record("timeout", &now);
        network.handle_timeout(now);
    }
    trace.record("status", &network.status());
    trace.hash()
}
