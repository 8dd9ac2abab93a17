//! STUN (RFC 8489) as far as we read and write it ourselves, beside str0m.
//!
//! Two readers: one that only looks (for every datagram), and the full decoder with its checks (for
//! what claims to be ours).

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

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

/// RFC 8489 section 18.3, and the experimental code of XOR-MAPPED-ADDRESS that old servers use.
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const XOR_MAPPED_ADDRESS_OLD: u16 = 0x8020;
const FINGERPRINT: u16 = 0x8028;
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// RFC 5780 section 7.4.
const OTHER_ADDRESS: u16 = 0x802c;

/// From here on an attribute that is not known may be passed over.
const OPTIONAL: u16 = 0x8000;

/// What stands in answers and says nothing to us: RFC 3489's addresses, USERNAME, the integrities,
/// UNKNOWN-ATTRIBUTES, REALM, NONCE.
const UNDERSTOOD: [u16; 12] = [
    0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0x0008, 0x000a, 0x000b, 0x0014, 0x0015, 0x001c,
];

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

/// The transaction of a message that starts as STUN does.
pub(super) fn transaction_of(datagram: &[u8]) -> Option<Transaction> {
    datagram.get(8..HEADER)?.try_into().ok()
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

/// A Binding request to a STUN server: without credentials, with FINGERPRINT.
pub(super) fn question(transaction: Transaction) -> Option<Vec<u8>> {
    let mut message = Message::<Attribute>::new(
        MessageClass::Request,
        BINDING,
        TransactionId::new(transaction),
    );
    let fingerprint = Fingerprint::new(&message).ok()?;
    message.add_attribute(fingerprint);
    MessageEncoder::new().encode_into_bytes(message).ok()
}

/// What a STUN server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The address that it sees.
    Mapped(SocketAddr),
    /// An error, 300 to 699.
    Error(u16),
}

/// Reads the answer to a [`question`]; `None`: it is malformed, its FINGERPRINT is wrong, or it has
/// something that would have to be understood (RFC 8489 section 6.3.3).
///
/// Read here and not by stun_codec, which would refuse a FINGERPRINT over padding that is not zero.
pub(super) fn read_answer(datagram: &[u8]) -> Option<Answer> {
    let kind = *datagram.first_chunk::<2>()?;
    let body = datagram.get(HEADER..)?;
    let length = u16::from_be_bytes(datagram.get(2..4)?.try_into().ok()?);
    if datagram.get(4..8)? != MAGIC_COOKIE || usize::from(length) != body.len() {
        return None;
    }
    let (mut xor_mapped, mut mapped, mut error) = (None, None, None);
    let mut rest = body;
    while !rest.is_empty() {
        let (kind, tail) = rest.split_first_chunk::<2>()?;
        let (length, tail) = tail.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let value = tail.get(..length)?;
        let after = tail.get(length.next_multiple_of(4)..)?;
        match u16::from_be_bytes(*kind) {
            XOR_MAPPED_ADDRESS | XOR_MAPPED_ADDRESS_OLD => {
                xor_mapped = xor_mapped.or(Some(address(value, datagram.get(4..HEADER)?)?));
            }
            MAPPED_ADDRESS => mapped = mapped.or(Some(address(value, &[0; 16])?)),
            ERROR_CODE => {
                let [_, _, class, number] = *value.first_chunk::<4>()?;
                let class = u16::from(class & 7);
                let is_code = (3..=6).contains(&class) && number < 100;
                let code = class * 100 + u16::from(number);
                error = error.or_else(|| is_code.then_some(code));
            }
            FINGERPRINT => {
                let covered = datagram.get(..datagram.len().checked_sub(rest.len())?)?;
                let crc = u32::from_be_bytes(value.try_into().ok()?);
                // The last attribute, RFC 8489 section 14.7.
                if !after.is_empty() || crc != crc32(covered) ^ FINGERPRINT_XOR {
                    return None;
                }
            }
            kind if kind < OPTIONAL && !UNDERSTOOD.contains(&kind) => return None,
            _ => {}
        }
        rest = after;
    }
    match kind {
        BINDING_SUCCESS => xor_mapped.or(mapped).map(Answer::Mapped),
        BINDING_ERROR => error.map(Answer::Error),
        _ => None,
    }
}

/// The other address of a server, which some tell in their answers (RFC 5780 section 7.4).
pub(super) fn other_address(answer: &[u8]) -> Option<SocketAddr> {
    address(attribute(answer, OTHER_ADDRESS)?, &[0; 16])
}

/// MAPPED-ADDRESS, or XOR-MAPPED-ADDRESS with the bytes to be XORed (RFC 8489 section 14.2).
fn address(value: &[u8], xor: &[u8]) -> Option<SocketAddr> {
    let [_, family, port @ ..] = *value.first_chunk::<4>()?;
    let xor: [u8; 16] = xor.try_into().ok()?;
    let [high, low, ..] = xor;
    let port = u16::from_be_bytes(port) ^ u16::from_be_bytes([high, low]);
    let octets = value.get(4..)?;
    let ip: IpAddr = match family {
        1 => {
            let mut octets: [u8; 4] = octets.try_into().ok()?;
            octets
                .iter_mut()
                .zip(xor)
                .for_each(|(octet, by)| *octet ^= by);
            octets.into()
        }
        2 => {
            let mut octets: [u8; 16] = octets.try_into().ok()?;
            octets
                .iter_mut()
                .zip(xor)
                .for_each(|(octet, by)| *octet ^= by);
            octets.into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// CRC-32 as in ITU V.42, which FINGERPRINT is.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    !crc
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

    /// An answer with these attributes, and with FINGERPRINT if wanted.
    fn answer(kind: [u8; 2], attributes: &[(u16, &[u8])], fingerprint: bool) -> Vec<u8> {
        let mut bytes = [&kind[..], &[0, 0], &MAGIC_COOKIE, &[7; 12]].concat();
        for (kind, value) in attributes {
            bytes.extend(kind.to_be_bytes());
            bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend(*value);
            // Any padding will do (RFC 8489 section 14).
            bytes.resize(bytes.len().next_multiple_of(4), b' ');
        }
        let length = bytes.len() - HEADER + if fingerprint { 8 } else { 0 };
        bytes[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        if fingerprint {
            let crc = crc32(&bytes) ^ FINGERPRINT_XOR;
            bytes.extend([0x80, 0x28, 0, 4]);
            bytes.extend(crc.to_be_bytes());
        }
        bytes
    }

    /// 192.0.2.1, port 32853, as in RFC 5769 section 2.2.
    const XORED: [u8; 8] = [0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    const PLAIN: [u8; 8] = [0, 1, 0x80, 0x55, 192, 0, 2, 1];

    #[test]
    fn answers_are_read() {
        let seen = Some(Answer::Mapped("192.0.2.1:32853".parse().unwrap()));
        let software = (0x8022, &b"test"[..]);
        for fingerprint in [false, true] {
            let read = |kind, attributes: &[_]| read_answer(&answer(kind, attributes, fingerprint));
            let success = |attributes: &[_]| read(BINDING_SUCCESS, attributes);
            assert_eq!(success(&[(0x20, &XORED)]), seen);
            assert_eq!(success(&[(0x8020, &XORED), software]), seen);
            assert_eq!(success(&[(1, &PLAIN)]), seen);
            // The one that no router rewrites counts.
            assert_eq!(
                success(&[(1, &[0, 1, 0, 1, 9, 9, 9, 9]), (0x20, &XORED)]),
                seen
            );
            // Padding that is not zero.
            assert_eq!(success(&[(0x8022, b"odd"), (0x20, &XORED)]), seen);
            // Something unknown that would have to be understood.
            assert_eq!(success(&[(0x7777, &[]), (0x20, &XORED)]), None);
            assert_eq!(success(&[(0x20, &XORED[..7])]), None);
            assert_eq!(success(&[(0x20, &[0, 3, 0, 0, 0, 0, 0, 0])]), None);
            assert_eq!(success(&[]), None);
            let error =
                |code: &[u8]| read_answer(&answer(BINDING_ERROR, &[(9, code)], fingerprint));
            assert_eq!(error(&[0, 0, 4, 20]), Some(Answer::Error(420)));
            assert_eq!(error(&[0, 0, 5, 0, b'!']), Some(Answer::Error(500)));
            assert_eq!(error(&[0, 0, 2, 0]), None);
            assert_eq!(error(&[0, 0, 4, 100]), None);
            assert_eq!(read(BINDING_REQUEST, &[(0x20, &XORED)]), None);
        }
        let v6 = answer(
            BINDING_SUCCESS,
            &[(
                0x20,
                &[
                    0, 2, 0x21, 0x13, 0x01, 0x13, 0xa9, 0xfa, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8,
                ],
            )],
            true,
        );
        let seen = Some(Answer::Mapped("[2001:db8::f]:1".parse().unwrap()));
        assert_eq!(read_answer(&v6), seen);
        // RFC 5769 section 2.2: made by others.
        let theirs = [
            0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
            0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74,
            0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01,
            0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99,
            0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b,
            0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
        ];
        let seen = "192.0.2.1:32853".parse().unwrap();
        assert_eq!(read_answer(&theirs), Some(Answer::Mapped(seen)));
    }

    #[test]
    fn a_fingerprint_that_is_there_must_be_right_and_last() {
        let good = answer(BINDING_SUCCESS, &[(0x20, &XORED)], true);
        for bit in 0..good.len() * 8 {
            let mut changed = good.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // Its own type may change into something that may be passed over.
            let its_type = (good.len() - 8) * 8..(good.len() - 6) * 8;
            if !its_type.contains(&bit) {
                assert_eq!(read_answer(&changed), None, "bit {bit}");
            }
        }
        let early = answer(BINDING_SUCCESS, &[(0x8028, &[0; 4]), (0x20, &XORED)], false);
        assert_eq!(read_answer(&early), None);
        for length in 0..good.len() {
            assert_eq!(read_answer(&good[..length]), None);
        }
    }

    #[test]
    fn a_question_is_a_request_that_names_nobody() {
        let question = question([7; 12]).unwrap();
        assert_eq!(question.len(), HEADER + 8);
        assert_eq!(question[..2], BINDING_REQUEST);
        let covered = question.len() - 8;
        let crc = (crc32(&question[..covered]) ^ FINGERPRINT_XOR).to_be_bytes();
        assert_eq!(question[covered + 4..], crc);
        assert_eq!(glance(&question), None);
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
