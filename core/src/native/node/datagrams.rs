//! To whom a datagram goes, and from where: a server, a link, one of our sockets, or a borrowed address.

use core::net::SocketAddr;

use super::Node;
use crate::native::demux::{Kind, classify};
use crate::native::gather;
use crate::native::io::{Output, Transmit};
use crate::native::link::{Link, Outbox};
use crate::time::Timestamp;

impl Node {
    pub(super) fn datagram(
        &mut self,
        now: Timestamp,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[u8],
    ) {
        let remote = gather::plain(remote);
        let taken = match self.gather.by_given(local) {
            Some(local) => self.receive(now, (local, remote), payload),
            None => false,
        };
        self.datagrams_dropped += u64::from(!taken);
    }

    /// A datagram at one of our sockets: of a server, or for a link.
    fn receive(&mut self, now: Timestamp, at: (SocketAddr, SocketAddr), payload: &[u8]) -> bool {
        if let Kind::Response { transaction } = classify(payload)
            && self.gather.expects(at, &transaction)
        {
            return self.with_gather(now, |gather, news| gather.answer(now, at, payload, news));
        }
        if self.gather.is_of_relay(at) {
            return self.with_gather(now, |gather, news| {
                gather.relay_says(now, at, payload, news)
            });
        }
        // Who answered from here would show where we are.
        !self.gather.is_relay_only() && self.demultiplex(now, at, payload)
    }

    /// Whether some link had a use for it.
    pub(super) fn demultiplex(
        &mut self,
        now: Timestamp,
        at: (SocketAddr, SocketAddr),
        payload: &[u8],
    ) -> bool {
        match classify(payload) {
            Kind::Request { local_ufrag } => match self.demux.link_of_ufrag(local_ufrag) {
                Some(id) => {
                    self.with_link(id, |link, out| link.receive_check(now, at, payload, out))
                }
                None => false,
            },
            Kind::Response { transaction } => self.each_link_at(at.1, |link, out| {
                if link.expects(&transaction) {
                    link.receive_probed(now, &transaction, payload, out)
                } else {
                    link.receive_answer(now, at, &transaction, payload, out)
                }
            }),
            Kind::Dtls => self.each_link_at(at.1, |link, out| link.receive(now, at, payload, out)),
            Kind::Other => false,
        }
    }

    /// To every link that has to do with an address; it is one but for moments.
    fn each_link_at(
        &mut self,
        remote: SocketAddr,
        mut call: impl FnMut(&mut Link, &mut Outbox) -> bool,
    ) -> bool {
        let mut taken = false;
        for id in self.demux.links_of_address(remote).to_vec() {
            taken |= self.with_link(id, &mut call);
        }
        taken
    }

    /// What a link sends, from one of our sockets or through a TURN server.
    pub(super) fn transmit_of_link(&mut self, transmit: Transmit) {
        if self.gather.is_relayed(transmit.local) {
            let now = self.now;
            self.with_gather(now, |gather, news| {
                gather.send_relayed(now, &transmit, news);
            });
        } else {
            // With relays alone no link has any of our sockets to send from.
            self.transmit(transmit);
        }
    }

    pub(super) fn transmit(&mut self, mut transmit: Transmit) {
        // A socket that has just gone takes nothing any more.
        if let Some(given) = self.gather.given(transmit.local) {
            transmit.local = given;
            self.outputs.push_back(Output::Transmit(transmit));
        }
    }
}
