//! A TURN server (RFC 8656) of a world, honest or not.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

mod settings;

use bytecodec::{DecodeExt as _, EncodeExt as _};
use stun_codec::rfc5389::attributes::{
    AlternateServer, ErrorCode, MessageIntegrity, Nonce, Realm, Username, XorMappedAddress,
};
use stun_codec::rfc5389::methods::BINDING;
use stun_codec::rfc5766::attributes::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayAddress,
};
use stun_codec::rfc5766::methods::{
    ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND,
};
use stun_codec::rfc8656::attributes::{AddressFamily, RequestedAddressFamily};
use stun_codec::{Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId};

pub use self::settings::{TurnConfig, TurnFault};
use crate::native::turn::attributes::Attribute;
use crate::rng::Rng;
use crate::time::Timestamp;

/// The first port of relay addresses (RFC 8656 section 7.2).
const FIRST_PORT: u16 = 49152;

/// A datagram that the server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) pause: Duration,
    /// From which of its sockets.
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Bytes,
}

/// The server: a pure function of its settings, its seed and what came before.
#[derive(Debug)]
pub(crate) struct TurnServer {
    pub(crate) config: TurnConfig,
    rng: Rng,
    /// Where clients talk to it, IPv4 and IPv6.
    addresses: [SocketAddr; 2],
    /// How often it was started.
    life: u32,
    next_port: u16,
    received: u64,
    requests: u64,
    /// By the client's address.
    allocations: BTreeMap<SocketAddr, Allocation>,
    /// The first name that was said there, and how long it counts without an allocation.
    names: BTreeMap<SocketAddr, (String, Timestamp)>,
}

#[derive(Debug)]
struct Allocation {
    /// Where the client talks to.
    local: SocketAddr,
    relayed: SocketAddr,
    until: Timestamp,
    permissions: BTreeMap<IpAddr, Timestamp>,
    channels: BTreeMap<u16, (SocketAddr, Timestamp)>,
    /// The request that made it, and the answer: a repeated one gets it again.
    made_by: (TransactionId, Bytes),
}

/// A request that is to be answered.
struct Asked<'a> {
    now: Timestamp,
    from: SocketAddr,
    local: SocketAddr,
    request: &'a Message<Attribute>,
    is_signed: bool,
}

impl TurnServer {
    pub(crate) const fn new(config: TurnConfig, rng: Rng, addresses: [SocketAddr; 2]) -> Self {
        Self {
            config,
            rng,
            addresses,
            life: 0,
            next_port: FIRST_PORT,
            received: 0,
            requests: 0,
            allocations: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// It starts anew and has forgotten everything.
    pub(crate) fn restart(&mut self) {
        self.allocations.clear();
        self.names.clear();
        self.life = self.life.saturating_add(1);
    }

    /// How many allocations stand.
    pub(crate) fn allocations(&self, now: Timestamp) -> usize {
        let standing = self.allocations.values().filter(|it| it.until > now);
        standing.count()
    }

    /// How many requests it has taken so far.
    pub(crate) const fn requests(&self) -> u64 {
        self.requests
    }

    /// A datagram came to one of its sockets: what it sends then.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        local: SocketAddr,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Option<Sent> {
        self.allocations.retain(|_, it| it.until > now);
        if self.config.fault == TurnFault::Silence {
            return None;
        }
        if !self.addresses.contains(&local) {
            return self.relay_in(now, local, from, bytes);
        }
        self.received = self.received.saturating_add(1);
        let mut draw = self.rng.fork(&format!("message {}", self.received));
        if draw.below(1000) < self.config.loss_per_mille.into() {
            return None;
        }
        if let Some((number, payload)) = read_channel_data(bytes) {
            let allocation = self.allocations.get(&from)?;
            let (peer, until) = *allocation.channels.get(&number)?;
            return (until > now).then(|| self.relay_out(now, from, peer, payload))?;
        }
        let mut decoder = MessageDecoder::<Attribute>::new();
        let message = decoder.decode_from_bytes(bytes).ok()?.ok()?;
        match message.class() {
            MessageClass::Indication if message.method() == SEND => {
                let peer = message.get_attribute::<XorPeerAddress>()?.address();
                let payload = message.get_attribute::<Data>()?.data();
                self.relay_out(now, from, peer, payload)
            }
            MessageClass::Request => {
                self.requests = self.requests.saturating_add(1);
                let answer = self.answer(now, local, from, &message)?;
                let answer = match self.config.fault {
                    TurnFault::Garbage => {
                        // It claims attributes which are not there.
                        let header = answer.get(..20)?;
                        let mut bytes = header.to_vec();
                        bytes.extend(draw.bytes::<24>());
                        bytes.splice(2..4, [0x00, 0x18]);
                        bytes.into()
                    }
                    TurnFault::Noise => Bytes::copy_from_slice(&draw.bytes::<40>()),
                    TurnFault::None
                    | TurnFault::Silence
                    | TurnFault::Error(_)
                    | TurnFault::Redirect(_)
                    | TurnFault::StaleNonce
                    | TurnFault::BadIntegrity => answer,
                };
                Some(Sent {
                    pause: self.config.pause,
                    from: local,
                    to: from,
                    bytes: answer,
                })
            }
            MessageClass::Indication
            | MessageClass::SuccessResponse
            | MessageClass::ErrorResponse => None,
        }
    }

    /// From a client to a peer.
    fn relay_out(
        &self,
        now: Timestamp,
        client: SocketAddr,
        peer: SocketAddr,
        payload: &[u8],
    ) -> Option<Sent> {
        let allocation = self.allocations.get(&client)?;
        let permitted = allocation.permissions.get(&peer.ip())?;
        (*permitted > now).then(|| Sent {
            pause: Duration::ZERO,
            from: allocation.relayed,
            to: peer,
            bytes: Bytes::copy_from_slice(payload),
        })
    }

    /// From a peer to a client.
    fn relay_in(
        &self,
        now: Timestamp,
        relayed: SocketAddr,
        peer: SocketAddr,
        payload: &[u8],
    ) -> Option<Sent> {
        let mut allocations = self.allocations.iter();
        let (client, allocation) = allocations.find(|(_, it)| it.relayed == relayed)?;
        if *allocation.permissions.get(&peer.ip())? <= now {
            return None;
        }
        let mut channels = allocation.channels.iter();
        let channel = channels.find(|(_, (bound, until))| *bound == peer && *until > now);
        let bytes = if let Some((number, _)) = channel {
            let length = u16::try_from(payload.len()).ok()?;
            let mut bytes = Vec::from(number.to_be_bytes());
            bytes.extend(length.to_be_bytes());
            bytes.extend(payload);
            bytes
        } else {
            // Any will do: nobody answers it.
            let id = TransactionId::new([0; 12]);
            let mut message = Message::<Attribute>::new(MessageClass::Indication, DATA, id);
            message.add_attribute(XorPeerAddress::new(peer));
            message.add_attribute(Data::new(payload.to_vec()).ok()?);
            MessageEncoder::new().encode_into_bytes(message).ok()?
        };
        Some(Sent {
            pause: Duration::ZERO,
            from: allocation.local,
            to: *client,
            bytes: bytes.into(),
        })
    }

    fn answer(
        &mut self,
        now: Timestamp,
        local: SocketAddr,
        from: SocketAddr,
        request: &Message<Attribute>,
    ) -> Option<Bytes> {
        let mut asked = Asked {
            now,
            from,
            local,
            request,
            is_signed: false,
        };
        if request.method() == BINDING {
            return self.success(&asked, [XorMappedAddress::new(from).into()]);
        }
        if let TurnFault::Redirect(to) = self.config.fault
            && request.method() == ALLOCATE
        {
            return self.error(&asked, 300, [AlternateServer::new(to).into()]);
        }
        if let Err(code) = self.check(&asked) {
            if let 437 | 441 = code {
                return self.error(&asked, code, []);
            }
            let realm = Realm::new(self.config.realm.clone()).ok()?;
            let nonce = Nonce::new(format!("{:x}-{:x}", self.life, now.as_nanos())).ok()?;
            return self.error(&asked, code, [realm.into(), nonce.into()]);
        }
        asked.is_signed = true;
        let answer = match (self.config.fault, request.method()) {
            (TurnFault::Error(code), _) => Err(code),
            (_, ALLOCATE) => self.allocate(&asked),
            (_, REFRESH) => self.refresh(&asked),
            (_, CREATE_PERMISSION) => self.permit(&asked),
            (_, CHANNEL_BIND) => self.bind(&asked),
            _ => Err(400),
        };
        match answer {
            Ok(answer) => answer,
            Err(code) => self.error(&asked, code, []),
        }
    }

    /// Whether a request has the credentials that it needs (RFC 8489 section 9.2.4).
    fn check(&mut self, asked: &Asked<'_>) -> Result<(), u16> {
        let request = asked.request;
        // As coturn does it: before anybody has to say who he is.
        if request.method() == ALLOCATE
            && let Some(allocation) = self.allocations.get(&asked.from)
            && allocation.made_by.0 != request.transaction_id()
        {
            return Err(437);
        }
        let integrity = request.get_attribute::<MessageIntegrity>().ok_or(401u16)?;
        let (Some(username), Some(realm), Some(nonce)) = (
            request.get_attribute::<Username>(),
            request.get_attribute::<Realm>(),
            request.get_attribute::<Nonce>(),
        ) else {
            return Err(400);
        };
        // RFC 8656 section 5: an allocation is for who made it.
        if !self.is_name_of(asked, username.name()) {
            let is_new = request.method() == ALLOCATE;
            return Err(if is_new { 437 } else { 441 });
        }
        let fresh = nonce.value().split_once('-').is_some_and(|(life, at)| {
            let at = u64::from_str_radix(at, 16).map(Timestamp::from_nanos);
            life == format!("{:x}", self.life)
                && at.is_ok_and(|at| asked.now.since(at) <= self.config.nonce_lifetime)
        });
        if !fresh || self.config.fault == TurnFault::StaleNonce {
            return Err(438);
        }
        let is_known = username.name() == self.config.username
            && realm.text() == self.config.realm
            && integrity
                .check_long_term_credential(username, realm, &self.config.password)
                .is_ok();
        if is_known { Ok(()) } else { Err(401) }
    }

    /// Whether a client is known by this name, or by none so far.
    fn is_name_of(&mut self, asked: &Asked<'_>, name: &str) -> bool {
        let allocations = &self.allocations;
        let is_there = |from: &SocketAddr| allocations.contains_key(from);
        self.names
            .retain(|from, (_, until)| *until > asked.now || is_there(from));
        let until = asked.now.plus(self.config.name_lifetime);
        let known = self.names.entry(asked.from);
        let known = known.or_insert_with(|| (name.into(), until));
        known.1 = until;
        known.0 == name
    }

    fn allocate(&mut self, asked: &Asked<'_>) -> Result<Option<Bytes>, u16> {
        let request = asked.request;
        if let Some(allocation) = self.allocations.get(&asked.from) {
            // It is the same request again: `check` has looked.
            return Ok(Some(allocation.made_by.1.clone()));
        }
        let transport = request.get_attribute::<RequestedTransport>();
        match transport.map(RequestedTransport::protocol) {
            Some(17) => {}
            Some(_) => return Err(442),
            None => return Err(400),
        }
        let family = request.get_attribute::<RequestedAddressFamily>();
        let family = family.map_or(AddressFamily::V4, RequestedAddressFamily::address_family);
        let [v4, v6] = self.addresses;
        let ip = match family {
            AddressFamily::V4 => v4.ip(),
            AddressFamily::V6 if self.config.ipv6 => v6.ip(),
            AddressFamily::V6 => return Err(440),
        };
        let count = u32::try_from(self.allocations.len()).unwrap_or(u32::MAX);
        if count >= self.config.quota {
            return Err(486);
        }
        if count >= self.config.capacity {
            return Err(508);
        }
        let relayed = self.free_address(ip).ok_or(508u16)?;
        let granted = self.granted(request);
        let lifetime = Lifetime::new(granted).map_err(|_| 500u16)?;
        let answer = self.success(
            asked,
            [
                XorRelayAddress::new(relayed).into(),
                XorMappedAddress::new(asked.from).into(),
                lifetime.into(),
            ],
        );
        let allocation = Allocation {
            local: asked.local,
            relayed,
            until: asked.now.plus(granted),
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            made_by: (request.transaction_id(), answer.clone().unwrap_or_default()),
        };
        self.allocations.insert(asked.from, allocation);
        Ok(answer)
    }

    /// A relay address that is free, and was not given lately.
    fn free_address(&mut self, ip: IpAddr) -> Option<SocketAddr> {
        for _ in FIRST_PORT..=u16::MAX {
            let address = SocketAddr::new(ip, self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            if self.allocations.values().all(|it| it.relayed != address) {
                return Some(address);
            }
        }
        None
    }

    fn refresh(&mut self, asked: &Asked<'_>) -> Result<Option<Bytes>, u16> {
        let lifetime = self.granted(asked.request);
        let wanted = asked.request.get_attribute::<Lifetime>();
        let is_end = wanted.is_some_and(|it| it.lifetime().is_zero());
        let allocation = self.allocations.get_mut(&asked.from).ok_or(437u16)?;
        allocation.until = asked.now.plus(lifetime);
        if is_end {
            self.allocations.remove(&asked.from);
        }
        let lifetime = Lifetime::new(lifetime).map_err(|_| 500u16)?;
        Ok(self.success(asked, [lifetime.into()]))
    }

    /// How long what is asked for may last.
    fn granted(&self, request: &Message<Attribute>) -> Duration {
        let wanted = request.get_attribute::<Lifetime>();
        wanted.map_or(Duration::from_secs(600), |wanted| {
            wanted.lifetime().min(self.config.lifetime)
        })
    }

    /// Whether the relay sends to this peer.
    fn may_send_to(&self, asked: &Asked<'_>, peer: IpAddr) -> Result<(), u16> {
        let allocation = self.allocations.get(&asked.from).ok_or(437u16)?;
        if allocation.relayed.is_ipv4() != peer.is_ipv4() {
            return Err(443);
        }
        if self.config.forbidden.contains(&peer) {
            return Err(403);
        }
        Ok(())
    }

    fn permit(&mut self, asked: &Asked<'_>) -> Result<Option<Bytes>, u16> {
        let mut peers = Vec::new();
        for attribute in asked.request.attributes() {
            if let Attribute::XorPeerAddress(peer) = attribute {
                self.may_send_to(asked, peer.address().ip())?;
                peers.push(peer.address().ip());
            }
        }
        if peers.is_empty() {
            return Err(400);
        }
        let until = asked.now.plus(self.config.permission_lifetime);
        if let Some(allocation) = self.allocations.get_mut(&asked.from) {
            allocation
                .permissions
                .extend(peers.into_iter().map(|peer| (peer, until)));
        }
        Ok(self.success(asked, []))
    }

    fn bind(&mut self, asked: &Asked<'_>) -> Result<Option<Bytes>, u16> {
        let peer = asked.request.get_attribute::<XorPeerAddress>();
        let number = asked.request.get_attribute::<ChannelNumber>();
        let (Some(peer), Some(number)) = (peer, number) else {
            return Err(400);
        };
        let (peer, number) = (peer.address(), number.value());
        self.may_send_to(asked, peer.ip())?;
        let channel_until = asked.now.plus(self.config.channel_lifetime);
        let permitted_until = asked.now.plus(self.config.permission_lifetime);
        let allocation = self.allocations.get_mut(&asked.from).ok_or(437u16)?;
        allocation
            .channels
            .retain(|_, (_, until)| *until > asked.now);
        let clashes = |(other, (bound, _)): (&u16, &(SocketAddr, Timestamp))| {
            (*other == number) != (*bound == peer)
        };
        if allocation.channels.iter().any(clashes) {
            return Err(400);
        }
        allocation.channels.insert(number, (peer, channel_until));
        allocation.permissions.insert(peer.ip(), permitted_until);
        Ok(self.success(asked, []))
    }

    fn success<const N: usize>(
        &self,
        asked: &Asked<'_>,
        attributes: [Attribute; N],
    ) -> Option<Bytes> {
        self.write(asked, MessageClass::SuccessResponse, attributes)
    }

    fn error<const N: usize>(
        &self,
        asked: &Asked<'_>,
        code: u16,
        attributes: [Attribute; N],
    ) -> Option<Bytes> {
        let code = ErrorCode::new(code, String::new()).ok()?;
        let attributes = core::iter::once(code.into()).chain(attributes);
        self.write(asked, MessageClass::ErrorResponse, attributes)
    }

    fn write(
        &self,
        asked: &Asked<'_>,
        class: MessageClass,
        attributes: impl IntoIterator<Item = Attribute>,
    ) -> Option<Bytes> {
        let request = asked.request;
        let method: Method = request.method();
        let mut message = Message::<Attribute>::new(class, method, request.transaction_id());
        for attribute in attributes {
            message.add_attribute(attribute);
        }
        if asked.is_signed {
            let password = if self.config.fault == TurnFault::BadIntegrity {
                "somebody else's"
            } else {
                &self.config.password
            };
            let integrity = MessageIntegrity::new_long_term_credential(
                &message,
                &Username::new(self.config.username.clone()).ok()?,
                &Realm::new(self.config.realm.clone()).ok()?,
                password,
            );
            message.add_attribute(integrity.ok()?);
        }
        let bytes = MessageEncoder::new().encode_into_bytes(message).ok()?;
        Some(bytes.into())
    }
}

fn read_channel_data(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let [a @ 0x40..=0x4f, b, c, d] = *bytes.first_chunk::<4>()? else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([c, d]));
    let payload = bytes.get(4..)?.get(..length)?;
    Some((u16::from_be_bytes([a, b]), payload))
}
