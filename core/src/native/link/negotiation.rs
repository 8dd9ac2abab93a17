//! How a link comes to be: descriptions and candidates, given one by one and in their order.

use alloc::string::{String, ToString as _};
use core::net::SocketAddr;

use str0m::change::{SdpAnswer, SdpOffer};

use super::{Link, Outbox, Update, candidate};
use crate::io::{Channel, LinkFailure};
use crate::native::gather::Local;
use crate::native::own_description::{self, Offered};
use crate::native::{description, hidden};
use crate::time::Timestamp;

impl Link {
    /// Makes the offer, with both channels.
    pub(in crate::native) fn create_offer(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.ended || self.described || self.remote.is_some() {
            return;
        }
        let mut changes = self.rtc.sdp_api();
        self.lines
            .create(|config| changes.add_channel_with_config(config));
        match changes.apply() {
            Some((offer, pending)) => {
                let (sdp, offered) = Offered::new(&offer.to_sdp_string());
                self.pending = Some((pending, offered));
                self.describe(&sdp, out);
            }
            None => self.fail(LinkFailure::Platform),
        }
        self.step(now, out);
    }

    /// Takes an offer and makes the answer; with `lead` in the roles that save two trips.
    pub(in crate::native) fn accept_offer(
        &mut self,
        now: Timestamp,
        sdp: &str,
        lead: bool,
        out: &mut Outbox,
    ) {
        if self.ended || self.described || self.remote.is_some() {
            return;
        }
        let limit = self.limits.description as usize;
        let answered = description::read(sdp, limit, lead).and_then(|read| {
            let offer = SdpOffer::from_sdp_string(&read.sdp).ok()?;
            let answer = self.rtc.sdp_api().accept_offer(offer).ok()?;
            Some((answer, read.credentials, read.candidates))
        });
        let Some((answer, credentials, candidates)) = answered else {
            self.fail(LinkFailure::Description);
            self.step(now, out);
            return;
        };
        // After `accept_offer`, which makes us the controlled side.
        self.rtc.direct_api().set_ice_controlling(lead);
        if !self.lines.are_taken() {
            self.lines
                .create(|config| self.rtc.direct_api().create_data_channel(config));
        }
        self.remote = Some(credentials);
        self.describe(&answer.to_sdp_string(), out);
        self.add_remote_candidates(&candidates, out);
        self.step(now, out);
    }

    /// The channels come from the other side, in-band.
    pub(in crate::native) const fn take_channels(&mut self) {
        self.lines.take();
    }

    /// Makes a channel in-band, in the place of the negotiated one.
    pub(in crate::native) fn make_channel(
        &mut self,
        now: Timestamp,
        channel: Channel,
        out: &mut Outbox,
    ) {
        if self.ended {
            return;
        }
        let mut api = self.rtc.direct_api();
        self.lines
            .make(channel, |config| api.create_data_channel(config));
        self.step(now, out);
    }

    /// Takes the answer to our offer; `led` if the answerer took those roles.
    pub(in crate::native) fn accept_answer(
        &mut self,
        now: Timestamp,
        sdp: &str,
        led: bool,
        out: &mut Outbox,
    ) {
        if self.ended {
            return;
        }
        let Some((pending, offered)) = self.pending.take() else {
            return;
        };
        // Before any check that came early is answered: they are from the controlling side.
        self.rtc.direct_api().set_ice_controlling(!led);
        let limit = self.limits.description as usize;
        let accepted = description::read(sdp, limit, false).and_then(|read| {
            let answer = SdpAnswer::from_sdp_string(&offered.answer(&read.sdp)).ok()?;
            self.rtc.sdp_api().accept_answer(pending, answer).ok()?;
            Some((read.credentials, read.candidates))
        });
        match accepted {
            Some((credentials, candidates)) => {
                self.remote = Some(credentials);
                self.add_remote_candidates(&candidates, out);
            }
            None => self.fail(LinkFailure::Description),
        }
        self.step(now, out);
    }

    /// Takes a candidate of the remote, also before its description.
    pub(in crate::native) fn add_candidate(
        &mut self,
        now: Timestamp,
        text: &str,
        out: &mut Outbox,
    ) {
        if self.ended {
            return;
        }
        self.take_candidate(text, out);
        self.step(now, out);
    }

    /// An address of ours is new.
    pub(in crate::native) fn add_local(&mut self, now: Timestamp, local: Local, out: &mut Outbox) {
        if self.ended {
            return;
        }
        self.locals.push(local);
        if self.described {
            self.offer(local, out);
            self.step(now, out);
        }
    }

    /// An address of ours is gone.
    pub(in crate::native) fn remove_local(
        &mut self,
        now: Timestamp,
        local: Local,
        out: &mut Outbox,
    ) {
        if self.ended {
            return;
        }
        self.locals.retain(|known| *known != local);
        // The others are told of new addresses, but cannot be told that one is gone.
        let Some(candidate) = candidate::own(local) else {
            return;
        };
        let address = candidate.addr();
        let is_left = |(local, _): &(SocketAddr, SocketAddr)| *local != address;
        let is_used = self.used().is_some_and(|used| !is_left(&used));
        self.heard_at = self.heard_at.filter(is_left);
        self.path = self.path.filter(is_left).or(self.heard_at);
        self.detour.retain(is_left);
        self.heard_on.retain(is_left);
        if is_used {
            self.detour.doubt(now);
            self.probe_both(now, out);
        }
        self.rtc.direct_api().invalidate_candidate(&candidate);
        self.step(now, out);
    }

    /// Our description is made: tell it, then the candidates, which are not in it.
    fn describe(&mut self, sdp: &str, out: &mut Outbox) {
        let sdp = own_description::with_origin(sdp, &mut self.rng.fork("description"));
        out.updates.push(Update::LocalDescription(sdp));
        self.described = true;
        for local in self.locals.clone() {
            self.offer(local, out);
        }
    }

    fn offer(&mut self, local: Local, out: &mut Outbox) {
        let text = match candidate::own(local) {
            Some(candidate) => {
                let added = self.rtc.add_local_candidate(candidate);
                added.map(|candidate| candidate.to_sdp_string())
            }
            None => candidate::told(local, &self.local.ufrag),
        };
        out.updates.extend(text.map(Update::LocalCandidate));
    }

    /// The remote's description is set: add what was in it and what came before it.
    fn add_remote_candidates(&mut self, candidates: &[String], out: &mut Outbox) {
        for candidate in core::mem::take(&mut self.held) {
            self.rtc.add_remote_candidate(candidate);
        }
        for candidate in candidates {
            self.take_candidate(candidate, out);
        }
    }

    fn take_candidate(&mut self, text: &str, out: &mut Outbox) {
        let text = text.trim();
        let text = text.strip_prefix("a=").unwrap_or(text);
        // The end of candidates, which we have no use for.
        if text.is_empty() {
            return;
        }
        if hidden::is_hidden(text) && self.candidates < self.limits.candidates {
            out.hidden.push(text.to_string());
            return;
        }
        let candidate = (self.candidates < self.limits.candidates)
            .then(|| candidate::remote(text, self.loopback))
            .flatten()
            .filter(|candidate| self.claim(candidate.addr(), out));
        let Some(candidate) = candidate else {
            out.candidates_dropped += 1;
            return;
        };
        self.candidates += 1;
        self.peer_reflexive.told(candidate.addr());
        self.kinds
            .entry(candidate.addr())
            .or_insert_with(|| candidate::kind(&candidate));
        if self.remote.is_some() {
            self.rtc.add_remote_candidate(candidate);
        } else {
            self.held.push(candidate);
        }
    }
}
