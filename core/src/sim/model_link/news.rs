//! What an end of a model link is told, when, and what becomes of it by that.

use alloc::format;
use alloc::string::String;
use bytes::Bytes;
use core::time::Duration;

use super::super::laws::Laws;
use super::super::run::What;
use super::super::world::{NodeIndex, World};
use super::transfer::RETRANSMISSION;
use super::{DISCONNECTED, EndIndex, ICE_PATIENCE, Stage, TRY_AGAIN};
use crate::io::{Channel, Input, LinkFailure, LinkUpdate};

/// What becomes of an end.
#[derive(Clone, Debug)]
pub(in crate::sim) enum ModelUpdate {
    Described,
    /// Of the offering end: both know each other, ICE can begin.
    Check,
    Connected,
    Opened,
    State(Bytes),
    /// Some of what was sent has left the buffer.
    Left(Channel),
    Alive {
        round_trip: Option<Duration>,
    },
    Closed,
    /// ICE has looked long enough.
    Patience,
    /// It has been dark for some time.
    Consent,
    /// It is not dark any more.
    Lighted,
    /// Told again, or although the link is closed; changes nothing in the link.
    Stale(Stale),
}

/// News that come once too often.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) enum Stale {
    Description,
    Candidate,
    Connected,
    Opened(Channel),
    Message(Channel),
    Buffered(Channel, u32),
    Disconnected,
    Failed(LinkFailure),
    Closed,
}

impl World {
    pub(in crate::sim) fn update_later(
        &mut self,
        end: EndIndex,
        after: Duration,
        update: ModelUpdate,
    ) {
        self.schedule(self.now.plus(after), What::Link { end, update });
    }

    pub(in crate::sim) fn link_update(&mut self, end: EndIndex, update: ModelUpdate) {
        if let ModelUpdate::Stale(stale) = update {
            self.tell_stale(end, stale);
            return;
        }
        let waits = matches!(
            update,
            ModelUpdate::Connected | ModelUpdate::Opened | ModelUpdate::Left(_)
        ) && !self.is_whole(end);
        let now = self.now;
        let Some(own) = self
            .links
            .live_mut(end)
            .filter(|own| own.stage != Stage::Failed)
        else {
            return;
        };
        let update = match update {
            ModelUpdate::Described => {
                let description = describe(end);
                self.input_link(end, LinkUpdate::LocalDescription(&description));
                self.maybe_again(end, Stale::Description);
                self.maybe_again(end, Stale::Candidate);
                LinkUpdate::LocalCandidate(CANDIDATE)
            }
            ModelUpdate::Check => {
                self.check(end);
                return;
            }
            // Nothing passes just now: a little later.
            ModelUpdate::Connected | ModelUpdate::Opened if waits => {
                self.update_later(end, TRY_AGAIN, update);
                return;
            }
            ModelUpdate::Connected => {
                own.stage = own.stage.max(Stage::Connected);
                self.maybe_again(end, Stale::Connected);
                self.flicker(end);
                LinkUpdate::Connected
            }
            ModelUpdate::Opened => {
                own.stage = Stage::Open;
                if let Some(peer) = self.links.peer(end) {
                    self.next_arrival(peer);
                }
                if self.has_channel(end, Channel::Data) {
                    self.input_link(end, LinkUpdate::ChannelOpened(Channel::Data));
                    self.maybe_again(end, Stale::Opened(Channel::Data));
                }
                if !self.has_channel(end, Channel::State) {
                    return;
                }
                self.maybe_again(end, Stale::Opened(Channel::State));
                LinkUpdate::ChannelOpened(Channel::State)
            }
            ModelUpdate::State(_) if own.stage != Stage::Open => return,
            ModelUpdate::State(payload) => LinkUpdate::Message {
                channel: Channel::State,
                payload,
            },
            // Acknowledgements do not pass.
            ModelUpdate::Left(_) if waits && own.peer.is_some() => {
                self.update_later(end, RETRANSMISSION.0, update);
                return;
            }
            ModelUpdate::Left(channel) => {
                let Some(bytes) = own.buffer(channel).settle() else {
                    return;
                };
                self.maybe_again(end, Stale::Buffered(channel, bytes));
                LinkUpdate::BufferedAmount { channel, bytes }
            }
            ModelUpdate::Alive { round_trip } => LinkUpdate::Alive { round_trip },
            ModelUpdate::Closed => {
                self.maybe_again(end, Stale::Closed);
                LinkUpdate::Closed
            }
            ModelUpdate::Patience => {
                if own.stage != Stage::New {
                    return;
                }
                own.stage = Stage::Failed;
                LinkUpdate::Failed(LinkFailure::Ice)
            }
            ModelUpdate::Consent => {
                let Some(dark) = own.dark.map(|since| now.since(since)) else {
                    return;
                };
                if dark >= ICE_PATIENCE {
                    own.stage = Stage::Failed;
                    LinkUpdate::Failed(LinkFailure::Ice)
                } else if dark >= DISCONNECTED && !own.disconnected {
                    own.disconnected = true;
                    self.update_later(end, ICE_PATIENCE - dark, ModelUpdate::Consent);
                    LinkUpdate::Disconnected
                } else {
                    return;
                }
            }
            ModelUpdate::Lighted => {
                if own.dark.is_some() || !own.disconnected {
                    return;
                }
                own.disconnected = false;
                LinkUpdate::Connected
            }
            ModelUpdate::Stale(_) => return,
        };
        self.input_link(end, update);
    }

    fn tell_stale(&mut self, end: EndIndex, stale: Stale) {
        let description;
        let update = match stale {
            Stale::Description => {
                description = describe(end);
                LinkUpdate::LocalDescription(&description)
            }
            Stale::Candidate => LinkUpdate::LocalCandidate(CANDIDATE),
            Stale::Connected => LinkUpdate::Connected,
            Stale::Opened(channel) => LinkUpdate::ChannelOpened(channel),
            Stale::Message(channel) => LinkUpdate::Message {
                channel,
                payload: Bytes::from_static(b"said to a link that is closed"),
            },
            // Late or twice, it is read when it is told.
            Stale::Buffered(channel, bytes) => LinkUpdate::BufferedAmount {
                channel,
                bytes: match self.links.live_mut(end) {
                    Some(own) => own.buffer(channel).bytes(),
                    None => bytes,
                },
            },
            Stale::Disconnected => LinkUpdate::Disconnected,
            Stale::Failed(failure) => {
                if let Some(own) = self.links.live_mut(end) {
                    own.stage = Stage::Failed;
                }
                LinkUpdate::Failed(failure)
            }
            Stale::Closed => LinkUpdate::Closed,
        };
        self.input_link(end, update);
    }

    pub(super) fn input_link(&mut self, end: EndIndex, update: LinkUpdate<'_>) {
        if let Some((node, life, link)) = self.links.link(end)
            && self.life(node) == Some(life)
        {
            let late = self.links.live(end).is_none();
            let before = late.then(|| self.late_updates(node)).flatten();
            self.input(node, Input::Link { link, update });
            if let Some(before) = before
                && let Some(after) = self.late_updates(node)
            {
                let held = Laws::counted(before, after);
                self.watch.judge(self.now, node, held);
            }
        }
    }

    /// How much news of closed links a node has counted.
    fn late_updates(&self, node: usize) -> Option<u64> {
        let stats = self.stats(NodeIndex(node));
        stats.map(|stats| stats.counters.late_updates)
    }
}

const CANDIDATE: &str = "candidate:1 1 udp 1 10.0.0.1 9 typ host";

/// A description that names its end.
fn describe(EndIndex(end): EndIndex) -> String {
    format!("v=0\r\na=model:{end}\r\n")
}
