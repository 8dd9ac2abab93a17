//! NAT boxes in plans, and where nodes are.

use alloc::vec::Vec;
use core::time::Duration;

use super::settings::Settings as _;
use super::{Action, Plan, Timed};
use crate::sim::choices::Choices;
use crate::sim::{NatConfig, NatIndex, Place};

/// A NAT box of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Nat {
    /// In whose LAN it is: the number of an earlier box; `None`: on the Internet.
    pub behind: Option<u8>,
    /// What it does.
    pub config: NatConfig,
}

/// Where a node of a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Spot {
    /// In the LAN of which box; `None`: on the Internet.
    pub nat: Option<u8>,
    /// Which addresses it gets there.
    pub stack: Stack,
}

/// Which addresses a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth")]
pub enum Stack {
    /// IPv4 alone.
    Ipv4,
    /// Both.
    Dual,
    /// IPv6 alone.
    Ipv6,
}

/// What can happen to a NAT box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NatVerb {
    /// It forgets all its mappings.
    Rebind,
    /// It gets another outside address.
    Readdress,
    /// It lets no UDP through any more.
    Block,
    /// Undoes [`Block`](Self::Block).
    Unblock,
}

pub(super) const NAT_VERBS: [(NatVerb, &str); 4] = [
    (NatVerb::Rebind, "rebind"),
    (NatVerb::Readdress, "readdress"),
    (NatVerb::Block, "block"),
    (NatVerb::Unblock, "unblock"),
];
/// IPv4 is what is not said.
pub(super) const STACKS: [(Stack, &str); 2] = [(Stack::Dual, "dual"), (Stack::Ipv6, "ipv6")];

impl Spot {
    pub(super) fn place(self) -> Place {
        let place = Place {
            nat: self.nat.map(|nat| NatIndex(nat.into())),
            ..Place::internet()
        };
        match self.stack {
            Stack::Ipv4 => place,
            Stack::Dual => place.dual_stack(),
            Stack::Ipv6 => place.ipv6_only(),
        }
    }
}

/// A kind of trouble with boxes.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Roam,
    Verb(NatVerb),
    Block,
    Reboot,
}

const TROUBLES: [Trouble; 5] = [
    Trouble::Roam,
    Trouble::Verb(NatVerb::Rebind),
    Trouble::Verb(NatVerb::Readdress),
    Trouble::Block,
    Trouble::Reboot,
];

const MOST_NATS: u32 = 4;
const MOST_TROUBLES: u32 = 8;
/// What is found in the field, beside the two minutes of the default.
const SHORT_LIFE: Duration = Duration::from_secs(30);

/// Draws boxes, who is behind them, and what happens to them; none in most plans.
///
/// It is drawn after everything else of a plan, which is the same with and without.
pub(super) fn draw(plan: &mut Plan, choices: &mut impl Choices) {
    if !choices.chance(400) {
        return;
    }
    let mask = NatConfig::draw_mask(choices);
    for nth in 0..choices.range(1, MOST_NATS) {
        let behind = choices.below(1000) >= 700;
        let behind = behind.then(|| choices.below(nth)).filter(|_| nth > 0);
        let mut config = NatConfig::draw(choices, mask);
        if choices.chance(200) {
            config.lifetime = SHORT_LIFE;
        }
        plan.nats.push(Nat {
            behind: behind.and_then(|nat| u8::try_from(nat).ok()),
            config,
        });
    }
    let nodes = u8::try_from(plan.nodes.len()).unwrap_or(u8::MAX);
    let stacks = choices.chance(300);
    let mut first = Vec::new();
    for node in 0..nodes {
        // Whom nobody reaches has no network, so the host is on the Internet more often.
        let inside = if node == 0 { 300 } else { 600 };
        if choices.chance(inside) {
            let spot = draw_spot(plan, stacks, choices);
            let (at, action) = (Duration::ZERO, Action::Roam(node, spot));
            first.push(Timed { at, action });
        }
    }
    let weights: [u32; TROUBLES.len()] = core::array::from_fn(|_| {
        if choices.chance(400) {
            choices.range(1, 8)
        } else {
            0
        }
    });
    for _ in 0..choices.below(MOST_TROUBLES.saturating_add(1)) {
        let Some(trouble) = choices.weighted(&weights).and_then(|nth| TROUBLES.get(nth)) else {
            continue;
        };
        let at = choices.duration(Duration::ZERO, plan.heal_at);
        let nat = draw_nat(plan, choices);
        let lasts = choices.duration(Duration::from_millis(1), Duration::from_secs(20));
        let mut add = |at, action| plan.actions.push(Timed { at, action });
        match trouble {
            Trouble::Roam => {
                let node = u8::try_from(choices.below(nodes.into())).unwrap_or(0);
                let spot = if choices.chance(700) {
                    draw_spot(plan, stacks, choices)
                } else {
                    Spot {
                        nat: None,
                        stack: Stack::Ipv4,
                    }
                };
                let action = Action::Roam(node, spot);
                plan.actions.push(Timed { at, action });
            }
            Trouble::Verb(verb) => add(at, Action::Nat(*verb, nat)),
            Trouble::Block => {
                add(at, Action::Nat(NatVerb::Block, nat));
                if choices.chance(800) {
                    add(at.saturating_add(lasts), Action::Nat(NatVerb::Unblock, nat));
                }
            }
            Trouble::Reboot => add(at, Action::Reboot(nat, lasts)),
        }
    }
    plan.actions.splice(0..0, first);
}

fn draw_spot(plan: &Plan, stacks: bool, choices: &mut impl Choices) -> Spot {
    let nat = Some(draw_nat(plan, choices));
    let stack = match choices.weighted(&[5, 3, 1]) {
        Some(1) if stacks => Stack::Dual,
        Some(2) if stacks => Stack::Ipv6,
        _ => Stack::Ipv4,
    };
    Spot { nat, stack }
}

fn draw_nat(plan: &Plan, choices: &mut impl Choices) -> u8 {
    let nats = u32::try_from(plan.nats.len()).unwrap_or(u32::MAX);
    u8::try_from(choices.below(nats)).unwrap_or(0)
}
