//! STUN (RFC 8489) as far as we read and write it ourselves, beside str0m.
//!
//! Two readers: one that only looks (for every datagram), and the full decoder with its checks (for
//! what claims to be ours).

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use bytecodec::EncodeExt as _;
use stun_codec::rfc5245::attributes::{IceControlled, IceControlling, Priority};
use stun_codec::rfc5389::attributes::{Fingerprint, MessageIntegrity, Username};
use stun_codec::rfc5389::methods::BINDING;
use stun_codec::{Message, MessageClass, MessageEncoder, TransactionId};

use self::attributes::Attribute;
use super::integrity::Signed;

/// RFC 8489 section 5.
const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];

/// RFC 8489 section 14.3, RFC 8445 section 16.1.
const USERNAME: u16 = 0x0006;
const USE_CANDIDATE: u16 = 0x0025;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;

/// The 96 bits that pair a response with its request.
pub(super) type Transaction = [u8; 12];

/// The role of one side in ICE, with the tie-breaker that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Controlling(u64),
    Controlled(u64),
}

/// A STUN message, looked at but not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glance<'a> {
    /// A Binding request, with the part of USERNAME that names its receiver.
    Request { local_ufrag: &'a str },
    /// An answer to a Binding request.
    Response { transaction: Transaction },
}

/// What kind of STUN message this is; `None` if it is none that ICE uses.
pub(super) fn glance(datagram: &[u8]) -> Option<Glance<'_>> {
    let kind = datagram.first_chunk::<2>()?;
    if datagram.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    let transaction: Transaction = datagram.get(8..HEADER)?.try_into().ok()?;
    match *kind {
        BINDING_REQUEST => {
            let username = core::str::from_utf8(attribute(datagram, USERNAME)?).ok()?;
            let (local_ufrag, _) = username.split_once(':')?;
            Some(Glance::Request { local_ufrag })
        }
        BINDING_SUCCESS | BINDING_ERROR => Some(Glance::Response { transaction }),
        _ => None,
    }
}

/// The role that a Binding request of ours claims: str0m decides it and does not say.
pub(super) fn role_of(request: &[u8]) -> Option<Role> {
    if !matches!(glance(request), Some(Glance::Request { .. })) {
        return None;
    }
    let tie_breaker = |kind| {
        Some(u64::from_be_bytes(
            attribute(request, kind)?.try_into().ok()?,
        ))
    };
    tie_breaker(ICE_CONTROLLING)
        .map(Role::Controlling)
        .or_else(|| tie_breaker(ICE_CONTROLLED).map(Role::Controlled))
}

/// Whether a Binding request selects the pair that it is sent on.
pub(super) fn nominates(request: &[u8]) -> bool {
    attribute(request, USE_CANDIDATE).is_some()
}

/// The value of the first attribute of this type.
fn attribute(datagram: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = datagram.get(HEADER..)?;
    loop {
        let (kind, tail) = rest.split_first_chunk::<2>()?;
        let (length, tail) = tail.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if u16::from_be_bytes(*kind) == wanted {
            return tail.get(..length);
        }
        rest = tail.get(length.next_multiple_of(4)..)?;
    }
}

/// Whether this is a well-formed message whose MESSAGE-INTEGRITY was made with `password`.
pub(super) fn is_authentic(datagram: &[u8], password: &str) -> bool {
    glance(datagram).is_some()
        && Signed::of(datagram).is_some_and(|signed| signed.is_by(password.as_bytes()))
}

/// A Binding request as ICE wants it (RFC 8445 section 7.1), but without USE-CANDIDATE.
pub(super) fn binding_request(
    transaction: Transaction,
    username: &str,
    password: &str,
    priority: u32,
    role: Role,
) -> Option<Vec<u8>> {
    let mut message = Message::<Attribute>::new(
        MessageClass::Request,
        BINDING,
        TransactionId::new(transaction),
    );
    message.add_attribute(Username::new(String::from(username)).ok()?);
    message.add_attribute(Priority::new(priority));
    match role {
        Role::Controlling(tie_breaker) => message.add_attribute(IceControlling::new(tie_breaker)),
        Role::Controlled(tie_breaker) => message.add_attribute(IceControlled::new(tie_breaker)),
    }
    let integrity = MessageIntegrity::new_short_term_credential(&message, password).ok()?;
    message.add_attribute(integrity);
    let fingerprint = Fingerprint::new(&message).ok()?;
    message.add_attribute(fingerprint);
    MessageEncoder::new().encode_into_bytes(message).ok()
}

/// USERNAME of a request from `local` to `remote` (RFC 8445 section 7.2.2).
pub(super) fn username(remote_ufrag: &str, local_ufrag: &str) -> String {
    let mut name = remote_ufrag.to_string();
    name.push(':');
    name.push_str(local_ufrag);
    name
}

/// What stun_codec's macro makes: the attributes that we look at. All others pass through unread.
mod attributes {
    // The macro expects them to be there.
    use alloc::format;
    use alloc::string::String;

    use super::{Fingerprint, IceControlled, IceControlling, MessageIntegrity, Priority, Username};

    stun_codec::define_attribute_enums!(
        Attribute,
        AttributeDecoder,
        AttributeEncoder,
        [
            Username,
            Priority,
            IceControlled,
            IceControlling,
            MessageIntegrity,
            Fingerprint
        ]
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Vec<u8> {
        let name = username("theirs", "ours");
        binding_request([7; 12], &name, "secret", 1, Role::Controlling(42)).unwrap()
    }

    #[test]
    fn a_request_is_seen_through() {
        let request = request();
        assert_eq!(
            glance(&request),
            Some(Glance::Request {
                local_ufrag: "theirs"
            })
        );
        assert_eq!(role_of(&request), Some(Role::Controlling(42)));
        assert!(is_authentic(&request, "secret"));
        assert!(!is_authentic(&request, "Secret"));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let request = request();
        // What follows MESSAGE-INTEGRITY, here FINGERPRINT, is not covered by it.
        for bit in 0..(request.len() - 8) * 8 {
            let mut changed = request.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_authentic(&changed, "secret"), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_harmless() {
        let request = request();
        for length in 0..request.len() {
            let _ = glance(&request[..length]);
            let _ = role_of(&request[..length]);
            assert!(!is_authentic(&request[..length], "secret"));
        }
    }
}
