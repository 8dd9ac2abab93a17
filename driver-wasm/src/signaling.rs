//! Connections to signaling servers: WebSockets.

use std::cell::Cell;
use std::rc::{Rc, Weak};

use wasm_bindgen::{JsCast as _, JsValue};
use wattle_core::Input;
use wattle_core::signaling::{SignalingFailure, SignalingId, SignalingUpdate};
use web_sys::{MessageEvent, WebSocket};

use crate::shared::Shared;
use crate::{Callback, callback, function};

/// One WebSocket. Dropping it closes it after what was sent; it is not heard any more.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: WebSocket,
    _callbacks: [Callback; 3],
}

impl Socket {
    /// Begins to connect.
    pub(crate) fn open(
        shared: &Weak<Shared>,
        id: SignalingId,
        url: &str,
    ) -> Result<Self, SignalingFailure> {
        // It throws for a URL that the browser does not allow: `ws:` in a page that came by `https:`.
        let socket = WebSocket::new(url).map_err(|_| SignalingFailure::Protocol)?;
        let tell = {
            let shared = shared.clone();
            move |update: SignalingUpdate<'_>| {
                if let Some(shared) = shared.upgrade() {
                    shared.input(Input::Signaling(update));
                }
            }
        };
        // A browser does not say why a connection could not be made.
        let failure = Rc::new(Cell::new(SignalingFailure::Unreachable));
        let onopen = callback({
            let (tell, failure) = (tell.clone(), Rc::clone(&failure));
            move |_| {
                failure.set(SignalingFailure::Closed);
                tell(SignalingUpdate::Opened(id));
            }
        });
        let onmessage = callback({
            let tell = tell.clone();
            move |event: JsValue| {
                let data = event.unchecked_into::<MessageEvent>().data();
                if let Some(text) = data.as_string() {
                    tell(SignalingUpdate::Frame(id, &text));
                }
            }
        });
        let onclose = callback(move |_| tell(SignalingUpdate::Closed(id, failure.get())));
        socket.set_onopen(Some(function(&onopen)));
        socket.set_onmessage(Some(function(&onmessage)));
        socket.set_onclose(Some(function(&onclose)));
        // Nothing but this comes for what the page's Content-Security-Policy forbids.
        socket.set_onerror(Some(function(&onclose)));
        Ok(Self {
            socket,
            _callbacks: [onopen, onmessage, onclose],
        })
    }

    pub(crate) fn send(&self, text: &str) {
        // It throws before it is open, which the core does not ask for.
        let _ = self.socket.send_with_str(text);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        self.socket.set_onerror(None);
        let _ = self.socket.close();
    }
}
