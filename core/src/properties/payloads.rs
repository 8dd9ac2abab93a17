//! Signaling payloads: what was written is read as it was, whatever the texts in it.

use alloc::string::String;

use proptest::prelude::*;

use super::check;
use crate::event::Refusal;
use crate::id::NodeId;
use crate::json::quoted;
use crate::link::negotiation::{self, Admission, OfferHello, Terms, Verdict};
use crate::signaling::{RelayedKind, read_relayed, write_relayed};
use crate::wire::Version;

fn version() -> impl Strategy<Value = Version> {
    (any::<u16>(), any::<u16>()).prop_map(|(major, minor)| Version { major, minor })
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 16]>().prop_map(NodeId::from_bytes)
}

/// Descriptions and names: any text, also with what JSON must escape.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\"\\\\\u{0}-\u{1f}\u{2028}a/]{0,20}"]
}

#[test]
fn offers_come_back() {
    check(
        (
            text(),
            text(),
            version(),
            node(),
            any::<bool>(),
            any::<Option<u16>>(),
        ),
        |(sdp, connection, version, node, native, resume)| {
            let hello = OfferHello {
                version,
                node,
                native,
                resume,
            };
            let read = negotiation::read_offer(&negotiation::offer(&sdp, &connection, &hello));
            let read = read.unwrap();
            prop_assert_eq!(read.sdp, sdp);
            prop_assert_eq!(read.connection_id, connection);
            prop_assert_eq!(read.hello, Some(hello));
            Ok(())
        },
    );
}

#[test]
fn answers_come_back() {
    let terms = (any::<u32>(), any::<u32>(), any::<bool>(), any::<bool>());
    check(
        (
            text(),
            text(),
            version(),
            node(),
            any::<u32>(),
            terms,
            any::<bool>(),
        ),
        |(sdp, connection, version, host, epoch, (message, window, relay, mesh), led)| {
            let admission = Admission {
                sdp,
                version,
                host,
                epoch,
                terms: Terms {
                    message,
                    window,
                    relay,
                    mesh,
                },
                led,
            };
            let read = negotiation::read_answer(&negotiation::answer(&connection, &admission));
            let read = read.unwrap();
            prop_assert_eq!(read.connection_id, connection);
            prop_assert_eq!(read.verdict, Verdict::Admitted(admission));
            Ok(())
        },
    );
}

#[test]
fn refusals_come_back() {
    let reasons = prop::sample::select(alloc::vec![
        Refusal::NetworkFull,
        Refusal::NodeIdTaken,
        Refusal::Version,
        Refusal::TooManyAttempts,
        Refusal::BadOffer,
    ]);
    check((text(), reasons), |(connection, reason)| {
        let read = negotiation::read_answer(&negotiation::refusal(&connection, reason));
        let read = read.unwrap();
        prop_assert_eq!(read.connection_id, connection);
        prop_assert_eq!(read.verdict, Verdict::Refused(Version::OURS, Some(reason)));
        Ok(())
    });
}

#[test]
fn candidates_and_leaves_come_back() {
    check((text(), text()), |(connection, candidate)| {
        let payload = negotiation::candidate(&connection, &candidate);
        let read = negotiation::read_candidate(&payload).unwrap();
        prop_assert_eq!(&read.connection_id, &connection);
        prop_assert_eq!(read.candidate, candidate);
        let payload = negotiation::leave(&connection);
        prop_assert_eq!(negotiation::read_leave(&payload), Some(connection));
        Ok(())
    });
}

/// As a server passes it on, with the sender's id in it.
#[test]
fn frames_come_back_from_a_server() {
    let kinds = prop::sample::select(alloc::vec![
        RelayedKind::Offer,
        RelayedKind::Answer,
        RelayedKind::Candidate,
        RelayedKind::Leave,
    ]);
    check((kinds, text(), text()), |(kind, sender, connection)| {
        let frame = write_relayed(kind, "us", &negotiation::leave(&connection));
        let from = quoted(&sender);
        let passed = frame.replacen("\"dst\"", &["\"src\":", &from, ",\"dst\""].concat(), 1);
        let read = read_relayed(&passed).unwrap();
        prop_assert_eq!(read.kind, kind);
        prop_assert_eq!(read.peer, sender);
        prop_assert_eq!(negotiation::read_leave(&read.payload), Some(connection));
        Ok(())
    });
}
