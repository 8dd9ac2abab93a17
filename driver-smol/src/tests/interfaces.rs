//! Interfaces that come, go and change, in a network of the test's own.

use super::*;
use crate::namespace;
use crate::udp::{Followed, Sockets};
use bytes::Bytes;
use std::future::poll_fn;
use std::task::Waker;

#[test]
fn changes_reach_the_core() {
    namespace::run(
        "interfaces::changes::inside",
        // Without the addresses that interfaces give themselves, which come seconds later.
        "echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode
         ip link add lan0 type veth peer name far0
         ip addr add 10.79.0.1/24 dev lan0; ip addr add 10.79.1.1/24 dev far0
         ip link set lan0 up; ip link set far0 up",
    );
}

/// What the event loop does.
struct Told {
    watch: Watch,
    sockets: Sockets,
}

impl Told {
    async fn followed(&mut self) -> Followed {
        let look = poll_fn(|context| self.watch.poll_look(context)).await;
        self.sockets.follow(&look, super::look(None, false))
    }

    /// Waits until the core has been told such interfaces.
    fn until(&mut self, wanted: impl Fn(&[String]) -> bool) {
        let told = async { while !self.followed().await.changed || !wanted(&self.ips()) {} };
        let late = async {
            Timer::after(Duration::from_secs(30)).await;
            panic!("nothing like it was told");
        };
        smol::block_on(smol::future::or(told, late));
    }

    fn ips(&self) -> Vec<String> {
        let interfaces = self.sockets.interfaces();
        let mut ips: Vec<String> = interfaces
            .iter()
            .map(|interface| interface.address.ip().to_string())
            .collect();
        ips.sort();
        ips
    }

    /// What the core is told in `time`: how often other interfaces, how often another network.
    fn count_in(&mut self, time: Duration) -> (u32, u32) {
        let (mut changed, mut anew) = (0, 0);
        let counting = async {
            loop {
                let followed = self.followed().await;
                changed += u32::from(followed.changed);
                anew += u32::from(followed.anew);
            }
        };
        let end = async {
            Timer::after(time).await;
        };
        smol::block_on(smol::future::or(counting, end));
        (changed, anew)
    }
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside() {
    const SECOND: Duration = Duration::from_secs(1);
    let mut told = Told {
        watch: Watch::new(),
        sockets: Sockets::new(),
    };
    told.sockets.reconcile(&addresses(None, false));
    assert_eq!(told.ips(), ["10.79.0.1", "10.79.1.1"]);
    assert!(matches!(poll_once(&mut told.watch), Poll::Pending));
    assert_eq!(told.count_in(SECOND * 3), (0, 0), "nothing has happened");

    let has = |ip: &'static str| move |ips: &[String]| ips.iter().any(|other| other == ip);
    let lacks = |ip: &'static str| move |ips: &[String]| ips.iter().all(|other| other != ip);
    namespace::ip("addr add 10.79.0.2/24 dev lan0");
    told.until(has("10.79.0.2"));
    namespace::ip("addr del 10.79.0.1/24 dev lan0");
    told.until(lacks("10.79.0.1"));

    // The same address again: another network, for all we know.
    namespace::ip("addr flush dev far0");
    namespace::ip("addr add 10.79.1.1/24 dev far0");
    assert_eq!(told.count_in(SECOND), (0, 1));
    // One that is not ours to use is no reason for doubt.
    namespace::ip("addr add 127.0.0.9/8 dev lo");
    namespace::ip("addr del 127.0.0.9/8 dev lo");
    assert_eq!(told.count_in(SECOND), (0, 0));

    // An IPv6 address cannot be bound before the system has made sure that nobody else has it.
    namespace::ip("addr add 2001:db8::5/64 dev lan0");
    told.until(has("2001:db8::5"));

    // A datagram that has nowhere to go holds nothing up.
    let from = told.sockets.interfaces();
    let from = from.iter().find(|one| one.address.is_ipv4()).unwrap();
    let nowhere = "198.51.100.1:9".parse().unwrap();
    for _ in 0..100 {
        let payload = Bytes::from_static(b"x");
        told.sockets.send(from.address, nowhere, payload);
    }
    let mut context = Context::from_waker(Waker::noop());
    assert!(told.sockets.poll_send(&mut context).is_ready());

    // An interface that goes takes its addresses along; one that is only down keeps them.
    namespace::ip("link set far0 down");
    told.until(|ips| lacks("10.79.1.1")(ips));
    namespace::ip("link set far0 up");
    // The kernel may take a second to say that it is up.
    told.until(has("10.79.1.1"));
    namespace::ip("link del lan0");
    told.until(|ips| ips.iter().all(|ip| ip.starts_with("127.") || ip == "::1"));
}

fn poll_once(watch: &mut Watch) -> Poll<Look> {
    watch.poll_look(&mut Context::from_waker(Waker::noop()))
}
