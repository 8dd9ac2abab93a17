//! The host's part: the code, the server, who has to go.

use crate::map::Map;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::{Hosting, Network, Role};
use crate::code::NetworkCode;
use crate::config::{MOST_NODES, Topology};
use crate::error::{EndReason, HostError};
use crate::event::{Event, LeaveReason};
use crate::id::LinkId;
use crate::io::Output;
use crate::link::negotiation;
use crate::link::{Link, Stage};
use crate::membership::Relay;
use crate::planted::planted;
use crate::rng::Rng;
use crate::signaling::{
    ClientEvent, Relayed, RelayedKind, Server, ServerInput, SignalingFailure, read_relayed,
};
use crate::time::{Timestamp, earliest};
use crate::wire::{Farewell, Frame, HOST, Member, Number, Token};

/// How many random codes are tried before the server is given up; with 32^6 codes one collision is
/// rare and two mean that something else is wrong.
const CODE_ATTEMPTS: u8 = 8;

/// How often joiners are told how far the host is from each of them.
const ROUND_TRIPS: Duration = Duration::from_secs(2);

/// Bytes of news (who comes, who goes) that may wait for a receiver besides messages: thousands.
const NEWS: usize = 64 * 1024;

/// What only a host has.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) code: NetworkCode,
    /// Draws another code when one is taken; `None` if the application chose it.
    codes: Option<Rng>,
    code_attempts: u8,
    /// Until when the code must be registered; `None` once it was.
    registered_by: Option<Timestamp>,
    last_failure: Option<SignalingFailure>,
    pub(super) next_number: Number,
    pub(super) tokens: Rng,
    pub(super) relay: Relay,
    /// What each joiner proves with that it is the one who has the number.
    pub(super) places: Map<Number, Token>,
    /// Who left last, and why.
    pub(super) departed: VecDeque<(Number, Farewell)>,
    /// When the joiners were last told how far we are from each of them.
    round_trips_told: Timestamp,
}

impl Host {
    /// Whether the code was registered.
    pub(super) const fn is_created(&self) -> bool {
        self.registered_by.is_none()
    }
}

impl Network {
    pub(super) fn start_hosting(&mut self, hosting: Hosting) -> Result<(), HostError> {
        if !matches!(self.role, Role::Idle) {
            return Err(HostError::Busy);
        }
        self.networks = self.networks.saturating_add(1);
        let mut codes = self.fork("network code", self.networks);
        let (code, codes, server) = match hosting {
            Hosting::Signaling { code: Some(code) } => {
                if code.lan_address().is_some() {
                    return Err(HostError::NotAShortCode);
                }
                (code, None, None)
            }
            Hosting::Signaling { code: None } => {
                (NetworkCode::random(&mut codes), Some(codes), None)
            }
            #[cfg(any(feature = "server", test))]
            Hosting::Lan { address } => {
                let code = NetworkCode::lan(address).map_err(|_| HostError::NotAnAddress)?;
                let seed = self.fork("embedded server", self.networks).bytes();
                let mut server =
                    Server::new(crate::signaling::ServerConfig::embedded(), seed, self.now);
                server.register_host(self.now);
                (code, None, Some(server))
            }
        };
        if server.is_none() {
            let url = self.config.signaling_url.clone();
            self.client
                .register(self.now, url, code.signaling_id().to_string());
        }
        self.terms.relay = self.config.auto_relay;
        self.terms.mesh = self.config.topology == Topology::Mesh;
        self.terms.message = self.config.limits.message;
        self.terms.window = self.config.limits.window;
        self.server = server;
        let timeouts = self.config.timeouts;
        self.role = Role::Host(Box::new(Host {
            code,
            codes,
            code_attempts: 1,
            registered_by: Some(self.now.plus(timeouts.signaling.min(timeouts.connect))),
            last_failure: None,
            next_number: HOST.saturating_add(1),
            tokens: self.fork("resume tokens", self.networks),
            relay: Relay::new(self.terms),
            places: Map::new(),
            departed: VecDeque::new(),
            round_trips_told: self.now,
        }));
        self.epoch = 0;
        self.me = HOST;
        self.roster.add(Member {
            number: HOST,
            node: self.id,
        });
        Ok(())
    }

    /// News of the registration.
    pub(super) fn host_signaling(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Registered { again: true } => {
                // Not if we ourselves connected anew, because the network changed.
                let was_lost =
                    matches!(&self.role, Role::Host(host) if host.last_failure.is_some());
                if was_lost {
                    self.tell(Event::SignalingRestored);
                }
                // Answers of the meantime went nowhere.
                let links: Vec<LinkId> = self.links.keys().copied().collect();
                for link in links {
                    self.say_again(link);
                }
            }
            ClientEvent::Registered { again: false } => self.created(),
            ClientEvent::IdTaken => self.code_taken(),
            ClientEvent::Lost(failure) => {
                let Role::Host(host) = &mut self.role else {
                    return;
                };
                // One outage is one event, however many attempts it takes.
                let first = host.last_failure.replace(failure).is_none();
                if host.registered_by.is_none() && first {
                    self.tell(Event::SignalingLost { failure });
                }
            }
            ClientEvent::Unreachable(failure) => {
                self.end(EndReason::SignalingUnreachable(failure));
            }
            ClientEvent::Refused(refusal) => self.end(EndReason::SignalingRefused(refusal)),
            ClientEvent::Connecting { .. } | ClientEvent::Relayed(_) | ClientEvent::Dropped => {}
        }
        if self.client.is_registered()
            && let Role::Host(host) = &mut self.role
        {
            host.last_failure = None;
        }
    }

    fn created(&mut self) {
        let Role::Host(host) = &mut self.role else {
            return;
        };
        if host.registered_by.take().is_some() {
            let code = host.code;
            tracing::info!("network created");
            self.tell(Event::NetworkCreated { code });
        }
    }

    fn code_taken(&mut self) {
        let Role::Host(host) = &mut self.role else {
            return;
        };
        if host.registered_by.is_none() {
            // We had it: the client goes on asking for it.
            return;
        }
        host.code_attempts = host.code_attempts.saturating_add(1);
        match &mut host.codes {
            Some(codes) if host.code_attempts <= CODE_ATTEMPTS => {
                host.code = NetworkCode::random(codes);
                let id = host.code.signaling_id().to_string();
                let url = self.config.signaling_url.clone();
                self.client.register(self.now, url, id);
            }
            _ => self.end(EndReason::CodeTaken),
        }
    }

    pub(super) fn handle_server_input(&mut self, input: ServerInput<'_>) {
        if let Some(server) = &mut self.server {
            server.handle_input(self.now, input);
        }
    }

    /// Brings out what the embedded server has for its connections; gives the next frame for us.
    pub(super) fn poll_embedded_server(&mut self) -> Option<Relayed> {
        loop {
            let Some(server) = &mut self.server else {
                return None;
            };
            while let Some(output) = server.poll_output() {
                self.outputs.push_back(Output::Server(output));
            }
            let text = server.poll_host_frame()?;
            match read_relayed(&text) {
                Some(relayed) => return Some(relayed),
                // Its only other frame for us is the OPEN.
                None => self.created(),
            }
        }
    }

    /// The embedded server's connections are closed with the network.
    pub(super) fn close_embedded_server(&mut self) {
        if let Some(server) = &mut self.server {
            server.close(self.now);
            while let Some(output) = server.poll_output() {
                self.outputs.push_back(Output::Server(output));
            }
        }
    }

    /// Sends a frame through whichever signaling server there is.
    pub(super) fn signal(&mut self, text: String) {
        match &mut self.server {
            Some(server) => server.host_sends(self.now, &text),
            None => self.client.send(text),
        }
    }

    /// A frame from a joiner; `None` if it made no sense.
    pub(super) fn host_relayed(&mut self, relayed: Relayed) -> Option<()> {
        let Relayed {
            kind,
            peer,
            payload,
        } = relayed;
        match kind {
            RelayedKind::Offer => {
                let offer = negotiation::read_offer(&payload)?;
                self.handle_offer(peer, offer);
                Some(())
            }
            RelayedKind::Candidate => {
                let candidate = negotiation::read_candidate(&payload)?;
                let link = self.link_of(&peer, &candidate.connection_id)?;
                self.add_candidate(link, candidate.candidate);
                Some(())
            }
            RelayedKind::Leave => {
                // The joiner gave up; once it has said hello, only its own goodbye counts.
                let connection_id = negotiation::read_leave(&payload)?;
                let link = self.link_of(&peer, &connection_id)?;
                match self.links.get(&link)?.stage {
                    Stage::Joining { .. } => {
                        self.report_given_up(link);
                        self.close_link(link);
                    }
                    Stage::Open {
                        number,
                        greeted: false,
                    } => self.link_closed(link, number, LeaveReason::Left),
                    Stage::Open { .. } | Stage::Carrying { .. } | Stage::Closing { .. } => {}
                }
                Some(())
            }
            // An answer to somebody who is gone: its join ends at its deadline.
            RelayedKind::Expire => Some(()),
            RelayedKind::Answer => None,
        }
    }

    /// A node goes, whether it wants to or not; `farewell` is said to it if it can still hear.
    pub(super) fn expel(
        &mut self,
        number: Number,
        reason: LeaveReason,
        farewell: Option<Farewell>,
    ) {
        let Some(node) = self.roster.remove(number) else {
            return;
        };
        self.pairs.remove(&number);
        self.away.remove(&number);
        self.foreign.remove(&number);
        if let Role::Host(host) = &mut self.role {
            host.relay.remove(number);
            host.places.remove(&number);
            if host.departed.len() >= usize::from(MOST_NODES) {
                host.departed.pop_front();
            }
            host.departed.push_back((number, reason.into()));
        }
        let deadline = self.now.plus(self.config.timeouts.leave);
        let mut silent = None;
        for (id, link) in &mut self.links {
            match link.number() {
                Some(other) if other == number => match farewell {
                    Some(farewell) => {
                        link.channels.clear();
                        link.close_after(farewell, deadline);
                    }
                    None => silent = Some(*id),
                },
                Some(_) => {
                    // Behind what the node sent before: nothing of it may be lost.
                    let left = Frame::Left {
                        number,
                        why: Farewell::from(reason),
                    };
                    if planted!(self.config, LeftOvertakes) {
                        link.channels.push_control(&left);
                    } else {
                        link.channels.push(number, &left);
                    }
                    link.channels.forget(number);
                }
                None => {}
            }
        }
        if let Some(link) = silent {
            self.close_link(link);
        }
        tracing::info!(%node, reason = reason.name(), "node left");
        self.tell(Event::NodeLeft { node, reason });
    }

    /// Credit bounds what waits for a receiver; but one that acknowledges what has not even left us
    /// gets more credit, and one that reads nothing still hears who comes and goes.
    pub(super) fn expel_overfull(&mut self) {
        if !matches!(self.role, Role::Host(_)) {
            return;
        }
        // A window for every other node, and one more for departed nodes and the heads of pieces.
        let windows = usize::from(self.config.max_nodes);
        let most = (self.terms.window as usize)
            .saturating_mul(windows)
            .saturating_add(NEWS);
        let full = |link: &Link| link.number().filter(|_| link.channels.queued() > most);
        loop {
            let overfull = self.links.touched().find_map(|(_, link)| full(link));
            let Some(number) = overfull else { break };
            self.expel(number, LeaveReason::TooSlow, Some(Farewell::TooSlow));
        }
    }

    /// The first receiver whose time will be over, and when.
    fn slowest(&self) -> Option<(Timestamp, Number)> {
        let Role::Host(host) = &self.role else {
            return None;
        };
        let ours = self.pairs.iter().filter_map(|(number, pair)| {
            let waited_for = || self.is_in_the_way(*number);
            Some((self.over_at(*number, pair.stall(), waited_for)?, *number))
        });
        let relayed = host.relay.slowest(|(origin, to), stall, shared| {
            self.over_at(to, stall, || shared && !self.away.contains_key(&origin))
        });
        ours.chain(relayed).min()
    }

    pub(super) fn host_deadline(&self, host: &Host) -> Option<Timestamp> {
        let server = self.server.as_ref().and_then(Server::poll_timeout);
        let slow = self.slowest().map(|(at, _)| at);
        let round_trips = self.round_trips_due(host);
        earliest(
            earliest(server, slow),
            earliest(host.registered_by, round_trips),
        )
    }

    /// Two joiners that are relayed to each other see their latency as the sum of the two ways.
    fn round_trips_due(&self, host: &Host) -> Option<Timestamp> {
        let two_joiners = self.roster.len() > 2 && self.terms.relay;
        two_joiners.then(|| host.round_trips_told.plus(ROUND_TRIPS))
    }

    fn tell_round_trips(&mut self) {
        let Role::Host(host) = &mut self.role else {
            return;
        };
        host.round_trips_told = self.now;
        let all = self.links.values().filter_map(|link| {
            let micros = link.liveness.round_trip().smoothed?.as_micros();
            Some((link.number()?, u32::try_from(micros).unwrap_or(u32::MAX)))
        });
        let frame = Frame::RoundTrips(all.collect());
        for link in self.links.values_mut() {
            if link.number().is_some() {
                link.channels.push_echo(&frame);
            }
        }
    }

    pub(super) fn host_timeout(&mut self) {
        let Role::Host(host) = &self.role else {
            return;
        };
        if let Some(server) = &mut self.server {
            server.handle_timeout(self.now);
        }
        if host.registered_by.is_some_and(|at| at <= self.now) {
            let failure = host.last_failure.unwrap_or(SignalingFailure::TimedOut);
            self.end(EndReason::SignalingUnreachable(failure));
            return;
        }
        if self.round_trips_due(host).is_some_and(|at| at <= self.now) {
            self.tell_round_trips();
        }
        while let Some((_, number)) = self.slowest().filter(|(at, _)| *at <= self.now) {
            self.expel(number, LeaveReason::TooSlow, Some(Farewell::TooSlow));
        }
    }
}

impl From<LeaveReason> for Farewell {
    fn from(reason: LeaveReason) -> Self {
        match reason {
            LeaveReason::Left => Self::Left,
            LeaveReason::Kicked => Self::Kicked,
            LeaveReason::Lost => Self::Lost,
            LeaveReason::TooSlow => Self::TooSlow,
            LeaveReason::Misbehaved => Self::Misbehaved,
            LeaveReason::LinkFailed(_) => Self::LinkFailed,
        }
    }
}
