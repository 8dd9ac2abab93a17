//! The async handle, two nodes in one process, on loopback.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test, which has std and may panic"
)]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use smol::Timer;
use smol::future::or;
use wattle_smol::{
    Config, ConnectError, EndReason, Event, Hosting, IceServer, LeaveReason, Network, NetworkCode,
    Options, SendError, Status,
};

fn options() -> Options {
    Options::new(Config::default().with_ice_servers(Vec::new()))
        .with_bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

async fn soon<T>(wait: impl Future<Output = T>) -> T {
    or(wait, async {
        Timer::after(Duration::from_secs(40)).await;
        panic!("too late")
    })
    .await
}

async fn pair() -> (Network, Network) {
    let host = soon(Network::host(Hosting::Lan, options())).await.unwrap();
    let joiner = soon(Network::join(&host.code().unwrap(), options()))
        .await
        .unwrap();
    soon(until(&host, |event| {
        matches!(event, Event::NodeJoined { .. })
    }))
    .await;
    (host, joiner)
}

async fn until(network: &Network, is_it: impl Fn(&Event) -> bool) -> Event {
    while let Some(event) = network.next_event().await {
        if is_it(&event) {
            return event;
        }
    }
    panic!("the network ended")
}

#[test]
fn servers_can_be_replaced_at_any_time_and_their_names_are_looked_up() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Some(Duration::from_secs(20));
    server.set_read_timeout(patience).unwrap();
    let port = server.local_addr().unwrap().port();
    smol::block_on(async {
        let host = soon(Network::host(Hosting::Lan, options())).await.unwrap();
        let stun = IceServer::stun(&format!("stun:localhost:{port}")).unwrap();
        host.set_ice_servers(&[stun]);
        let mut request = [0; 100];
        let (length, _) = server.recv_from(&mut request).unwrap();
        // A Binding request (RFC 8489 section 5).
        assert!(length >= 20 && request[..2] == [0, 1]);
        assert_eq!(request[4..8], [0x21, 0x12, 0xa4, 0x42]);
        soon(host.leave()).await;
    });
}

#[test]
fn joining_and_leaving() {
    smol::block_on(async {
        let (host, joiner) = pair().await;
        assert_eq!(joiner.nodes(), [host.id(), joiner.id()]);
        assert_eq!(joiner.status(), Status::Joined);
        assert!(joiner.timing().total.is_some());
        assert_eq!(soon(joiner.leave()).await, EndReason::Left);
        let left = soon(until(&host, |e| matches!(e, Event::NodeLeft { .. }))).await;
        let expected = Event::NodeLeft {
            node: joiner.id(),
            reason: LeaveReason::Left,
        };
        assert_eq!(left, expected);
        while joiner.next_event().await.is_some() {}
        assert_eq!(joiner.broadcast("x"), Err(SendError::NotJoined));
    });
}

/// As a game loop does, which has no executor, and looks at its events when its frame comes.
#[test]
fn a_loop_of_frames_needs_no_executor() {
    let begin = Instant::now();
    let frames_until = |is_it: &mut dyn FnMut() -> bool| {
        while !is_it() {
            assert!(begin.elapsed() < Duration::from_secs(60), "too late");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let host = Network::start_host(Hosting::Lan, options()).unwrap();
    frames_until(&mut || host.code().is_some());
    let code = host.code().unwrap();
    let taken = Hosting::LanAt(code.lan_address().unwrap());
    let refused = Network::start_host(taken, options());
    assert!(matches!(refused, Err(ConnectError::Bind { .. })));
    let joiner = Network::start_join(&code, options()).unwrap();
    frames_until(&mut || joiner.status() == Status::Joined && host.nodes().len() == 2);
    joiner.start_leave();
    frames_until(&mut || host.nodes().len() == 1);
    // The joiner has left, but of that the host's application comes to hear later.
    let mut told = Vec::new();
    frames_until(&mut || {
        while let Some(event) = host.try_next_event() {
            if let Event::NodeJoined { node } = event {
                let welcome = host.send_to(node, "welcome");
                assert_eq!(welcome, Err(SendError::UnknownNode));
            }
            // A busy machine may keep a node silent for two seconds.
            if !matches!(event, Event::NodeSuspect { .. } | Event::NodeBack { .. }) {
                told.push(event);
            }
        }
        matches!(told.last(), Some(Event::NodeLeft { .. }))
    });
    assert!(matches!(
        told[..],
        [
            Event::NetworkCreated { .. },
            Event::NodeJoined { .. },
            Event::NodeLeft { .. }
        ]
    ));
}

#[test]
fn a_dropped_handle_says_goodbye() {
    smol::block_on(async {
        let (host, joiner) = pair().await;
        drop(joiner);
        let left = soon(until(&host, |e| matches!(e, Event::NodeLeft { .. }))).await;
        // Without the goodbye it would be lost, seconds later.
        assert!(matches!(
            left,
            Event::NodeLeft {
                reason: LeaveReason::Left,
                ..
            }
        ));
    });
}

#[test]
fn a_dropped_join_is_given_up() {
    smol::block_on(async {
        let host = soon(Network::host(Hosting::Lan, options())).await.unwrap();
        let code = host.code().unwrap();
        for _ in 0..5 {
            let join = Network::join(&code, options());
            or(async { drop(join.await) }, async {
                Timer::after(Duration::from_millis(2)).await;
            })
            .await;
        }
        // None of them holds a place for long, nor keeps the next from joining.
        let joiner = soon(Network::join(&code, options())).await.unwrap();
        assert_eq!(joiner.id(), *joiner.nodes().last().unwrap());
    });
}

#[test]
fn failures_are_typed() {
    smol::block_on(async {
        // A port where nobody listens, and nobody else can.
        let unheard =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        unheard.bind(&any.into()).unwrap();
        let address = unheard.local_addr().unwrap().as_socket().unwrap();
        let code = NetworkCode::lan(address).unwrap();
        let error = soon(Network::join(&code, options())).await.unwrap_err();
        assert_eq!(error.kind(), "signaling_connection_refused");
        assert!(matches!(error, ConnectError::Ended(_)));
    });
}

#[test]
fn a_slow_reader_slows_the_sender() {
    smol::block_on(async {
        let (host, joiner) = pair().await;
        let payload = bytes::Bytes::from(vec![7; 60_000]);
        let mut taken = 0;
        while joiner.broadcast(payload.clone()).is_ok() {
            taken += 1;
            assert!(taken < 1000, "nothing holds it back");
        }
        assert_eq!(joiner.broadcast(payload.clone()), Err(SendError::Full));
        // Reading makes room, and waiting notices.
        let reading = async {
            let mut received = 0;
            while received < taken + 50 {
                let is_message = |e: &Event| matches!(e, Event::Message { .. });
                until(&host, is_message).await;
                received += 1;
            }
        };
        let sending = async {
            for _ in 0..50 {
                joiner.broadcast_when_room(payload.clone()).await.unwrap();
            }
        };
        soon(smol::future::zip(reading, sending)).await;
    });
}

/// How many files this process has open; nothing where there is no `/proc`.
fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

#[test]
fn coming_and_going_leaves_nothing_behind() {
    smol::block_on(async {
        let host = soon(Network::host(Hosting::Lan, options())).await.unwrap();
        let code = host.code().unwrap();
        let mut before = None;
        for round in 0..40 {
            let joiner = soon(Network::join(&code, options())).await.unwrap();
            if round % 2 == 0 {
                soon(joiner.leave()).await;
            }
            drop(joiner);
            soon(until(&host, |e| matches!(e, Event::NodeLeft { .. }))).await;
            if round == 4 {
                before = open_files();
            }
        }
        // Other tests of this process have files open, too: a leak would be of dozens.
        let limit = before.map(|count| count + 60);
        assert!(
            open_files() <= limit,
            "{:?} files, before {before:?}",
            open_files()
        );
        assert_eq!(host.nodes(), [host.id()]);
    });
}
