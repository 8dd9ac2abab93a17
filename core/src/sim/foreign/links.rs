//! The connections of such a node, and what it says and hears on them.

use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use serde_json::{Value, json};

use super::signals::{put, text};
use super::{ForeignFrame, ForeignNode, Role};
use crate::error::EndReason;
use crate::event::Refusal;
use crate::id::LinkId;
use crate::io::{Channel, ChannelMessage, LinkCommand, LinkUpdate, Output};
use crate::time::Timestamp;

/// Who was told that there is no room has this long to hear it.
const REFUSAL: Duration = Duration::from_secs(1);

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// The signaling id of the node at the other end.
    pub(super) name: String,
    pub(super) connection: String,
    /// A page's second connection.
    pub(super) states: bool,
    /// We offered it.
    pub(super) offers: bool,
    pub(super) answered: bool,
    open: [bool; 2],
    pub(super) close_at: Option<Timestamp>,
}

impl Peer {
    pub(super) fn new(name: &str, connection: &str, states: bool, offers: bool) -> Self {
        Self {
            name: name.to_string(),
            connection: connection.to_string(),
            states,
            offers,
            answered: false,
            open: [false; 2],
            close_at: None,
        }
    }

    fn is_open(&self, channel: Channel) -> bool {
        let [data, state] = self.open;
        match channel {
            Channel::Data => data,
            Channel::State => state,
        }
    }

    /// Whether this is the connection of a node that is in.
    fn is_node(&self) -> bool {
        self.open[0] && !self.states && self.close_at.is_none()
    }
}

impl ForeignNode {
    pub(super) fn open(&mut self, peer: Peer) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link = self.next_link.saturating_add(1);
        let offerer = peer.offers;
        self.peers.insert(link, peer);
        self.command(link, LinkCommand::Open { offerer });
        link
    }

    pub(super) fn command(&mut self, link: LinkId, command: LinkCommand) {
        self.outputs.push_back(Output::Link { link, command });
    }

    /// Closes a connection, and with a node's that for its states.
    pub(super) fn close(&mut self, link: LinkId) {
        let Some(peer) = self.peers.remove(&link) else {
            return;
        };
        self.command(link, LinkCommand::Close);
        if !peer.states {
            let mut others = self.peers.iter();
            let its = others.find(|(_, other)| other.states && other.name == peer.name);
            if let Some(states) = its.map(|(link, _)| *link) {
                self.close(states);
            }
        }
    }

    pub(super) fn link_update(&mut self, link: LinkId, update: LinkUpdate<'_>) {
        if !self.peers.contains_key(&link) {
            return;
        }
        match update {
            LinkUpdate::LocalDescription(sdp) => self.described(link, sdp),
            LinkUpdate::LocalCandidate(candidate) => self.candidate(link, candidate),
            LinkUpdate::ChannelOpened(channel) => self.opened(link, channel),
            LinkUpdate::Message { channel, payload } => {
                self.waiting.push_back((link, channel, payload));
                self.read();
            }
            // Another of its defects: a moment without a path is the end.
            LinkUpdate::Disconnected if !self.what.page => self.gone(link),
            LinkUpdate::Failed(_) | LinkUpdate::Closed => self.gone(link),
            LinkUpdate::Connected
            | LinkUpdate::BufferedAmount { .. }
            | LinkUpdate::Alive { .. }
            | LinkUpdate::Report(_)
            | LinkUpdate::Disconnected => {}
        }
    }

    pub(super) fn gone(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        let (name, was_in, states) = (peer.name.clone(), peer.is_node(), peer.states);
        self.close(link);
        match &self.role {
            Role::Joiner { .. } if !states => self.end(EndReason::HostLost),
            Role::Host { .. } if was_in => {
                self.others.remove(&name);
                let left = json!({ "t": "y", "sys": "node_left", "nodeId": name });
                self.say_all(false, &left.to_string());
            }
            Role::Idle | Role::Host { .. } | Role::Joiner { .. } => {}
        }
    }

    fn opened(&mut self, link: LinkId, channel: Channel) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let place = usize::from(channel == Channel::State);
        let again = peer.open.get_mut(place);
        if again.is_none_or(|open| core::mem::replace(open, true)) {
            return;
        }
        if channel == Channel::State || peer.states {
            return;
        }
        let name = peer.name.clone();
        match &mut self.role {
            Role::Idle => {}
            Role::Joiner { deadline, .. } => {
                *deadline = None;
                self.others.insert(name);
                if self.what.page {
                    self.dial(true);
                }
            }
            Role::Host { .. } => self.welcome(link, &name),
        }
    }

    fn welcome(&mut self, link: LinkId, name: &str) {
        // One that comes again takes the place of what it left behind.
        let old = self.peers.iter();
        let old =
            old.filter(|(other, peer)| **other != link && peer.is_node() && peer.name == name);
        for old in old.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.close(old);
        }
        let others: Vec<(LinkId, String)> = self
            .peers
            .iter()
            .filter(|(other, peer)| **other != link && peer.is_node())
            .map(|(link, peer)| (*link, peer.name.clone()))
            .collect();
        if others.len().saturating_add(2) > usize::from(self.what.most) {
            let no = json!({ "t": "R", "r": "Network full" });
            self.say_to(link, Channel::Data, &no.to_string());
            let at = self.now.plus(REFUSAL);
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.close_at = Some(at);
            }
            return;
        }
        let names: Vec<&String> = others.iter().map(|(_, name)| name).collect();
        let roster = json!({ "t": "y", "sys": "roster", "nodes": names });
        self.say_to(link, Channel::Data, &roster.to_string());
        self.others.insert(name.to_string());
        let joined = json!({ "t": "y", "sys": "node_joined", "nodeId": name }).to_string();
        for (other, _) in others {
            self.say_to(other, Channel::Data, &joined);
        }
    }

    /// Sends this to everybody that it has a link to.
    pub(super) fn say_all(&mut self, is_state: bool, text: &str) {
        self.say_others(None, is_state, text);
    }

    fn say_others(&mut self, but: Option<&str>, is_state: bool, text: &str) {
        let peers = self.peers.iter();
        let names: Vec<(LinkId, String)> = peers
            .filter(|(_, peer)| peer.is_node() && Some(peer.name.as_str()) != but)
            .map(|(link, peer)| (*link, peer.name.clone()))
            .collect();
        for (link, name) in names {
            let mut peers = self.peers.iter();
            let states =
                peers.find(|(_, peer)| peer.states && peer.name == name && peer.open != [false; 2]);
            match (is_state, states, self.peers.get(&link)) {
                (true, Some((states, peer)), _) => {
                    let on = if peer.open[0] {
                        Channel::Data
                    } else {
                        Channel::State
                    };
                    let states = *states;
                    self.say_to(states, on, text);
                }
                (true, None, Some(peer)) if peer.is_open(Channel::State) => {
                    self.say_to(link, Channel::State, text);
                }
                // A page that has nowhere to say it, says nothing.
                (true, None, _) => {}
                (false, ..) => self.say_to(link, Channel::Data, text),
            }
        }
    }

    fn say_to(&mut self, link: LinkId, channel: Channel, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let message = ChannelMessage::new(vec![bytes]);
        self.command(link, LinkCommand::Send { channel, message });
    }

    pub(super) fn hear(&mut self, link: LinkId, channel: Channel, message: &Bytes) {
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        let (name, states) = (peer.name.clone(), peer.states);
        let Ok(whole) = core::str::from_utf8(message) else {
            return;
        };
        // What is no JSON throws in a page, and is lost.
        let Ok(mut frame) = serde_json::from_str::<Value>(whole) else {
            return;
        };
        let is_state = states || channel == Channel::State;
        match text(&frame, "t") {
            "p" if self.what.pings => {
                let pong = json!({ "t": "P", "ts": frame.get("ts") });
                self.say_to(link, channel, &pong.to_string());
                return;
            }
            "p" | "P" => return,
            "R" if matches!(self.role, Role::Joiner { .. }) => {
                self.end(EndReason::Refused(Refusal::NetworkFull));
                return;
            }
            "m" | "s" if matches!(self.role, Role::Host { .. }) => {
                // It believes whatever `from` a joiner writes.
                if frame.get("from").is_none() {
                    put(&mut frame, "from", name.as_str().into());
                }
                self.say_others(Some(&name), is_state, &frame.to_string());
            }
            "y" => self.told(&frame),
            _ => {}
        }
        self.heard.push(ForeignFrame {
            of: name,
            is_state,
            text: whole.to_string(),
        });
    }

    fn told(&mut self, frame: &Value) {
        match text(frame, "sys") {
            "roster" => {
                let nodes = frame.get("nodes").and_then(Value::as_array);
                let names = nodes.into_iter().flatten().filter_map(Value::as_str);
                self.others.extend(names.map(String::from));
            }
            "node_joined" => {
                self.others.insert(text(frame, "nodeId").to_string());
            }
            "node_left" => {
                self.others.remove(text(frame, "nodeId"));
            }
            _ => {}
        }
    }
}
