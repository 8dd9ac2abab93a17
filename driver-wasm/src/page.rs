//! What becomes of the page: it goes, comes back, is connected again.

use std::rc::Weak;

use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{EventTarget, Window};

use crate::shared::Shared;
use crate::{Callback, callback, function};

/// The page's events that concern us, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Page {
    listeners: Vec<(EventTarget, &'static str, Callback)>,
}

impl Page {
    pub(crate) fn new(shared: &Weak<Shared>, window: &Window) -> Self {
        let mut page = Self {
            listeners: Vec::new(),
        };
        let mut listen = |target: &EventTarget, name, call: fn(&Shared)| {
            let shared = shared.clone();
            let heard = callback(move |_| {
                if let Some(shared) = shared.upgrade() {
                    call(&shared);
                }
            });
            let function = function(&heard);
            if target
                .add_event_listener_with_callback(name, function)
                .is_ok()
            {
                page.listeners.push((target.clone(), name, heard));
            }
        };
        // The last moment at which a page can say something; `unload` does not come on phones.
        listen(window, "pagehide", Shared::leave);
        listen(window, "online", Shared::network_changed);
        if let Some(document) = window.document() {
            // It was frozen: whether we are still where we were nobody knows.
            listen(&document, "resume", Shared::network_changed);
            // Timers are slow in a hidden page, and on time again from now on.
            listen(&document, "visibilitychange", Shared::timeout_soon);
        }
        if let Some(connection) = connection(window) {
            // From the wireless LAN to the phone's network; only some browsers tell.
            listen(&connection, "change", Shared::network_changed);
        }
        page
    }
}

/// `navigator.connection`, where there is one.
fn connection(window: &Window) -> Option<EventTarget> {
    let get = |of: &JsValue, name: &str| js_sys::Reflect::get(of, &name.into()).ok();
    let connection = get(&get(window, "navigator")?, "connection")?;
    connection.dyn_into().ok()
}

impl Drop for Page {
    fn drop(&mut self) {
        for (target, name, heard) in &self.listeners {
            let _ = target.remove_event_listener_with_callback(name, function(heard));
        }
    }
}
