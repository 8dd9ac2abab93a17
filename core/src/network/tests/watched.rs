//! A `Network` with the laws of the contract checked at every step.

use alloc::vec::Vec;

use crate::config::Config;
use crate::event::Event;
use crate::io::{Input, Output};
use crate::network::Network;
use crate::sim::laws::{Held, Laws};
use crate::stats::Status;
use crate::time::Timestamp;

pub(super) struct Watched {
    pub(super) network: Network,
    pub(super) events: Vec<Event>,
    laws: Laws,
    most_outputs: u32,
    latest: Timestamp,
}

impl Watched {
    pub(super) fn new(config: Config, seed: [u8; 32]) -> Self {
        let most_outputs = config.limits.outputs_per_input;
        Self {
            network: Network::new(config, seed, Timestamp::ZERO),
            events: Vec::new(),
            laws: Laws::default(),
            most_outputs,
            latest: Timestamp::ZERO,
        }
    }

    /// A call that begins something that must end.
    pub(super) fn begin<E>(
        &mut self,
        now: Timestamp,
        call: impl FnOnce(&mut Network) -> Result<(), E>,
    ) -> Vec<Output> {
        if call(&mut self.network).is_ok() {
            hold(self.laws.started());
        }
        self.drain(now)
    }

    /// Any other call.
    pub(super) fn call<T>(
        &mut self,
        now: Timestamp,
        call: impl FnOnce(&mut Network) -> T,
    ) -> (T, Vec<Output>) {
        let result = call(&mut self.network);
        (result, self.drain(now))
    }

    pub(super) fn input(&mut self, now: Timestamp, input: Input<'_>) -> Vec<Output> {
        self.network.handle_input(now, input);
        self.drain(now)
    }

    pub(super) fn wake(&mut self, now: Timestamp) -> Vec<Output> {
        self.network.handle_timeout(now);
        let outputs = self.drain(now);
        hold(Laws::rested(self.latest, self.network.poll_timeout()));
        outputs
    }

    /// Lets go of the network: its one end must come, and come soon.
    pub(super) fn finish(&mut self) {
        let now = self.latest;
        let _ = self.call(now, |network| network.leave(now));
        for _ in 0..20_000 {
            if self.network.status() == Status::Idle {
                break;
            }
            let at = self.network.poll_timeout();
            let _ = self.wake(at.expect("law 4: leaving without a deadline"));
        }
        assert_eq!(self.network.status(), Status::Idle, "law 4: it never ended");
        assert!(!self.laws.is_open(), "law 8: no end was told");
        assert_eq!(self.network.poll_timeout(), None, "nothing is under way");
    }

    fn drain(&mut self, now: Timestamp) -> Vec<Output> {
        self.latest = self.latest.max(now);
        let mut outputs = Vec::new();
        while let Some(output) = self.network.poll_output() {
            if let Output::Event(event) = &output {
                hold(self.laws.event(event));
                self.events.push(event.clone());
            }
            outputs.push(output);
        }
        hold(Laws::amplified(outputs.len(), self.most_outputs));
        let under_way = matches!(self.network.status(), Status::Connecting | Status::Leaving);
        hold(Laws::under_way(under_way, self.network.poll_timeout()));
        outputs
    }
}

fn hold(held: Held) {
    if let Err(broken) = held {
        panic!("{broken}");
    }
}
