//! A STUN server (RFC 8489) of a world, honest or not.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

use bytecodec::{DecodeExt as _, EncodeExt as _};
use stun_codec::rfc5389::attributes::{
    ErrorCode, Fingerprint, MessageIntegrity, UnknownAttributes, Username, XorMappedAddress,
};
use stun_codec::rfc5389::methods::BINDING;
use stun_codec::{
    Attribute as _, Message, MessageClass, MessageDecoder, MessageEncoder, RawAttribute,
};

use self::attributes::Attribute;
use crate::rng::Rng;

/// How a STUN server behaves, for [`World::add_stun_server`](super::World::add_stun_server).
///
/// The default answers at once, and the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct StunConfig {
    /// What it answers. Default: the address that it sees.
    pub answer: StunAnswer,
    /// How long it thinks. Default: not at all.
    pub pause: Duration,
    /// How many requests in a thousand it loses. Default 0.
    pub loss_per_mille: u16,
}

/// What a STUN server answers to a Binding request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StunAnswer {
    /// The address that it sees, in XOR-MAPPED-ADDRESS.
    #[default]
    Mapped,
    /// Some other address.
    Wrong(SocketAddr),
    /// An error response with this code, 300 to 599 (RFC 8489 section 14.8).
    Error(u16),
    /// A response of the right transaction that nobody can read on.
    Garbage,
    /// Bytes that are not STUN.
    Noise,
    /// Nothing.
    Silence,
}

/// The server: a pure function of its settings, its seed and how many requests came before.
#[derive(Debug)]
pub(super) struct Stun {
    pub(super) config: StunConfig,
    rng: Rng,
    requests: u64,
}

impl Stun {
    pub(super) const fn new(config: StunConfig, rng: Rng) -> Self {
        Self {
            config,
            rng,
            requests: 0,
        }
    }

    /// What to send back, and after which pause. Anything but a Binding request is not answered.
    pub(super) fn answer(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<(Duration, Bytes)> {
        let mut decoder = MessageDecoder::<Attribute>::new();
        let request = decoder.decode_from_bytes(datagram).ok()?.ok()?;
        if request.class() != MessageClass::Request || request.method() != BINDING {
            return None;
        }
        self.requests = self.requests.saturating_add(1);
        let mut draw = self.rng.fork(&alloc::format!("request {}", self.requests));
        if draw.below(1000) < self.config.loss_per_mille.into() {
            return None;
        }
        let answer = match self.config.answer {
            StunAnswer::Mapped => respond(&request, from),
            StunAnswer::Wrong(address) => respond(&request, address),
            StunAnswer::Error(code) => {
                let code = ErrorCode::new(code, String::new()).ok()?;
                refuse(&request, code, None)
            }
            StunAnswer::Garbage => {
                // A success response that claims attributes which are not there.
                let mut bytes = datagram.get(..20)?.to_vec();
                bytes.splice(..4, [0x01, 0x01, 0x00, 0x40]);
                bytes.extend(draw.bytes::<24>());
                Some(bytes)
            }
            StunAnswer::Noise => Some(draw.bytes::<40>().to_vec()),
            StunAnswer::Silence => None,
        };
        Some((self.config.pause, answer?.into()))
    }
}

/// RFC 8489 section 6.3.1: a success response with the address, or error 420 if the request has an
/// attribute that would have to be understood.
fn respond(request: &Message<Attribute>, from: SocketAddr) -> Option<Vec<u8>> {
    let unknown: Vec<_> = request
        .unknown_attributes()
        .map(RawAttribute::get_type)
        .filter(|kind| kind.is_comprehension_required())
        .collect();
    if !unknown.is_empty() {
        let code = ErrorCode::new(420, String::new()).ok()?;
        return refuse(request, code, Some(UnknownAttributes::new(unknown)));
    }
    let class = MessageClass::SuccessResponse;
    let mut response = Message::new(class, BINDING, request.transaction_id());
    response.add_attribute(XorMappedAddress::new(from));
    finish(request, response)
}

fn refuse(
    request: &Message<Attribute>,
    code: ErrorCode,
    unknown: Option<UnknownAttributes>,
) -> Option<Vec<u8>> {
    let class = MessageClass::ErrorResponse;
    let mut response = Message::new(class, BINDING, request.transaction_id());
    response.add_attribute(code);
    if let Some(unknown) = unknown {
        response.add_attribute(unknown);
    }
    finish(request, response)
}

/// With FINGERPRINT if the request had it.
fn finish(request: &Message<Attribute>, mut response: Message<Attribute>) -> Option<Vec<u8>> {
    if request.get_attribute::<Fingerprint>().is_some() {
        let fingerprint = Fingerprint::new(&response).ok()?;
        response.add_attribute(fingerprint);
    }
    MessageEncoder::new().encode_into_bytes(response).ok()
}

/// What stun_codec's macro makes. Credentials are known so that a request with them is answered, as
/// by a server that asks for none.
mod attributes {
    // The macro expects it to be there.
    use alloc::format;

    use super::{
        ErrorCode, Fingerprint, MessageIntegrity, UnknownAttributes, Username, XorMappedAddress,
    };

    stun_codec::define_attribute_enums!(
        Attribute,
        AttributeDecoder,
        AttributeEncoder,
        [
            XorMappedAddress,
            ErrorCode,
            UnknownAttributes,
            Username,
            MessageIntegrity,
            Fingerprint
        ]
    );
}

/// A Binding request, for tests.
#[cfg(test)]
pub(super) fn request(transaction: [u8; 12]) -> Vec<u8> {
    let id = stun_codec::TransactionId::new(transaction);
    let mut request = Message::new(MessageClass::Request, BINDING, id);
    let fingerprint = Fingerprint::new(&request).unwrap();
    request.add_attribute(fingerprint);
    MessageEncoder::<Attribute>::new()
        .encode_into_bytes(request)
        .unwrap()
}

/// The address in a success response, or the code of an error response, for tests.
#[cfg(test)]
pub(super) fn response(transaction: [u8; 12], datagram: &[u8]) -> Option<Result<SocketAddr, u16>> {
    let mut decoder = MessageDecoder::<Attribute>::new();
    let message = decoder.decode_from_bytes(datagram).ok()?.ok()?;
    if *message.transaction_id().as_bytes() != transaction {
        return None;
    }
    if let Some(code) = message.get_attribute::<ErrorCode>() {
        return Some(Err(code.code()));
    }
    let mapped = message.get_attribute::<XorMappedAddress>()?;
    Some(Ok(mapped.address()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 12] = *b"transaction!";

    fn ask(answer: StunAnswer, datagram: &[u8]) -> Option<Bytes> {
        let config = StunConfig {
            answer,
            ..StunConfig::default()
        };
        let mut server = Stun::new(config, Rng::new([1; 32]));
        let from = "198.18.0.1:6000".parse().unwrap();
        server.answer(from, datagram).map(|(_, bytes)| bytes)
    }

    #[test]
    fn it_tells_what_it_sees_or_what_it_was_told_to_tell() {
        let read = |answer| ask(answer, &request(ID)).and_then(|bytes| response(ID, &bytes));
        let seen = "198.18.0.1:6000".parse().unwrap();
        let wrong = "[2001:db8::7]:1".parse().unwrap();
        assert_eq!(read(StunAnswer::Mapped), Some(Ok(seen)));
        assert_eq!(read(StunAnswer::Wrong(wrong)), Some(Ok(wrong)));
        assert_eq!(read(StunAnswer::Error(500)), Some(Err(500)));
        assert_eq!(read(StunAnswer::Error(42)), None);
        assert_eq!(read(StunAnswer::Garbage), None);
        assert!(ask(StunAnswer::Garbage, &request(ID)).is_some());
        assert_eq!(read(StunAnswer::Noise), None);
        assert!(ask(StunAnswer::Noise, &request(ID)).is_some());
        assert_eq!(ask(StunAnswer::Silence, &request(ID)), None);
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_refused() {
        let id = stun_codec::TransactionId::new(ID);
        let mut with_priority =
            Message::<crate_attributes::Attribute>::new(MessageClass::Request, BINDING, id);
        with_priority.add_attribute(crate_attributes::priority());
        let bytes = MessageEncoder::new()
            .encode_into_bytes(with_priority)
            .unwrap();
        let answer = ask(StunAnswer::Mapped, &bytes).unwrap();
        assert_eq!(response(ID, &answer), Some(Err(420)));
    }

    mod crate_attributes {
        use alloc::format;
        use stun_codec::rfc5245::attributes::Priority;

        stun_codec::define_attribute_enums!(
            Attribute,
            AttributeDecoder,
            AttributeEncoder,
            [Priority]
        );

        pub(super) fn priority() -> Attribute {
            Priority::new(1).into()
        }
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let request = request(ID);
        for length in 0..request.len() {
            assert_eq!(ask(StunAnswer::Mapped, &request[..length]), None);
        }
        let answer = ask(StunAnswer::Mapped, &request).unwrap();
        assert_eq!(ask(StunAnswer::Mapped, &answer), None);
    }

    #[test]
    fn it_loses_as_many_as_told() {
        let config = StunConfig {
            loss_per_mille: 300,
            ..StunConfig::default()
        };
        let mut server = Stun::new(config, Rng::new([1; 32]));
        let from = "198.18.0.1:6000".parse().unwrap();
        let mut ask = || server.answer(from, &request(ID)).is_some();
        let answered = (0..1000).filter(|_| ask()).count();
        assert!((650..750).contains(&answered), "{answered}");
    }
}
