//! What comes out of str0m, and what of it the network is told.
//!
//! Every call ends with str0m drained: its documentation asks for it, and its events of several
//! channels come in random order, so they are collected first and reported in a fixed one.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use str0m::RtcError;
use str0m::net::Protocol;
use tracing::{debug, trace};

use super::lines::Lines;
use super::{Link, Outbox, Update};
use crate::io::{Channel, LinkFailure};
use crate::native::io::Transmit;
use crate::native::stun;
use crate::time::Timestamp;

/// Datagrams that one input may lead to besides the data that str0m holds. On a path that corrupts,
/// str0m was seen to give thousands without an end; a link that does so has failed.
const MOST_TRANSMITS: usize = 512;

/// What one drain brought, before it is put in order.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) connected: bool,
    pub(super) disconnected: bool,
    pub(super) heard: bool,
    pub(super) round_trip: Option<Duration>,
    pub(super) messages: Vec<(Channel, Bytes)>,
    pub(super) failed: Option<LinkFailure>,
    pub(super) closed: bool,
}

impl Link {
    /// Takes everything out of str0m.
    pub(super) fn drain(&mut self, now: Timestamp, out: &mut Outbox) {
        self.window.set_now(now);
        // A datagram holds 1 KiB or more of the data; everything may be sent twice.
        let data = Lines::inside_limit(&self.limits) / 512;
        let most = out
            .transmits
            .len()
            .saturating_add(MOST_TRANSMITS)
            .saturating_add(data);
        for _ in 0..self.limits.outputs_per_input {
            if out.transmits.len() > most {
                debug!("str0m does not come to rest");
                self.fail(LinkFailure::Channel);
                self.due = None;
                return;
            }
            match self.rtc.poll_output() {
                Ok(str0m::Output::Timeout(at)) => {
                    self.due = self.clock.deadline(now, at);
                    if !self.rtc.is_alive() && !self.ended && !self.news.closed {
                        self.fail(LinkFailure::Dtls);
                    }
                    return;
                }
                Ok(str0m::Output::Transmit(transmit)) => self.transmit(transmit, out),
                Ok(str0m::Output::Event(event)) => self.event(event),
                Err(error) => {
                    debug!(%error, "connection broke");
                    self.fail(failure_of(&error));
                    self.due = None;
                    return;
                }
            }
        }
        // More than one input may bring (law 6): the rest comes with the next call, which is now.
        self.due = Some(now);
    }

    fn transmit(&mut self, transmit: str0m::net::Transmit, out: &mut Outbox) {
        if transmit.proto != Protocol::Udp {
            return;
        }
        let mut transmit = Transmit {
            local: transmit.source,
            remote: transmit.destination,
            payload: Vec::from(transmit.contents).into(),
        };
        match transmit.payload.first() {
            Some(20..=63) => {
                let ends = (transmit.local, transmit.remote);
                // str0m goes on from an address that is gone, until the controlling side, which does not
                // know that, nominates another pair.
                let path = match self.path {
                    Some(path) if !self.has_local(ends.0) => path,
                    Some(_) | None => ends,
                };
                self.path = Some(path);
                (transmit.local, transmit.remote) = self.detour.instead_of(path);
            }
            Some(_) => {
                let role = stun::role_of(&transmit.payload);
                if let (Some(_), Some(transaction)) =
                    (role, stun::transaction_of(&transmit.payload))
                {
                    let ends = (transmit.local, transmit.remote);
                    self.checks.sent(transaction, ends);
                }
                self.role = role.or(self.role);
                // A link that sends no data learns of a new path by this.
                if self.path.is_none() || stun::nominates(&transmit.payload) {
                    self.path = Some((transmit.local, transmit.remote));
                }
            }
            None => return,
        }
        out.transmits.push(transmit);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "str0m has many more events, for media, and gets new ones"
    )]
    fn event(&mut self, event: str0m::Event) {
        match event {
            str0m::Event::IceConnectionStateChange(state) => {
                debug!(?state, "ice");
                if state.is_connected() && !self.connected {
                    self.connected = true;
                    self.found = true;
                    self.news.connected = true;
                    self.window.open();
                } else if state.is_disconnected() && self.connected {
                    self.connected = false;
                    self.news.disconnected = true;
                }
            }
            // str0m has compared the certificate with the fingerprint before it says this.
            str0m::Event::Connected => self.secured = true,
            str0m::Event::ChannelOpen(id, label) => self.lines.opened(id, &label),
            str0m::Event::ChannelData(data) => {
                if let Some(channel) = self.lines.channel(data.id) {
                    self.news.messages.push((channel, data.data.into()));
                }
            }
            // While the link closes this is the end of everything, not of a channel.
            str0m::Event::ChannelClose(id) if self.lines.are_in_band() => {
                // Others close a channel to say that they go.
                if self.lines.channel(id) == Some(Channel::Data) {
                    self.news.closed = true;
                }
            }
            str0m::Event::ChannelClose(id) => {
                if self.lines.channel(id).is_some() && !self.news.closed {
                    // str0m is not let go of: that the link was closed may be its next word, and counts more.
                    self.news.failed.get_or_insert(LinkFailure::Channel);
                }
            }
            str0m::Event::Closed => self.news.closed = true,
            event => trace!(?event, "not used"),
        }
    }

    /// Says what happened, in an order that does not depend on str0m's.
    pub(super) fn report(&mut self, out: &mut Outbox) {
        if self.ended {
            return;
        }
        let news = core::mem::take(&mut self.news);
        let updates = &mut out.updates;
        if news.heard || news.round_trip.is_some() {
            updates.push(Update::Alive {
                round_trip: news.round_trip,
            });
        }
        if news.connected {
            updates.push(Update::Connected);
        }
        if self.secured {
            self.lines.report_opened(updates);
        }
        for (channel, payload) in news.messages {
            updates.push(Update::Message { channel, payload });
        }
        self.lines.report_amounts(&mut self.rtc, updates);
        if news.disconnected {
            updates.push(Update::Disconnected);
        }
        if news.closed {
            updates.push(Update::Closed);
            self.silence();
        } else if let Some(failure) = news.failed {
            updates.push(Update::Failed(failure));
            self.silence();
        }
    }
}

/// str0m's errors are texts; their kinds tell enough: of the description it complains here only
/// when the certificate is not the announced one.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of str0m's many kinds these two say more than that it is over"
)]
fn failure_of(error: &RtcError) -> LinkFailure {
    match error {
        RtcError::RemoteSdp(_) => LinkFailure::FingerprintMismatch,
        RtcError::Sctp(_) => LinkFailure::Channel,
        _ => LinkFailure::Dtls,
    }
}
