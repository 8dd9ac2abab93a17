//! A connection before anybody waits for one.
//!
//! Browsers compile a function when it is first called, and get their WebRTC ready when a page first asks for
//! it. In a page's first connection both took nearly as long as all the rest.

use std::rc::Weak;
use std::time::Duration;

use wattle_core::signaling::{SignalingCommand, SignalingId, SignalingUpdate};
use wattle_core::{
    Channel, Config, Credit, Event, Hosting, IcePolicy, Input, LinkCommand, LinkId, LinkUpdate,
    Network, NetworkCode, Output, Probing, Timestamp,
};

use crate::ice;
use crate::link::Link;
use crate::shared::Shared;

/// The host's name at the signaling server that there is not; the joiner's may be any.
const HOST: &str = "ABCDEF";
const JOINER: &str = "x";
/// Until when both have asked for a sign of life.
const A_WHILE: Duration = Duration::from_secs(3);
const SDP: &str = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=setup:actpass\r\n";
const CANDIDATE: &str = "candidate:1 1 udp 1 192.0.2.1 9 typ host";

/// Two nodes that meet, talk and part, with nothing between them but memory. Nothing leaves the page; of the
/// browser's own there is one connection, which is opened and closed.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    host: Actor,
    joiner: Actor,
    now: Timestamp,
    scene: u8,
}

#[derive(Debug)]
struct Actor {
    network: Network,
    name: &'static str,
    socket: Option<SignalingId>,
    link: Option<LinkId>,
}

impl Rehearsal {
    pub(crate) fn new() -> Self {
        Self {
            host: Actor::new(HOST, 1),
            joiner: Actor::new(JOINER, 2),
            now: Timestamp::ZERO,
            scene: 0,
        }
    }

    /// Goes on a little. `false`: it is over.
    pub(crate) fn step(&mut self, hear: impl FnOnce(Event)) -> bool {
        let (host, joiner, now) = (&mut self.host, &mut self.joiner, self.now);
        if let Some(output) = host.network.poll_output() {
            host.act(now, output, joiner, hear);
        } else if let Some(output) = joiner.network.poll_output() {
            joiner.act(now, output, host, hear);
        } else {
            self.scene = self.scene.saturating_add(1);
            return self.next_scene();
        }
        true
    }

    fn next_scene(&mut self) -> bool {
        let code: Option<NetworkCode> = HOST.parse().ok();
        let (host, joiner) = (&mut self.host.network, &mut self.joiner.network);
        // Nothing here can fail; what did not happen is compiled later.
        match self.scene {
            1 => {
                let _ = host.host(self.now, Hosting::Signaling { code });
            }
            2 => {
                Shared::rehearse(Config::default());
                if let Some(code) = code {
                    let _ = joiner.join(self.now, &code);
                }
            }
            3 => {
                let _ = host.broadcast(self.now, HOST.into());
                let _ = joiner.broadcast(self.now, JOINER.into());
                let _ = joiner.broadcast_state(self.now, JOINER.into());
            }
            4 => {
                self.now = self.now.plus(A_WHILE);
                host.handle_timeout(self.now);
                joiner.handle_timeout(self.now);
            }
            5 => joiner.leave(self.now),
            6 => host.leave(self.now),
            _ => return false,
        }
        true
    }
}

impl Actor {
    fn new(name: &'static str, seed: u8) -> Self {
        let config = Config::default()
            .with_credit(Credit::OnRelease)
            .with_probing(Probing::ByBoth);
        Self {
            network: Network::new(config, [seed; 32], Timestamp::ZERO),
            name,
            socket: None,
            link: None,
        }
    }

    fn hear_signaling(&mut self, now: Timestamp, text: &str) {
        if let Some(id) = self.socket {
            let update = SignalingUpdate::Frame(id, text);
            self.network.handle_input(now, Input::Signaling(update));
        }
    }

    fn hear_link(&mut self, now: Timestamp, update: LinkUpdate<'_>) {
        if let Some(link) = self.link {
            let input = Input::Link { link, update };
            self.network.handle_input(now, input);
        }
    }

    fn act(&mut self, now: Timestamp, output: Output, other: &mut Self, hear: impl FnOnce(Event)) {
        match output {
            Output::Event(event) => hear(event),
            Output::Signaling(SignalingCommand::Open(id, _)) => {
                self.socket = Some(id);
                let opened = SignalingUpdate::Opened(id);
                self.network.handle_input(now, Input::Signaling(opened));
                self.hear_signaling(now, r#"{"type":"OPEN"}"#);
            }
            Output::Signaling(SignalingCommand::Send(_, text)) => {
                let rest = text.get(1..).unwrap_or_default();
                let text = format!(r#"{{"src":"{}",{rest}"#, self.name);
                other.hear_signaling(now, &text);
            }
            Output::Link { link, command } => match command {
                LinkCommand::Open { offerer } => {
                    self.link = Some(link);
                    if offerer {
                        let ice = ice::configuration(&[], IcePolicy::All);
                        let _ = Link::open(&Weak::new(), link, &ice).map(Link::rehearse);
                    }
                }
                LinkCommand::CreateOffer | LinkCommand::AcceptOffer { .. } => {
                    self.hear_link(now, LinkUpdate::LocalDescription(SDP));
                    self.hear_link(now, LinkUpdate::LocalCandidate(CANDIDATE));
                }
                LinkCommand::AcceptAnswer { .. } => {
                    for actor in [other, self] {
                        actor.hear_link(now, LinkUpdate::Connected);
                        actor.hear_link(now, LinkUpdate::ChannelOpened(Channel::Data));
                        actor.hear_link(now, LinkUpdate::ChannelOpened(Channel::State));
                    }
                }
                LinkCommand::Send { channel, message } => {
                    let mut payload = Vec::new();
                    message.write_into(&mut payload);
                    let payload = payload.into();
                    other.hear_link(now, LinkUpdate::Message { channel, payload });
                    let bytes = 0;
                    self.hear_link(now, LinkUpdate::BufferedAmount { channel, bytes });
                }
                LinkCommand::Close => {
                    self.link = None;
                    other.hear_link(now, LinkUpdate::Closed);
                }
                _ => {}
            },
            _ => {}
        }
    }
}
