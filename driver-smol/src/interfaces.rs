//! The addresses of this machine, and word of their changes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use if_watch::IfEvent;
use if_watch::smol::IfWatcher;
use smol::Timer;
use wattle_core::native::is_virtual_interface;

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The interface's name.
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    /// The interface's index: a link-local IPv6 address means nothing without it.
    pub(crate) scope: u32,
}

impl Address {
    /// For binding a socket; the system picks the port.
    pub(crate) fn socket(&self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope).into(),
        }
    }
}

/// The addresses to use. A machine that has nothing but loopback uses that in any case, and one
/// that does not tell its addresses, as when files run out, has nothing to tell.
pub(crate) fn addresses(bind: Option<IpAddr>, loopback: bool) -> Vec<Address> {
    look(bind, loopback).unwrap_or_default()
}

/// The same; `None` if the system does not tell.
pub(crate) fn look(bind: Option<IpAddr>, loopback: bool) -> Option<Vec<Address>> {
    let found = if_addrs::get_if_addrs()
        .inspect_err(|error| tracing::debug!(%error, "interfaces cannot be listed"))
        .ok()?;
    let found = found
        .into_iter()
        .filter(is_up)
        .map(|interface| Address {
            ip: interface.ip(),
            scope: match interface.ip() {
                IpAddr::V6(ip) if ip.is_unicast_link_local() => interface.index.unwrap_or(0),
                IpAddr::V4(_) | IpAddr::V6(_) => 0,
            },
            name: interface.name,
        })
        .collect();
    Some(chosen(found, bind, loopback))
}

/// All addresses of this machine, used or not; `None` if the system does not tell.
pub(crate) fn assigned() -> Option<Vec<IpAddr>> {
    let found = if_addrs::get_if_addrs().ok()?;
    Some(found.iter().map(if_addrs::Interface::ip).collect())
}

/// Whether anything can be sent there: not with the cable pulled, and not over a bridge without
/// containers. On Unix a state that is not up is told as unknown.
fn is_up(interface: &if_addrs::Interface) -> bool {
    if cfg!(unix) {
        interface.is_oper_up()
    } else {
        interface.oper_status != if_addrs::IfOperStatus::Down
    }
}

fn chosen(found: Vec<Address>, bind: Option<IpAddr>, loopback: bool) -> Vec<Address> {
    if let Some(ip) = bind {
        let known = found.into_iter().find(|address| address.ip == ip);
        // An address that the list lacks may exist all the same (all of 127/8 does).
        return vec![known.unwrap_or_else(|| Address {
            name: String::new(),
            ip,
            scope: 0,
        })];
    }
    let (looped, others): (Vec<_>, Vec<_>) = found
        .into_iter()
        .filter(|address| !address.ip.is_unspecified() && !address.ip.is_multicast())
        .partition(|address| address.ip.is_loopback());
    let (local, mut chosen): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|address| is_link_local(address.ip));
    if chosen.is_empty() {
        // Two machines on one cable have nothing else.
        chosen = local;
    }
    if loopback || chosen.is_empty() {
        chosen.extend(looped);
    }
    chosen
}

/// Whether there is nothing but loopback.
pub(crate) fn only_loopback() -> bool {
    addresses(None, false)
        .iter()
        .all(|address| address.ip.is_loopback())
}

/// The address that others on the LAN most likely reach.
pub(crate) fn lan_address(addresses: &[Address]) -> Option<&Address> {
    addresses
        .iter()
        .filter(|address| match address.ip {
            IpAddr::V4(_) => true,
            // Means nothing on another machine.
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        })
        .min_by_key(|address| rank(address))
}

/// Smaller is better. The name of the interface breaks ties, so that the choice does not depend on
/// the order in which the system lists them.
fn rank(address: &Address) -> impl Ord + use<> {
    let kind = if address.ip.is_loopback() {
        4
    } else if is_link_local(address.ip) {
        3
    } else if is_virtual_interface(&address.name) {
        2
    } else {
        u8::from(!is_private(address.ip))
    };
    // IPv4 codes are shorter and are what Clayground's LAN clients read.
    (kind, address.ip.is_ipv6(), address.name.clone(), address.ip)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => Ipv6Addr::is_unique_local(&ip),
    }
}

/// Tells when to look at the addresses.
#[derive(Debug)]
pub(crate) struct Watch {
    /// `None` where the system does not let us listen: then there is the regular look alone.
    watcher: Option<IfWatcher>,
    /// The addresses that are no news: the watcher begins with all that there are.
    known: BTreeSet<IpAddr>,
    /// The next regular look, or an earlier one.
    timer: Timer,
    /// When to look at what the system has told of.
    settled: Option<Instant>,
    /// Addresses that went since the last look at what the system told.
    went: BTreeSet<IpAddr>,
    clocks: Clocks,
}

/// A time to look at the addresses, and why the network may be another even if they are the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// This machine has slept.
    pub(crate) slept: bool,
    /// These addresses went. They may have come back.
    pub(crate) went: BTreeSet<IpAddr>,
}

/// How long after the first word of a change the addresses are looked at: an interface that comes
/// up gets several.
const SETTLE: Duration = Duration::from_millis(150);

/// How often they are looked at in any case: systems do not tell of a cable that was pulled, because
/// the address stays. A look takes some 0.1 ms.
const REGULAR: Duration = Duration::from_secs(1);

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            watcher: IfWatcher::new()
                .inspect_err(|error| tracing::debug!(%error, "no word of interface changes"))
                .ok(),
            known: assigned().unwrap_or_default().into_iter().collect(),
            timer: Timer::after(REGULAR),
            settled: None,
            went: BTreeSet::new(),
            clocks: Clocks::new(Instant::now(), SystemTime::now()),
        }
    }

    /// Ready when the addresses are to be looked at.
    pub(crate) fn poll_look(&mut self, context: &mut Context<'_>) -> Poll<Look> {
        self.listen(context);
        if Pin::new(&mut self.timer).poll(context).is_pending() {
            return Poll::Pending;
        }
        let now = Instant::now();
        let slept = self.clocks.have_jumped(now, SystemTime::now());
        if slept {
            tracing::debug!("this machine has slept, or its clock was set");
        }
        let went = match self.settled.take_if(|settled| *settled <= now) {
            Some(_) => std::mem::take(&mut self.went),
            None => BTreeSet::new(),
        };
        self.set_timer(now);
        Poll::Ready(Look { slept, went })
    }

    /// Takes word of changes.
    fn listen(&mut self, context: &mut Context<'_>) {
        while let Some(watcher) = &mut self.watcher {
            match watcher.poll_if_event(context) {
                Poll::Ready(Ok(event)) => {
                    let is_news = match event {
                        IfEvent::Up(net) => self.known.insert(net.addr()),
                        IfEvent::Down(net) => {
                            self.known.remove(&net.addr());
                            self.went.insert(net.addr());
                            true
                        }
                    };
                    // Later word does not put it off.
                    if is_news && self.settled.is_none() {
                        let now = Instant::now();
                        self.settled = now.checked_add(SETTLE);
                        self.set_timer(now);
                    }
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "no more word of interface changes");
                    self.watcher = None;
                }
                Poll::Pending => break,
            }
        }
    }

    fn set_timer(&mut self, now: Instant) {
        let regular = now.checked_add(REGULAR);
        if let Some(next) = self.settled.into_iter().chain(regular).min() {
            self.timer.set_at(next);
        }
    }
}

/// Tells a machine that has slept: the wall clock goes on meanwhile, and `Instant` does not on most
/// systems. Or both do, but nobody looked for a long time: this process was stopped, too.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    steady: Instant,
    wall: SystemTime,
}

/// How far the clocks may be apart from one look to the next, and how far looks. A wall clock that
/// is set ahead by more does no harm: all that follows is that the network is looked at.
const APART: Duration = Duration::from_secs(4);

impl Clocks {
    const fn new(steady: Instant, wall: SystemTime) -> Self {
        Self { steady, wall }
    }

    /// To be asked at every look.
    fn have_jumped(&mut self, steady: Instant, wall: SystemTime) -> bool {
        let steadily = steady.saturating_duration_since(self.steady);
        // Set back: nothing is known.
        let by_wall = wall.duration_since(self.wall).unwrap_or_default();
        *self = Self::new(steady, wall);
        steadily.max(by_wall) >= REGULAR.saturating_add(APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str, ip: &str) -> Address {
        Address {
            name: name.to_owned(),
            ip: ip.parse().unwrap(),
            scope: 0,
        }
    }

    fn machine() -> Vec<Address> {
        vec![
            address("lo", "127.0.0.1"),
            address("docker0", "172.17.0.1"),
            address("tun0", "10.8.0.2"),
            address("eth0", "fe80::1"),
            address("eth0", "2001:db8::5"),
            address("eth0", "192.168.1.42"),
            address("wlan0", "192.168.1.43"),
        ]
    }

    fn names(addresses: &[Address]) -> Vec<String> {
        addresses.iter().map(|a| a.ip.to_string()).collect()
    }

    #[test]
    fn the_lan_address_is_not_a_bridge() {
        let best = |addresses: &[Address]| lan_address(addresses).map(|a| a.ip.to_string());
        assert_eq!(best(&machine()).as_deref(), Some("192.168.1.42"));
        let bridges = machine()
            .split_off(1)
            .into_iter()
            .take(2)
            .collect::<Vec<_>>();
        assert_eq!(best(&bridges).as_deref(), Some("172.17.0.1"));
        assert_eq!(best(&machine()[..1]).as_deref(), Some("127.0.0.1"));
        assert_eq!(best(&[]), None);
        let public = [address("eth0", "203.0.113.9"), address("eth1", "10.0.0.9")];
        assert_eq!(best(&public).as_deref(), Some("10.0.0.9"));
    }

    #[test]
    fn loopback_only_on_request_or_alone() {
        let chosen_names = |loopback| names(&chosen(machine(), None, loopback));
        assert!(!chosen_names(false).contains(&"127.0.0.1".to_owned()));
        assert!(chosen_names(true).contains(&"127.0.0.1".to_owned()));
        assert!(!chosen_names(true).contains(&"fe80::1".to_owned()));
        let alone = chosen(vec![address("lo", "127.0.0.1")], None, false);
        assert_eq!(names(&alone), ["127.0.0.1"]);
    }

    #[test]
    fn bind_leaves_one() {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let one = chosen(machine(), ip("10.8.0.2"), true);
        assert_eq!(one, [address("tun0", "10.8.0.2")]);
        let unknown = chosen(machine(), ip("127.0.0.9"), false);
        assert_eq!(unknown, [address("", "127.0.0.9")]);
    }

    #[test]
    fn a_sleep_is_told_from_a_wall_clock_that_is_set() {
        let (steady, wall) = (Instant::now(), SystemTime::now());
        let mut clocks = Clocks::new(steady, wall);
        let mut jumped = |steadily, by_wall: i64| {
            let steady = steady + Duration::from_millis(steadily);
            let offset = Duration::from_millis(by_wall.unsigned_abs());
            let wall = if by_wall < 0 {
                wall - offset
            } else {
                wall + offset
            };
            clocks.have_jumped(steady, wall)
        };
        assert!(!jumped(1000, 1000));
        assert!(!jumped(3000, 3100), "a busy machine");
        assert!(
            jumped(4000, 3_600_000),
            "asleep, and the steady clock stood still"
        );
        assert!(!jumped(5000, 3_601_000));
        assert!(!jumped(6000, -3_600_000), "set back");
        assert!(!jumped(7000, -3_599_000));
        assert!(
            jumped(20_000, -3_586_000),
            "asleep, or stopped, and both went on"
        );
        assert!(!jumped(21_000, -3_585_000));
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "tests/interfaces.rs"]
mod changes;
