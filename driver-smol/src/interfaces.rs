//! The addresses of this machine, and word of their changes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::task::{Context, Poll};
use std::time::Duration;

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

/// The addresses to use. A machine that has nothing but loopback uses that in any case.
pub(crate) fn addresses(bind: Option<IpAddr>, loopback: bool) -> Vec<Address> {
    let found = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the interfaces of this machine cannot be listed");
        Vec::new()
    });
    let found = found
        .into_iter()
        .filter(|interface| interface.oper_status != if_addrs::IfOperStatus::Down)
        .map(|interface| Address {
            ip: interface.ip(),
            scope: match interface.ip() {
                IpAddr::V6(ip) if ip.is_unicast_link_local() => interface.index.unwrap_or(0),
                IpAddr::V4(_) | IpAddr::V6(_) => 0,
            },
            name: interface.name,
        })
        .collect();
    chosen(found, bind, loopback)
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

/// Tells when the addresses may have changed.
#[derive(Debug)]
pub(crate) struct Watch {
    /// `None` where the system does not let us listen: then they are looked at every few seconds.
    watcher: Option<IfWatcher>,
    timer: Timer,
    /// Whether the timer runs because something has changed.
    settling: bool,
}

/// How long addresses may go on changing before they are looked at: an interface that comes up
/// gets several.
const SETTLE: Duration = Duration::from_millis(250);

/// How often they are looked at where nobody tells of changes.
const LOOK: Duration = Duration::from_secs(5);

impl Watch {
    pub(crate) fn new() -> Self {
        let watcher = IfWatcher::new()
            .inspect_err(|error| tracing::debug!(%error, "no word of interface changes"))
            .ok();
        let timer = if watcher.is_some() {
            Timer::never()
        } else {
            Timer::after(LOOK)
        };
        Self {
            watcher,
            timer,
            settling: false,
        }
    }

    /// Has the addresses looked at soon, because a socket could not be had.
    pub(crate) fn look_again(&mut self) {
        if !self.settling {
            self.settling = true;
            self.timer.set_after(LOOK);
        }
    }

    /// Ready when the addresses are to be looked at.
    pub(crate) fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(watcher) = &mut self.watcher {
            match watcher.poll_if_event(context) {
                Poll::Ready(Ok(_)) => {
                    self.settling = true;
                    self.timer.set_after(SETTLE);
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "no more word of interface changes");
                    self.watcher = None;
                    self.timer.set_after(LOOK);
                }
                Poll::Pending => break,
            }
        }
        match std::pin::Pin::new(&mut self.timer).poll(context) {
            Poll::Ready(_) => {
                self.settling = false;
                if self.watcher.is_some() {
                    self.timer = Timer::never();
                } else {
                    self.timer.set_after(LOOK);
                }
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
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
}
