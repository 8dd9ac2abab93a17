//! [`Network`]: the application's handle on a node that is driven on a thread of its own.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use event_listener::listener;
use smol::Async;
use smol::net::TcpListener;
use smol::stream::Stream;
use wattle_core::native::Node;
use wattle_core::{
    Credit, EndReason, Event, EventQueue, IceServer, KickError, NetworkCode, NodeId, Phase,
    PhaseTiming, SendError, Stats, Status,
};

use crate::error::{ConnectError, WaitError};
use crate::event_loop::EventLoop;
use crate::interfaces;
use crate::options::{Hosting, Options};
use crate::shared::{Core, Shared, StoppedOnDrop};
use crate::udp::Sockets;
use crate::{Clock, seed};

/// A node in a network.
///
/// All calls take `&self`: put it into an `Arc` to send from one task and to read events in
/// another. Sends are immediate; those that end in `_when_room` wait until the receivers have
/// taken enough of what was sent before.
///
/// # In a game loop
///
/// Nothing here needs an executor but what is `async`. A loop that draws frames begins with
/// [`start_host`](Self::start_host) or [`start_join`](Self::start_join), which return at once, takes
/// all events of a frame with [`try_next_event`](Self::try_next_event), sends, and ends with
/// [`start_leave`](Self::start_leave) and frames until `Ended`. The handle is `Send` and `Sync`, so it
/// can be a resource of an engine. The example `game_loop` is such a program.
///
/// # Somebody joins
///
/// What was sent before is not for who comes later: a game tells a newcomer where it stands, at
/// [`Event::NodeJoined`], with [`send_to`](Self::send_to). Everything that the same node sends from
/// then on, to all or to one, arrives behind it, so nothing is missed and nothing comes twice.
///
/// # Events
///
/// [`next_event`](Self::next_event), or the handle as a `Stream`, gives the events from the very
/// first on: the phases of the connection, `Joined`, and so on, up to `Ended`, after which there
/// are none. An application that does not take its events slows down those who send to it, and
/// ends as [`EndReason::TooSlow`] when it stops; it never makes memory grow: of the states of one
/// node only the newest waits, diagnostics over 512 are dropped, and where very much waits, so are
/// pairs that cancel out, such as a node's change to the relayed way and back.
///
/// In a mesh, [`Event::HostLost`] does not end the network: those to whom we have links stay.
///
/// # Leaving
///
/// Dropping the handle leaves the network: the others are told in the background, which takes as
/// long as [`Timeouts::leave`](crate::Timeouts::leave) at most. A program that is about to exit
/// should wait for [`leave`](Self::leave) instead, because the background ends with the process.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
}

impl Network {
    /// Hosts a network; ready when it can be joined.
    ///
    /// Dropping the future gives it up.
    ///
    /// # Errors
    /// [`ConnectError::Ended`] with the reason if the signaling server cannot be used, the others
    /// if this machine does not allow it.
    pub async fn host(hosting: Hosting, options: impl Into<Options>) -> Result<Self, ConnectError> {
        let network = Self::start_host(hosting, options)?;
        network.connected().await?;
        Ok(network)
    }

    /// Joins the network with this code; ready when the host has welcomed us.
    ///
    /// Dropping the future gives it up.
    ///
    /// # Errors
    /// [`ConnectError::Ended`] with the reason if it cannot be joined, the others if this machine
    /// does not allow it.
    pub async fn join(
        code: &NetworkCode,
        options: impl Into<Options>,
    ) -> Result<Self, ConnectError> {
        let network = Self::start_join(code, options)?;
        network.connected().await?;
        Ok(network)
    }

    /// Like [`host`](Self::host), but returns at once: the events tell how it goes, `NetworkCreated`
    /// with the code or `Ended` with the reason.
    ///
    /// # Errors
    /// If it cannot even be tried.
    pub fn start_host(hosting: Hosting, options: impl Into<Options>) -> Result<Self, ConnectError> {
        let options = options.into();
        let mut parts = Parts::new(options, None)?;
        let (hosting, listener) = match hosting {
            Hosting::Signaling => (wattle_core::Hosting::Signaling { code: None }, None),
            Hosting::Code(code) => (wattle_core::Hosting::Signaling { code: Some(code) }, None),
            Hosting::Lan => {
                let listener = parts.lan_listener()?;
                let address = listener.local_addr()?;
                (wattle_core::Hosting::Lan { address }, Some(listener))
            }
            Hosting::LanAt(address) => {
                let listener = bind_tcp(address)?;
                let address = listener.local_addr()?;
                parts.allow_loopback(address.ip());
                (wattle_core::Hosting::Lan { address }, Some(listener))
            }
        };
        parts.start(listener, |node, now| Ok(node.host(now, hosting)?))
    }

    /// Like [`join`](Self::join), but returns at once: the events tell how it goes, `Joined` or `Ended`
    /// with the reason.
    ///
    /// # Errors
    /// If it cannot even be tried.
    pub fn start_join(
        code: &NetworkCode,
        options: impl Into<Options>,
    ) -> Result<Self, ConnectError> {
        let host = code.lan_address().map(|address| address.ip());
        Parts::new(options.into(), host)?.start(None, |node, now| Ok(node.join(now, code)?))
    }

    /// Ready when the network is there: created by us or joined.
    ///
    /// # Errors
    /// [`ConnectError::Ended`] if it ended before that.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        self.shared
            .until(|core| {
                if core.connected {
                    Some(Ok(()))
                } else {
                    core.end().map(|end| Err(end.into_connect_error()))
                }
            })
            .await
    }

    /// The next event; `None` after `Ended`.
    ///
    /// Dropping the future loses nothing. One task should read at a time.
    pub async fn next_event(&self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// The next event if there is one now: for a game loop.
    #[must_use]
    pub fn try_next_event(&self) -> Option<Event> {
        self.shared.call(Core::take_event)
    }

    fn poll_event(&self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut core = self.shared.lock();
        if let Some(event) = core.take_event() {
            core.wake_loop();
            return Poll::Ready(Some(event));
        }
        if core.end().is_some() {
            return Poll::Ready(None);
        }
        core.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Sends a reliable message to all other nodes: it arrives once and in order at each that
    /// [`nodes`](Self::nodes) has now. Up to 256 KiB ([`Limits::message`](crate::Limits::message)).
    ///
    /// # Errors
    /// [`SendError::Full`] if a receiver has not taken what was sent before; see
    /// [`broadcast_when_room`](Self::broadcast_when_room).
    pub fn broadcast(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let payload = payload.into();
        self.shared
            .call(|core| core.node.broadcast(core.clock.now(), payload))
    }

    /// Sends a reliable message to one node, directly or through the host: whichever way there is
    /// now. It arrives once, in order with [`broadcast`](Self::broadcast), also if that way changes.
    ///
    /// # Errors
    /// [`SendError::Full`] if the receiver has not taken what was sent before; see
    /// [`send_to_when_room`](Self::send_to_when_room).
    pub fn send_to(&self, node: NodeId, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let payload = payload.into();
        self.shared
            .call(|core| core.node.send_to(core.clock.now(), node, payload))
    }

    /// Sends a state to all other nodes: unreliable, latest wins. Gives its number.
    ///
    /// There is one state per node: put all that changes into it (the host of a game all positions).
    /// Up to 16 KiB ([`Limits::piece`](crate::Limits::piece)), but best under 1,000 bytes, which fit
    /// into one packet.
    ///
    /// # Errors
    /// See [`SendError`]; a state is never [`SendError::Full`].
    pub fn broadcast_state(&self, payload: impl Into<Bytes>) -> Result<u32, SendError> {
        let payload = payload.into();
        self.shared
            .call(|core| core.node.broadcast_state(core.clock.now(), payload))
    }

    /// Like [`broadcast`](Self::broadcast), waiting for room where that would be `Full`.
    ///
    /// Dropping the future sends nothing.
    ///
    /// # Errors
    /// Any but [`SendError::Full`], or the end of the network.
    pub async fn broadcast_when_room(&self, payload: impl Into<Bytes>) -> Result<(), WaitError> {
        let payload = payload.into();
        self.when_room(|| self.broadcast(payload.clone())).await
    }

    /// Like [`send_to`](Self::send_to), waiting for room where that would be `Full`.
    ///
    /// Dropping the future sends nothing.
    ///
    /// # Errors
    /// Any but [`SendError::Full`], or the end of the network.
    pub async fn send_to_when_room(
        &self,
        node: NodeId,
        payload: impl Into<Bytes>,
    ) -> Result<(), WaitError> {
        let payload = payload.into();
        self.when_room(|| self.send_to(node, payload.clone())).await
    }

    async fn when_room(&self, send: impl Fn() -> Result<(), SendError>) -> Result<(), WaitError> {
        loop {
            // Listening begins before the attempt, so that no word of room is missed.
            listener!(self.shared.notice => notice);
            let refused = match send() {
                Err(SendError::Full) => None,
                Err(error) => Some(error),
                Ok(()) => return Ok(()),
            };
            if let Some(end) = self.shared.lock().end() {
                return Err(end.into_wait_error());
            }
            if let Some(error) = refused {
                return Err(WaitError::Send(error));
            }
            notice.await;
        }
    }

    /// Host: removes a node.
    ///
    /// # Errors
    /// If we are not the host or there is no such node.
    pub fn kick(&self, node: NodeId) -> Result<(), KickError> {
        self.shared
            .call(|core| core.node.kick(core.clock.now(), node))
    }

    /// Replaces the STUN and TURN servers of [`Config::with_ice_servers`](crate::Config::with_ice_servers),
    /// at any time: credentials of a TURN server expire, so call it with new ones before they do.
    ///
    /// Servers that stay are not disturbed: links go on through them, and new credentials are used
    /// from the next refresh on.
    pub fn set_ice_servers(&self, servers: &[IceServer]) {
        self.shared
            .call(|core| core.node.set_ice_servers(core.clock.now(), servers));
    }

    /// Leaves the network and waits until the others know, for as long as
    /// [`Timeouts::leave`](crate::Timeouts::leave) at most. Tells why the network ended, which may
    /// be something that came before.
    ///
    /// Events can be read meanwhile and afterwards.
    pub async fn leave(&self) -> EndReason {
        self.start_leave();
        self.ended().await
    }

    /// Like [`leave`](Self::leave), without waiting: `Ended` comes with the events.
    pub fn start_leave(&self) {
        self.shared.call(|core| core.node.leave(core.clock.now()));
    }

    /// Waits until the network has ended, and tells why.
    pub async fn ended(&self) -> EndReason {
        let end = self.shared.until(|core| core.end()).await;
        // What was to be said last has left when the loop has stopped.
        self.shared.until(|core| core.stopped.then_some(())).await;
        end.reason()
    }

    /// Our own name.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.shared.lock().node.id()
    }

    /// The network's code, once it is known.
    #[must_use]
    pub fn code(&self) -> Option<NetworkCode> {
        self.shared.lock().node.code()
    }

    /// All nodes in join order, the host first (while there is one), ourselves included; empty unless
    /// joined.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        self.shared.lock().node.nodes().collect()
    }

    /// Whether we are connecting, joined, leaving.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.lock().node.status()
    }

    /// The phase of a connection that is being made.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.shared.lock().node.phase()
    }

    /// How long each phase of our own connection took.
    #[must_use]
    pub fn timing(&self) -> PhaseTiming {
        self.shared.lock().node.timing()
    }

    /// Numbers: latencies, counters, states.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let core = self.shared.lock();
        core.node.stats(core.clock.now())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.call(|core| {
            core.unread = true;
            core.events = EventQueue::default();
            core.node.leave(core.clock.now());
        });
    }
}

impl Stream for Network {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(context)
    }
}

impl Stream for &Network {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(context)
    }
}

/// What a node is made of, before it runs.
struct Parts {
    options: Options,
    loopback: bool,
    sockets: Sockets,
}

impl Parts {
    /// Opens the sockets. `host` is the address in a LAN code that is to be joined.
    fn new(options: Options, host: Option<IpAddr>) -> Result<Self, ConnectError> {
        let mut parts = Self {
            loopback: options.config.loopback(),
            options,
            sockets: Sockets::new(),
        };
        for address in [host, parts.options.bind].into_iter().flatten() {
            parts.allow_loopback(address);
        }
        // The only way there is must be allowed.
        parts.loopback |= interfaces::only_loopback();
        Ok(parts)
    }

    /// A loopback address that was asked for is to be used.
    const fn allow_loopback(&mut self, address: IpAddr) {
        self.loopback |= address.is_loopback();
    }

    /// Listens at the address that joiners on the LAN most likely reach.
    fn lan_listener(&mut self) -> Result<TcpListener, ConnectError> {
        let addresses = interfaces::addresses(self.options.bind, self.loopback);
        let address = interfaces::lan_address(&addresses).map_or_else(
            || SocketAddr::from(([127, 0, 0, 1], 0)),
            |best| best.socket(0),
        );
        self.allow_loopback(address.ip());
        bind_tcp(address)
    }

    /// Makes the node, begins with `begin` and drives it on a thread.
    fn start(
        mut self,
        listener: Option<TcpListener>,
        begin: impl FnOnce(&mut Node, wattle_core::Timestamp) -> Result<(), ConnectError>,
    ) -> Result<Network, ConnectError> {
        let addresses = interfaces::addresses(self.options.bind, self.loopback);
        if let (_, Some(source)) = self.sockets.reconcile(&addresses)
            && let Some(address) = self.options.bind
        {
            return Err(ConnectError::Bind { address, source });
        }
        let clock = Clock::new();
        let config = self
            .options
            .config
            .clone()
            .with_loopback(self.loopback)
            .with_credit(Credit::OnRelease);
        let mut node = Node::new(config, seed()?, clock.now(), clock.origin());
        begin(&mut node, clock.now())?;
        let shared = Arc::new(Shared::new(node, clock));
        let network = Network {
            shared: Arc::clone(&shared),
        };
        let Self {
            options,
            loopback,
            sockets,
        } = self;
        std::thread::Builder::new()
            .name("wattle".to_owned())
            .spawn(move || {
                let stopped = StoppedOnDrop(Arc::clone(&shared));
                let event_loop = EventLoop::new(shared, options, loopback, sockets, listener);
                smol::block_on(event_loop.run());
                drop(stopped);
            })?;
        Ok(network)
    }
}

fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ConnectError> {
    Async::<std::net::TcpListener>::bind(address)
        .map(TcpListener::from)
        .map_err(|source| ConnectError::Bind {
            address: address.ip(),
            source,
        })
}
