//! What goes between the network, its links and the gatherer: commands and updates, until all are quiet.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Node;
use crate::event::Event;
use crate::id::LinkId;
use crate::io::{self as network_io, LinkCommand, LinkFailure};
use crate::native::gather::{self, Gather, News};
use crate::native::hidden::Asked;
use crate::native::io::Output;
use crate::native::link::{Link, Outbox, Setup, Update};
use crate::report::LinkReport;
use crate::stats::Status;
use crate::time::Timestamp;

impl Node {
    /// Carries commands to links and updates back until both sides are quiet.
    pub(super) fn pump(&mut self, now: Timestamp) {
        self.taken_due = None;
        for (from, bytes) in core::mem::take(&mut self.taken) {
            self.network.release(now, from, bytes);
        }
        loop {
            while let Some(output) = self.network.poll_output() {
                match output {
                    network_io::Output::Signaling(command) => {
                        self.outputs.push_back(Output::Signaling(command));
                    }
                    network_io::Output::Server(output) => {
                        self.outputs.push_back(Output::Server(output));
                    }
                    network_io::Output::Event(event) => {
                        let unheard = matches!(
                            &event,
                            Event::NodeSuspect { node } | Event::NodeLost { node }
                                if self.network.is_linked(*node)
                        );
                        self.outputs.push_back(Output::Event(event));
                        if unheard {
                            self.look_around(now);
                        }
                    }
                    network_io::Output::Link { link, command } => {
                        self.command(now, link, command);
                    }
                }
            }
            let Some((link, update)) = self.updates.pop_front() else {
                let running = self.network.status() != Status::Idle;
                self.with_gather(now, |gather, news| gather.set_running(now, running, news));
                if self.updates.is_empty() {
                    break;
                }
                continue;
            };
            let update = update.as_link_update();
            self.network
                .handle_input(now, network_io::Input::Link { link, update });
        }
    }

    pub(super) fn command(&mut self, now: Timestamp, id: LinkId, command: LinkCommand) {
        match command {
            LinkCommand::Open { offerer } => self.open(now, id, offerer),
            LinkCommand::CreateOffer => self.with_link(id, |link, out| link.create_offer(now, out)),
            LinkCommand::AcceptOffer { sdp, lead } => {
                self.with_link(id, |link, out| link.accept_offer(now, &sdp, lead, out));
            }
            LinkCommand::AcceptAnswer { sdp, led } => {
                self.with_link(id, |link, out| link.accept_answer(now, &sdp, led, out));
            }
            LinkCommand::TakeChannels => self.with_link(id, |link, _| link.take_channels()),
            LinkCommand::MakeChannel(channel) => {
                self.with_link(id, |link, out| link.make_channel(now, channel, out));
            }
            LinkCommand::AddCandidate(text) => {
                self.with_link(id, |link, out| link.add_candidate(now, &text, out));
            }
            LinkCommand::Send { channel, message } => {
                self.with_link(id, |link, out| link.send(now, channel, message, out));
            }
            LinkCommand::Probe => self.with_link(id, |link, out| link.probe(now, out)),
            LinkCommand::Close => {
                self.with_link(id, |link, out| link.close(now, out));
                self.forget(id);
            }
        }
    }

    /// Our NAT may have forgotten us, or a TURN server: what a new link starts from must be what is true
    /// now.
    pub(super) fn look_around(&mut self, now: Timestamp) {
        self.with_gather(now, |gather, news| gather.network_changed(now, news));
    }

    fn open(&mut self, now: Timestamp, id: LinkId, offerer: bool) {
        if !self.links.is_empty() {
            self.look_around(now);
        }
        self.with_gather(now, |gather, news| gather.hurry(now, news));
        let Some(certificate) = &self.certificate else {
            let failed = Update::Failed(LinkFailure::Platform);
            self.updates.push_back((id, failed));
            return;
        };
        let link = Link::open(
            now,
            Setup {
                offerer,
                clock: self.clock,
                rng: self.rng.fork(&alloc::format!("{id}")),
                simulated: self.simulated,
                certificate,
                limits: &self.limits,
                loopback: self.loopback,
                locals: self.gather.locals(),
            },
        );
        self.demux.add_ufrag(link.ufrag(), id);
        self.links.insert(id, link);
        self.report(id);
    }

    /// Calls a link, if there is one of that name, and takes what comes out.
    pub(super) fn with_link<T: Default>(
        &mut self,
        id: LinkId,
        call: impl FnOnce(&mut Link, &mut Outbox) -> T,
    ) -> T {
        let Some(link) = self.links.get_mut(&id) else {
            return T::default();
        };
        let mut out = Outbox::default();
        let before = link.is_making().then(|| link.facts());
        let answer = call(link, &mut out);
        if before.is_some_and(|before| before != link.facts()) {
            self.report(id);
        }
        self.take(id, out);
        answer
    }

    /// Carries out what came out of a link.
    fn take(&mut self, id: LinkId, out: Outbox) {
        self.candidates_dropped += out.candidates_dropped;
        // First, for what follows may make the link say more.
        let ended = out.updates.iter().any(Update::is_last);
        self.updates
            .extend(out.updates.into_iter().map(|update| (id, update)));
        for address in out.addresses {
            self.demux.add_address(address, id);
            let now = self.now;
            self.with_gather(now, |gather, news| gather.permit(now, address, news));
        }
        for candidate in out.hidden {
            self.look_up(id, &candidate);
        }
        for transmit in out.transmits {
            self.transmit_of_link(transmit);
        }
        if ended {
            self.forget(id);
        }
    }

    /// Asks for the address of a candidate that has a name in its place.
    fn look_up(&mut self, id: LinkId, candidate: &str) {
        // Who tells nobody where it is asks nobody on the LAN either.
        if self.gather.is_relay_only() {
            self.candidates_dropped += 1;
            return;
        }
        match self.hidden.add(id, candidate) {
            Asked::Resolve(name) => self.outputs.push_back(Output::Resolve { name }),
            Asked::Waits => {}
            Asked::Refused => self.candidates_dropped += 1,
        }
    }

    pub(super) fn resolved(&mut self, now: Timestamp, name: &str, addresses: &[IpAddr]) {
        self.with_gather(now, |gather, news| {
            gather.resolved(now, name, addresses, news)
        });
        for (id, candidate) in self.hidden.resolved(name, addresses) {
            self.with_link(id, |link, out| link.add_candidate(now, &candidate, out));
        }
    }

    /// Tells the network how far a link has come, before what else the link says.
    fn report(&mut self, id: LinkId) {
        if let Some(link) = self.links.get(&id) {
            let (checks, selected) = link.facts();
            let report = LinkReport {
                servers: self.gather.reports(),
                mapping: self.gather.mapping(),
                checks,
                selected,
            };
            let report = Update::Report(Box::new(report));
            self.updates.push_back((id, report));
        }
    }

    pub(super) fn forget(&mut self, id: LinkId) {
        self.hidden.forget(id);
        self.links.remove(&id);
        for address in self.demux.forget(id) {
            self.gather.forget(address);
        }
    }

    /// Calls the gatherer, and carries out what comes of it.
    pub(super) fn with_gather<T>(
        &mut self,
        now: Timestamp,
        call: impl FnOnce(&mut Gather, &mut News) -> T,
    ) -> T {
        let mut news = News::default();
        let answer = call(&mut self.gather, &mut news);
        self.carry_out(now, news);
        answer
    }

    fn carry_out(&mut self, now: Timestamp, news: News) {
        for name in news.resolves {
            self.outputs.push_back(Output::Resolve { name });
        }
        for transmit in news.transmits {
            self.transmit(transmit);
        }
        for (stream, command) in news.streams {
            let command = self.gather.command(command);
            self.outputs.push_back(Output::Stream { stream, command });
        }
        for (relayed, peer, payload) in news.data {
            let taken = self.demultiplex(now, (relayed, gather::plain(peer)), &payload);
            self.datagrams_dropped += u64::from(!taken);
        }
        if news.added.is_empty() && news.removed.is_empty() && !news.reports {
            return;
        }
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            if news.reports && self.links.get(&id).is_some_and(Link::is_making) {
                self.report(id);
            }
            for local in &news.removed {
                let is_cut = self.links.get(&id).is_some_and(|link| link.needs(*local));
                self.with_link(id, |link, out| link.remove_local(now, *local, out));
                // The other end goes on sending there, and its own relay may be well.
                if is_cut {
                    self.updates.push_back((id, Update::Disconnected));
                }
            }
            for local in &news.added {
                self.with_link(id, |link, out| link.add_local(now, *local, out));
            }
        }
    }
}
