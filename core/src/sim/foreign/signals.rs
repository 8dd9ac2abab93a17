//! What such a node says to the signaling server, and hears there.

use alloc::format;
use alloc::string::{String, ToString as _};
use serde_json::{Value, json};

use super::links::Peer;
use super::{BEAT, ForeignNode, Role};
use crate::error::{EndReason, ServerRefusal};
use crate::event::Event;
use crate::id::LinkId;
use crate::io::{Channel, LinkCommand, Output};
use crate::signaling::{SignalingCommand, SignalingUpdate};

impl ForeignNode {
    pub(super) fn signaling_update(&mut self, update: SignalingUpdate<'_>) {
        match update {
            SignalingUpdate::Opened(_) => {}
            SignalingUpdate::Frame(id, text) if Some(id) == self.signaling => {
                if let Ok(frame) = serde_json::from_str::<Value>(text) {
                    self.frame(&frame);
                }
            }
            SignalingUpdate::Closed(id, failure) if Some(id) == self.signaling => {
                self.disconnected(failure);
            }
            SignalingUpdate::Frame(..) | SignalingUpdate::Closed(..) => {}
        }
    }

    fn frame(&mut self, frame: &Value) {
        let src = text(frame, "src");
        let payload = frame.get("payload").unwrap_or(&Value::Null);
        let connection = text(payload, "connectionId");
        let its = |(_, peer): &(&LinkId, &Peer)| peer.name == src && peer.connection == connection;
        let link = self.peers.iter().find(its).map(|(link, _)| *link);
        match (text(frame, "type"), link) {
            ("OPEN", _) if !self.registered => self.registered(),
            ("ID-TAKEN", _) if !self.registered && self.others.is_empty() => {
                self.end(EndReason::SignalingRefused(ServerRefusal::IdTaken));
            }
            ("EXPIRE", _)
                if matches!(
                    &self.role,
                    Role::Joiner {
                        deadline: Some(_),
                        ..
                    }
                ) =>
            {
                self.end(EndReason::CodeNotFound);
            }
            ("OFFER", link) if matches!(self.role, Role::Host { .. }) => {
                // It closes what is offered twice, and begins anew.
                if let Some(link) = link {
                    self.gone(link);
                }
                let states = text(payload, "label") == "clay_state";
                let peer = Peer::new(src, connection, states, false);
                let link = self.open(peer);
                self.command(link, LinkCommand::TakeChannels);
                let sdp = text(payload.get("sdp").unwrap_or(&Value::Null), "sdp");
                let (sdp, lead) = (sdp.to_string(), false);
                self.command(link, LinkCommand::AcceptOffer { sdp, lead });
            }
            ("ANSWER", Some(link)) => {
                let sdp = text(payload.get("sdp").unwrap_or(&Value::Null), "sdp");
                let answered = self.peers.get_mut(&link);
                if let Some(peer) = answered.filter(|peer| peer.offers && !peer.answered)
                    && !sdp.is_empty()
                {
                    peer.answered = true;
                    let (sdp, led) = (sdp.to_string(), false);
                    self.command(link, LinkCommand::AcceptAnswer { sdp, led });
                }
            }
            ("CANDIDATE", Some(link)) => {
                let candidate = payload.get("candidate").unwrap_or(&Value::Null);
                let candidate = text(candidate, "candidate").to_string();
                self.command(link, LinkCommand::AddCandidate(candidate));
            }
            _ => {}
        }
    }

    fn registered(&mut self) {
        self.registered = true;
        self.beat_at = Some(self.now.plus(BEAT));
        match &mut self.role {
            Role::Idle => {}
            Role::Host { code, told } => {
                if !core::mem::replace(told, true) {
                    let code = *code;
                    let event = Event::NetworkCreated { code };
                    self.outputs.push_back(Output::Event(event));
                }
            }
            Role::Joiner { .. } => self.dial(false),
        }
    }

    /// Offers a connection to the host.
    pub(super) fn dial(&mut self, states: bool) {
        let Role::Joiner { code, .. } = &self.role else {
            return;
        };
        let connection = format!("dc_{:x}", self.rng.u64());
        let peer = Peer::new(code, &connection, states, true);
        let link = self.open(peer);
        self.command(link, LinkCommand::MakeChannel(Channel::Data));
        if !self.what.page {
            self.command(link, LinkCommand::MakeChannel(Channel::State));
        }
        self.command(link, LinkCommand::CreateOffer);
    }

    pub(super) fn described(&mut self, link: LinkId, sdp: &str) {
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        let mut payload = json!({ "type": "data", "connectionId": peer.connection });
        let kind = if peer.offers { "offer" } else { "answer" };
        put(&mut payload, "sdp", json!({ "type": kind, "sdp": sdp }));
        if peer.offers {
            let label = match (peer.states, self.what.page) {
                (true, _) => "clay_state",
                (false, true) => &peer.connection,
                (false, false) => "data",
            };
            put(&mut payload, "label", label.into());
            put(&mut payload, "reliable", (!peer.states).into());
            put(&mut payload, "serialization", "json".into());
        } else if !self.what.page {
            put(&mut payload, "browser", "libdatachannel".into());
        }
        let kind = if peer.offers { "OFFER" } else { "ANSWER" };
        let frame = json!({ "type": kind, "dst": peer.name, "payload": payload });
        self.send(frame.to_string());
    }

    pub(super) fn candidate(&mut self, link: LinkId, candidate: &str) {
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        // One of its defects: a native answerer makes up another id here.
        let connection = if peer.offers || self.what.page {
            peer.connection.as_str()
        } else {
            "dc_made_up"
        };
        let candidate = json!({ "candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0 });
        let payload = json!({ "candidate": candidate, "type": "data", "connectionId": connection });
        let frame = json!({ "type": "CANDIDATE", "dst": peer.name, "payload": payload });
        self.send(frame.to_string());
    }

    fn send(&mut self, text: String) {
        if let Some(id) = self.signaling {
            self.signal(SignalingCommand::Send(id, text));
        }
    }
}

/// A member that is a text; empty if there is none.
pub(super) fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn put(into: &mut Value, name: &str, what: Value) {
    if let Some(members) = into.as_object_mut() {
        members.insert(name.into(), what);
    }
}
