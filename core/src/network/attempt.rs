//! A joiner's way to the host through the signaling server: its offer and its candidates, the first
//! time and whenever it comes back.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::{Network, Role};
use crate::code::NetworkCode;
use crate::id::LinkId;
use crate::io::{Channel, LinkCommand};
use crate::link::negotiation::{self, OfferHello};
use crate::link::{Link, Via};
use crate::signaling::{RelayedKind, write_relayed};
use crate::time::Timestamp;
use crate::wire::{Frame, Version};

/// How often an offer to come back is repeated until it is answered: the host may be on its way to
/// another network, and what comes to its old connection is lost without a word.
const REPEAT: Duration = Duration::from_secs(1);

/// How long after the signaling server's return an answer may come that it had kept for us.
const HELD: Duration = Duration::from_millis(500);

/// More candidates of our own than this are not told.
const CANDIDATES: usize = 64;

/// A link to the host in the making.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) link: LinkId,
    pub(super) begun: Timestamp,
    /// Our offer, once it is made.
    offer: Option<String>,
    /// Our candidates so far: they follow the offer, whenever it leaves.
    candidates: Vec<String>,
    /// The host is to take ICE's controlling role: it is one that does not begin SCTP otherwise.
    pub(super) led: bool,
    /// It is made even if the old link works again: the host has answered, or the old one is too slow.
    pub(super) settled: bool,
    /// Our offer was sent.
    offered: bool,
    /// When our offer is sent again, if it is not answered.
    pub(super) repeat_at: Option<Timestamp>,
}

impl Network {
    /// Begins a link to the host; its first frame, whatever comes first, is this one.
    pub(super) fn begin_attempt(
        &mut self,
        code: NetworkCode,
        deadline: Timestamp,
        first: &Frame,
    ) -> Attempt {
        self.dial(code, deadline, |link| link.channels.push_control(first))
    }

    /// Begins a link to the host's place at the signaling server.
    pub(super) fn dial(
        &mut self,
        code: NetworkCode,
        deadline: Timestamp,
        prepare: impl FnOnce(&mut Link),
    ) -> Attempt {
        let id = self.new_link();
        let via = Via::Signaling {
            peer: code.signaling_id().to_string(),
            connection: format!("dc_{:016x}", self.fork("connection id", id.as_u64()).u64()),
        };
        let mut link = Link::new(self.now, via, self.bounds(), deadline);
        prepare(&mut link);
        self.links.insert(id, link);
        // The offer is made while the signaling server is still being reached.
        self.command(id, LinkCommand::Open { offerer: true });
        self.command(id, LinkCommand::CreateOffer);
        Attempt {
            link: id,
            begun: self.now,
            offer: None,
            candidates: Vec::new(),
            led: false,
            settled: false,
            offered: false,
            repeat_at: None,
        }
    }

    /// The attempt that this link is.
    fn attempt(&mut self, id: LinkId) -> Option<&mut Attempt> {
        match &mut self.role {
            Role::Joiner(joiner) => joiner.attempt.as_mut().filter(|one| one.link == id),
            Role::Idle | Role::Host(_) | Role::Leaving { .. } => None,
        }
    }

    /// Our offer is made.
    pub(super) fn offer_made(&mut self, id: LinkId, sdp: &str) {
        if let Some(attempt) = self.attempt(id) {
            attempt.offer = Some(sdp.to_string());
            self.send_offer();
        }
    }

    /// Sends the offer and the candidates that are known, if there is an offer and a server.
    pub(super) fn send_offer(&mut self) {
        let Role::Joiner(joiner) = &self.role else {
            return;
        };
        let Some(attempt) = &joiner.attempt else {
            return;
        };
        let (Some(link), Some(sdp)) = (self.links.get(&attempt.link), &attempt.offer) else {
            return;
        };
        if !self.client.is_registered() {
            return;
        }
        let hello = OfferHello {
            version: Version::OURS,
            node: self.id,
            native: self.config.native,
            resume: joiner.is_welcome().then_some(self.me),
        };
        let (host, connection) = (link.signaling_id(), link.connection_id());
        self.client.send(if link.carries_for().is_some() {
            let offer = negotiation::offer_unmarked(sdp, connection, negotiation::STATES);
            write_relayed(RelayedKind::Offer, host, &offer)
        } else if attempt.led {
            // Who hears this takes ICE's controlling role, and with it begins SCTP.
            let sdp = sdp.replacen("m=application", "a=ice-lite\r\nm=application", 1);
            let offer = negotiation::offer_unmarked(&sdp, connection, Channel::Data.label());
            write_relayed(RelayedKind::Offer, host, &offer)
        } else {
            let offer = negotiation::offer(sdp, connection, &hello);
            write_relayed(RelayedKind::Offer, host, &offer)
        });
        // A page closes a connection that is offered twice.
        let resumes = joiner.is_welcome() && link.carries_for().is_none();
        let again = resumes && link.clock.timing().signaling.is_none();
        let repeat = again.then(|| self.now.plus(REPEAT));
        if let Role::Joiner(joiner) = &mut self.role
            && let Some(attempt) = &mut joiner.attempt
        {
            attempt.offered = true;
            attempt.repeat_at = repeat;
        }
        self.send_candidates();
    }

    /// The signaling server is there again. It held what came for us meanwhile, an answer perhaps: the offer
    /// is repeated only if none comes now, because a page that is offered a connection twice closes it and
    /// begins anew.
    pub(super) fn offer_again(&mut self) {
        let held = self.now.plus(HELD);
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        let (resumes, attempt) = (joiner.is_welcome(), joiner.attempt.as_mut());
        let Some((attempt, link)) = attempt.and_then(|one| {
            let link = self.links.get(&one.link)?;
            Some((one, link))
        }) else {
            return;
        };
        let carries = link.carries_for().is_some();
        let answered = link.clock.timing().signaling.is_some();
        let is_foreign = carries || link.interpreter.is_some();
        // Before its answer only who has let us in before is known to be no page.
        let knows_repeats = if answered {
            !is_foreign
        } else {
            resumes && !carries
        };
        if !attempt.offered || knows_repeats {
            return self.send_offer();
        }
        if !answered {
            attempt.repeat_at = Some(held);
        }
        self.send_candidates();
    }

    /// The host has answered.
    pub(super) fn answered(&mut self, id: LinkId) {
        if let Some(attempt) = self.attempt(id) {
            attempt.repeat_at = None;
        }
    }

    fn send_candidates(&mut self) {
        let Role::Joiner(joiner) = &self.role else {
            return;
        };
        let attempt = joiner.attempt.as_ref();
        let link = attempt.and_then(|attempt| self.links.get(&attempt.link));
        let Some((attempt, link)) = attempt.zip(link) else {
            return;
        };
        for candidate in &attempt.candidates {
            let candidate = negotiation::candidate(link.connection_id(), candidate);
            let host = link.signaling_id();
            self.client
                .send(write_relayed(RelayedKind::Candidate, host, &candidate));
        }
    }

    /// A candidate of ours was found.
    pub(super) fn candidate_found(&mut self, id: LinkId, candidate: &str) {
        let Some(attempt) = self.attempt(id) else {
            return;
        };
        if attempt.candidates.len() >= CANDIDATES {
            return;
        }
        attempt.candidates.push(candidate.to_string());
        let told = attempt.offer.is_some();
        if let Some(link) = self.links.get(&id).filter(|_| told) {
            let payload = negotiation::candidate(link.connection_id(), candidate);
            let host = link.signaling_id();
            self.client
                .send(write_relayed(RelayedKind::Candidate, host, &payload));
        }
    }
}
