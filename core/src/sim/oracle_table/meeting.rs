//! Two sides that do what ICE does, over the simulated Internet without loss.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::super::Knowledge::{self, Stun};
use crate::sim::internet::{Crossing, Delivery, Host, Internet, Place};
use crate::time::Timestamp;

/// How many addresses of the other a side tries: who runs after ever new ports stops here.
const MOST_REMOTES: usize = 24;
const ROUNDS: u32 = 8;

/// What the two sides and the STUN server say to each other. `side` stands for the user name in a
/// check: who gets what is for somebody else does not answer.
#[derive(Clone, Copy, Debug)]
enum Message {
    WhoAmI,
    YouAre(SocketAddr),
    Check { side: usize, id: usize },
    Answer { side: usize, id: usize },
}

/// One side, with all that ICE remembers.
#[derive(Debug)]
pub(super) struct Side {
    knowledge: Knowledge,
    own: Vec<SocketAddr>,
    mapped: BTreeSet<SocketAddr>,
    remotes: BTreeSet<SocketAddr>,
    checks: Vec<(SocketAddr, SocketAddr)>,
    valid: BTreeSet<(SocketAddr, SocketAddr)>,
}

/// Two sides on an Internet.
pub(super) struct Meeting {
    pub(super) internet: Internet,
    now: Timestamp,
    stun: [SocketAddr; 2],
    pub(super) sides: [Side; 2],
    flying: VecDeque<(Crossing, Message)>,
}

impl Meeting {
    pub(super) fn new(
        mut internet: Internet,
        places: [Place; 2],
        knowledge: [Knowledge; 2],
    ) -> Self {
        let stun = internet.add_server(0);
        let sides = [0, 1].map(|node| Side {
            knowledge: knowledge[node],
            own: internet.place(node, places[node]).to_vec(),
            mapped: BTreeSet::new(),
            remotes: BTreeSet::new(),
            checks: Vec::new(),
            valid: BTreeSet::new(),
        });
        Self {
            internet,
            now: Timestamp::ZERO,
            stun,
            sides,
            flying: VecDeque::new(),
        }
    }

    fn send(&mut self, from: Host, local: SocketAddr, to: SocketAddr, message: Message) {
        if let Ok(crossing) = self.internet.leave(self.now, from, local, to) {
            self.flying.push_back((crossing, message));
        }
    }

    fn check(&mut self, side: usize, local: SocketAddr, remote: SocketAddr) {
        let id = self.sides[side].checks.len();
        self.sides[side].checks.push((local, remote));
        let message = Message::Check { side, id };
        self.send(Host::Node(side), local, remote, message);
    }

    fn land(&mut self) {
        while let Some((crossing, message)) = self.flying.pop_front() {
            if let Ok(delivery) = self.internet.arrive(self.now, crossing) {
                self.delivered(delivery, message);
            }
        }
    }

    fn delivered(&mut self, delivery: Delivery, message: Message) {
        let Delivery {
            host,
            local,
            remote,
        } = delivery;
        let node = match host {
            Host::Server(_) => {
                let seen = ask_server(remote);
                self.send(host, local, remote, Message::YouAre(seen));
                return;
            }
            Host::Node(node @ (0 | 1)) => node,
            Host::Node(_) => return,
        };
        match message {
            Message::YouAre(address) => {
                self.sides[node].mapped.insert(address);
            }
            Message::Check { side, id } if side != node => {
                self.send(host, local, remote, Message::Answer { side: node, id });
                let own = &mut self.sides[node];
                if own.remotes.len() < MOST_REMOTES && own.remotes.insert(remote) {
                    self.check(node, local, remote);
                }
            }
            Message::Answer { side, id } if side != node => {
                let own = &mut self.sides[node];
                if own.checks[id] == (local, remote) {
                    own.valid.insert((local, remote));
                }
            }
            Message::WhoAmI | Message::Check { .. } | Message::Answer { .. } => {}
        }
    }

    /// Whether both find a pair.
    pub(super) fn run(&mut self) -> bool {
        for side in [0, 1] {
            if self.sides[side].knowledge >= Stun {
                for local in self.sides[side].own.clone() {
                    for stun in self.stun {
                        self.send(Host::Node(side), local, stun, Message::WhoAmI);
                    }
                }
            }
        }
        self.land();
        for side in [0, 1] {
            let other = &self.sides[1 - side];
            let told: Vec<_> = other.own.iter().chain(&other.mapped).copied().collect();
            self.sides[side].remotes.extend(told);
        }
        for _ in 0..ROUNDS {
            self.now = self.now.plus(Duration::from_millis(50));
            for side in [0, 1] {
                for local in self.sides[side].own.clone() {
                    for remote in self.sides[side].remotes.clone() {
                        self.check(side, local, remote);
                    }
                }
            }
            // All checks of a round are in the air together: the first ones find filters shut
            // that the others have opened from the inside by then.
            self.land();
        }
        let [a, b] = [0, 1].map(|side: usize| !self.sides[side].valid.is_empty());
        assert_eq!(a, b, "a pair that one side has alone: {:?}", self.sides);
        a
    }
}

/// What a STUN server answers who asks from there: what it sees, in real messages if there are any.
fn ask_server(from: SocketAddr) -> SocketAddr {
    #[cfg(feature = "native")]
    {
        use crate::rng::Rng;
        use crate::sim::stun::{Stun, StunConfig, request, response};
        let mut server = Stun::new(StunConfig::default(), Rng::new([5; 32]));
        let transaction = [8; 12];
        let (_, answer) = server.answer(from, &request(transaction)).unwrap();
        response(transaction, &answer).unwrap().unwrap()
    }
    #[cfg(not(feature = "native"))]
    from
}
