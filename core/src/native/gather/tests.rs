//! The gatherer alone: what it asks, and what it makes of answers.

use alloc::string::ToString as _;

use super::*;
use crate::ice::IceServer;
use crate::native::io::{Interface, StreamUpdate};
use crate::native::stun;
use crate::report::StreamFailure;

const STUN: &str = "203.0.113.1:3478";
const OTHER: &str = "203.0.113.2:3478";
const HOST: &str = "192.168.1.2:5000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A gatherer with one socket and these servers, and the time.
struct Alone {
    gather: Gather,
    now: Timestamp,
    news: News,
}

impl Alone {
    fn new(servers: &[&str]) -> Self {
        Self::with(servers, IcePolicy::All, &[HOST])
    }

    fn with(servers: &[&str], policy: IcePolicy, hosts: &[&str]) -> Self {
        let servers = servers.iter().map(|server| server.parse().unwrap());
        let config = Config::default()
            .with_ice_servers(servers.collect())
            .with_ice_policy(policy);
        let mut alone = Self {
            gather: Gather::new(&config, Rng::new([3; 32])),
            now: Timestamp::ZERO,
            news: News::default(),
        };
        alone.interfaces(hosts);
        alone.news = News::default();
        alone.gather.set_running(alone.now, true, &mut alone.news);
        alone
    }

    fn interfaces(&mut self, hosts: &[&str]) {
        let interface = |host: &&str| Interface {
            name: "eth0".into(),
            address: address(host),
        };
        let interfaces: Vec<_> = hosts.iter().map(interface).collect();
        self.gather
            .interfaces(self.now, &interfaces, &mut self.news);
    }

    fn take(&mut self) -> News {
        core::mem::take(&mut self.news)
    }

    /// Lets time pass; gives the datagrams with their times.
    fn run(&mut self, until: Timestamp) -> Vec<(Timestamp, Transmit)> {
        let mut sent = Vec::new();
        loop {
            sent.extend(self.news.transmits.drain(..).map(|it| (self.now, it)));
            let Some(due) = self.gather.poll_timeout().filter(|due| *due <= until) else {
                self.now = until;
                return sent;
            };
            assert!(due > self.now || self.now == Timestamp::ZERO, "it spins");
            self.now = due;
            self.gather.handle_timeout(due, &mut self.news);
        }
    }

    /// What a server says at once to a question of ours.
    fn answer(&mut self, asked: &Transmit, from: &str, mapped: &str) -> bool {
        let Some(stun::Glance::Response { transaction }) =
            stun::glance(&success(&asked.payload, mapped))
        else {
            panic!("no answer");
        };
        let ends = (asked.local, address(from));
        let bytes = success(&asked.payload, mapped);
        self.gather.expects(ends, &transaction)
            && self.gather.answer(self.now, ends, &bytes, &mut self.news)
    }

    fn told(&self) -> Vec<String> {
        let told = |local: &Local| match local {
            Local::Host(host) => host.address.to_string(),
            Local::Reflexive(reflexive) => {
                alloc::format!("{} of {}", reflexive.address, reflexive.base)
            }
            Local::Relayed(relayed) => alloc::format!("{} lent", relayed.address),
        };
        self.gather.locals().iter().map(told).collect()
    }
}

/// A success response to a question.
fn success(question: &[u8], mapped: &str) -> Vec<u8> {
    let SocketAddr::V4(mapped) = address(mapped) else {
        panic!("IPv4 here")
    };
    let mut bytes = question[..20].to_vec();
    bytes[..4].copy_from_slice(&[1, 1, 0, 12]);
    bytes.extend([0, 1, 0, 8, 0, 1]);
    bytes.extend(mapped.port().to_be_bytes());
    bytes.extend(mapped.ip().octets());
    bytes
}

fn error(question: &[u8], class: u8, number: u8) -> Vec<u8> {
    let mut bytes = question[..20].to_vec();
    bytes[..4].copy_from_slice(&[1, 0x11, 0, 8]);
    bytes.extend([0, 9, 0, 4, 0, 0, class, number]);
    bytes
}

#[test]
fn requests_are_repeated_as_rfc_8489_says() {
    let mut alone = Alone::new(&["stun:203.0.113.1"]);
    let sent = alone.run(at(60_000));
    let times: Vec<_> = sent.iter().map(|(time, _)| time.as_millis()).collect();
    assert_eq!(times, [0, 250, 750, 1750, 3750, 7750, 15_750]);
    assert!(sent.iter().all(|(_, it)| it.payload == sent[0].1.payload));
    assert!(
        sent.iter()
            .all(|(_, it)| (it.local, it.remote) == (address(HOST), address(STUN)))
    );
    let result = alone.gather.reports()[0].result;
    assert_eq!(result, ServerResult::Silent);
    // Given up after 16 times the first pause, and asked again a minute later.
    let sent = alone.run(at(80_000));
    assert_eq!(sent[0].0, at(15_750 + 4_000 + 60_000));
    assert_eq!(alone.told(), [HOST]);
}

#[test]
fn only_the_answer_of_who_was_asked_counts_and_only_once() {
    let mut alone = Alone::new(&["stun:203.0.113.1"]);
    let asked = alone.take().transmits;
    let asked = &asked[0];
    assert!(!alone.answer(asked, OTHER, "198.51.100.7:6000"));
    let elsewhere = Transmit {
        local: address("192.168.1.3:5000"),
        ..asked.clone()
    };
    assert!(!alone.answer(&elsewhere, STUN, "198.51.100.7:6000"));
    let mut another = asked.clone();
    another.payload = {
        let mut bytes = asked.payload.to_vec();
        bytes[19] ^= 1;
        bytes.into()
    };
    assert!(!alone.answer(&another, STUN, "198.51.100.7:6000"));
    // What nobody can use does not end the wait for a good answer.
    for useless in [
        "0.0.0.0:6000",
        "255.255.255.255:1",
        "127.0.0.1:5",
        "224.0.0.1:5",
        "198.51.100.7:0",
    ] {
        assert!(!alone.answer(asked, STUN, useless), "{useless}");
    }
    assert_eq!(alone.told(), [HOST]);
    alone.now = at(40);
    assert!(alone.answer(asked, STUN, "198.51.100.7:6000"));
    assert_eq!(
        alone.told(),
        [HOST, "198.51.100.7:6000 of 192.168.1.2:5000"]
    );
    let result = alone.gather.reports()[0].result;
    let after = Duration::from_millis(40);
    assert!(matches!(result, ServerResult::Answered { after: it, .. } if it == after));
    // Twice, and late.
    assert!(!alone.answer(asked, STUN, "198.51.100.9:9"));
    assert_eq!(alone.take().added.len(), 1);
}

#[test]
fn what_is_known_already_is_not_told_again() {
    let mut alone = Alone::with(
        &["stun:203.0.113.1", "stun:203.0.113.2"],
        IcePolicy::All,
        &["198.51.100.7:6000", HOST],
    );
    let asked = alone.take().transmits;
    assert_eq!(asked.len(), 4);
    for asked in &asked {
        // One socket has a public address, the other is seen at one and the same by both.
        let mapped = if asked.local == address(HOST) {
            "198.51.100.8:7000"
        } else {
            "198.51.100.7:6000"
        };
        let from = asked.remote.to_string();
        assert!(alone.answer(asked, &from, mapped));
    }
    let seen = "198.51.100.8:7000 of 192.168.1.2:5000";
    assert_eq!(alone.told(), ["198.51.100.7:6000", HOST, seen]);
    assert_eq!(alone.gather.mapping(), NatMapping::Independent);
    alone.take();
    // Each address is kept alive by one of them, the first; a new address takes the old one's place.
    let sent = alone.run(at(15_000));
    assert_eq!(sent.len(), 2);
    let again = sent
        .iter()
        .find(|(_, it)| it.local == address(HOST))
        .unwrap();
    assert!(alone.answer(&again.1, &again.1.remote.to_string(), "198.51.100.9:8000"));
    let news = alone.take();
    assert_eq!((news.added.len(), news.removed.len()), (1, 0));
    // The other server has not been asked again yet: what it saw counts until then.
    assert_eq!(alone.told().len(), 4);
    // Without the socket there is nothing to tell.
    alone.interfaces(&["198.51.100.7:6000"]);
    assert_eq!(alone.told(), ["198.51.100.7:6000"]);
    assert!(alone.gather.given(address(HOST)).is_none());
}

#[test]
fn errors_are_told_and_tried_again_later() {
    let mut alone = Alone::new(&["stun:203.0.113.1"]);
    let asked = alone.take().transmits;
    let ends = (asked[0].local, asked[0].remote);
    let refused = error(&asked[0].payload, 4, 20);
    assert!(
        alone
            .gather
            .answer(alone.now, ends, &refused, &mut alone.news)
    );
    assert_eq!(alone.gather.reports()[0].result, ServerResult::Refused(420));
    let sent = alone.run(at(60_000));
    assert_eq!(sent.len(), 1);
    assert!(alone.answer(&sent[0].1, STUN, "198.51.100.7:6000"));
    assert_eq!(alone.told().len(), 2);
}

#[test]
fn names_are_asked_for_once_and_again_when_the_network_changes() {
    let mut alone = Alone::new(&["stun:a.example", "stun:a.example:5000", "stun:b.example"]);
    assert_eq!(alone.take().resolves, ["a.example", "b.example"]);
    let (name, now) = ("a.example", alone.now);
    let addresses: Vec<IpAddr> = [
        "203.0.113.1",
        "::",
        "203.0.113.1",
        "2001:db8::1",
        "203.0.113.2",
        "203.0.113.3",
    ]
    .map(|ip| ip.parse().unwrap())
    .into();
    alone
        .gather
        .resolved(now, "c.example", &addresses, &mut alone.news);
    assert!(alone.take().transmits.is_empty());
    alone
        .gather
        .resolved(now, name, &addresses, &mut alone.news);
    let asked = alone.take().transmits;
    let mut asked: Vec<_> = asked.iter().map(|it| it.remote.to_string()).collect();
    asked.sort();
    // Two of each family at most, at both ports, and IPv6 only from an IPv6 socket.
    assert_eq!(
        asked,
        [
            "203.0.113.1:3478",
            "203.0.113.1:5000",
            "203.0.113.2:3478",
            "203.0.113.2:5000"
        ]
    );
    alone
        .gather
        .resolved(now, "b.example", &[], &mut alone.news);
    assert_eq!(alone.gather.reports()[2].result, ServerResult::Unresolved);
    alone.run(at(29_999));
    assert!(alone.take().resolves.is_empty());
    alone.run(at(30_000));
    assert_eq!(alone.take().resolves, ["b.example"]);
    alone.gather.network_changed(alone.now, &mut alone.news);
    alone.gather.network_changed(alone.now, &mut alone.news);
    let news = alone.take();
    assert_eq!(news.resolves, ["a.example", "b.example"]);
    assert_eq!(news.transmits.len(), 4);
    // A resolver that fails once takes nothing away: the server is silent, not unresolved.
    alone.gather.resolved(alone.now, name, &[], &mut alone.news);
    assert_eq!(alone.gather.reports()[0].result, ServerResult::Silent);
}

#[test]
fn many_sockets_and_servers_are_asked_one_after_the_other_and_not_without_end() {
    let servers: Vec<_> = (0..40)
        .map(|n| alloc::format!("stun:203.0.113.{n}"))
        .collect();
    let servers: Vec<&str> = servers.iter().map(|server| &**server).collect();
    let hosts: Vec<_> = (1..30)
        .map(|n| alloc::format!("192.168.1.{n}:5000"))
        .collect();
    let hosts: Vec<&str> = hosts.iter().map(|host| &**host).collect();
    let mut alone = Alone::with(&servers, IcePolicy::All, &hosts);
    assert_eq!(alone.news.transmits.len(), 8);
    let sent = alone.run(at(249));
    assert!((50..60).contains(&sent.len()), "{}", sent.len());
    assert!(alone.run(at(100_000)).len() < 256 * 14);
    alone.gather.set_running(alone.now, false, &mut alone.news);
    assert_eq!(alone.gather.poll_timeout(), None);
}

fn turn(url: &str) -> String {
    alloc::format!(r#"{{"urls":"{url}","username":"u","credential":"c"}}"#)
}

#[test]
fn who_does_not_show_where_it_is_asks_no_stun_server() {
    let turn = turn("turn:203.0.113.2");
    let mut alone = Alone::with(&["stun:203.0.113.1", &turn], IcePolicy::RelayOnly, &[HOST]);
    let sent = alone.run(at(100));
    assert!(!sent.is_empty() && sent.iter().all(|(_, it)| it.remote == address(OTHER)));
    assert!(alone.told().is_empty());
}

#[test]
fn streams_are_opened_sent_on_and_closed() {
    let turn = turn("turns:turn.example");
    let mut alone = Alone::new(&[&turn]);
    assert_eq!(alone.take().resolves, ["turn.example"]);
    let addresses = ["203.0.113.1", "203.0.113.2"].map(|ip| ip.parse().unwrap());
    alone
        .gather
        .resolved(alone.now, "turn.example", &addresses, &mut alone.news);
    let [(first, StreamCommand::Open { remote, tls })] = &alone.take().streams[..] else {
        panic!("no stream");
    };
    assert_eq!(
        (*remote, tls.as_deref()),
        (address("203.0.113.1:5349"), Some("turn.example"))
    );
    // It says nothing for a second: the next one is tried as well.
    alone.run(at(1000));
    let [(second, StreamCommand::Open { remote, .. })] = &alone.take().streams[..] else {
        panic!("no second stream");
    };
    assert_eq!(*remote, address("203.0.113.2:5349"));
    assert!(first != second);
    let local = address(HOST);
    let (now, opened) = (alone.now, StreamUpdate::Opened { local });
    alone.gather.stream(now, *second, opened, &mut alone.news);
    let streams = alone.take().streams;
    assert!(
        matches!(&streams[..], [(of, StreamCommand::Send(bytes))] if of == second && bytes[..2] == [0, 3])
    );
    let failed = StreamUpdate::Failed(StreamFailure::Tls);
    alone.gather.stream(now, *first, failed, &mut alone.news);
    assert!(alone.take().streams.is_empty());
    // Late news of a stream that is no more.
    alone.gather.stream(now, *first, opened, &mut alone.news);
    alone.gather.stream(
        now,
        StreamId(99),
        StreamUpdate::Bytes(&[0; 30]),
        &mut alone.news,
    );
    assert!(alone.take().streams.is_empty());
    // What is no TURN ends the other one, too; both are tried again later.
    alone.gather.stream(
        now,
        *second,
        StreamUpdate::Bytes(&[0xff; 64]),
        &mut alone.news,
    );
    let streams = alone.take().streams;
    assert_eq!(streams, [(*second, StreamCommand::Close)]);
    assert_eq!(
        alone.gather.poll_timeout(),
        Some(now.plus(Duration::from_secs(1)))
    );
    alone.run(now.plus(Duration::from_secs(1)));
    assert_eq!(alone.news.streams.len(), 1);
    // Nobody says anything of the last one: it is given up, and closed.
    alone.run(now.plus(Duration::from_secs(11)));
    assert!(
        alone
            .news
            .streams
            .iter()
            .any(|(_, command)| *command == StreamCommand::Close)
    );
    alone.gather.set_running(alone.now, false, &mut alone.news);
    assert_eq!(alone.gather.poll_timeout(), None);
}

#[test]
fn a_port_that_is_taken_or_not_heard_is_left_for_another_one() {
    let mut alone = Alone::new(&[&turn("turn:203.0.113.2")]);
    let asked = alone.take().transmits;
    let ends = (address(HOST), address(OTHER));
    let taken = error(&asked[0].payload, 4, 37);
    // As an Allocate request is answered.
    let taken = [&[1, 0x13][..], &taken[2..]].concat();
    alone
        .gather
        .relay_says(alone.now, ends, &taken, &mut alone.news);
    // What is ours and stands in the way is given back first.
    let asked = alone.take().transmits;
    assert_eq!(asked[0].payload[..2], [0, 4]);
    let nothing = error(&asked[0].payload, 4, 37);
    let nothing = [&[1, 0x14][..], &nothing[2..]].concat();
    alone
        .gather
        .relay_says(alone.now, ends, &nothing, &mut alone.news);
    let news = alone.take();
    let [(first, StreamCommand::OpenUdp { remote, beside })] = news.streams[..] else {
        panic!("no port: {:?}", news.streams);
    };
    assert_eq!((remote, beside), (address(OTHER), address(HOST)));
    let (now, local) = (alone.now, address("192.168.1.2:6000"));
    let opened = StreamUpdate::Opened { local };
    alone.gather.stream(now, first, opened, &mut alone.news);
    let [(of, StreamCommand::Send(bytes))] = &alone.take().streams[..] else {
        panic!("nothing is sent");
    };
    assert!(*of == first && bytes[..2] == [0, 3]);
    // What comes to the first socket is nothing of the server's.
    assert!(!alone.gather.is_of_relay(ends));
    assert_eq!(alone.gather.reports()[0].result, ServerResult::Refused(437));

    // It is silent there: closed, and the next time it is the socket's turn, then another port's.
    alone.run(at(9999));
    assert_eq!(
        alone.take().streams.last(),
        Some(&(first, StreamCommand::Close))
    );
    let sent = alone.run(at(15_000));
    assert!(sent.iter().all(|(_, it)| (it.local, it.remote) == ends) && !sent.is_empty());
    assert!(alone.take().streams.is_empty());
    alone.run(at(30_000));
    let streams = alone.take().streams;
    let [(second, StreamCommand::OpenUdp { .. })] = streams[..] else {
        panic!("no other port: {streams:?}");
    };
    // A driver that cannot do that.
    let failed = StreamUpdate::Failed(StreamFailure::Unreachable);
    alone
        .gather
        .stream(alone.now, second, failed, &mut alone.news);
    assert_eq!(alone.gather.reports()[0].result, ServerResult::Silent);
    assert!(!alone.run(at(60_000)).is_empty());
    // The socket goes, and with it what is beside it.
    alone.run(at(90_000));
    alone.news = News::default();
    alone.interfaces(&[]);
    let streams = alone.take().streams;
    assert!(matches!(streams[..], [] | [(_, StreamCommand::Close)]));
}

/// A server that does not ask who we are, and lends this.
fn lent(question: &[u8], relayed: &str) -> Vec<u8> {
    let SocketAddr::V4(relayed) = address(relayed) else {
        panic!("IPv4 here")
    };
    let mut value = alloc::vec![0, 1];
    value.extend((relayed.port() ^ 0x2112).to_be_bytes());
    value.extend((u32::from(*relayed.ip()) ^ 0x2112_a442).to_be_bytes());
    let attributes = [&[0, 0x16, 0, 8][..], &value, &[0, 0x20, 0, 8], &value].concat();
    [&[1, 3, 0, 24][..], &question[4..20], &attributes].concat()
}

#[test]
fn nobody_lends_us_what_is_ours_or_somebody_elses() {
    let servers = ["turn:203.0.113.1", "turn:203.0.113.2"].map(turn);
    for (first, second, told) in [
        ("198.51.100.1:50000", "198.51.100.2:50000", 2),
        // Then everything that leaves this socket would go to that server.
        (HOST, "198.51.100.2:50000", 1),
        // And the same to two servers.
        ("198.51.100.1:50000", "198.51.100.1:50000", 1),
    ] {
        let mut alone = Alone::new(&[&servers[0], &servers[1]]);
        let peer = address("198.51.100.9:1");
        alone.gather.permit(alone.now, peer, &mut alone.news);
        for asked in alone.take().transmits {
            let relayed = if asked.remote == address(STUN) {
                first
            } else {
                second
            };
            let ends = (asked.local, asked.remote);
            let answer = lent(&asked.payload, relayed);
            let taken = alone
                .gather
                .relay_says(alone.now, ends, &answer, &mut alone.news);
            assert!(taken);
        }
        let lent = |local: &&Local| matches!(local, Local::Relayed(_));
        assert_eq!(alone.gather.locals().iter().filter(lent).count(), told);
        assert!(!alone.gather.is_relayed(address(HOST)));
        alone.take();
        let transmit = Transmit {
            local: address("198.51.100.1:50000"),
            remote: peer,
            payload: Bytes::from_static(b"\x01"),
        };
        alone
            .gather
            .send_relayed(alone.now, &transmit, &mut alone.news);
        assert!(alone.take().transmits.len() <= 1, "{first} {second}");
    }
}

/// In seconds, when a server is asked that refuses at once; until then.
fn refused(alone: &mut Alone, until: u64) -> Vec<u64> {
    let mut asked = Vec::new();
    loop {
        for (stream, command) in alone.take().streams {
            if let StreamCommand::Open { .. } = command {
                asked.push(alone.now.as_millis().div_ceil(1000));
                let failed = StreamUpdate::Failed(StreamFailure::Refused);
                let (now, news) = (alone.now, &mut alone.news);
                alone.gather.stream(now, stream, failed, news);
            }
        }
        let Some(next) = alone
            .gather
            .poll_timeout()
            .filter(|at| at.as_millis() <= until * 1000)
        else {
            return asked;
        };
        alone.now = next;
        alone.gather.handle_timeout(next, &mut alone.news);
    }
}

#[test]
fn who_refuses_is_asked_ever_more_rarely_but_soon_if_it_matters() {
    let mut alone = Alone::new(&[&turn("turn:203.0.113.2?transport=tcp")]);
    assert_eq!(refused(&mut alone, 130), [0, 1, 3, 7, 15, 31, 61, 91, 121]);
    // The network changes: at once, and from the beginning.
    alone.now = at(140_000);
    alone.gather.network_changed(alone.now, &mut alone.news);
    assert_eq!(refused(&mut alone, 160), [140, 141, 143, 147, 155]);
    // A link is to be made: at once, if the last time is a second ago.
    alone.now = at(160_000);
    alone.gather.hurry(alone.now, &mut alone.news);
    assert_eq!(refused(&mut alone, 160), [160]);
    alone.gather.hurry(alone.now, &mut alone.news);
    assert_eq!(refused(&mut alone, 200), [161, 191]);
    // Other credentials.
    let server = "turn:203.0.113.2?transport=tcp";
    let server = IceServer::turn(server, "somebody", "else").unwrap();
    alone.now = at(200_000);
    alone
        .gather
        .set_servers(alone.now, &[server], &mut alone.news);
    assert_eq!(refused(&mut alone, 202), [200, 201]);
}

#[test]
fn servers_can_be_replaced() {
    let mut alone = Alone::new(&["stun:203.0.113.1"]);
    let asked = alone.take().transmits;
    assert!(alone.answer(&asked[0], STUN, "198.51.100.7:6000"));
    let servers = ["stun:203.0.113.1", "stun:203.0.113.2"].map(|url| IceServer::stun(url).unwrap());
    alone
        .gather
        .set_servers(alone.now, &servers, &mut alone.news);
    let asked = alone.take().transmits;
    assert!(asked.len() == 1 && asked[0].remote == address(OTHER));
    assert_eq!(alone.told().len(), 2);
    alone.gather.set_servers(alone.now, &[], &mut alone.news);
    assert_eq!(alone.told(), [HOST]);
    assert!(alone.gather.reports().is_empty());
    assert_eq!(alone.gather.poll_timeout(), None);
}

/// Whatever comes from a server's address, the machine neither breaks nor spins.
#[test]
fn hostile_answers_change_nothing() {
    let turn = turn("turn:203.0.113.2");
    for seed in 0..20 {
        let mut rng = Rng::new([seed; 32]);
        let mut alone = Alone::new(&["stun:203.0.113.1", &turn]);
        let mut asked = Vec::new();
        for _ in 0..300 {
            let until = alone.now.plus(Duration::from_millis(1 + rng.below(200)));
            asked.extend(alone.run(until).into_iter().map(|(_, it)| it));
            let one = &asked[usize::try_from(rng.below(asked.len() as u64)).unwrap()];
            let mut bytes = match rng.below(3) {
                0 => success(&one.payload, "198.51.100.7:6000"),
                1 => error(&one.payload, 4, 20),
                _ => one.payload.to_vec(),
            };
            bytes[1] = [1, 0x11, 3, 0x13, bytes[1]][usize::try_from(rng.below(5)).unwrap()];
            for _ in 0..rng.below(4) {
                let place = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
                match rng.below(3) {
                    0 => bytes.truncate(place.max(1)),
                    1 => bytes.insert(place, 0xff),
                    _ => bytes[place] ^= 1 << rng.below(8),
                }
            }
            let ends = (one.local, one.remote);
            if let Some(stun::Glance::Response { transaction }) = stun::glance(&bytes)
                && alone.gather.expects(ends, &transaction)
            {
                let _ = alone
                    .gather
                    .answer(alone.now, ends, &bytes, &mut alone.news);
            } else if alone.gather.is_of_relay(ends) {
                let _ = alone
                    .gather
                    .relay_says(alone.now, ends, &bytes, &mut alone.news);
            }
            let told = alone.told();
            assert!(told.len() <= 3 && told[0] == HOST, "{told:?}");
        }
    }
}
