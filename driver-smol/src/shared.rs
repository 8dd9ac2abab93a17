//! What the handle and the loop share: the node, its events, and who waits for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use event_listener::{Event as Notice, listener};
use wattle_core::native::{Input, Node, Output};
use wattle_core::{EndReason, Event, EventQueue};

use crate::Clock;
use crate::error::{ConnectError, WaitError};

/// Tells the handle that the loop has stopped, however it did.
pub(crate) struct StoppedOnDrop(pub(crate) Arc<Shared>);

impl Drop for StoppedOnDrop {
    fn drop(&mut self) {
        let mut core = self.0.lock();
        core.stopped = true;
        core.notify = true;
        core.wake_reader();
        drop(core);
        self.0.wake_waiting();
    }
}

/// What the handle and the loop share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) core: Mutex<Core>,
    /// There is room, or the network has begun or ended.
    pub(crate) notice: Notice,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    pub(crate) events: EventQueue,
    /// Waits for an event.
    pub(crate) reader: Option<Waker>,
    /// The loop.
    pub(crate) driver: Option<Waker>,
    /// The application has called something that the loop has not looked at.
    pub(crate) called: bool,
    pub(crate) connected: bool,
    pub(crate) ended: Option<EndReason>,
    /// The loop has stopped.
    pub(crate) stopped: bool,
    /// The handle is gone: nobody takes events.
    pub(crate) unread: bool,
    /// Somebody may wait for what has just happened.
    pub(crate) notify: bool,
}

/// How a network ended, as far as the handle is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Reason(EndReason),
    DriverStopped,
}

impl End {
    pub(crate) const fn into_connect_error(self) -> ConnectError {
        match self {
            Self::Reason(reason) => ConnectError::Ended(reason),
            Self::DriverStopped => ConnectError::DriverStopped,
        }
    }

    pub(crate) const fn into_wait_error(self) -> WaitError {
        match self {
            Self::Reason(reason) => WaitError::Ended(reason),
            Self::DriverStopped => WaitError::DriverStopped,
        }
    }

    /// The driver does not stop by itself; if a defect stops it, we are out of the network.
    pub(crate) const fn reason(self) -> EndReason {
        match self {
            Self::Reason(reason) => reason,
            Self::DriverStopped => EndReason::Left,
        }
    }
}

impl Shared {
    /// A node that has begun: what that led to is still to be done.
    pub(crate) fn new(node: Node, clock: Clock) -> Self {
        Self {
            core: Mutex::new(Core {
                node,
                clock,
                events: EventQueue::default(),
                reader: None,
                driver: None,
                called: true,
                connected: false,
                ended: None,
                stopped: false,
                unread: false,
                notify: false,
            }),
            notice: Notice::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic elsewhere has been reported; the data are whole enough to end with.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the application: the loop is to look what it led to.
    pub(crate) fn call<T>(&self, call: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let result = call(&mut core);
        core.wake_loop();
        result
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<T>(&self, look: impl Fn(&Core) -> Option<T>) -> T {
        loop {
            listener!(self.notice => notice);
            if let Some(found) = look(&self.lock()) {
                return found;
            }
            notice.await;
        }
    }

    /// To be called without the lock, after [`Core::event`].
    pub(crate) fn wake_waiting(&self) {
        if std::mem::take(&mut self.lock().notify) {
            self.notice.notify(usize::MAX);
        }
    }
}

impl Core {
    pub(crate) fn end(&self) -> Option<End> {
        match self.ended {
            Some(reason) => Some(End::Reason(reason)),
            None => self.stopped.then_some(End::DriverStopped),
        }
    }

    pub(crate) fn take_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        if let Event::Message { from, payload } = &event {
            let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            self.node.release(self.clock.now(), *from, bytes);
            self.called = true;
        }
        Some(event)
    }

    /// Wakes the loop for what was called; harmless if it was nothing.
    pub(crate) fn wake_loop(&mut self) {
        self.called = true;
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// The loop's side: whether something was called since it last asked.
    pub(crate) fn take_called(&mut self, context: &mut Context<'_>) -> bool {
        if std::mem::take(&mut self.called) {
            return true;
        }
        self.driver = Some(context.waker().clone());
        false
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.node.handle_input(self.clock.now(), input);
    }

    pub(crate) fn timeout(&mut self) {
        self.node.handle_timeout(self.clock.now());
    }

    pub(crate) fn output(&mut self) -> Option<Output> {
        self.node.poll_output()
    }

    /// When the node wants to be called again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.node
            .poll_timeout()
            .and_then(|timeout| self.clock.instant(timeout))
    }

    /// Takes an event of the node.
    pub(crate) fn event(&mut self, event: Event) {
        match &event {
            Event::NetworkCreated { .. } | Event::Joined { .. } => {
                self.connected = true;
                self.notify = true;
            }
            Event::Writable => self.notify = true,
            Event::Ended { reason } => {
                self.ended = Some(*reason);
                self.notify = true;
            }
            _ => {}
        }
        if self.unread {
            return;
        }
        for (from, bytes) in self.events.push(event) {
            self.node.release(self.clock.now(), from, bytes);
        }
    }

    pub(crate) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Whether the loop has nothing more to do.
    pub(crate) const fn is_over(&self) -> bool {
        self.ended.is_some()
    }
}
