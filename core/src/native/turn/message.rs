//! The STUN messages of TURN, written and read.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytecodec::{DecodeExt as _, EncodeExt as _};
use stun_codec::rfc5389::attributes::{MessageIntegrity, Nonce, Realm, Username};
use stun_codec::rfc5766::attributes::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress,
};
use stun_codec::rfc5766::methods::{
    ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND,
};
use stun_codec::rfc8656::attributes::{AddressFamily, RequestedAddressFamily};
use stun_codec::{Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId};

use super::attributes::Attribute;
use super::{Credentials, Family};
use crate::native::integrity::Signed;
use crate::native::stun::Transaction;

/// UDP, in REQUESTED-TRANSPORT.
const UDP: u8 = 17;

/// How long an allocation shall last without a refresh: the default of RFC 8656 section 7.2. There are
/// servers that shorten only what is asked for (coturn), and then forget without having said when.
const LIFETIME: u32 = 600;

/// What we ask a server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A relay address.
    Allocate(Family),
    /// That the allocation stays.
    Refresh,
    /// That it ends.
    Release,
    /// That these may send to it.
    Permit(Vec<IpAddr>),
    /// A short way of writing to and reading from this one.
    Bind { number: u16, peer: SocketAddr },
}

impl Ask {
    const fn method(&self) -> Method {
        match self {
            Self::Allocate(_) => ALLOCATE,
            Self::Refresh | Self::Release => REFRESH,
            Self::Permit(_) => CREATE_PERMISSION,
            Self::Bind { .. } => CHANNEL_BIND,
        }
    }
}

/// What a server wants to see in signed requests.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) realm: Realm,
    pub(super) nonce: Nonce,
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Challenge")
            .field(&self.realm.text())
            .finish()
    }
}

/// A request, with long-term credentials (RFC 8489 section 9.2) if the server has asked for them.
/// `None` if they are too long for the protocol.
pub(super) fn request(
    transaction: Transaction,
    ask: &Ask,
    signing: Option<(&Credentials, &Challenge)>,
) -> Option<Vec<u8>> {
    let id = TransactionId::new(transaction);
    let mut message = Message::<Attribute>::new(MessageClass::Request, ask.method(), id);
    match ask {
        Ask::Allocate(family) => {
            message.add_attribute(RequestedTransport::new(UDP));
            message.add_attribute(Lifetime::from_u32(LIFETIME));
            // Servers that are older than RFC 6156 know IPv4 alone, and not this attribute.
            if *family == Family::V6 {
                message.add_attribute(RequestedAddressFamily::new(AddressFamily::V6));
            }
        }
        Ask::Refresh => message.add_attribute(Lifetime::from_u32(LIFETIME)),
        Ask::Release => message.add_attribute(Lifetime::from_u32(0)),
        Ask::Permit(peers) => {
            for peer in peers {
                // The port says nothing.
                message.add_attribute(XorPeerAddress::new(SocketAddr::new(*peer, 0)));
            }
        }
        Ask::Bind { number, peer } => {
            message.add_attribute(ChannelNumber::new(*number).ok()?);
            message.add_attribute(XorPeerAddress::new(*peer));
        }
    }
    if let Some((credentials, challenge)) = signing {
        let username = Username::new(credentials.username.clone()).ok()?;
        message.add_attribute(username.clone());
        message.add_attribute(challenge.realm.clone());
        message.add_attribute(challenge.nonce.clone());
        let integrity = MessageIntegrity::new_long_term_credential(
            &message,
            &username,
            &challenge.realm,
            &credentials.password,
        );
        message.add_attribute(integrity.ok()?);
    }
    MessageEncoder::new().encode_into_bytes(message).ok()
}

/// A Send indication: a payload to a peer that has no channel. `None` if it is too long.
pub(super) fn send_indication(
    transaction: Transaction,
    peer: SocketAddr,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let id = TransactionId::new(transaction);
    let mut message = Message::<Attribute>::new(MessageClass::Indication, SEND, id);
    message.add_attribute(XorPeerAddress::new(peer));
    message.add_attribute(Data::new(payload.to_vec()).ok()?);
    MessageEncoder::new().encode_into_bytes(message).ok()
}

/// What a server sends.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The answer to a request.
    Response(Response),
    /// A payload from a peer that has no channel.
    Data { peer: SocketAddr, payload: Vec<u8> },
}

/// The answer to a request.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) transaction: Transaction,
    /// `None`: success.
    pub(super) error: Option<u16>,
    pub(super) relayed: Option<SocketAddr>,
    pub(super) mapped: Option<SocketAddr>,
    pub(super) lifetime: Option<Duration>,
    pub(super) realm: Option<Realm>,
    pub(super) nonce: Option<Nonce>,
    pub(super) alternate: Option<SocketAddr>,
    method: u16,
    signed: Option<Signed>,
}

impl Response {
    /// Whether it answers a request of this kind.
    pub(super) fn answers(&self, ask: &Ask) -> bool {
        self.method == ask.method().as_u16()
    }

    /// Whether whoever wrote it knows our password.
    pub(super) fn is_authentic(&self, credentials: &Credentials, realm: &Realm) -> bool {
        self.signed
            .as_ref()
            .is_some_and(|signed| signed.is_by(&credentials.key(realm.text())))
    }
}

/// Reads what a server sends; `None` if it is nothing that one sends to a client.
pub(super) fn read(bytes: &[u8]) -> Option<Incoming> {
    let (header, body) = bytes.split_first_chunk::<20>()?;
    let [first, _, high, low, ..] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if first >> 6 != 0 || length != body.len() || length % 4 != 0 {
        return None;
    }
    // What is behind the signature is not signed, and not read.
    let signed = Signed::of(bytes);
    let content = signed.as_ref().map_or(bytes, Signed::content);
    let mut decoder = MessageDecoder::<Attribute>::new();
    let message = decoder.decode_from_bytes(content).ok()?.ok()?;
    match message.class() {
        MessageClass::Indication if message.method() == DATA => {
            let peer = message.get_attribute::<XorPeerAddress>()?.address();
            let payload = message.get_attribute::<Data>()?.data().to_vec();
            Some(Incoming::Data { peer, payload })
        }
        MessageClass::Request | MessageClass::Indication => None,
        MessageClass::SuccessResponse => Some(Incoming::Response(response(&message, signed))),
        MessageClass::ErrorResponse => {
            let response = response(&message, signed);
            response
                .error
                .is_some()
                .then_some(Incoming::Response(response))
        }
    }
}

fn response(message: &Message<Attribute>, signed: Option<Signed>) -> Response {
    let mut response = Response {
        transaction: *message.transaction_id().as_bytes(),
        method: message.method().as_u16(),
        signed,
        ..Response::default()
    };
    let is_error = message.class() == MessageClass::ErrorResponse;
    for attribute in message.attributes() {
        // The first of its kind counts (RFC 8489 section 14).
        match attribute {
            Attribute::ErrorCode(code) if is_error => {
                response.error.get_or_insert_with(|| code.code());
            }
            Attribute::XorRelayAddress(it) => {
                response.relayed.get_or_insert_with(|| it.address());
            }
            Attribute::XorMappedAddress(it) => {
                response.mapped.get_or_insert_with(|| it.address());
            }
            Attribute::Lifetime(it) => {
                response.lifetime.get_or_insert_with(|| it.lifetime());
            }
            Attribute::Realm(it) => {
                response.realm.get_or_insert_with(|| it.clone());
            }
            Attribute::Nonce(it) => {
                response.nonce.get_or_insert_with(|| it.clone());
            }
            Attribute::AlternateServer(it) => {
                response.alternate.get_or_insert_with(|| it.address());
            }
            Attribute::ErrorCode(_)
            | Attribute::Username(_)
            | Attribute::MessageIntegrity(_)
            | Attribute::RequestedTransport(_)
            | Attribute::RequestedAddressFamily(_)
            | Attribute::ChannelNumber(_)
            | Attribute::XorPeerAddress(_)
            | Attribute::Data(_) => {}
        }
    }
    response
}
