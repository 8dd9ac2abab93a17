//! Codes and names: one thing, one text.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::check;
use crate::code::{CodeError, NetworkCode};
use crate::id::{NodeId, NodeIdError};
use crate::rng::Rng;

fn code() -> impl Strategy<Value = NetworkCode> {
    let lan = any::<SocketAddr>().prop_filter_map("nobody is reached there", |address| {
        NetworkCode::lan(address).ok()
    });
    prop_oneof![
        any::<[u8; 32]>().prop_map(|seed| NetworkCode::random(&mut Rng::new(seed))),
        lan,
    ]
}

#[test]
fn a_code_is_read_as_it_was_printed() {
    check((code(), any::<bool>()), |(code, lower)| {
        let shown = code.to_string();
        prop_assert_eq!(shown.parse(), Ok(code));
        let typed = if lower {
            ["\t", &shown.to_lowercase(), " \r\n"].concat()
        } else {
            shown.clone()
        };
        prop_assert_eq!(typed.parse(), Ok(code));
        if let Some(address) = code.lan_address() {
            prop_assert_eq!(NetworkCode::lan(address), Ok(code));
        }
        Ok(())
    });
}

/// One character more, less or other: the same code (case apart), another code, or an error that
/// names what is wrong.
#[test]
fn a_typing_error_is_named() {
    let characters = prop_oneof![
        prop::char::range('0', 'z'),
        Just('-'),
        Just('ä'),
        Just('\0'),
        any::<char>(),
    ];
    check(
        (code(), 0..3u8, any::<prop::sample::Index>(), characters),
        |(code, kind, place, wrong)| {
            let mut text: Vec<char> = code.to_string().chars().collect();
            let place = place.index(text.len());
            match kind {
                0 => text[place] = wrong,
                1 => text.insert(place, wrong),
                _ => drop(text.remove(place)),
            }
            let text: String = text.into_iter().collect();
            let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
            match text.parse::<NetworkCode>() {
                Ok(read) => {
                    prop_assert_eq!(read.to_string(), trimmed.to_ascii_uppercase());
                }
                Err(CodeError::Character { character }) => {
                    prop_assert!(trimmed.contains(character));
                }
                Err(CodeError::Length { length }) => {
                    prop_assert_eq!(length, trimmed.chars().count());
                    prop_assert_ne!(length, 6);
                }
                Err(CodeError::Address { address }) => {
                    let again = NetworkCode::lan(SocketAddr::new(address, 1));
                    let same = again == Err(CodeError::Address { address });
                    // In the clothes of IPv6 it is not usable, as itself it may be.
                    let dressed =
                        matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
                    prop_assert!(same || dressed, "{address}");
                }
                Err(error) => {
                    prop_assert!(trimmed.starts_with(['L', 'l']), "{error}");
                    prop_assert!(trimmed.contains('-'), "{error}");
                }
            }
            Ok(())
        },
    );
}

/// Two people can compare what they have in hand: no number is written in two ways.
#[test]
fn a_leading_zero_is_named() {
    let ports = prop_oneof![any::<u16>(), 1..40u16];
    check(
        (any::<IpAddr>(), ports, any::<bool>()),
        |(ip, number, port)| {
            let Ok(code) = NetworkCode::lan(SocketAddr::new(ip, number)) else {
                return Ok(());
            };
            let text = code.to_string();
            let place = match (port, text.strip_prefix("L6-")) {
                (true, _) => text.rfind('-').unwrap() + 1,
                (false, Some(_)) => 3,
                (false, None) => 1,
            };
            let (before, after) = text.split_at(place);
            let zero = [before, "0", after].concat();
            prop_assert_eq!(zero.parse::<NetworkCode>(), Err(CodeError::LeadingZero));
            Ok(())
        },
    );
}

#[test]
fn a_node_id_is_read_as_it_was_printed() {
    check(any::<[u8; 16]>(), |bytes| {
        let id = NodeId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        Ok(())
    });
}

#[test]
fn what_is_no_node_id_is_named() {
    check("[a-z2-7]{24,28}|[ -~]{26}|\\PC{0,40}", |text| {
        match text.parse::<NodeId>() {
            Ok(id) => prop_assert_eq!(id.to_string(), text.to_ascii_lowercase()),
            Err(NodeIdError::Length { length }) => {
                prop_assert_eq!(length, text.chars().count());
            }
            Err(NodeIdError::Character { character }) => {
                prop_assert!(text.contains(character));
                prop_assert!(!character.is_ascii_alphabetic());
            }
            Err(NodeIdError::Trailing) => prop_assert_eq!(text.len(), 26),
        }
        Ok(())
    });
}
