//! A `Network` whose every output is checked against the laws of the contract.

use std::collections::{BTreeMap, BTreeSet};

use wattle_core::fuzzing::{Laws, signaling_id};
use wattle_core::signaling::{
    ConnectionId, ServerInput, ServerOutput, SignalingCommand, SignalingId, SignalingUpdate,
};
use wattle_core::{
    Channel, Config, Event, Input, LinkCommand, LinkId, LinkUpdate, Network, Output, Status,
    Timestamp,
};

/// A network under watch.
#[derive(Debug)]
pub(crate) struct Watched {
    pub network: Network,
    /// The latest time that it was told.
    pub latest: Timestamp,
    pub events: Vec<Event>,
    laws: Laws,
    /// `host` or `join` was taken, and has not ended.
    open: bool,
    most_outputs: u32,
    /// Inputs and calls since the last drain.
    inputs: u32,
    links: BTreeMap<LinkId, LinkSeen>,
    last_link: Option<LinkId>,
    signaling: Option<SignalingId>,
    last_signaling: Option<SignalingId>,
    /// Connections of the embedded server that it was told of and has not let go.
    connections: BTreeSet<ConnectionId>,
}

/// A link that was asked for and not closed.
#[derive(Debug, Default)]
struct LinkSeen {
    offered: bool,
    answered: bool,
}

impl Watched {
    pub(crate) fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            most_outputs: config.limits().outputs_per_input,
            network: Network::new(config, seed, Timestamp::ZERO),
            latest: Timestamp::ZERO,
            events: Vec::new(),
            laws: Laws::default(),
            open: false,
            inputs: 0,
            links: BTreeMap::new(),
            last_link: None,
            signaling: None,
            last_signaling: None,
            connections: BTreeSet::new(),
        }
    }

    /// Links that were asked for and not closed.
    pub(crate) fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.links.keys().copied()
    }

    /// The connection to the signaling server, if there is one or is to be one.
    pub(crate) fn signaling(&self) -> SignalingId {
        self.signaling.unwrap_or(signaling_id(0))
    }

    /// `host` or `join`.
    pub(crate) fn begin<E>(
        &mut self,
        now: Timestamp,
        call: impl FnOnce(&mut Network) -> Result<(), E>,
    ) -> bool {
        self.count(now);
        let idle = self.network.status() == Status::Idle;
        let begun = call(&mut self.network).is_ok();
        assert!(idle || !begun, "begun in the middle of another network");
        if begun {
            // Ends of the network before that were not drained yet come first.
            if self.open {
                self.take_outputs_until_ended();
            }
            self.laws.started();
            self.open = true;
        }
        begun
    }

    /// Any other call.
    pub(crate) fn call<T>(&mut self, now: Timestamp, call: impl FnOnce(&mut Network) -> T) -> T {
        self.count(now);
        call(&mut self.network)
    }

    pub(crate) fn input(&mut self, now: Timestamp, input: Input<'_>) {
        self.count(now);
        if let Input::Server(
            ServerInput::Accepted { connection, .. } | ServerInput::Request { connection, .. },
        ) = &input
        {
            self.connections.insert(*connection);
        }
        self.network.handle_input(now, input);
    }

    pub(crate) fn signaling_update(&mut self, now: Timestamp, update: SignalingUpdate<'_>) {
        self.input(now, Input::Signaling(update));
    }

    pub(crate) fn link_update(&mut self, now: Timestamp, link: LinkId, update: LinkUpdate<'_>) {
        self.input(now, Input::Link { link, update });
    }

    fn count(&mut self, now: Timestamp) {
        self.inputs += 1;
        self.latest = self.latest.max(now);
    }

    /// A wake-up and a drain; then there is nothing left to do now (law 3), and a second wake-up
    /// changes nothing.
    pub(crate) fn wake(&mut self, now: Timestamp) -> Vec<Output> {
        self.count(now);
        self.network.handle_timeout(now);
        let outputs = self.drain();
        let next = self.network.poll_timeout();
        if self.latest != Timestamp::from_nanos(u64::MAX) {
            Laws::rested(self.latest, next);
        }
        self.network.handle_timeout(self.latest);
        let more = self.network.poll_output();
        assert!(more.is_none(), "a spurious wake-up: {more:?}");
        assert_eq!(self.network.poll_timeout(), next, "a spurious wake-up");
        outputs
    }

    /// Takes all outputs.
    pub(crate) fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.network.poll_output() {
            self.check(&output);
            outputs.push(output);
        }
        let most = self.most_outputs.saturating_mul(self.inputs.max(1));
        Laws::amplified(outputs.len(), most);
        self.inputs = 0;
        let status = self.network.status();
        let under_way = matches!(status, Status::Connecting | Status::Leaving);
        Laws::under_way(under_way, self.network.poll_timeout());
        assert_eq!(status != Status::Idle, self.open, "law 8: {status:?}");
        if status == Status::Idle {
            assert!(self.links.is_empty(), "links left open: {:?}", self.links);
            assert_eq!(self.signaling, None, "signaling left open");
            assert_eq!(self.network.nodes().count(), 0, "nodes in no network");
        }
        outputs
    }

    fn take_outputs_until_ended(&mut self) {
        while self.open {
            let output = self.network.poll_output();
            self.check(&output.expect("law 8: begun again before the end was told"));
        }
    }

    fn check(&mut self, output: &Output) {
        match output {
            Output::Event(event) => {
                self.laws.event(event);
                if matches!(event, Event::Ended { .. }) {
                    self.open = false;
                }
                self.events.push(event.clone());
            }
            Output::Link { link, command } => self.check_link(*link, command),
            Output::Signaling(command) => self.check_signaling(command),
            Output::Server(output) => self.check_server(output),
            other => panic!("an output that nobody knows: {other:?}"),
        }
    }

    /// A driver makes what it is asked for: `Open` first and once, nothing after `Close`.
    fn check_link(&mut self, link: LinkId, command: &LinkCommand) {
        if let LinkCommand::Open { .. } = command {
            assert!(
                self.last_link.is_none_or(|last| last < link),
                "{link} again"
            );
            self.last_link = Some(link);
            self.links.insert(link, LinkSeen::default());
            assert!(self.links.len() <= 256, "links without end");
            return;
        }
        let seen = self.links.get_mut(&link);
        let seen = seen.unwrap_or_else(|| panic!("{link} is not open: {command:?}"));
        match command {
            LinkCommand::Close => {
                self.links.remove(&link);
            }
            LinkCommand::Send { channel, message } => {
                assert!(!message.is_empty(), "an empty channel message");
                // What a state is cut to, and what a piece is; plus heads.
                let most = 256 * 1024;
                assert!(message.len() <= most, "{channel:?}: {}", message.len());
            }
            LinkCommand::CreateOffer | LinkCommand::AcceptOffer { .. } => {
                assert!(!seen.offered, "{link} negotiates twice");
                seen.offered = true;
            }
            LinkCommand::AcceptAnswer { .. } => {
                assert!(seen.offered && !seen.answered, "{link}: an answer too many");
                seen.answered = true;
            }
            LinkCommand::AddCandidate(text) => assert!(text.len() <= 1024),
            LinkCommand::Probe | LinkCommand::TakeChannels | LinkCommand::MakeChannel(_) => {}
            other => panic!("a command that nobody knows: {other:?}"),
        }
    }

    fn check_signaling(&mut self, command: &SignalingCommand) {
        match command {
            SignalingCommand::Open(id, url) => {
                assert!(self.last_signaling.is_none_or(|last| last < *id));
                assert_eq!(self.signaling, None, "a second connection");
                assert!(url.starts_with("ws"));
                self.signaling = Some(*id);
                self.last_signaling = Some(*id);
            }
            SignalingCommand::Send(id, text) => {
                assert_eq!(
                    self.signaling,
                    Some(*id),
                    "a frame for no connection: {text}"
                );
                let frame: serde_json::Value = serde_json::from_str(text).expect("JSON");
                assert!(frame["type"].is_string(), "{text}");
            }
            SignalingCommand::Close(id) => {
                assert_eq!(self.signaling.take(), Some(*id), "closed twice");
            }
            other => panic!("a command that nobody knows: {other:?}"),
        }
    }

    fn check_server(&mut self, output: &ServerOutput) {
        let (connection, last) = match output {
            ServerOutput::Upgrade { connection } | ServerOutput::Send { connection, .. } => {
                (connection, false)
            }
            ServerOutput::Respond { connection, .. } | ServerOutput::Close { connection } => {
                (connection, true)
            }
            other => panic!("an output that nobody knows: {other:?}"),
        };
        assert!(
            self.connections.contains(connection),
            "{output:?} for nobody"
        );
        if last {
            self.connections.remove(connection);
        }
    }

    /// The connection to the signaling server is gone: the machine may open another.
    pub(crate) fn signaling_closed(&mut self, id: SignalingId) {
        if self.signaling == Some(id) {
            self.signaling = None;
        }
    }

    pub(crate) fn connection_closed(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
    }

    /// Lets go of the network: its one end must come, and come soon.
    pub(crate) fn finish(&mut self) {
        let now = self.latest;
        self.call(now, |network| network.leave(now));
        let _ = self.drain();
        for _ in 0..20_000 {
            if self.network.status() == Status::Idle {
                break;
            }
            let at = self.network.poll_timeout();
            let _ = self.wake(at.expect("law 4: leaving without a deadline"));
            if self.latest == Timestamp::from_nanos(u64::MAX) {
                return;
            }
        }
        assert_eq!(self.network.status(), Status::Idle, "law 4: it never ended");
        assert!(!self.open, "law 8: no end was told");
        assert_eq!(self.network.poll_timeout(), None, "nothing is under way");
    }
}

/// All channels, for choices.
pub(crate) const CHANNELS: [Channel; 3] = [Channel::Data, Channel::Data, Channel::State];
