//! A joiner alone: the test plays the signaling server, the link and the host.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use super::room::{CODE, OPEN, message, with_source};
use super::watched::Watched;
use crate::config::{Config, Topology};
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, Input, LinkCommand, LinkUpdate, Output};
use crate::link::negotiation::{self, Admission, Terms};
use crate::signaling::{RelayedKind, SignalingId, SignalingUpdate, write_relayed};
use crate::time::Timestamp;
use crate::wire::{Frame, Member, Number, Signal, Step, Token, Version, Welcome, decode};

pub(super) const HOST_ID: NodeId = NodeId::from_bytes([8; 16]);
pub(super) const LINK: LinkId = LinkId(0);
/// In a mesh: its link to number 2, to which it offers one.
pub(super) const DIRECT: LinkId = LinkId(1);
/// Its number once it is in.
pub(super) const ME: Number = 3;

pub(super) struct Bare {
    pub(super) joiner: Watched,
    pub(super) now: Timestamp,
    /// Of the link; the host's answers and candidates carry it.
    pub(super) connection: String,
}

impl Bare {
    /// Has sent its offer.
    pub(super) fn offering(config: Config, seed: u8) -> Self {
        let now = Timestamp::from_millis(5);
        let mut joiner = Watched::new(config, [seed; 32]);
        let code = CODE.parse().unwrap();
        let _ = joiner.begin(now, |network| network.join(now, &code));
        let mut bare = Self {
            joiner,
            now,
            connection: String::new(),
        };
        let _ = bare.frame(OPEN);
        let _ = bare.update(LinkUpdate::LocalDescription("an offer"));
        bare.connection = bare
            .joiner
            .network
            .links
            .get(&LINK)
            .unwrap()
            .connection_id()
            .to_string();
        bare
    }

    /// The host has answered, but the channels are not open.
    pub(super) fn admitted(config: Config, seed: u8) -> Self {
        let mut bare = Self::offering(config, seed);
        let answer = bare.answer();
        let _ = bare.frame(&answer);
        bare
    }

    /// In the network, as number 3, with the host and nodes 2 and 4: in a mesh it offers a link to one
    /// and waits for the offer of the other.
    pub(super) fn welcomed(config: Config, seed: u8) -> Self {
        let mut bare = Self::admitted(config, seed);
        let _ = bare.update(LinkUpdate::Connected);
        for channel in Channel::ALL {
            let _ = bare.update(LinkUpdate::ChannelOpened(channel));
        }
        let welcome = bare.welcome();
        let _ = bare.say(&[welcome]);
        bare
    }

    /// In a mesh, with a link of its own to number 2.
    pub(super) fn linked(seed: u8) -> Self {
        let mut bare = Self::welcomed(Config::default().with_topology(Topology::Mesh), seed);
        let _ = bare.update_of(DIRECT, LinkUpdate::LocalDescription("an offer"));
        let _ = bare.signal(2, 1, Step::Answer, "an answer");
        let _ = bare.update_of(DIRECT, LinkUpdate::Connected);
        for channel in Channel::ALL {
            let _ = bare.update_of(DIRECT, LinkUpdate::ChannelOpened(channel));
        }
        let _ = bare.say_directly(&[Frame::Peer {
            epoch: 0,
            number: 2,
        }]);
        bare
    }

    /// Another joiner says something about a link, through the host.
    pub(super) fn signal(
        &mut self,
        origin: Number,
        attempt: u32,
        step: Step,
        text: &'static str,
    ) -> Vec<Output> {
        let signal = Signal {
            epoch: 0,
            attempt,
            step,
            flag: false,
            text: Bytes::from_static(text.as_bytes()),
        };
        self.say(&[Frame::SignalFrom { origin, signal }])
    }

    /// Number 2 says something on the link between the two.
    pub(super) fn say_directly(&mut self, frames: &[Frame]) -> Vec<Output> {
        let (channel, payload) = (Channel::Data, message(frames));
        self.update_of(DIRECT, LinkUpdate::Message { channel, payload })
    }

    fn is_meshed(&self) -> bool {
        self.joiner.network.config.topology == Topology::Mesh
    }

    pub(super) fn answer(&self) -> String {
        let limits = Config::default().limits;
        let admission = Admission {
            sdp: "an answer".into(),
            version: Version::OURS,
            host: HOST_ID,
            epoch: 0,
            terms: Terms {
                message: limits.message,
                window: limits.window,
                relay: true,
                mesh: self.is_meshed(),
            },
            led: false,
        };
        let answer = negotiation::answer(&self.connection, &admission);
        with_source(CODE, &write_relayed(RelayedKind::Answer, "me", &answer))
    }

    pub(super) fn welcome(&self) -> Frame {
        let other = |number: u8| Member {
            number: number.into(),
            node: NodeId::from_bytes([number + 50; 16]),
        };
        Frame::Welcome(Welcome {
            epoch: 0,
            number: ME,
            token: Token([1; 16]),
            roster: vec![
                Member {
                    number: 0,
                    node: HOST_ID,
                },
                other(2),
                other(4),
                Member {
                    number: ME,
                    node: self.joiner.network.id(),
                },
            ],
        })
    }

    pub(super) fn frame(&mut self, text: &str) -> Vec<Output> {
        let update = SignalingUpdate::Frame(SignalingId(0), text);
        self.joiner.input(self.now, Input::Signaling(update))
    }

    pub(super) fn update(&mut self, update: LinkUpdate<'_>) -> Vec<Output> {
        self.update_of(LINK, update)
    }

    pub(super) fn update_of(&mut self, link: LinkId, update: LinkUpdate<'_>) -> Vec<Output> {
        self.joiner.input(self.now, Input::Link { link, update })
    }

    pub(super) fn say(&mut self, frames: &[Frame]) -> Vec<Output> {
        self.say_bytes(Channel::Data, message(frames))
    }

    pub(super) fn say_bytes(&mut self, channel: Channel, payload: Bytes) -> Vec<Output> {
        self.update(LinkUpdate::Message { channel, payload })
    }
}

/// The frames that were sent on the data channel.
pub(super) fn sent(outputs: &[Output]) -> Vec<Frame> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Link {
                command: LinkCommand::Send { channel, message },
                ..
            } if *channel == Channel::Data => Some(decode(message.to_bytes(), 256).unwrap()),
            _ => None,
        })
        .flatten()
        .collect()
}

/// A driver may hear of the host's first frame before it hears that the channel is open, and may
/// say twice that it is.
#[test]
fn the_hello_goes_out_once_and_first_whatever_the_driver_hears_first() {
    let mut bare = Bare::admitted(Config::default(), 1);
    let mut outputs = Vec::new();
    let welcome = bare.welcome();
    outputs.extend(bare.say(&[welcome]));
    let now = bare.now;
    let (sent_first, more) = bare.joiner.call(now, |network| {
        network.broadcast(now, Bytes::from_static(b"hi"))
    });
    assert_eq!(sent_first, Ok(()));
    outputs.extend(more);
    for _ in 0..2 {
        outputs.extend(bare.update(LinkUpdate::ChannelOpened(Channel::Data)));
    }
    let frames = sent(&outputs);
    assert!(
        matches!(frames[..], [Frame::Hello(_), Frame::MessageTo { .. }]),
        "{frames:?}"
    );

    let mut bare = Bare::admitted(Config::default(), 2);
    let mut outputs = Vec::new();
    for _ in 0..2 {
        outputs.extend(bare.update(LinkUpdate::ChannelOpened(Channel::Data)));
    }
    assert_eq!(sent(&outputs).len(), 1, "{outputs:?}");
    bare.joiner.finish();
}
