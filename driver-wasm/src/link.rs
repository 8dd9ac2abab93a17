//! A link: one `RTCPeerConnection` with its two channels.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::{ArrayBuffer, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use wattle_core::{
    Channel, ChannelMessage, Input, LinkCommand, LinkFailure, LinkId, LinkUpdate, ServerReport,
    ServerResult,
};
use web_sys::{
    MessageEvent, RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcDataChannelInit,
    RtcDataChannelState, RtcDataChannelType, RtcIceCandidateInit, RtcIceConnectionState,
    RtcPeerConnection, RtcPeerConnectionIceEvent, RtcPeerConnectionState, RtcSdpType,
    RtcSessionDescriptionInit,
};

use crate::shared::Shared;
use crate::statistics::{Statistics, statistics};
use crate::{Callback, callback, function};

/// How often the browser is asked how the search for a path goes, in milliseconds.
const LOOK: i32 = 1_000;

/// One link. Dropping it closes the connection; nothing is heard of it any more.
#[derive(Debug)]
pub(crate) struct Link {
    inner: Rc<Inner>,
    callbacks: Vec<Callback>,
    /// The `setInterval` that looks how the search for a path goes.
    looking: Option<i32>,
}

#[derive(Debug)]
struct Inner {
    id: LinkId,
    shared: Weak<Shared>,
    connection: RtcPeerConnection,
    data: RefCell<Option<RtcDataChannel>>,
    state: RefCell<Option<RtcDataChannel>>,
    /// What listens to the data channel, and to the state channel, whichever these are.
    ears: OnceCell<[Ears; 2]>,
    /// The other side makes the channels.
    takes: Cell<bool>,
    /// Both sides make the channels, each with its number.
    negotiated: Cell<bool>,
    /// What is for the data channel, while it has to wait.
    held: RefCell<Option<Vec<Vec<u8>>>>,
    connected: Cell<bool>,
    /// ICE's checks and answers that the browser had counted when it was last asked.
    heard: Cell<(u64, u64)>,
    /// Servers that did not serve.
    servers: RefCell<Vec<ServerReport>>,
}

/// What listens to a channel.
#[derive(Debug)]
struct Ears {
    open: Function,
    message: Function,
    low: Function,
    close: Function,
}

impl Link {
    /// Makes the connection; its channels come with the description.
    pub(crate) fn open(
        shared: &Weak<Shared>,
        id: LinkId,
        configuration: &RtcConfiguration,
    ) -> Result<Self, LinkFailure> {
        let connection = RtcPeerConnection::new_with_configuration(configuration)
            .map_err(|_| LinkFailure::Platform)?;
        let inner = Rc::new(Inner {
            id,
            shared: shared.clone(),
            connection,
            data: RefCell::new(None),
            state: RefCell::new(None),
            ears: OnceCell::new(),
            takes: Cell::new(false),
            negotiated: Cell::new(false),
            held: RefCell::new(None),
            connected: Cell::new(false),
            heard: Cell::new((0, 0)),
            servers: RefCell::new(Vec::new()),
        });
        let mut link = Self {
            inner,
            callbacks: Vec::new(),
            looking: None,
        };
        link.listen();
        Ok(link)
    }

    /// All that needs nobody else, for [`Rehearsal`](crate::rehearsal::Rehearsal).
    pub(crate) fn rehearse(self) {
        self.inner.negotiate_channels();
    }

    /// Carries out a command; `Open` and `Close` are our maker's.
    pub(crate) fn command(&mut self, command: LinkCommand, scratch: &mut Vec<u8>) {
        let inner = &self.inner;
        match command {
            LinkCommand::CreateOffer => {
                inner.negotiate_channels();
                inner.describe(None);
            }
            LinkCommand::AcceptOffer { sdp, .. } => {
                if !inner.takes.get() {
                    inner.negotiate_channels();
                }
                inner.describe(Some(sdp));
            }
            LinkCommand::TakeChannels => inner.takes.set(true),
            LinkCommand::MakeChannel(kind) => {
                inner.forget_negotiated();
                inner.use_channel(kind, channel(&inner.connection, kind, None));
            }
            LinkCommand::AcceptAnswer { sdp, .. } => inner.accept(&sdp),
            LinkCommand::AddCandidate(text) => inner.add_candidate(&text),
            LinkCommand::Send { channel, message } => inner.send(channel, &message, scratch),
            LinkCommand::Probe => inner.probe(),
            _ => {}
        }
    }

    /// Other STUN and TURN servers from now on.
    pub(crate) fn configure(&self, configuration: &RtcConfiguration) {
        let connection = &self.inner.connection;
        let _ = connection.set_configuration_with_configuration(configuration);
    }

    fn listen(&mut self) {
        let connection = self.inner.connection.clone();
        let heard = self.on(|inner, _, event| {
            let event: RtcPeerConnectionIceEvent = event.unchecked_into();
            // None, or an empty one: there are no more.
            if let Some(candidate) = event.candidate() {
                let text = candidate.candidate();
                if !text.is_empty() {
                    inner.tell(LinkUpdate::LocalCandidate(&text));
                }
            }
        });
        connection.set_onicecandidate(Some(&heard));
        let heard = self.on(|inner, _, event| inner.server_failed(&event));
        let _ = Reflect::set(&connection, &"onicecandidateerror".into(), &heard);
        let heard = self.on(|inner, _, _| inner.ice_changed());
        connection.set_oniceconnectionstatechange(Some(&heard));
        let heard = self.on(|inner, _, _| inner.connection_changed());
        connection.set_onconnectionstatechange(Some(&heard));
        let heard = self.on(|inner, _, event| {
            let event: RtcDataChannelEvent = event.unchecked_into();
            inner.offered(event.channel());
        });
        connection.set_ondatachannel(Some(&heard));
        let ears = Channel::ALL.map(|kind| Ears {
            open: self.on_channel(kind, |inner, kind, _| inner.opened(kind)),
            message: self.on_channel(kind, |inner, channel, event| {
                let data = event.unchecked_into::<MessageEvent>().data();
                if let Some(payload) = bytes(&data) {
                    inner.tell(LinkUpdate::Message { channel, payload });
                }
            }),
            low: self.on_channel(kind, |inner, kind, _| inner.has_left(kind)),
            close: self.on_channel(kind, |inner, _, _| inner.channel_closed()),
        });
        let _ = self.inner.ears.set(ears);
        let heard = self.on(|inner, _, _| inner.report());
        let window = web_sys::window();
        self.looking = window.and_then(|window| {
            window
                .set_interval_with_callback_and_timeout_and_arguments_0(&heard, LOOK)
                .ok()
        });
    }

    /// A function for the browser that does this as long as the link lives. (All are of one type: each type is
    /// some code in the module.)
    fn on(&mut self, call: fn(&Rc<Inner>, Channel, JsValue)) -> Function {
        self.on_channel(Channel::Data, call)
    }

    /// The same, of this channel.
    fn on_channel(&mut self, kind: Channel, call: fn(&Rc<Inner>, Channel, JsValue)) -> Function {
        let inner = Rc::downgrade(&self.inner);
        let heard = callback(move |event| {
            if let Some(inner) = inner.upgrade() {
                call(&inner, kind, event);
            }
        });
        let function = function(&heard).clone();
        self.callbacks.push(heard);
        function
    }

    /// The search for a path is over.
    pub(crate) fn stop_looking(&mut self) {
        if let (Some(id), Some(window)) = (self.looking.take(), web_sys::window()) {
            window.clear_interval_with_handle(id);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop_looking();
        let Inner { connection, .. } = &*self.inner;
        connection.set_onicecandidate(None);
        let _ = Reflect::set(connection, &"onicecandidateerror".into(), &JsValue::NULL);
        connection.set_oniceconnectionstatechange(None);
        connection.set_onconnectionstatechange(None);
        connection.set_ondatachannel(None);
        for kind in Channel::ALL {
            if let Some(channel) = self.inner.channel(kind).take() {
                listen(&channel, None);
            }
        }
        connection.close();
    }
}

impl Inner {
    /// Makes both channels as a wattle node at the other side does, too.
    fn negotiate_channels(self: &Rc<Self>) {
        for kind in Channel::ALL {
            self.use_channel(kind, channel(&self.connection, kind, Some(kind.id())));
        }
        self.negotiated.set(true);
    }

    /// The other side knows nothing of them, but the browser says that they are open, and takes what is
    /// sent over them.
    fn forget_negotiated(&self) {
        if self.negotiated.take() {
            for kind in Channel::ALL {
                if let Some(channel) = self.channel(kind).take() {
                    listen(&channel, None);
                }
            }
        }
    }

    /// The other side made a channel.
    fn offered(self: &Rc<Self>, channel: RtcDataChannel) {
        let kind = if channel.label() == Channel::State.label() {
            Channel::State
        } else {
            Channel::Data
        };
        if self.takes.get() && self.channel(kind).borrow().is_none() {
            self.use_channel(kind, channel);
        }
    }

    /// From now on this is the one; of another nothing is heard any more.
    fn use_channel(self: &Rc<Self>, kind: Channel, channel: RtcDataChannel) {
        let ears = self.ears.get();
        let ears = ears.and_then(|ears| ears.get(usize::from(kind == Channel::State)));
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        listen(&channel, ears);
        let is_open = channel.ready_state() == RtcDataChannelState::Open;
        if let Some(old) = self.channel(kind).replace(Some(channel)) {
            listen(&old, None);
        }
        if is_open {
            self.opened(kind);
        }
    }

    /// A channel can be used. If the other side made it, nothing leaves until the browser has answered a question:
    /// Chromium (156) loses what is sent in the task in which such a channel opens, 1 to 6 times in a hundred.
    fn opened(self: &Rc<Self>, kind: Channel) {
        if self.takes.get() && kind == Channel::Data {
            self.held.borrow_mut().get_or_insert_default();
            self.ask(|inner, _| inner.release());
        }
        self.tell(LinkUpdate::ChannelOpened(kind));
    }

    fn release(&self) {
        for message in self.held.take().into_iter().flatten() {
            self.send_bytes(Channel::Data, &message);
        }
    }

    const fn channel(&self, channel: Channel) -> &RefCell<Option<RtcDataChannel>> {
        match channel {
            Channel::Data => &self.data,
            Channel::State => &self.state,
        }
    }

    fn tell(&self, update: LinkUpdate<'_>) {
        if let Some(shared) = self.shared.upgrade() {
            let link = self.id;
            shared.input(Input::Link { link, update });
        }
    }

    /// Makes and sets an offer, or an answer to this one.
    fn describe(self: &Rc<Self>, offer: Option<String>) {
        let connection = self.connection.clone();
        // Begun at once: what is asked for next has to come after it.
        let remote = offer.map(|sdp| set_remote(&connection, RtcSdpType::Offer, &sdp));
        let inner = Rc::downgrade(self);
        spawn_local(async move {
            let told = inner.clone();
            let kind = if remote.is_some() {
                RtcSdpType::Answer
            } else {
                RtcSdpType::Offer
            };
            let done = async {
                if let Some(set) = remote {
                    settled(set).await.ok_or(LinkFailure::Description)?;
                }
                let made = match kind {
                    RtcSdpType::Answer => connection.create_answer(),
                    _ => connection.create_offer(),
                };
                let made = settled(made).await.ok_or(LinkFailure::Platform)?;
                let sdp = Reflect::get(&made, &"sdp".into());
                let sdp = sdp.ok().and_then(|sdp| sdp.as_string());
                let sdp = sdp.ok_or(LinkFailure::Platform)?;
                let description = description(kind, &sdp);
                let set = connection.set_local_description(&description);
                // Candidates come from now on, and the description goes before them.
                if let Some(inner) = inner.upgrade() {
                    inner.tell(LinkUpdate::LocalDescription(&sdp));
                }
                settled(set).await.ok_or(LinkFailure::Platform)?;
                Ok(())
            };
            if let (Err(failure), Some(inner)) = (done.await, told.upgrade()) {
                inner.tell(LinkUpdate::Failed(failure));
            }
        });
    }

    fn accept(self: &Rc<Self>, sdp: &str) {
        let set = set_remote(&self.connection, RtcSdpType::Answer, sdp);
        let inner = Rc::downgrade(self);
        spawn_local(async move {
            if settled(set).await.is_none()
                && let Some(inner) = inner.upgrade()
            {
                inner.tell(LinkUpdate::Failed(LinkFailure::Description));
            }
        });
    }

    fn add_candidate(&self, text: &str) {
        let candidate = RtcIceCandidateInit::new(text);
        candidate.set_sdp_m_line_index(Some(0));
        let connection = &self.connection;
        let added = connection.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&candidate));
        // One that the browser does not like is no failure.
        spawn_local(async move {
            let _ = settled(added).await;
        });
    }

    fn send(&self, kind: Channel, message: &ChannelMessage, scratch: &mut Vec<u8>) {
        message.write_into(scratch);
        match &mut *self.held.borrow_mut() {
            Some(held) if kind == Channel::Data => held.push(scratch.clone()),
            _ => self.send_bytes(kind, scratch),
        }
    }

    fn send_bytes(&self, kind: Channel, message: &[u8]) {
        let Some(channel) = self.channel(kind).borrow().clone() else {
            return;
        };
        // It throws when the channel is closed, of which we hear in a moment.
        if channel.send_with_u8_array(message).is_ok() {
            channel.set_buffered_amount_low_threshold(channel.buffered_amount() / 2);
        }
    }

    /// What waited in a channel has fallen to half.
    fn has_left(&self, kind: Channel) {
        let Some(channel) = self.channel(kind).borrow().clone() else {
            return;
        };
        let bytes = channel.buffered_amount();
        channel.set_buffered_amount_low_threshold(bytes / 2);
        let channel = kind;
        self.tell(LinkUpdate::BufferedAmount { channel, bytes });
    }

    fn ice_changed(self: &Rc<Self>) {
        match self.connection.ice_connection_state() {
            RtcIceConnectionState::Connected | RtcIceConnectionState::Completed => {
                if self.connected.replace(true) {
                    self.tell(LinkUpdate::Alive { round_trip: None });
                } else {
                    self.tell(LinkUpdate::Connected);
                    if let Some(shared) = self.shared.upgrade() {
                        shared.stop_looking(self.id);
                    }
                }
                self.report();
            }
            RtcIceConnectionState::Disconnected => self.tell(LinkUpdate::Disconnected),
            RtcIceConnectionState::Failed => {
                self.report();
                self.tell(LinkUpdate::Failed(LinkFailure::Ice));
            }
            _ => {}
        }
    }

    fn connection_changed(&self) {
        if self.connection.connection_state() == RtcPeerConnectionState::Failed {
            // Of ICE the other event tells, where the browser says so at all.
            let failure = if self.connected.get() && self.transport_failed() {
                LinkFailure::Dtls
            } else {
                LinkFailure::Ice
            };
            self.tell(LinkUpdate::Failed(failure));
        }
    }

    /// Whether DTLS failed; a wrong fingerprint looks the same to a page.
    fn transport_failed(&self) -> bool {
        let get = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).ok();
        let state = get(&self.connection, "sctp")
            .and_then(|sctp| get(&sctp, "transport"))
            .and_then(|transport| get(&transport, "state"));
        state.is_some_and(|state| state == "failed")
    }

    fn channel_closed(&self) {
        // A failure has its own event, and is to be told as such.
        if self.connection.connection_state() == RtcPeerConnectionState::Failed {
            self.connection_changed();
        } else {
            self.tell(LinkUpdate::Closed);
        }
    }

    /// A STUN or TURN server could not be used.
    fn server_failed(&self, event: &JsValue) {
        let get = |name: &str| Reflect::get(event, &name.into()).ok();
        let url = get("url").and_then(|url| url.as_string());
        let code = get("errorCode").and_then(|code| code.as_f64());
        let (Some(url), Some(code)) = (url, code) else {
            return;
        };
        // 701: the browser's own code for a server that cannot be reached.
        let code = code as u16;
        let result = if (300..700).contains(&code) {
            ServerResult::Refused(code)
        } else {
            ServerResult::Silent
        };
        let mut servers = self.servers.borrow_mut();
        servers.retain(|known| known.url != url);
        servers.push(ServerReport { url, result });
    }

    /// Tells what the browser knows of the search for a path.
    fn report(self: &Rc<Self>) {
        self.ask(|inner, statistics| {
            let mut report = statistics.report;
            report.servers.clone_from(&inner.servers.borrow());
            inner.tell(LinkUpdate::Report(Box::new(report)));
        });
    }

    /// Looks whether anything authenticated came since we last looked: ICE goes on checking, whatever
    /// becomes of the channels.
    fn probe(self: &Rc<Self>) {
        self.ask(|inner, statistics| {
            let Statistics {
                checks,
                answers,
                round_trip,
                ..
            } = statistics;
            let (checks_before, answers_before) = inner.heard.replace((checks, answers));
            let round_trip = round_trip.filter(|_| answers > answers_before);
            if checks > checks_before || answers > answers_before {
                inner.tell(LinkUpdate::Alive { round_trip });
            }
        });
    }

    fn ask(self: &Rc<Self>, tell: fn(&Rc<Self>, Statistics)) {
        let asked = self.connection.get_stats();
        let inner = Rc::downgrade(self);
        spawn_local(async move {
            if let Some(answer) = settled(asked).await
                && let Some(inner) = inner.upgrade()
            {
                tell(&inner, statistics(answer.unchecked_ref()));
            }
        });
    }
}

/// Makes a channel: both sides with this number, or we alone, in-band.
fn channel(connection: &RtcPeerConnection, kind: Channel, id: Option<u16>) -> RtcDataChannel {
    let init = RtcDataChannelInit::new();
    if let Some(id) = id {
        init.set_negotiated(true);
        init.set_id(id);
    }
    match kind {
        Channel::Data => init.set_ordered(true),
        Channel::State => {
            init.set_ordered(false);
            init.set_max_retransmits(0);
        }
    }
    connection.create_data_channel_with_data_channel_dict(kind.label(), &init)
}

fn listen(channel: &RtcDataChannel, ears: Option<&Ears>) {
    channel.set_onopen(ears.map(|ears| &ears.open));
    channel.set_onmessage(ears.map(|ears| &ears.message));
    channel.set_onbufferedamountlow(ears.map(|ears| &ears.low));
    channel.set_onclose(ears.map(|ears| &ears.close));
}

fn description(kind: RtcSdpType, sdp: &str) -> RtcSessionDescriptionInit {
    let description = RtcSessionDescriptionInit::new(kind);
    description.set_sdp(sdp);
    description
}

fn set_remote(connection: &RtcPeerConnection, kind: RtcSdpType, sdp: &str) -> Promise {
    connection.set_remote_description(&description(kind, sdp))
}

async fn settled(promise: Promise) -> Option<JsValue> {
    JsFuture::from(promise).await.ok()
}

/// The bytes of a message; a text's are its UTF-8.
fn bytes(data: &JsValue) -> Option<bytes::Bytes> {
    if let Some(buffer) = data.dyn_ref::<ArrayBuffer>() {
        return Some(Uint8Array::new(buffer).to_vec().into());
    }
    data.as_string().map(|text| text.into_bytes().into())
}
