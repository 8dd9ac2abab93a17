//! The one timer, and the clock.

use std::rc::Weak;
use std::time::Duration;

use wattle_core::Timestamp;
use web_sys::{MessageChannel, Performance, Window};

use crate::shared::Shared;
use crate::{Callback, callback, function};

/// So late a timer is when the page was hidden or held up.
const LATE: Duration = Duration::from_millis(100);
/// The wall clock goes on while the machine sleeps; the page's own clock may not.
const SLEPT: f64 = 5_000.0;

/// The page's clock: it never goes back.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    performance: Performance,
}

impl Clock {
    pub(crate) const fn new(performance: Performance) -> Self {
        Self { performance }
    }

    pub(crate) fn now(&self) -> Timestamp {
        // Milliseconds, with fractions; saturating, and never negative.
        Timestamp::from_nanos((self.performance.now() * 1_000_000.0) as u64)
    }
}

/// One `setTimeout`, set anew when the time to wait for is another.
#[derive(Debug)]
pub(crate) struct Timer {
    window: Window,
    clock: Clock,
    set: Option<(Timestamp, i32)>,
    fired: Callback,
    /// A message to ourselves comes after all that the browser holds for us already.
    behind: Option<MessageChannel>,
    _behind: Callback,
    /// How far the wall clock is ahead of ours.
    ahead: f64,
}

impl Timer {
    pub(crate) fn new(shared: &Weak<Shared>, window: Window, clock: Clock) -> Self {
        let fired = {
            let shared = shared.clone();
            callback(move |_| {
                if let Some(shared) = shared.upgrade() {
                    shared.timer_fired();
                }
            })
        };
        let looked = {
            let shared = shared.clone();
            callback(move |_| {
                if let Some(shared) = shared.upgrade() {
                    shared.timeout();
                }
            })
        };
        let behind = MessageChannel::new().ok();
        if let Some(channel) = &behind {
            channel.port1().set_onmessage(Some(function(&looked)));
        }
        let ahead = ahead(&clock);
        Self {
            window,
            clock,
            set: None,
            fired,
            behind,
            _behind: looked,
            ahead,
        }
    }

    /// Fires at `deadline`.
    pub(crate) fn set(&mut self, deadline: Option<Timestamp>) {
        if self.set.map(|(at, _)| at) == deadline {
            return;
        }
        if let Some((_, id)) = self.set.take() {
            self.window.clear_timeout_with_handle(id);
        }
        let Some(deadline) = deadline else { return };
        let wait = deadline.since(self.clock.now()).as_nanos();
        // Rounded up: one that comes too early would have to be set again.
        let wait = i32::try_from(wait.div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let fired = function(&self.fired);
        let window = &self.window;
        if let Ok(id) = window.set_timeout_with_callback_and_timeout_and_arguments_0(fired, wait) {
            self.set = Some((deadline, id));
        }
    }

    /// It has fired. `true`: what was due is to be done at once; otherwise `timeout` is called soon,
    /// after all that came while the page could not look: nobody is silent whose word waits here.
    pub(crate) fn fired(&mut self) -> bool {
        let Some((deadline, _)) = self.set.take() else {
            return true;
        };
        if self.clock.now().since(deadline) < LATE {
            return true;
        }
        let Some(channel) = &self.behind else {
            return true;
        };
        let word = wasm_bindgen::JsValue::NULL;
        channel.port2().post_message(&word).is_err()
    }

    /// Whether the machine slept since this was last asked.
    pub(crate) fn slept(&mut self) -> bool {
        let before = core::mem::replace(&mut self.ahead, ahead(&self.clock));
        self.ahead - before > SLEPT
    }
}

fn ahead(clock: &Clock) -> f64 {
    js_sys::Date::now() - clock.performance.now()
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.set(None);
        if let Some(channel) = &self.behind {
            channel.port1().close();
        }
    }
}
