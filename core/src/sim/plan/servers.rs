//! STUN and TURN servers in plans: what native nodes have of them, and what happens to them.

use core::time::Duration;

use super::{Action, NodeKind, Plan, Timed};
use crate::sim::Knowledge;
use crate::sim::choices::Choices;

#[cfg(feature = "native")]
use super::run::Run;
#[cfg(feature = "native")]
use crate::ice::IceServer;
#[cfg(feature = "native")]
use crate::sim::{NodeIndex, StunConfig, TurnConfig, TurnFault};
#[cfg(feature = "native")]
use alloc::format;
#[cfg(feature = "native")]
use alloc::string::String;
#[cfg(feature = "native")]
use alloc::vec::Vec;
#[cfg(feature = "native")]
use core::net::SocketAddr;

/// What can happen to a plan's TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TurnVerb {
    /// It says and relays nothing any more.
    Silence,
    /// Undoes [`Silence`](Self::Silence).
    Speak,
    /// It has forgotten all allocations.
    Restart,
    /// The credentials of before are over. Applications have new ones, and tell their nodes within a
    /// second of being awake.
    Renew,
}

pub(super) const TURN_VERBS: [(TurnVerb, &str); 4] = [
    (TurnVerb::Silence, "silence"),
    (TurnVerb::Speak, "speak"),
    (TurnVerb::Restart, "restart"),
    (TurnVerb::Renew, "renew"),
];
pub(super) const SERVERS: [(Knowledge, &str); 3] = [
    (Knowledge::Host, "none"),
    (Knowledge::Stun, "stun"),
    (Knowledge::Turn, "turn"),
];

/// So short that it has to be refreshed in most plans.
#[cfg(feature = "native")]
const LIFETIME: Duration = Duration::from_secs(30);
/// So short that refreshes meet stale ones.
#[cfg(feature = "native")]
const NONCE: Duration = Duration::from_secs(10);

const MOST_TROUBLES: u32 = 4;

/// Draws which servers there are, and what happens to them.
///
/// It is drawn after everything else of a plan, which is the same with and without.
pub(super) fn draw(plan: &mut Plan, choices: &mut impl Choices) {
    if !plan.nodes.contains(&NodeKind::Native) {
        return;
    }
    plan.servers = match choices.weighted(&[3, 3, 4]) {
        Some(1) => Knowledge::Stun,
        Some(2) => Knowledge::Turn,
        _ => Knowledge::Host,
    };
    if plan.servers != Knowledge::Turn {
        return;
    }
    for _ in 0..choices.below(MOST_TROUBLES.saturating_add(1)) {
        let at = choices.duration(Duration::ZERO, plan.heal_at);
        let lasts = choices.duration(Duration::from_millis(1), Duration::from_secs(20));
        let verb = match choices.below(3) {
            0 => TurnVerb::Silence,
            1 => TurnVerb::Restart,
            _ => TurnVerb::Renew,
        };
        let mut add = |at, verb| {
            let action = Action::Turn(verb);
            plan.actions.push(Timed { at, action });
        };
        add(at, verb);
        if verb == TurnVerb::Silence && choices.chance(800) {
            add(at.saturating_add(lasts), TurnVerb::Speak);
        }
    }
}

/// The servers of a plan that runs.
#[cfg(feature = "native")]
#[derive(Debug, Default)]
pub(super) struct Servers {
    stun: Vec<SocketAddr>,
    turn: Vec<SocketAddr>,
    config: TurnConfig,
    /// How many times the credentials were renewed.
    pub(super) renewed: u32,
}

#[cfg(feature = "native")]
impl Servers {
    /// What applications tell their nodes now.
    pub(super) fn list(&self) -> Vec<IceServer> {
        let TurnConfig {
            username, password, ..
        } = &self.config;
        let stun = self.stun.iter();
        let stun = stun.map(|address| IceServer::stun(&format!("stun:{address}")));
        let turn = self.turn.iter();
        let turn =
            turn.map(|address| IceServer::turn(&format!("turn:{address}"), username, password));
        // The text is ours.
        stun.chain(turn).filter_map(Result::ok).collect()
    }
}

#[cfg(feature = "native")]
impl Run<'_> {
    /// Starts the servers.
    pub(super) fn start_servers(&mut self) {
        if self.plan.servers >= Knowledge::Stun {
            self.servers.stun = self.world.add_stun_server(StunConfig::default()).into();
        }
        if self.plan.servers == Knowledge::Turn {
            self.servers.config = TurnConfig {
                lifetime: LIFETIME,
                nonce_lifetime: NONCE,
                ..TurnConfig::default()
            };
            let config = self.servers.config.clone();
            self.servers.turn = self.world.add_turn_server(config).into();
        }
    }

    pub(super) fn turn(&mut self, verb: TurnVerb) {
        match verb {
            TurnVerb::Silence => self.servers.config.fault = TurnFault::Silence,
            TurnVerb::Speak => self.servers.config.fault = TurnFault::None,
            TurnVerb::Restart => {
                if let Some(address) = self.servers.turn.first() {
                    self.world.restart_turn_server(*address);
                }
            }
            TurnVerb::Renew => {
                self.servers.renewed = self.servers.renewed.saturating_add(1);
                self.servers.config.password = password(self.servers.renewed);
            }
        }
        if let Some(address) = self.servers.turn.first() {
            let config = self.servers.config.clone();
            self.world.set_turn_server(*address, config);
        }
    }

    /// An application that is awake tells its node of new credentials.
    pub(super) fn tell_servers(&mut self, index: usize) {
        if self.is_asleep(index) {
            return;
        }
        let renewed = self.servers.renewed;
        if let Some(app) = self.apps.get_mut(index)
            && app.id.is_some()
            && core::mem::replace(&mut app.renewed, renewed) < renewed
        {
            let list = self.servers.list();
            self.world.set_ice_servers(NodeIndex(index), list);
        }
    }
}

#[cfg(feature = "native")]
fn password(renewed: u32) -> String {
    format!("secret {renewed}")
}
