//! One NAT box: what it does to a datagram that leaves, and to one that comes.
//!
//! The terms are those of RFC 4787 (behaviour of NATs for UDP) and RFC 5780 (how to find it out).

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::internet::Dropped;
use crate::rng::Rng;
use crate::time::Timestamp;

/// Ports that a box gives out; those below are never taken from whoever has them (RFC 4787
/// section 4.2.1 wants the two ranges kept apart).
const FIRST_PORT: u16 = 1024;

/// How much of the other side's address a NAT looks at: to choose the outside port of what leaves
/// (*mapping*, RFC 4787 section 4.1) and to let in what comes (*filtering*, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "RFC 4787 knows these three")]
pub enum Dependence {
    /// Nothing. As a mapping: one outside port for all destinations. As a filter: anybody may
    /// answer once something was sent to anybody.
    EndpointIndependent,
    /// The address. As a mapping: one outside port per address. As a filter: whoever has an
    /// address that was sent to.
    AddressDependent,
    /// Address and port. As a mapping: an outside port per destination ("symmetric"). As a filter:
    /// exactly those endpoints that were sent to.
    AddressAndPortDependent,
}

impl Dependence {
    /// All three, in the order of RFC 4787.
    pub const ALL: [Self; 3] = [
        Self::EndpointIndependent,
        Self::AddressDependent,
        Self::AddressAndPortDependent,
    ];

    /// What of an endpoint is looked at.
    const fn part(self, endpoint: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::EndpointIndependent => None,
            Self::AddressDependent => Some(SocketAddr::new(endpoint.ip(), 0)),
            Self::AddressAndPortDependent => Some(endpoint),
        }
    }
}

/// Which outside port a new mapping gets (RFC 4787 section 4.2). A port never belongs to two
/// mappings at once: there is no port overloading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_enums,
    reason = "these three are what is found in the field"
)]
pub enum PortChoice {
    /// The inside port if it is free, else the next free one. So the *first* mapping of a socket
    /// keeps its port also on a symmetric NAT; it is the one that a STUN server sees, and no other
    /// destination will see it.
    Preserve,
    /// One after the other, from a port that the seed decides.
    Sequential,
    /// Drawn from the seed for each mapping.
    Random,
}

impl PortChoice {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Preserve, Self::Sequential, Self::Random];
}

/// How a NAT box behaves, for [`World::add_nat`](super::World::add_nat).
///
/// The default is a good home router: endpoint-independent mapping, address and port dependent
/// filtering, ports preserved, two minutes of life, hairpinning; what Linux does, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct NatConfig {
    /// How outside ports are told apart. Default: endpoint-independent.
    pub mapping: Dependence,
    /// Who may send to an outside port. Default: address and port dependent.
    ///
    /// As RFC 4787 section 5 has it, the question is whether the *inside* endpoint has sent to the
    /// sender, through whichever outside port.
    pub filtering: Dependence,
    /// Which outside port a mapping gets. Default: preserved.
    pub ports: PortChoice,
    /// How long a mapping, and a permission of the filter, live without a datagram. Default 120 s,
    /// the least that RFC 4787 allows (section 4.3); 30 s is found in the field.
    pub lifetime: Duration,
    /// Whether datagrams from outside renew them, too, and not only those from inside. Default no.
    pub inbound_refreshes: bool,
    /// Whether datagrams from inside to an outside address of the box come back in (RFC 4787
    /// section 6). Default yes.
    pub hairpin: bool,
    /// How many mappings, and how many permissions of the filter, the box can hold. When it is
    /// full, what needs a new one is dropped. Default 4096.
    pub table: u16,
    /// The filter for IPv6, which is never translated (RFC 6092); `None` lets everything in.
    /// Default: address and port dependent.
    pub ipv6: Option<Dependence>,
    /// The first three bytes of the inside addresses. Default `None`: 192.168.1 for a box on the
    /// Internet, 192.168.2 for one behind that, and so on; so the LANs of different homes have the
    /// same addresses, as they do in the world.
    pub subnet: Option<[u8; 3]>,
}

impl Default for NatConfig {
    fn default() -> Self {
        Self {
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::AddressAndPortDependent,
            ports: PortChoice::Preserve,
            lifetime: Duration::from_secs(120),
            inbound_refreshes: false,
            hairpin: true,
            table: 4096,
            ipv6: Some(Dependence::AddressAndPortDependent),
            subnet: None,
        }
    }
}

impl NatConfig {
    /// A symmetric NAT: a random outside port for each destination, which alone may answer.
    #[must_use]
    pub fn symmetric() -> Self {
        Self {
            mapping: Dependence::AddressAndPortDependent,
            ports: PortChoice::Random,
            ..Self::default()
        }
    }
}

/// An inside endpoint, and what of the destination its outside port depends on.
type Inside = (SocketAddr, Option<SocketAddr>);

#[derive(Clone, Copy, Debug)]
struct Mapping {
    port: u16,
    expires: Timestamp,
}

/// A NAT box: a pure state machine.
#[derive(Debug)]
pub(super) struct Nat {
    pub(super) config: NatConfig,
    rng: Rng,
    outside: Ipv4Addr,
    mappings: BTreeMap<Inside, Mapping>,
    by_port: BTreeMap<u16, Inside>,
    /// To whom an inside endpoint has sent; the filter lets those in, until then.
    permissions: BTreeMap<(SocketAddr, Option<SocketAddr>), Timestamp>,
    /// Ports of forgotten mappings, which nobody gets before they would have expired.
    held: BTreeMap<u16, Timestamp>,
    next_port: u16,
    blocked: bool,
    dark_until: Timestamp,
}

impl Nat {
    pub(super) fn new(config: NatConfig, rng: Rng, outside: Ipv4Addr) -> Self {
        Self {
            config,
            next_port: first_port(&rng),
            rng,
            outside,
            mappings: BTreeMap::new(),
            by_port: BTreeMap::new(),
            permissions: BTreeMap::new(),
            held: BTreeMap::new(),
            blocked: false,
            dark_until: Timestamp::ZERO,
        }
    }

    /// The IPv4 address that the outside sees.
    pub(super) const fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// Whether it lets UDP through at the moment.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), Dropped> {
        if self.blocked {
            Err(Dropped::UdpBlocked)
        } else if now < self.dark_until {
            Err(Dropped::Rebooting)
        } else {
            Ok(())
        }
    }

    /// A datagram leaves: the endpoint that the outside sees as its sender.
    pub(super) fn outbound(
        &mut self,
        now: Timestamp,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<SocketAddr, Dropped> {
        self.check(now)?;
        if from.is_ipv6() {
            if let Some(filtering) = self.config.ipv6 {
                self.permit(now, (from, filtering.part(to)))?;
            }
            return Ok(from);
        }
        let inside = (from, self.config.mapping.part(to));
        let port = self.map(now, inside)?;
        self.permit(now, (from, self.config.filtering.part(to)))?;
        Ok(SocketAddr::new(IpAddr::V4(self.outside), port))
    }

    /// A datagram comes to an outside endpoint: the inside endpoint that it is for.
    pub(super) fn inbound(
        &mut self,
        now: Timestamp,
        to: SocketAddr,
        from: SocketAddr,
    ) -> Result<SocketAddr, Dropped> {
        self.check(now)?;
        let (inside, filtering) = if to.is_ipv6() {
            let Some(filtering) = self.config.ipv6 else {
                return Ok(to);
            };
            (to, filtering)
        } else {
            let mapped = self.by_port.get(&to.port()).copied();
            let key = mapped.filter(|key| self.lives(now, key));
            (key.ok_or(Dropped::NoMapping)?.0, self.config.filtering)
        };
        let until = now.plus(self.config.lifetime);
        let permission = self.permissions.get_mut(&(inside, filtering.part(from)));
        let permission = permission.filter(|expires| **expires > now);
        let expires = permission.ok_or(Dropped::Filtered)?;
        if self.config.inbound_refreshes {
            *expires = until;
            let key = self.by_port.get(&to.port()).filter(|_| to.is_ipv4());
            if let Some(mapping) = key.and_then(|key| self.mappings.get_mut(key)) {
                mapping.expires = until;
            }
        }
        Ok(inside)
    }

    /// Whose outside endpoint this is, as far as the table knows.
    pub(super) fn owner(&self, to: SocketAddr) -> Option<SocketAddr> {
        match to {
            SocketAddr::V4(_) => self.by_port.get(&to.port()).map(|(inside, _)| *inside),
            SocketAddr::V6(_) => Some(to),
        }
    }

    /// Forgets all mappings; new ones get other ports, as long as there are any.
    pub(super) fn rebind(&mut self, now: Timestamp) {
        self.forget_expired(now);
        for (port, key) in core::mem::take(&mut self.by_port) {
            if let Some(mapping) = self.mappings.get(&key) {
                self.held.insert(port, mapping.expires);
            }
        }
        self.mappings.clear();
        self.permissions.clear();
    }

    /// Forgets everything, ports in use included, and lets nothing through until `until`.
    pub(super) fn reboot(&mut self, until: Timestamp) {
        self.mappings.clear();
        self.by_port.clear();
        self.permissions.clear();
        self.held.clear();
        self.next_port = first_port(&self.rng);
        self.dark_until = until;
    }

    /// Gets another outside address; all mappings are gone with the old one.
    pub(super) fn readdress(&mut self, now: Timestamp, outside: Ipv4Addr) {
        self.rebind(now);
        self.outside = outside;
    }

    pub(super) const fn block(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    fn lives(&self, now: Timestamp, key: &Inside) -> bool {
        self.mappings
            .get(key)
            .is_some_and(|mapping| mapping.expires > now)
    }

    /// The outside port for this, made or renewed.
    fn map(&mut self, now: Timestamp, key: Inside) -> Result<u16, Dropped> {
        let expires = now.plus(self.config.lifetime);
        if let Some(mapping) = self.mappings.get_mut(&key).filter(|old| old.expires > now) {
            mapping.expires = expires;
            return Ok(mapping.port);
        }
        self.forget_expired(now);
        if self.mappings.len() >= usize::from(self.config.table) {
            return Err(Dropped::TableFull);
        }
        let port = self.free_port(now, key).ok_or(Dropped::TableFull)?;
        self.by_port.insert(port, key);
        self.mappings.insert(key, Mapping { port, expires });
        Ok(port)
    }

    fn permit(&mut self, now: Timestamp, key: Inside) -> Result<(), Dropped> {
        let expires = now.plus(self.config.lifetime);
        if let Some(known) = self.permissions.get_mut(&key) {
            *known = expires;
            return Ok(());
        }
        if self.permissions.len() >= usize::from(self.config.table) {
            self.forget_expired(now);
        }
        if self.permissions.len() >= usize::from(self.config.table) {
            return Err(Dropped::TableFull);
        }
        self.permissions.insert(key, expires);
        Ok(())
    }

    fn forget_expired(&mut self, now: Timestamp) {
        self.mappings.retain(|_, mapping| mapping.expires > now);
        let mappings = &self.mappings;
        self.by_port.retain(|_, key| mappings.contains_key(key));
        self.permissions.retain(|_, expires| *expires > now);
        self.held.retain(|_, expires| *expires > now);
    }

    /// The port that is wanted, or the next free one.
    fn free_port(&mut self, now: Timestamp, (from, to): Inside) -> Option<u16> {
        let wanted = match self.config.ports {
            PortChoice::Preserve => from.port().max(FIRST_PORT),
            PortChoice::Sequential => self.next_port,
            PortChoice::Random => {
                // Of the seed, who and when alone: one mapping more does not change the others.
                let label = alloc::format!("{from} {to:?} {}", now.as_nanos());
                draw_port(&mut self.rng.fork(&label))
            }
        };
        let port = (wanted..=u16::MAX)
            .chain(FIRST_PORT..wanted)
            .find(|port| !self.by_port.contains_key(port) && !self.held.contains_key(port))?;
        if self.config.ports == PortChoice::Sequential {
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        }
        Some(port)
    }
}

fn first_port(rng: &Rng) -> u16 {
    draw_port(&mut rng.fork("first port"))
}

fn draw_port(rng: &mut Rng) -> u16 {
    let drawn = rng.below(u64::from(u16::MAX - FIRST_PORT) + 1);
    FIRST_PORT.saturating_add(u16::try_from(drawn).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nat(config: NatConfig) -> Nat {
        Nat::new(config, Rng::new([7; 32]), Ipv4Addr::new(198, 18, 0, 1))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn secs(n: u64) -> Timestamp {
        Timestamp::from_millis(n * 1000)
    }

    const IN: &str = "192.168.1.2:5000";
    const S: &str = "192.0.2.1:3478";
    const S_OTHER_PORT: &str = "192.0.2.1:3479";
    const T: &str = "192.0.2.2:3478";

    /// The tests of RFC 5780 section 4.3: from one socket to three destinations.
    #[test]
    fn mappings_depend_on_what_they_should() {
        for mapping in Dependence::ALL {
            for ports in PortChoice::ALL {
                let mut nat = nat(NatConfig {
                    mapping,
                    ports,
                    ..NatConfig::default()
                });
                let mut to = |to| nat.outbound(secs(0), at(IN), at(to)).unwrap();
                let seen = [to(S), to(S_OTHER_PORT), to(T)];
                assert_eq!(seen[0], to(S));
                let differ = (seen[0] != seen[1], seen[0] != seen[2]);
                let expected = match mapping {
                    Dependence::EndpointIndependent => (false, false),
                    Dependence::AddressDependent => (false, true),
                    Dependence::AddressAndPortDependent => (true, true),
                };
                assert_eq!(differ, expected, "{mapping:?} {ports:?}");
                assert_eq!(seen[0].ip(), nat.outside());
            }
        }
    }

    /// The tests of RFC 5780 section 4.4.
    #[test]
    fn filters_let_in_whom_they_should() {
        for filtering in Dependence::ALL {
            let mut nat = nat(NatConfig {
                filtering,
                ..NatConfig::default()
            });
            let outside = nat.outbound(secs(0), at(IN), at(S)).unwrap();
            let mut from = |from| nat.inbound(secs(0), outside, at(from));
            assert_eq!(from(S), Ok(at(IN)));
            let let_in = [from(S_OTHER_PORT).is_ok(), from(T).is_ok()];
            let expected = match filtering {
                Dependence::EndpointIndependent => [true, true],
                Dependence::AddressDependent => [true, false],
                Dependence::AddressAndPortDependent => [false, false],
            };
            assert_eq!(let_in, expected);
        }
    }

    #[test]
    fn ports_are_chosen_as_told() {
        let second = at("192.168.1.3:5000");
        let mut preserving = nat(NatConfig::default());
        let mut port = |from| preserving.outbound(secs(0), from, at(S)).unwrap().port();
        assert_eq!([port(at(IN)), port(second)], [5000, 5001]);
        let mut sequential = nat(NatConfig {
            ports: PortChoice::Sequential,
            ..NatConfig::symmetric()
        });
        let mut port = |to| sequential.outbound(secs(0), at(IN), to).unwrap().port();
        let first = port(at(S));
        assert_eq!(
            [port(at(T)), port(at(S_OTHER_PORT))],
            [first + 1, first + 2]
        );
        let mut random = nat(NatConfig::symmetric());
        let mut port = |to| random.outbound(secs(0), at(IN), to).unwrap().port();
        let drawn = [port(at(S)), port(at(T)), port(at(S_OTHER_PORT))];
        assert!(drawn[0].abs_diff(drawn[1]) > 1 && drawn[1].abs_diff(drawn[2]) > 1);
    }

    #[test]
    fn a_symmetric_nat_preserves_the_port_for_its_first_destination_alone() {
        let mut nat = nat(NatConfig {
            ports: PortChoice::Preserve,
            ..NatConfig::symmetric()
        });
        let mut port = |to| nat.outbound(secs(0), at(IN), at(to)).unwrap().port();
        assert_eq!([port(S), port(T), port(S)], [5000, 5001, 5000]);
    }

    #[test]
    fn what_is_not_used_expires_and_only_what_should_renews() {
        for inbound_refreshes in [false, true] {
            let mut nat = nat(NatConfig {
                inbound_refreshes,
                lifetime: Duration::from_secs(30),
                ..NatConfig::default()
            });
            let outside = nat.outbound(secs(0), at(IN), at(S)).unwrap();
            assert!(nat.inbound(secs(29), outside, at(S)).is_ok());
            let later = nat.inbound(secs(30), outside, at(S));
            let expected = if inbound_refreshes {
                Ok(at(IN))
            } else {
                Err(Dropped::NoMapping)
            };
            assert_eq!(later, expected);
            nat.outbound(secs(58), at(IN), at(T)).unwrap();
            // The mapping lives, but the permission for who did not answer does not.
            let late = nat.inbound(secs(87), outside, at(S));
            assert_eq!(late, Err(Dropped::Filtered));
            assert_eq!(nat.inbound(secs(87), outside, at(T)), Ok(at(IN)));
        }
    }

    #[test]
    fn what_expired_is_mapped_anew() {
        let mut nat = nat(NatConfig::symmetric());
        let mut port = |now| nat.outbound(secs(now), at(IN), at(S)).unwrap().port();
        let first = port(0);
        assert_eq!(port(119), first);
        assert_ne!(port(240), first);
    }

    #[test]
    fn mappings_and_permissions_each_have_their_room() {
        let (mapping, filtering) = (
            Dependence::AddressAndPortDependent,
            Dependence::EndpointIndependent,
        );
        for (mapping, filtering) in [(mapping, filtering), (filtering, mapping)] {
            let mut nat = nat(NatConfig {
                mapping,
                filtering,
                table: 2,
                ..NatConfig::default()
            });
            let sent = [S, T, S_OTHER_PORT].map(|to| nat.outbound(secs(0), at(IN), at(to)));
            assert!(sent[0].is_ok() && sent[1].is_ok());
            assert_eq!(sent[2], Err(Dropped::TableFull));
        }
    }

    #[test]
    fn a_full_table_refuses_and_recovers() {
        let mut nat = nat(NatConfig {
            table: 2,
            ..NatConfig::symmetric()
        });
        let full = Err(Dropped::TableFull);
        nat.outbound(secs(0), at(IN), at(S)).unwrap();
        nat.outbound(secs(1), at(IN), at(T)).unwrap();
        assert_eq!(nat.outbound(secs(2), at(IN), at(S_OTHER_PORT)), full);
        assert!(nat.outbound(secs(2), at(IN), at(T)).is_ok());
        assert!(nat.outbound(secs(121), at(IN), at(S_OTHER_PORT)).is_ok());
    }

    #[test]
    fn rebinding_gives_new_ports_and_rebooting_begins_anew() {
        for ports in PortChoice::ALL {
            let mut nat = nat(NatConfig {
                ports,
                ..NatConfig::default()
            });
            let old = nat.outbound(secs(0), at(IN), at(S)).unwrap();
            nat.rebind(secs(1));
            assert_eq!(nat.inbound(secs(1), old, at(S)), Err(Dropped::NoMapping));
            let new = nat.outbound(secs(1), at(IN), at(S)).unwrap();
            assert_ne!(old, new);
            nat.reboot(secs(9));
            let dark = nat.outbound(secs(8), at(IN), at(S));
            assert_eq!(dark, Err(Dropped::Rebooting));
            let again = nat.outbound(secs(9), at(IN), at(S)).unwrap();
            assert_eq!(again == old, ports != PortChoice::Random, "{ports:?}");
            // Whom it knew before is a stranger again.
            nat.reboot(secs(9));
            let outside = nat.outbound(secs(9), at(IN), at(T)).unwrap();
            let stranger = nat.inbound(secs(9), outside, at(S));
            assert_eq!(stranger, Err(Dropped::Filtered));
            nat.block(true);
            let blocked = nat.outbound(secs(9), at(IN), at(S));
            assert_eq!(blocked, Err(Dropped::UdpBlocked));
        }
    }

    #[test]
    fn ipv6_is_filtered_but_not_translated() {
        let (inside, far, other) = (
            at("[2001:db8::1]:5000"),
            at("[2001:db8::2]:5000"),
            at("[2001:db8::3]:5000"),
        );
        for ipv6 in Dependence::ALL.map(Some).into_iter().chain([None]) {
            let mut nat = nat(NatConfig {
                ipv6,
                ..NatConfig::default()
            });
            let unasked = nat.inbound(secs(0), inside, far);
            assert_eq!(unasked.is_ok(), ipv6.is_none());
            assert_eq!(nat.outbound(secs(0), inside, far), Ok(inside));
            assert_eq!(nat.inbound(secs(0), inside, far), Ok(inside));
            let stranger = nat.inbound(secs(0), inside, other).is_ok();
            let open = matches!(ipv6, None | Some(Dependence::EndpointIndependent));
            assert_eq!(stranger, open, "{ipv6:?}");
        }
    }
}
