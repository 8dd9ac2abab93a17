//! What `js/wattle.js` is made on: a node without the comforts of JavaScript.

mod interpolator;
mod options;
mod value;

use std::rc::Rc;

use bytes::Bytes;
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use wattle_core::{NetworkCode, NodeId, SendError};

use crate::network::{Hosting, Network};
pub use interpolator::Interpolator;
use value::{name, object};

/// A node, for `js/wattle.js`, which gives it the shape of JavaScript. Errors are plain objects with
/// `kind`, `message` and `remedy`.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Node {
    network: Rc<Network>,
}

#[wasm_bindgen]
impl Node {
    /// Begins to host, with this code if there is one. `take` is called with each event, one after the
    /// other: if it gives a promise, the next one waits for that.
    ///
    /// # Errors
    /// If it cannot even be tried.
    pub fn host(code: Option<String>, options: &JsValue, take: Function) -> Result<Self, JsValue> {
        let hosting = match code {
            None => Hosting::Signaling,
            Some(code) => Hosting::Code(read_code(&code)?),
        };
        let config = options::read(options).map_err(|message| usage(&message))?;
        Ok(Self::with(
            Network::start_host(hosting, config).map_err(|error| connect_error(&error))?,
            take,
        ))
    }

    /// Begins to join the network with this code.
    ///
    /// # Errors
    /// If it cannot even be tried.
    pub fn join(code: &str, options: &JsValue, take: Function) -> Result<Self, JsValue> {
        let code = read_code(code)?;
        let config = options::read(options).map_err(|message| usage(&message))?;
        Ok(Self::with(
            Network::start_join(&code, config).map_err(|error| connect_error(&error))?,
            take,
        ))
    }

    fn with(network: Network, take: Function) -> Self {
        let network = Rc::new(network);
        let events = Rc::clone(&network);
        spawn_local(async move {
            while let Some(event) = events.next_event().await {
                let taken = take.call1(&JsValue::NULL, &value::event(event));
                if let Ok(promise) = taken.and_then(JsCast::dyn_into::<Promise>) {
                    let _ = JsFuture::from(promise).await;
                }
            }
        });
        Self { network }
    }

    /// Sends a reliable message to all.
    ///
    /// # Errors
    /// As `Network::broadcast`.
    pub fn broadcast(&self, payload: &[u8]) -> Result<(), JsValue> {
        let payload = Bytes::copy_from_slice(payload);
        self.network.broadcast(payload).map_err(send_error)
    }

    /// Sends a reliable message to one.
    ///
    /// # Errors
    /// As `Network::send_to`.
    #[wasm_bindgen(js_name = sendTo)]
    pub fn send_to(&self, node: &str, payload: &[u8]) -> Result<(), JsValue> {
        let node = read_node(node)?;
        let payload = Bytes::copy_from_slice(payload);
        self.network.send_to(node, payload).map_err(send_error)
    }

    /// Sends a state to all; gives its number.
    ///
    /// # Errors
    /// As `Network::broadcast_state`.
    #[wasm_bindgen(js_name = broadcastState)]
    pub fn broadcast_state(&self, payload: &[u8]) -> Result<u32, JsValue> {
        let payload = Bytes::copy_from_slice(payload);
        self.network.broadcast_state(payload).map_err(send_error)
    }

    /// Removes a node.
    ///
    /// # Errors
    /// As `Network::kick`.
    pub fn kick(&self, node: &str) -> Result<(), JsValue> {
        self.network
            .kick(read_node(node)?)
            .map_err(|kick| error(kick.kind(), &kick.to_string(), ""))
    }

    /// Replaces the STUN and TURN servers by a list of `RTCIceServer`s.
    ///
    /// # Errors
    /// If it cannot be read.
    #[wasm_bindgen(js_name = setIceServers)]
    pub fn set_ice_servers(&self, servers: &JsValue) -> Result<(), JsValue> {
        let servers = options::ice_servers(servers).map_err(|message| usage(&message))?;
        self.network.set_ice_servers(&servers);
        Ok(())
    }

    /// Leaves; `ended` comes with the events.
    pub fn leave(&self) {
        self.network.start_leave();
    }

    /// Our own name.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> String {
        self.network.id().to_string()
    }

    /// The code, once it is known.
    #[wasm_bindgen(getter)]
    pub fn code(&self) -> Option<String> {
        self.network.code().map(|code| code.to_string())
    }

    /// All nodes in join order.
    #[wasm_bindgen(getter)]
    pub fn nodes(&self) -> js_sys::Array {
        self.network.nodes().into_iter().map(name).collect()
    }

    /// `idle`, `connecting`, `joined` or `leaving`.
    #[wasm_bindgen(getter)]
    pub fn status(&self) -> String {
        value::status(self.network.status()).to_owned()
    }

    /// How long each phase took.
    #[wasm_bindgen(getter)]
    pub fn timing(&self) -> JsValue {
        value::timing(self.network.timing())
    }

    /// Numbers.
    pub fn stats(&self) -> JsValue {
        value::stats(&self.network.stats())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The task that hands out the events holds the network, too, until it has ended.
        self.network.start_leave();
    }
}

/// A first connection within the page, in steps.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Rehearsal(crate::rehearsal::Rehearsal);

#[wasm_bindgen]
impl Rehearsal {
    /// Begins.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        // Only that it is compiled, too.
        let _ = options::read(&js_sys::Object::new());
        Self(crate::rehearsal::Rehearsal::new())
    }

    /// Goes on a little. Gives the event that one of its nodes hears, or `null`; in the end, `undefined`.
    pub fn step(&mut self) -> JsValue {
        let mut heard = JsValue::NULL;
        if self.0.step(|event| heard = value::event(event)) {
            heard
        } else {
            JsValue::UNDEFINED
        }
    }
}

fn error(kind: &str, message: &str, remedy: &str) -> JsValue {
    object(&[
        ("kind", kind.into()),
        ("message", message.into()),
        ("remedy", remedy.into()),
    ])
}

fn usage(message: &str) -> JsValue {
    error("usage", message, "")
}

fn connect_error(connect: &crate::ConnectError) -> JsValue {
    error(connect.kind(), &connect.to_string(), connect.remedy())
}

fn send_error(send: SendError) -> JsValue {
    error(send.kind(), &send.to_string(), "")
}

fn read_code(code: &str) -> Result<NetworkCode, JsValue> {
    code.trim()
        .parse()
        .map_err(|code: wattle_core::CodeError| usage(&code.to_string()))
}

fn read_node(node: &str) -> Result<NodeId, JsValue> {
    let read = node.parse();
    read.map_err(|node: wattle_core::NodeIdError| usage(&node.to_string()))
}
