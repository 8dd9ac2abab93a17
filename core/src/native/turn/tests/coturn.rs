//! The client against the real coturn, on loopback: `tests/run turn`.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real servers have real clocks"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::Instant;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use crate::native::turn::{Credentials, Family, Transport, Turn, TurnEvent, TurnFailure};
use crate::rng::Rng;
use crate::time::Timestamp;

/// How long anything here may take.
const LONG: Duration = Duration::from_secs(40);

/// A coturn of a test's own.
struct Coturn {
    child: Child,
    port: u16,
    tls_port: u16,
    directory: PathBuf,
    options: Vec<String>,
}

impl Coturn {
    fn start(options: &[&str]) -> Self {
        let (port, tls_port) = (free_port(), free_port());
        let directory = std::env::temp_dir().join(format!("wattle-coturn-{port}"));
        std::fs::create_dir_all(&directory).unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-keyout", "key", "-out", "cert"])
            .current_dir(&directory)
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl makes a certificate");
        let mut all: Vec<String> = [
            "-n --no-cli --no-dtls --simple-log --log-file=stdout --lt-cred-mech",
            "--listening-ip=127.0.0.1 --listening-ip=::1 --relay-ip=127.0.0.1 --relay-ip=::1",
            "--allow-loopback-peers --realm=wattle.test --user=player:secret --relay-threads=1",
            "--cert=cert --pkey=key --pidfile=pid --userdb=none",
        ]
        .join(" ")
        .split(' ')
        .map(String::from)
        .collect();
        all.push(format!("--listening-port={port}"));
        all.push(format!("--tls-listening-port={tls_port}"));
        all.extend(options.iter().copied().map(String::from));
        let child = run(&all, &directory);
        let coturn = Self {
            child,
            port,
            tls_port,
            directory,
            options: all,
        };
        coturn.wait();
        coturn
    }

    /// Until it listens.
    fn wait(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.tls_port)).is_err() {
            assert!(begun.elapsed() < LONG, "coturn does not listen");
            sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.kill();
        self.child = run(&self.options, &self.directory);
        self.wait();
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn run(options: &[String], directory: &PathBuf) -> Child {
    Command::new("turnserver")
        .args(options)
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("coturn is installed (Debian: coturn)")
}

/// A port that is free for UDP and TCP, as is the next: a coturn takes that, too, and shares it with another coturn
/// without a word. They are below those that the system gives to whoever does not choose, and each is given once.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| {
        let udp = UdpSocket::bind(("127.0.0.1", port));
        udp.is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok()
    };
    loop {
        let slot = std::process::id().wrapping_mul(16) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(10_000 + slot % 11_000 * 2).unwrap();
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Udp,
    Tcp,
    Tls,
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
    /// openssl's client does the TLS.
    Tls(Child, ChildStdin, Receiver<Vec<u8>>),
}

impl Wire {
    fn open(over: Over, coturn: &Coturn) -> Self {
        match over {
            Over::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(coturn.address()).unwrap();
                socket.set_nonblocking(true).unwrap();
                Self::Udp(socket)
            }
            Over::Tcp => {
                let stream = TcpStream::connect(coturn.address()).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_nonblocking(true).unwrap();
                Self::Tcp(stream)
            }
            Over::Tls => {
                let mut child = Command::new("openssl")
                    .args(["s_client", "-quiet", "-connect"])
                    .arg(format!("127.0.0.1:{}", coturn.tls_port))
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let (stdin, mut stdout) = (child.stdin.take(), child.stdout.take().unwrap());
                let (sender, receiver) = channel();
                spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                        if sender.send(buffer[..length].to_vec()).is_err() {
                            break;
                        }
                    }
                });
                Self::Tls(child, stdin.unwrap(), receiver)
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            // Nobody may be there.
            Self::Udp(socket) => drop(socket.send(bytes)),
            Self::Tcp(stream) => stream.write_all(bytes).unwrap(),
            Self::Tls(_, stdin, _) => {
                stdin.write_all(bytes).unwrap();
                stdin.flush().unwrap();
            }
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 65536];
        let result = match self {
            Self::Udp(socket) => socket.recv(&mut buffer),
            Self::Tcp(stream) => stream.read(&mut buffer),
            Self::Tls(_, _, receiver) => return receiver.try_recv().ok(),
        };
        match result {
            Ok(0) => None,
            Ok(length) => Some(buffer[..length].to_vec()),
            Err(error)
                if [ErrorKind::WouldBlock, ErrorKind::ConnectionRefused]
                    .contains(&error.kind()) =>
            {
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Self::Tls(child, ..) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A client with its socket.
struct End {
    turn: Turn,
    wire: Wire,
    begun: Instant,
    /// Bytes of the last message that was sent.
    last: usize,
    events: Vec<TurnEvent>,
    data: Vec<(SocketAddr, Vec<u8>)>,
}

impl End {
    fn new(coturn: &Coturn, over: Over, family: Family) -> Self {
        Self::with_password(coturn, over, family, "secret")
    }

    fn with_password(coturn: &Coturn, over: Over, family: Family, password: &str) -> Self {
        let wire = Wire::open(over, coturn);
        let transport = match over {
            Over::Udp => Transport::Datagram,
            Over::Tcp | Over::Tls => Transport::Stream,
        };
        let server = (coturn.address(), transport);
        let turn = Turn::new(
            Timestamp::ZERO,
            Rng::new([7; 32]),
            server,
            credentials(password),
            family,
        );
        Self {
            turn,
            wire,
            begun: Instant::now(),
            last: 0,
            events: Vec::new(),
            data: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.plus(self.begun.elapsed())
    }

    fn step(&mut self) {
        let now = self.now();
        if self.turn.poll_timeout().is_some_and(|at| at <= now) {
            self.turn.handle_timeout(now);
        }
        while let Some(bytes) = self.turn.poll_transmit() {
            self.last = bytes.len();
            self.wire.send(&bytes);
        }
        while let Some(bytes) = self.wire.receive() {
            self.turn.handle_message(now, &bytes);
        }
        while let Some(event) = self.turn.poll_event() {
            if let TurnEvent::Data { peer, payload } = event {
                self.data.push((peer, payload.to_vec()));
            } else {
                self.events.push(event);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.step();
            sleep(Duration::from_millis(1));
        }
    }

    /// The next event.
    fn event(&mut self) -> TurnEvent {
        let begun = Instant::now();
        while self.events.is_empty() {
            assert!(
                begun.elapsed() < LONG * 3,
                "nothing happens: {:?}",
                self.turn
            );
            self.step();
            sleep(Duration::from_millis(1));
        }
        self.events.remove(0)
    }

    fn relayed(&mut self) -> SocketAddr {
        match self.event() {
            TurnEvent::Allocated { relayed, .. } => relayed,
            other @ (TurnEvent::Redirected { .. }
            | TurnEvent::Occupied
            | TurnEvent::Failed(_)
            | TurnEvent::Lost(_)
            | TurnEvent::Released
            | TurnEvent::CredentialsRefused
            | TurnEvent::Denied { .. }
            | TurnEvent::Data { .. }) => panic!("{other:?}"),
        }
    }

    fn permit(&mut self, peer: SocketAddr) {
        assert!(self.turn.permit(self.now(), peer));
    }

    fn send(&mut self, peer: SocketAddr, payload: &[u8]) {
        assert!(self.turn.send(self.now(), peer, payload));
        self.step();
    }
}

/// coturn says at once that an allocation is given back, and takes a second to clear it away, on a busy machine more.
const CLEARING: Duration = Duration::from_secs(2);

fn credentials(password: &str) -> Credentials {
    Credentials {
        username: "player".into(),
        password: password.into(),
    }
}

/// Both permitted to send to each other.
fn pair(coturn: &Coturn, over: Over, family: Family) -> ([End; 2], [SocketAddr; 2]) {
    let mut ends = [0, 1].map(|_| End::new(coturn, over, family));
    let relayed = ends.each_mut().map(End::relayed);
    for end in 0..2 {
        ends[end].permit(relayed[1 - end]);
        ends[end].run(Duration::from_millis(50));
    }
    (ends, relayed)
}

/// Sends both ways until it has come: what comes before the permission for it is lost.
fn talk(ends: &mut [End; 2], relayed: &[SocketAddr; 2], payload: &[u8]) {
    const AGAIN: Duration = Duration::from_millis(500);
    for from in 0..2 {
        let to = 1 - from;
        let expected = (relayed[from], payload.to_vec());
        let begun = Instant::now();
        while !ends[to].data.contains(&expected) {
            assert!(begun.elapsed() < LONG, "nothing comes");
            ends[from].send(relayed[to], payload);
            let sent = Instant::now();
            while !ends[to].data.contains(&expected) && sent.elapsed() < AGAIN {
                ends.iter_mut().for_each(End::step);
            }
        }
        ends[to].data.clear();
    }
}

#[test]
#[ignore = "needs coturn: tests/run turn"]
fn data_passes_over_every_transport() {
    let coturn = Coturn::start(&[]);
    for over in [Over::Udp, Over::Tcp, Over::Tls] {
        for family in [Family::V4, Family::V6] {
            let begun = Instant::now();
            let (mut ends, relayed) = pair(&coturn, over, family);
            assert_eq!(relayed.map(|it| Family::of(it.ip())), [family; 2]);
            // By an indication first, then by channel.
            for length in [1, 2, 3, 4, 5, 100, 1200] {
                talk(&mut ends, &relayed, &alloc::vec![0x17; length]);
                ends.iter_mut()
                    .for_each(|end| end.run(Duration::from_millis(5)));
            }
            for length in [1_usize, 2, 3, 4, 5, 100, 1200] {
                let padded = if over == Over::Udp {
                    length
                } else {
                    length.next_multiple_of(4)
                };
                // As soon as coturn has answered that there is a channel.
                let begun = Instant::now();
                loop {
                    talk(&mut ends, &relayed, &alloc::vec![0x17; length]);
                    let last = ends.each_ref().map(|end| end.last);
                    if last == [4 + padded; 2] {
                        break;
                    }
                    assert!(begun.elapsed() < LONG, "{last:?} bytes for {length}");
                    ends.iter_mut()
                        .for_each(|end| end.run(Duration::from_millis(20)));
                }
            }
            for end in &mut ends {
                assert_eq!(end.events, []);
                // A datagram that is repeated may be answered twice.
                assert!(over == Over::Udp || end.turn.dropped() == 0);
                end.turn.release(end.now());
                assert_eq!(end.event(), TurnEvent::Released);
            }
            let took = begun.elapsed().as_millis();
            std::println!("{over:?} {family:?}: {took} ms");
        }
    }
}

#[test]
#[ignore = "needs coturn: tests/run turn"]
fn what_it_refuses_is_named() {
    let options = ["--user-quota=1", "--denied-peer-ip=192.0.2.0-192.0.2.9"];
    let coturn = Coturn::start(&options);
    let mut wrong = End::with_password(&coturn, Over::Udp, Family::V4, "wrong");
    let expected = TurnEvent::Failed(TurnFailure::Unauthorized);
    assert_eq!(wrong.event(), expected);
    let mut first = End::new(&coturn, Over::Udp, Family::V4);
    first.relayed();
    let mut second = End::new(&coturn, Over::Udp, Family::V4);
    let expected = TurnEvent::Failed(TurnFailure::AllocationQuota);
    assert_eq!(second.event(), expected);
    // One culprit among several.
    for peer in ["192.0.3.1:1", "192.0.2.5:1", "192.0.3.2:1"] {
        first.permit(peer.parse().unwrap());
    }
    let denied = TurnEvent::Denied {
        peer: "192.0.2.5".parse().unwrap(),
        failure: TurnFailure::Forbidden,
    };
    assert_eq!(first.event(), denied);
    // Back to the server, and had again from the same socket.
    first.turn.release(first.now());
    assert_eq!(first.event(), TurnEvent::Released);
    let server = (coturn.address(), Transport::Datagram);
    let again = |first: &End, number: u8| {
        let rng = Rng::new([number; 32]);
        Turn::new(first.now(), rng, server, credentials("secret"), Family::V4)
    };
    let is_allocated = |event: &TurnEvent| matches!(event, TurnEvent::Allocated { .. });
    assert!(
        (8..20).any(|number| {
            first.run(CLEARING);
            first.turn = again(&first, number);
            is_allocated(&first.event())
        }),
        "the same socket gets no allocation any more"
    );
    // What was not given back is in the way there, and given back then: from another port there is room.
    first.turn = again(&first, 7);
    assert_eq!(first.event(), TurnEvent::Occupied);
    assert!(
        (0..12).any(|_| {
            first.run(CLEARING);
            is_allocated(&End::new(&coturn, Over::Udp, Family::V4).event())
        }),
        "it was not given back"
    );
    // No family but what it has.
    drop(coturn);
    let coturn = Coturn::start(&["--allocation-default-address-family=ipv4"]);
    let mut end = End::new(&coturn, Over::Udp, Family::V6);
    end.relayed();
}

#[test]
#[ignore = "needs coturn: tests/run turn"]
fn stale_nonces_and_short_lives_are_nothing() {
    let coturn = Coturn::start(&["--stale-nonce=1", "--max-allocate-lifetime=4"]);
    let mut ends = [Over::Udp, Over::Tcp].map(|over| End::new(&coturn, over, Family::V4));
    let relayed = ends.each_mut().map(End::relayed);
    for end in 0..2 {
        ends[end].permit(relayed[1 - end]);
    }
    for second in 0..12u8 {
        ends.iter_mut()
            .for_each(|end| end.run(Duration::from_millis(500)));
        talk(&mut ends, &relayed, &[0x17, second]);
        // Something to sign each time.
        for end in &mut ends {
            end.permit(SocketAddr::from(([127, 0, 1, second], 9)));
            end.turn.check(end.now());
        }
    }
    for end in &ends {
        assert_eq!(end.events, []);
    }
}

#[test]
#[ignore = "needs coturn: tests/run turn"]
fn a_server_that_was_killed_is_found_out() {
    let mut coturn = Coturn::start(&[]);
    let (mut ends, relayed) = pair(&coturn, Over::Udp, Family::V4);
    talk(&mut ends, &relayed, b"\x17before");
    coturn.restart();
    let begun = Instant::now();
    // In a game there is always something to send.
    while ends[0].events.is_empty() {
        assert!(begun.elapsed() < LONG);
        ends[0].send(relayed[1], b"\x17lost");
        ends[0].run(Duration::from_millis(50));
    }
    std::println!("noticed after {} ms", begun.elapsed().as_millis());
    let forgotten = TurnEvent::Lost(TurnFailure::Forgotten);
    assert_eq!(ends[0].event(), forgotten);
    ends[1].turn.check(ends[1].now());
    assert_eq!(ends[1].event(), forgotten);
    for end in &mut ends {
        let server = (coturn.address(), Transport::Datagram);
        let rng = Rng::new([9; 32]);
        end.turn = Turn::new(end.now(), rng, server, credentials("secret"), Family::V4);
    }
    let relayed = ends.each_mut().map(End::relayed);
    for end in 0..2 {
        ends[end].permit(relayed[1 - end]);
        ends[end].run(Duration::from_millis(50));
    }
    talk(&mut ends, &relayed, b"\x17after");
    // For good.
    coturn.kill();
    ends[0].turn.check(ends[0].now());
    assert_eq!(ends[0].event(), TurnEvent::Lost(TurnFailure::Unreachable));
}

#[test]
#[ignore = "needs coturn: tests/run turn"]
fn another_server_is_followed_to() {
    let there = Coturn::start(&[]);
    let alternate = format!("--alternate-server={}", there.address());
    let here = Coturn::start(&[&alternate]);
    let mut end = End::new(&here, Over::Udp, Family::V4);
    let to = there.address();
    assert_eq!(end.event(), TurnEvent::Redirected { to });
    end.turn = end.turn.follow(end.now(), to);
    end.wire = Wire::open(Over::Udp, &there);
    end.relayed();
}
