//! What applications do, in any order, in a small simulated network whose paths fail.

use std::time::Duration;

use bytes::Bytes;
use wattle_core::sim::{NodeIndex, Path, World};
use wattle_core::{Config, Credit, Event, Hosting, NetworkCode, NodeId, Status, Topology};

use crate::source::Source;

const NODES: usize = 5;

/// More makes an input slow and says nothing new.
const STEPS: usize = 120;

/// Operations of applications. The world checks the laws; in the end all paths are healed, and who
/// is in the host's network agrees with it and hears it.
pub fn application(data: &[u8]) {
    let mut source = Source::new(data);
    let mut play = Play::new(&mut source);
    let mut steps = 0;
    while !source.is_empty() && steps < STEPS {
        play.step(&mut source);
        steps += 1;
    }
    play.end();
}

struct Play {
    world: World,
    nodes: Vec<NodeIndex>,
    code: Option<NetworkCode>,
    sent: u32,
}

impl Play {
    fn new(source: &mut Source<'_>) -> Self {
        let choice = source.u8();
        let seed = source.u8();
        let mut world = World::new(u64::from(seed));
        let nodes = (0..NODES)
            .map(|index| {
                let mut config = Config::default();
                if choice >> index & 1 == 1 {
                    config = config.with_credit(Credit::OnRelease);
                }
                if choice & 64 != 0 {
                    config = config.with_auto_relay(false);
                }
                if choice & 128 != 0 {
                    config = config.with_max_nodes(3).expect("2 to 64");
                }
                if seed & 1 != 0 {
                    config = config.with_topology(Topology::Mesh);
                }
                world.add_model(config)
            })
            .collect();
        let mut play = Self {
            world,
            nodes,
            code: None,
            sent: 0,
        };
        if !source.flag() {
            play.host(0, Hosting::Signaling { code: None });
            play.run(200);
            for joiner in 1..NODES {
                play.join(joiner);
            }
            play.run(500);
        }
        play
    }

    fn run(&mut self, millis: u64) {
        self.world.run_for(Duration::from_millis(millis));
        // The code is known to all who want it.
        for node in &self.nodes {
            let created = self.world.events(*node).filter_map(|event| match event {
                Event::NetworkCreated { code } => Some(*code),
                _ => None,
            });
            self.code = created.last().or(self.code);
        }
    }

    fn host(&mut self, of: usize, hosting: Hosting) {
        let idle = self.status(of) == Some(Status::Idle);
        let hosted = self.world.try_host(self.nodes[of], hosting).is_ok();
        assert!(
            idle || !hosted || self.status(of).is_none(),
            "hosts in another network"
        );
    }

    fn join(&mut self, of: usize) {
        if let Some(code) = self.code {
            let idle = self.status(of) == Some(Status::Idle);
            let joined = self.world.try_join(self.nodes[of], &code).is_ok();
            assert!(
                idle || !joined || self.status(of).is_none(),
                "joins in another network"
            );
        }
    }

    fn status(&self, of: usize) -> Option<Status> {
        self.world.stats(self.nodes[of]).map(|stats| stats.status)
    }

    fn step(&mut self, source: &mut Source<'_>) {
        let of = usize::from(source.below(NODES as u8));
        let node = self.nodes[of];
        match source.below(24) {
            0..=2 => self.run(u64::from(source.u8())),
            3 => self.run(u64::from(source.u8()) * 50),
            4..=7 => {
                let payload = self.payload(source);
                let _ = self.world.broadcast(node, payload);
            }
            8..=10 => {
                let to = self.somebody(source, of);
                let payload = self.payload(source);
                let _ = self.world.send_to(node, to, payload);
            }
            11 | 12 => {
                let payload = self.payload(source);
                let _ = self.world.broadcast_state(node, payload);
            }
            13 => {
                let from = self.somebody(source, of);
                self.world.release(node, from, source.u32());
            }
            14 => {
                let whom = self.somebody(source, of);
                let _ = self.world.kick(node, whom);
            }
            15 => self.world.leave(node),
            16 | 17 => self.join(of),
            18 => {
                let hosting = match source.below(4) {
                    0 | 1 => Hosting::Signaling { code: None },
                    2 => Hosting::Signaling {
                        code: "ABCDEF".parse().ok(),
                    },
                    _ => Hosting::Lan {
                        address: ([10, 0, 0, of as u8 + 1], 9000).into(),
                    },
                };
                self.host(of, hosting);
            }
            19 => self.world.pause_application(node, source.flag()),
            20 => {
                let other = self.nodes[usize::from(source.below(NODES as u8))];
                if source.flag() {
                    self.world.partition(node, other);
                } else {
                    self.world.heal(node, other);
                }
            }
            21 => self.world.crash(node),
            22 => self.world.restart(node),
            _ => {
                if source.flag() {
                    self.world.stop_server();
                } else {
                    self.world.start_server();
                }
            }
        }
    }

    fn payload(&mut self, source: &mut Source<'_>) -> Bytes {
        let lengths = [10, 0, 100, 3000, 16_384, 16_385, 100_000, 262_144, 262_145];
        let length = source.one_of(&lengths);
        self.sent += 1;
        let mut payload = vec![1; length];
        for (to, from) in payload.iter_mut().zip(self.sent.to_le_bytes()) {
            *to = from;
        }
        payload.into()
    }

    fn somebody(&self, source: &mut Source<'_>, of: usize) -> NodeId {
        let known = self.world.nodes(self.nodes[of]);
        let choice = usize::from(source.u8());
        let known = known.get(choice % (NODES + 1)).copied();
        known.unwrap_or(NodeId::from_bytes([choice as u8; 16]))
    }

    /// All is healed: who is still in a network hears its host.
    fn end(&mut self) {
        self.world.set_default_path(Path::default());
        for a in 0..NODES {
            self.world.pause_application(self.nodes[a], false);
            for b in 0..a {
                self.world.heal(self.nodes[a], self.nodes[b]);
            }
        }
        self.world.start_server();
        // Longer than any deadline of a join, and than the time of who takes nothing.
        self.run(45_000);
        for of in 0..NODES {
            let status = self.status(of);
            assert!(
                !matches!(status, Some(Status::Connecting | Status::Leaving)),
                "law 4: {status:?} for ever"
            );
        }
        for host in 0..NODES {
            let first = self.world.nodes(self.nodes[host]).first().copied();
            if first.is_some() && first == self.world.id(self.nodes[host]) {
                self.agree(host);
            }
        }
    }

    fn agree(&mut self, host: usize) {
        let roster = self.world.nodes(self.nodes[host]);
        let me = self.world.id(self.nodes[host]);
        for of in 0..NODES {
            let theirs = self.world.nodes(self.nodes[of]);
            if of != host && theirs.first().copied() == me {
                assert_eq!(theirs, roster, "rosters differ");
            }
        }
    }
}
