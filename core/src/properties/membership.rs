//! Who is there and what arrives, against models that a child could check.

use alloc::vec::Vec;
use bytes::Bytes;

use proptest::prelude::*;

use super::check;
use crate::config::LEAST_PIECE;
use crate::event::Route;
use crate::id::NodeId;
use crate::link::negotiation::Terms;
use crate::membership::{Delivered, Pair, Roster};
use crate::time::Timestamp;
use crate::wire::{Member, Piece, State};

const NOW: Timestamp = Timestamp::ZERO;

const TERMS: Terms = Terms {
    message: 20_000,
    window: 1_000_000,
    relay: true,
    mesh: true,
};

#[derive(Clone, Debug)]
enum Change {
    Add(u16, u8),
    Remove(u16),
    Clear,
}

/// A roster against a list.
#[test]
fn a_roster_is_a_list_without_repetitions() {
    let change = prop_oneof![
        8 => (0..12u16, 0..12u8).prop_map(|(number, node)| Change::Add(number, node)),
        4 => (0..12u16).prop_map(Change::Remove),
        1 => Just(Change::Clear),
    ];
    check(prop::collection::vec(change, 0..60), |changes| {
        let mut roster = Roster::default();
        let mut model: Vec<(u16, NodeId)> = Vec::new();
        for change in changes {
            match change {
                Change::Add(number, node) => {
                    let node = NodeId::from_bytes([node; 16]);
                    let is_new = !model.iter().any(|(n, id)| *n == number || *id == node);
                    if is_new {
                        model.push((number, node));
                    }
                    prop_assert_eq!(roster.add(Member { number, node }), is_new);
                }
                Change::Remove(number) => {
                    let left = model.iter().find(|(n, _)| *n == number).map(|(_, id)| *id);
                    model.retain(|(n, _)| *n != number);
                    prop_assert_eq!(roster.remove(number), left);
                }
                Change::Clear => {
                    model.clear();
                    roster.clear();
                }
            }
            let members: Vec<_> = roster
                .members()
                .iter()
                .map(|member| (member.number, member.node))
                .collect();
            prop_assert_eq!(&members, &model);
            prop_assert_eq!(roster.len(), model.len());
            for (number, node) in &model {
                prop_assert_eq!(roster.node(*number), Some(*node));
                prop_assert_eq!(roster.number(*node), Some(*number));
            }
        }
        Ok(())
    });
}

/// Sequences that wrap, against numbers that do not: newer is what is less than half of the numbers
/// ahead.
#[test]
fn the_newest_state_wins_across_the_wrap() {
    const HALF: i64 = 1 << 31;
    let steps = prop_oneof![-5..5i64, (HALF - 3)..=HALF, -HALF..(3 - HALF), -HALF..=HALF,];
    let start = prop_oneof![any::<u32>(), (u32::MAX - 3)..=u32::MAX, 0..3u32];
    check(
        (start, prop::collection::vec(steps, 1..60)),
        |(start, steps)| {
            let mut pair = Pair::new(TERMS);
            // Far enough from zero for the model never to pass it.
            let mut newest = i128::from(start) + (1i128 << 64);
            let mut taken = 0u64;
            let mut offered = |number: i128| {
                let sequence = (number % (1i128 << 32)) as u32;
                let payload = Bytes::copy_from_slice(&sequence.to_le_bytes());
                pair.receive_state(NOW, State { sequence, payload })
            };
            prop_assert!(offered(newest).is_some(), "the first is new");
            for step in steps {
                let number = newest + i128::from(step);
                let is_newer = (1..HALF).contains(&step);
                prop_assert_eq!(offered(number).is_some(), is_newer, "{} {}", newest, step);
                if is_newer {
                    newest = number;
                    taken += 1;
                }
            }
            let stats = pair.state_stats(NOW);
            prop_assert_eq!(stats.received, taken + 1);
            prop_assert_eq!(stats.sequence, Some((newest % (1i128 << 32)) as u32));
            Ok(())
        },
    );
}

/// A message cut anywhere where it may be cut.
fn cut(message: &Bytes, places: &[prop::sample::Index]) -> Vec<Piece> {
    let least = usize::from(LEAST_PIECE);
    let mut rest = message.clone();
    let mut pieces = Vec::new();
    let mut places = places.iter();
    loop {
        let room = rest.len().saturating_sub(least);
        let length = match places.next() {
            Some(place) if room > 0 => least + place.index(room),
            _ => rest.len(),
        };
        let total = pieces.is_empty().then_some(message.len() as u32);
        let payload = rest.split_to(length);
        pieces.push(Piece { total, payload });
        if rest.is_empty() {
            return pieces;
        }
    }
}

fn messages() -> impl Strategy<Value = Vec<(Bytes, Vec<prop::sample::Index>)>> {
    let length = prop_oneof![Just(0), 1..2000usize, 1000..1100usize, 0..20_000usize];
    let message = (length, any::<u8>()).prop_map(|(length, first)| {
        (0..length)
            .map(|place| first.wrapping_add(place as u8))
            .collect()
    });
    let places = prop::collection::vec(any::<prop::sample::Index>(), 0..8);
    prop::collection::vec((message, places), 1..12)
}

/// Reassembly against the bytes that were cut.
#[test]
fn what_was_cut_comes_together() {
    check(messages(), |messages| {
        let mut pair = Pair::new(TERMS);
        for (sequence, (message, places)) in messages.iter().enumerate() {
            let pieces = cut(message, places);
            let last = pieces.len() - 1;
            for (place, piece) in pieces.into_iter().enumerate() {
                let got = pair.receive(NOW, Route::Direct, sequence as u64, piece);
                if place < last {
                    prop_assert_eq!(got, Ok(Delivered::Partly));
                } else {
                    prop_assert_eq!(got, Ok(Delivered::Message(message.clone())));
                }
            }
        }
        Ok(())
    });
}

/// Everything comes on both ways, each in order, cut differently, mixed in any way, and one way may
/// end in the middle and begin again: every message arrives once and in order.
#[test]
fn two_ways_bring_every_message_once() {
    let mix = prop::collection::vec(0..16u8, 0..120);
    check((messages(), messages(), mix), |(messages, cuts, mix)| {
        let mut pair = Pair::with_routes(TERMS);
        let stream = |from: usize, cuts: &[(Bytes, Vec<prop::sample::Index>)]| {
            let mut all = Vec::new();
            for (sequence, (message, own)) in messages.iter().enumerate().skip(from) {
                let places = cuts.get(sequence).map_or(own, |(_, places)| places);
                let pieces = cut(message, places);
                all.extend(pieces.into_iter().map(|piece| (sequence as u64, piece)));
            }
            all.into_iter()
        };
        let mut ways = [stream(0, &[]), stream(0, &cuts)];
        let mut delivered = Vec::new();
        // What is left over in the end comes on the first way, then on the second.
        let choices = mix.into_iter().chain(core::iter::repeat_n(0, 1000));
        for choice in choices.chain(core::iter::repeat_n(1, 1000)) {
            let (which, route) = match choice % 2 {
                0 => (0, Route::Relayed),
                _ => (1, Route::Direct),
            };
            if choice >= 14 {
                // It ends, and brings again what was not acknowledged, here at the worst.
                pair.route_ended(route);
                ways[which] = stream(delivered.len(), &[]);
            }
            let Some((sequence, piece)) = ways[which].next() else {
                continue;
            };
            match pair.receive(NOW, route, sequence, piece) {
                Ok(Delivered::Message(message)) => delivered.push(message),
                Ok(Delivered::Partly | Delivered::Repeated) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
        let sent: Vec<_> = messages.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(delivered, sent);
        Ok(())
    });
}
