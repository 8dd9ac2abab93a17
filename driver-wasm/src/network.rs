//! [`Network`]: the application's handle on a node in a page.

use std::rc::Rc;

use bytes::Bytes;
use wattle_core::{
    Config, EndReason, Event, IceServer, KickError, NetworkCode, NodeId, Phase, PhaseTiming,
    SendError, Stats, Status,
};

use crate::error::{ConnectError, WaitError};
use crate::shared::{Core, Shared};

/// Where a network is hosted. A page cannot be a signaling server, so there is no LAN here; it can
/// join one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "made by its users")]
pub enum Hosting {
    /// On the signaling server of [`Config::with_signaling_url`], with a free random code.
    #[default]
    Signaling,
    /// The same, with this 6-character code. It fails if somebody else has it.
    Code(NetworkCode),
}

/// A node in a network.
///
/// All calls take `&self`. Sends are immediate; those that end in `_when_room` wait until the
/// receivers have taken enough of what was sent before.
///
/// # Events
///
/// [`next_event`](Self::next_event) gives the events from the very first on: the phases of the
/// connection, `Joined`, and so on, up to `Ended`, after which there are none. An application that does
/// not take its events slows down those who send to it, and ends as [`EndReason::TooSlow`] when it
/// stops; it never makes memory grow.
///
/// # Leaving
///
/// Dropping the handle leaves the network, and so does leaving the page: the others are told.
#[derive(Debug)]
pub struct Network {
    shared: Rc<Shared>,
}

impl Network {
    /// Hosts a network; ready when it can be joined.
    ///
    /// Dropping the future gives it up.
    ///
    /// # Errors
    /// [`ConnectError::Ended`] with the reason if the signaling server cannot be used, the others
    /// if the browser does not allow it.
    pub async fn host(hosting: Hosting, config: Config) -> Result<Self, ConnectError> {
        let network = Self::start_host(hosting, config)?;
        network.connected().await?;
        Ok(network)
    }

    /// Joins the network with this code; ready when the host has welcomed us.
    ///
    /// Dropping the future gives it up.
    ///
    /// # Errors
    /// [`ConnectError::Ended`] with the reason if it cannot be joined, the others if the browser does
    /// not allow it.
    pub async fn join(code: &NetworkCode, config: Config) -> Result<Self, ConnectError> {
        let network = Self::start_join(code, config)?;
        network.connected().await?;
        Ok(network)
    }

    /// Like [`host`](Self::host), but ready at once: the events tell how it goes.
    ///
    /// # Errors
    /// If it cannot even be tried.
    pub fn start_host(hosting: Hosting, config: Config) -> Result<Self, ConnectError> {
        let code = match hosting {
            Hosting::Signaling => None,
            Hosting::Code(code) => Some(code),
        };
        let hosting = wattle_core::Hosting::Signaling { code };
        let shared = Shared::start(config, |network, now| Ok(network.host(now, hosting)?))?;
        Ok(Self { shared })
    }

    /// Like [`join`](Self::join), but ready at once: the events tell how it goes.
    ///
    /// # Errors
    /// If it cannot even be tried.
    pub fn start_join(code: &NetworkCode, config: Config) -> Result<Self, ConnectError> {
        let shared = Shared::start(config, |network, now| Ok(network.join(now, code)?))?;
        Ok(Self { shared })
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
                    core.ended.map(|reason| Err(ConnectError::Ended(reason)))
                }
            })
            .await
    }

    /// The next event; `None` after `Ended`.
    ///
    /// Dropping the future loses nothing. One task should read at a time.
    pub async fn next_event(&self) -> Option<Event> {
        self.shared
            .until(|core| match core.take_event() {
                Some(event) => Some(Some(event)),
                None => core.ended.map(|_| None),
            })
            .await
    }

    /// The next event if there is one now: for a game loop.
    #[must_use]
    pub fn try_next_event(&self) -> Option<Event> {
        self.shared.turn(Core::take_event)
    }

    /// Sends a reliable message to all other nodes.
    ///
    /// # Errors
    /// [`SendError::Full`] if a receiver has not taken what was sent before; see
    /// [`broadcast_when_room`](Self::broadcast_when_room).
    pub fn broadcast(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let payload = payload.into();
        self.shared
            .turn(|core| core.network.broadcast(core.clock.now(), payload))
    }

    /// Sends a reliable message to one node, directly or through the host.
    ///
    /// # Errors
    /// [`SendError::Full`] if the receiver has not taken what was sent before; see
    /// [`send_to_when_room`](Self::send_to_when_room).
    pub fn send_to(&self, node: NodeId, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let payload = payload.into();
        self.shared
            .turn(|core| core.network.send_to(core.clock.now(), node, payload))
    }

    /// Sends our state to all other nodes: newest wins, losses are not repaired. Gives its number.
    ///
    /// # Errors
    /// If it is too large, or there is no network; never [`SendError::Full`].
    pub fn broadcast_state(&self, payload: impl Into<Bytes>) -> Result<u32, SendError> {
        let payload = payload.into();
        self.shared
            .turn(|core| core.network.broadcast_state(core.clock.now(), payload))
    }

    /// Like [`broadcast`](Self::broadcast), waiting for room where that would be `Full`.
    ///
    /// Dropping the future sends nothing.
    ///
    /// # Errors
    /// Any but [`SendError::Full`], or the end of the network.
    pub async fn broadcast_when_room(&self, payload: impl Into<Bytes>) -> Result<(), WaitError> {
        let payload = payload.into();
        let send = |core: &mut Core| core.network.broadcast(core.clock.now(), payload.clone());
        self.when_room(send).await
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
        let send = |core: &mut Core| {
            let now = core.clock.now();
            core.network.send_to(now, node, payload.clone())
        };
        self.when_room(send).await
    }

    async fn when_room(
        &self,
        mut send: impl FnMut(&mut Core) -> Result<(), SendError>,
    ) -> Result<(), WaitError> {
        self.shared
            .until(|core| match send(core) {
                Ok(()) => Some(Ok(())),
                Err(error) => match (core.ended, error) {
                    (Some(reason), _) => Some(Err(WaitError::Ended(reason))),
                    (None, SendError::Full) => None,
                    (None, error) => Some(Err(WaitError::Send(error))),
                },
            })
            .await
    }

    /// Host: removes a node.
    ///
    /// # Errors
    /// If we are not the host or there is no such node.
    pub fn kick(&self, node: NodeId) -> Result<(), KickError> {
        self.shared
            .turn(|core| core.network.kick(core.clock.now(), node))
    }

    /// Replaces the STUN and TURN servers of [`Config::with_ice_servers`], at any time: credentials of
    /// a TURN server expire, so call it with new ones before they do. New links use them.
    pub fn set_ice_servers(&self, servers: &[IceServer]) {
        self.shared.turn(|core| core.set_ice_servers(servers));
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
        self.shared.leave();
    }

    /// Waits until the network has ended, and tells why.
    pub async fn ended(&self) -> EndReason {
        self.shared.until(|core| core.ended).await
    }

    /// Our own name.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.shared.look(|core| core.network.id())
    }

    /// The network's code, once it is known.
    #[must_use]
    pub fn code(&self) -> Option<NetworkCode> {
        self.shared.look(|core| core.network.code())
    }

    /// All nodes in join order, the host first (while there is one), ourselves included; empty unless
    /// joined.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        self.shared.look(|core| core.network.nodes().collect())
    }

    /// Whether we are connecting, joined, leaving.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.look(|core| core.network.status())
    }

    /// The phase of a connection that is being made.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.shared.look(|core| core.network.phase())
    }

    /// How long each phase of our own connection took.
    #[must_use]
    pub fn timing(&self) -> PhaseTiming {
        self.shared.look(|core| core.network.timing())
    }

    /// Numbers: latencies, counters, states.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared
            .look(|core| core.network.stats(core.clock.now()))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.turn(|core| {
            core.forget_events();
            let now = core.clock.now();
            core.network.leave(now);
        });
    }
}
