//! The node, and all that it needs in the page. Whatever comes in goes to the core, and what the core
//! then asks for is done at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::task::Waker;

use wattle_core::signaling::{SignalingCommand, SignalingFailure, SignalingId, SignalingUpdate};
use wattle_core::{
    Config, Credit, EndReason, Event, EventQueue, IcePolicy, IceServer, Input, LinkCommand,
    LinkFailure, LinkId, LinkUpdate, Network, Output, Probing, Timestamp,
};
use web_sys::RtcConfiguration;

use crate::error::ConnectError;
use crate::ice;
use crate::link::Link;
use crate::page::Page;
use crate::signaling::Socket;
use crate::timer::{Clock, Timer};

/// What the handle and the browser's events share.
#[derive(Debug)]
pub(crate) struct Shared {
    core: RefCell<Core>,
    me: Weak<Self>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) network: Network,
    pub(crate) clock: Clock,
    events: EventQueue,
    pub(crate) connected: bool,
    pub(crate) ended: Option<EndReason>,
    /// The handle is gone: nobody takes events.
    unread: bool,
    /// Who waits for something that may have happened.
    waiting: Vec<Waker>,
    wake: bool,
    outside: Option<Outside>,
    /// For messages on their way to the browser.
    scratch: Vec<u8>,
}

/// The node's part of the world; there until its network has ended.
#[derive(Debug)]
struct Outside {
    /// Keeps everything alive, with or without a handle.
    _alive: Rc<Shared>,
    links: Few<LinkId, Link>,
    sockets: Few<SignalingId, Socket>,
    timer: Timer,
    _page: Page,
    policy: IcePolicy,
    ice: RtcConfiguration,
}

impl Shared {
    /// A node that begins with `begin`.
    pub(crate) fn start(
        config: Config,
        begin: impl FnOnce(&mut Network, Timestamp) -> Result<(), ConnectError>,
    ) -> Result<Rc<Self>, ConnectError> {
        let platform = |missing| ConnectError::Platform { missing };
        let window = web_sys::window().ok_or_else(|| platform("this is not a page"))?;
        let performance = window.performance();
        let clock = Clock::new(performance.ok_or_else(|| platform("no clock"))?);
        if !js_sys::Reflect::has(&window, &"RTCPeerConnection".into()).unwrap_or(false) {
            return Err(platform("no RTCPeerConnection"));
        }
        let mut seed = [0; 32];
        let crypto = window.crypto();
        let filled = crypto.and_then(|crypto| crypto.get_random_values_with_u8_array(&mut seed));
        filled.map_err(|_| platform("no secure randomness"))?;
        let policy = config.ice_policy();
        let ice = ice::configuration(config.ice_servers(), policy);
        let config = config
            .with_credit(Credit::OnRelease)
            .with_probing(Probing::ByBoth);
        let mut network = Network::new(config, seed, clock.now());
        begin(&mut network, clock.now())?;
        let shared = Rc::new_cyclic(|me: &Weak<Self>| Self {
            core: RefCell::new(Core {
                network,
                clock: clock.clone(),
                events: EventQueue::default(),
                connected: false,
                ended: None,
                unread: false,
                waiting: Vec::new(),
                wake: false,
                outside: None,
                scratch: Vec::new(),
            }),
            me: me.clone(),
        });
        shared.core.borrow_mut().outside = Some(Outside {
            _alive: Rc::clone(&shared),
            links: Few::default(),
            sockets: Few::default(),
            timer: Timer::new(&shared.me, window.clone(), clock),
            _page: Page::new(&shared.me, &window),
            policy,
            ice,
        });
        shared.turn(|_| ());
        Ok(shared)
    }

    /// A node that does nothing, and is gone again: for [`Rehearsal`](crate::rehearsal::Rehearsal).
    pub(crate) fn rehearse(config: Config) {
        if let Ok(shared) = Self::start(config, |_, _| Ok(())) {
            let outside = shared.core.borrow_mut().outside.take();
            drop(outside);
        }
    }

    /// News of the world.
    pub(crate) fn input(&self, input: Input<'_>) {
        self.turn(|core| {
            let now = core.clock.now();
            core.network.handle_input(now, input);
        });
    }

    /// A call of the application, or anything else that may lead to outputs.
    pub(crate) fn turn<T>(&self, call: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.core.borrow_mut();
        let result = call(&mut core);
        let over = core.drain(&self.me);
        let waiting = if core::mem::take(&mut core.wake) {
            core::mem::take(&mut core.waiting)
        } else {
            Vec::new()
        };
        drop(core);
        // Outside of the loan: closing and waking may call us.
        drop(over);
        for waker in waiting {
            waker.wake();
        }
        result
    }

    /// A look that changes nothing.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.core.borrow())
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut(&mut Core) -> Option<T>) -> T {
        std::future::poll_fn(|context| {
            let found = self.turn(&mut look);
            found.map_or_else(
                || {
                    let mut core = self.core.borrow_mut();
                    let waker = context.waker();
                    if !core.waiting.iter().any(|other| other.will_wake(waker)) {
                        core.waiting.push(waker.clone());
                    }
                    std::task::Poll::Pending
                },
                std::task::Poll::Ready,
            )
        })
        .await
    }

    pub(crate) fn timeout(&self) {
        self.turn(|core| {
            let now = core.clock.now();
            core.network.handle_timeout(now);
        });
    }

    pub(crate) fn timer_fired(&self) {
        let (at_once, slept) = self.turn_timer(|timer| (timer.fired(), timer.slept()));
        if slept {
            self.network_changed();
        }
        if at_once {
            self.timeout();
        }
    }

    /// What is due is to be done now, not when a slow timer fires.
    pub(crate) fn timeout_soon(&self) {
        let at_once = self.turn_timer(Timer::fired);
        if at_once {
            self.timeout();
        }
    }

    /// The timer alone: nothing is due by that, so nothing is drained, and it stays unset.
    fn turn_timer<T: Default>(&self, call: impl FnOnce(&mut Timer) -> T) -> T {
        let mut core = self.core.borrow_mut();
        let timer = core.outside.as_mut().map(|outside| &mut outside.timer);
        timer.map(call).unwrap_or_default()
    }

    pub(crate) fn network_changed(&self) {
        self.input(Input::NetworkChanged);
    }

    pub(crate) fn leave(&self) {
        self.turn(|core| {
            let now = core.clock.now();
            core.network.leave(now);
        });
    }

    /// A link has a path.
    pub(crate) fn stop_looking(&self, id: LinkId) {
        let mut core = self.core.borrow_mut();
        let outside = core.outside.as_mut();
        if let Some(link) = outside.and_then(|outside| outside.links.get_mut(id)) {
            link.stop_looking();
        }
    }
}

impl Core {
    pub(crate) fn take_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        if let Event::Message { from, payload } = &event {
            let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            self.network.release(self.clock.now(), *from, bytes);
        }
        Some(event)
    }

    /// The handle is gone.
    pub(crate) fn forget_events(&mut self) {
        self.unread = true;
        self.events = EventQueue::default();
    }

    pub(crate) fn set_ice_servers(&mut self, servers: &[IceServer]) {
        if let Some(outside) = &mut self.outside {
            outside.ice = ice::configuration(servers, outside.policy);
            for (_, link) in &outside.links.0 {
                link.configure(&outside.ice);
            }
        }
    }

    /// Does what the core asks, until it asks for nothing more. Gives what is not needed any more.
    fn drain(&mut self, shared: &Weak<Shared>) -> (Vec<Link>, Option<Outside>) {
        let mut closed = Vec::new();
        let mut failed = VecDeque::new();
        loop {
            while let Some(output) = self.network.poll_output() {
                match output {
                    Output::Event(event) => self.event(event),
                    Output::Signaling(command) => {
                        if let Some(outside) = &mut self.outside {
                            let failure = outside.signaling(shared, command);
                            failed.extend(failure.map(Failed::Signaling));
                        }
                    }
                    Output::Link { link, command } => {
                        if let Some(outside) = &mut self.outside {
                            let scratch = &mut self.scratch;
                            let failure = outside.link(shared, link, command, scratch, &mut closed);
                            failed.extend(failure.map(|failure| Failed::Link(link, failure)));
                        }
                    }
                    _ => tracing::error!("an output that this driver does not know"),
                }
            }
            // What could not be done is news for the core, which may ask for something else.
            let Some(failed) = failed.pop_front() else {
                break;
            };
            let now = self.clock.now();
            self.network.handle_input(now, failed.input());
        }
        if self.ended.is_some() {
            return (closed, self.outside.take());
        }
        let deadline = self.network.poll_timeout();
        if let Some(outside) = &mut self.outside {
            outside.timer.set(deadline);
        }
        (closed, None)
    }

    fn event(&mut self, event: Event) {
        self.wake = true;
        match &event {
            Event::NetworkCreated { .. } | Event::Joined { .. } => self.connected = true,
            Event::Ended { reason } => self.ended = Some(*reason),
            _ => {}
        }
        if self.unread {
            return;
        }
        for (from, bytes) in self.events.push(event) {
            self.network.release(self.clock.now(), from, bytes);
        }
    }
}

/// A command that could not be carried out.
enum Failed {
    Signaling((SignalingId, SignalingFailure)),
    Link(LinkId, LinkFailure),
}

impl Failed {
    const fn input(self) -> Input<'static> {
        match self {
            Self::Signaling((id, failure)) => {
                Input::Signaling(SignalingUpdate::Closed(id, failure))
            }
            Self::Link(link, failure) => Input::Link {
                link,
                update: LinkUpdate::Failed(failure),
            },
        }
    }
}

impl Outside {
    fn signaling(
        &mut self,
        shared: &Weak<Shared>,
        command: SignalingCommand,
    ) -> Option<(SignalingId, SignalingFailure)> {
        match command {
            SignalingCommand::Open(id, url) => match Socket::open(shared, id, &url) {
                Ok(socket) => {
                    self.sockets.insert(id, socket);
                }
                Err(failure) => return Some((id, failure)),
            },
            SignalingCommand::Send(id, text) => {
                if let Some(socket) = self.sockets.get_mut(id) {
                    socket.send(&text);
                }
            }
            SignalingCommand::Close(id) => {
                self.sockets.remove(id);
            }
            _ => tracing::error!("a command that this driver does not know"),
        }
        None
    }

    fn link(
        &mut self,
        shared: &Weak<Shared>,
        id: LinkId,
        command: LinkCommand,
        scratch: &mut Vec<u8>,
        closed: &mut Vec<Link>,
    ) -> Option<LinkFailure> {
        match command {
            LinkCommand::Open { .. } => match Link::open(shared, id, &self.ice) {
                Ok(link) => {
                    self.links.insert(id, link);
                }
                Err(failure) => return Some(failure),
            },
            LinkCommand::Close => closed.extend(self.links.remove(id)),
            command => {
                if let Some(link) = self.links.get_mut(id) {
                    link.command(command, scratch);
                }
            }
        }
        None
    }
}

/// The few things of a kind that a page has; the code of a tree would be many times their size.
#[derive(Debug)]
struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq, V> Few<K, V> {
    fn insert(&mut self, key: K, value: V) {
        self.0.push((key, value));
    }

    fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let found = self.0.iter_mut().find(|(other, _)| *other == key);
        found.map(|(_, value)| value)
    }

    fn remove(&mut self, key: K) -> Option<V> {
        let place = self.0.iter().position(|(other, _)| *other == key)?;
        Some(self.0.swap_remove(place).1)
    }
}
