//! UDP sockets, one per address of this machine, read and written in batches.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use smol::Async;
use wattle_core::native::Interface;

use crate::interfaces::{Address, Look};

/// What the kernel is asked to buffer for a socket, each way, the first that it grants. Default
/// buffers (about 200 KiB) overflow under load, and with the datagrams goes the throughput.
const BUFFERS: [usize; 4] = [4 << 20, 2 << 20, 1 << 20, 512 << 10];

/// How many messages are read in one call, each possibly several datagrams (GRO).
const BATCH: usize = if quinn_udp::BATCH_SIZE < 8 {
    quinn_udp::BATCH_SIZE
} else {
    8
};

/// The longest UDP payload, and the longest run of datagrams that is handed over as one.
const LONGEST: usize = 64 * 1024;

/// How many bytes of datagrams are sent in one call: what the kernel takes as one packet.
const SEND_BYTES: usize = 60 * 1024;

/// How many datagrams may wait for a socket that is full; more are dropped, as a network does.
const WAITING: usize = 8192;

/// How often an error is passed over before a read counts as done for now.
const ERRORS: usize = 16;

/// All sockets of a node.
pub(crate) struct Sockets {
    sockets: Vec<Socket>,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.sockets.iter().map(|socket| socket.interface.address))
            .finish()
    }
}

struct Socket {
    io: Async<UdpSocket>,
    state: UdpSocketState,
    address: Address,
    interface: Interface,
    waiting: VecDeque<Datagram>,
    dropped: u64,
}

/// What a look at the addresses led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Followed {
    /// There are other sockets now.
    pub(crate) changed: bool,
    /// The network is another, whatever the sockets are.
    pub(crate) anew: bool,
}

/// A datagram that waits to be sent.
struct Datagram {
    remote: SocketAddr,
    payload: Bytes,
}

impl Sockets {
    pub(crate) fn new() -> Self {
        Self {
            sockets: Vec::new(),
            buffer: vec![0; BATCH.saturating_mul(LONGEST)].into_boxed_slice(),
            scratch: Vec::new(),
        }
    }

    /// Opens and closes sockets so that there is one for each address. Returns whether anything
    /// changed, and the first error.
    pub(crate) fn reconcile(&mut self, addresses: &[Address]) -> (bool, Option<io::Error>) {
        let before = self.sockets.len();
        self.sockets
            .retain(|socket| addresses.contains(&socket.address));
        let mut changed = self.sockets.len() != before;
        let mut first_error = None;
        for address in addresses {
            if self.sockets.iter().any(|socket| socket.address == *address) {
                continue;
            }
            match Socket::bind(address) {
                Ok(socket) => {
                    tracing::trace!(address = %socket.interface.address, "socket opened");
                    self.sockets.push(socket);
                    changed = true;
                }
                Err(error) => {
                    tracing::debug!(%error, interface = address.name, "socket cannot be opened");
                    first_error.get_or_insert(error);
                }
            }
        }
        (changed, first_error)
    }

    /// Follows what a look at the addresses found, if it found anything.
    pub(crate) fn follow(&mut self, look: &Look, found: Option<Vec<Address>>) -> Followed {
        // A socket that could not be had, as with an IPv6 address that the system has not tried
        // yet, is tried again at the next look.
        let changed = found.is_some_and(|addresses| self.reconcile(&addresses).0);
        let came_back = |socket: &Socket| look.went.contains(&socket.address.ip);
        Followed {
            changed,
            anew: look.slept || !changed && self.sockets.iter().any(came_back),
        }
    }

    /// The sockets that there are, for the core.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        self.sockets
            .iter()
            .map(|socket| socket.interface.clone())
            .collect()
    }

    /// How many sockets there are.
    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Reads one batch from the socket with this number, and gives its datagrams to `take`:
    /// local address, remote address, payload.
    pub(crate) fn poll_receive(
        &mut self,
        number: usize,
        context: &mut Context<'_>,
        mut take: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> Poll<()> {
        let Some(socket) = self.sockets.get(number) else {
            return Poll::Pending;
        };
        let mut errors = 0;
        loop {
            let mut metas = [RecvMeta::default(); BATCH];
            let mut slices: Vec<IoSliceMut<'_>> = self
                .buffer
                .chunks_exact_mut(LONGEST)
                .map(IoSliceMut::new)
                .collect();
            let io_ref = socket.io.get_ref().into();
            match socket.state.recv(io_ref, &mut slices, &mut metas) {
                Ok(count) => {
                    let local = socket.interface.address;
                    for (meta, slice) in metas.iter().zip(&slices).take(count) {
                        let bytes = slice.get(..meta.len).unwrap_or_default();
                        // A datagram may be empty, a stride may not.
                        for payload in bytes.chunks(meta.stride.max(1)) {
                            take(local, meta.addr, payload);
                        }
                    }
                    return Poll::Ready(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match socket.io.poll_readable(context) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
                    }
                }
                // Word of an unreachable port of some datagram before (ICMP), or a socket whose
                // interface is gone: the watch will tell of the latter.
                Err(error) => {
                    tracing::trace!(%error, "receive failed");
                    errors += 1;
                    if errors >= ERRORS {
                        return match socket.io.poll_readable(context) {
                            Poll::Ready(_) => Poll::Ready(()),
                            Poll::Pending => Poll::Pending,
                        };
                    }
                }
            }
        }
    }

    /// Queues a datagram at the socket with the address `local`.
    pub(crate) fn send(&mut self, local: SocketAddr, remote: SocketAddr, payload: Bytes) {
        let Some(socket) = self
            .sockets
            .iter_mut()
            .find(|socket| socket.interface.address == local)
        else {
            return;
        };
        if socket.waiting.len() >= WAITING {
            socket.dropped = socket.dropped.saturating_add(1);
            return;
        }
        socket.waiting.push_back(Datagram { remote, payload });
    }

    /// Sends what is queued. Pending if a socket is full, ready when nothing is queued any more.
    pub(crate) fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut result = Poll::Ready(());
        for socket in &mut self.sockets {
            if socket.poll_send(&mut self.scratch, context).is_pending() {
                result = Poll::Pending;
            }
        }
        result
    }
}

impl Socket {
    fn bind(address: &Address) -> io::Result<Self> {
        let io = Async::<UdpSocket>::bind(address.socket(0))?;
        let state = UdpSocketState::new(io.get_ref().into())?;
        for bytes in BUFFERS {
            if state
                .set_recv_buffer_size(io.get_ref().into(), bytes)
                .is_ok()
            {
                break;
            }
        }
        for bytes in BUFFERS {
            if state
                .set_send_buffer_size(io.get_ref().into(), bytes)
                .is_ok()
            {
                break;
            }
        }
        let interface = Interface {
            name: address.name.clone(),
            address: io.get_ref().local_addr()?,
        };
        Ok(Self {
            io,
            state,
            address: address.clone(),
            interface,
            waiting: VecDeque::new(),
            dropped: 0,
        })
    }

    fn poll_send(&mut self, scratch: &mut Vec<u8>, context: &mut Context<'_>) -> Poll<()> {
        while let Some(run) = self.next_run(scratch) {
            let Some(first) = self.waiting.front() else {
                break;
            };
            let transmit = Transmit {
                destination: first.remote,
                ecn: None,
                contents: if run == 1 { &first.payload } else { scratch },
                segment_size: (run > 1).then_some(first.payload.len()),
                src_ip: None,
            };
            match self.state.try_send(self.io.get_ref().into(), &transmit) {
                Ok(()) => {
                    self.waiting.drain(..run);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.io.poll_writable(context) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::trace!(%error, "send failed");
                    // Segmentation that turns out not to work is switched off by quinn-udp with
                    // this very error: then the run is tried again, one by one.
                    if run == 1 || self.state.max_gso_segments() > 1 {
                        self.waiting.drain(..run);
                    }
                }
            }
        }
        if self.dropped > 0 {
            tracing::debug!(
                count = self.dropped,
                "datagrams dropped, the socket was full"
            );
            self.dropped = 0;
        }
        Poll::Ready(())
    }

    /// How many datagrams from the front go out in one call: the same destination, all of one
    /// length but the last, which may be shorter. If several, `scratch` holds them in a row.
    fn next_run(&self, scratch: &mut Vec<u8>) -> Option<usize> {
        let first = self.waiting.front()?;
        let limit = self.state.max_gso_segments();
        let length = first.payload.len();
        if limit < 2 || length == 0 {
            return Some(1);
        }
        scratch.clear();
        let mut run: usize = 0;
        for datagram in self.waiting.iter().take(limit) {
            let fits = datagram.remote == first.remote
                && datagram.payload.len() <= length
                && !datagram.payload.is_empty()
                && scratch.len().saturating_add(length) <= SEND_BYTES;
            if !fits {
                break;
            }
            scratch.extend_from_slice(&datagram.payload);
            run = run.saturating_add(1);
            if datagram.payload.len() < length {
                break;
            }
        }
        Some(run.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Address {
        Address {
            name: "lo".to_owned(),
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            scope: 0,
        }
    }

    #[test]
    fn sockets_follow_the_addresses() {
        let mut sockets = Sockets::new();
        assert!(sockets.reconcile(&[loopback()]).0);
        let first = sockets.interfaces();
        assert!(!sockets.reconcile(&[loopback()]).0);
        assert_eq!(sockets.interfaces(), first);
        let elsewhere = Address {
            ip: "192.0.2.99".parse().unwrap(),
            ..loopback()
        };
        let (changed, error) = sockets.reconcile(&[loopback(), elsewhere]);
        assert!(!changed);
        assert_eq!(error.unwrap().kind(), io::ErrorKind::AddrNotAvailable);
        assert!(sockets.reconcile(&[]).0);
        assert_eq!(sockets.len(), 0);
    }

    #[test]
    fn runs_of_datagrams_arrive_one_by_one() {
        smol::block_on(async {
            let mut sockets = Sockets::new();
            let mut other = loopback();
            other.name = "lo again".to_owned();
            sockets.reconcile(&[loopback(), other]);
            let [from, to] = sockets.interfaces().try_into().unwrap();
            let sent: Vec<Vec<u8>> = (0..200_u8)
                .map(|number| vec![number; if number % 7 == 0 { 300 } else { 1100 }])
                .collect();
            let other_end = to.address;
            for payload in &sent {
                sockets.send(from.address, other_end, payload.clone().into());
            }
            let mut received = Vec::new();
            while received.len() < sent.len() {
                std::future::poll_fn(|context| {
                    let _ = sockets.poll_send(context);
                    sockets.poll_receive(1, context, |local, remote, payload| {
                        assert_eq!((local, remote), (other_end, from.address));
                        received.push(payload.to_vec());
                    })
                })
                .await;
            }
            assert_eq!(received, sent);
        });
    }
}
