//! `wattle doctor` on loopback: the servers are the tests' own.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test, which has std and may panic"
)]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use wattle_smol::{ServerConfig, SignalingServer};

/// A signaling server for as long as the test lasts; gives its URL.
fn signaling() -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = smol::block_on(SignalingServer::bind(address, ServerConfig::default())).unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || smol::block_on(server.run()));
    format!("ws://{address}/peerjs")
}

/// What a STUN server says.
#[derive(Clone, Copy)]
enum Says {
    /// The address that it sees.
    Truth,
    /// Another port, as if a NAT had made it up for this server alone.
    OtherPort,
    Nothing,
}

/// A STUN server for as long as the test lasts; gives its URL.
fn stun(ip: [u8; 4], says: Says) -> String {
    let socket = UdpSocket::bind(SocketAddr::from((ip, 0))).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let port = match says {
                Says::Truth => from.port(),
                Says::OtherPort => from.port() ^ 1,
                Says::Nothing => continue,
            };
            let SocketAddr::V4(from_v4) = from else {
                continue;
            };
            let mut answer = vec![1, 1, 0, 12];
            answer.extend_from_slice(&buffer[4..20]);
            answer.extend_from_slice(&[0, 0x20, 0, 8, 0, 1]);
            answer.extend_from_slice(&(port ^ 0x2112).to_be_bytes());
            let ip = u32::from(*from_v4.ip()) ^ 0x2112_a442;
            answer.extend_from_slice(&ip.to_be_bytes());
            socket.send_to(&answer, from).unwrap();
        }
    });
    format!("stun:{address}")
}

/// The exit status and the line of `wattle doctor --json`.
fn doctor(args: &[&str]) -> (Option<i32>, Value) {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_wattle"))
        .args(["doctor", "--json", "--bind", "127.0.0.1"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(40));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code(), line)
}

fn verdicts(line: &Value) -> Vec<&str> {
    let problems = line["problems"].as_array().unwrap();
    problems
        .iter()
        .map(|problem| problem["verdict"].as_str().unwrap())
        .collect()
}

#[test]
fn a_good_network_is_found_good() {
    let (signal, one, other) = (
        signaling(),
        stun([127, 0, 0, 1], Says::Truth),
        stun([127, 0, 0, 1], Says::Truth),
    );
    let (status, line) = doctor(&["--signal", &signal, "--ice", &one, "--ice", &other]);
    assert_eq!(status, Some(0), "{line:#}");
    assert_eq!(line["event"], "doctor");
    assert_eq!(line["ok"], true);
    assert_eq!(verdicts(&line), [""; 0]);
    assert_eq!(line["signaling"]["ok"], true);
    assert_eq!(line["servers"].as_array().unwrap().len(), 2);
    for server in line["servers"].as_array().unwrap() {
        assert_eq!(server["result"], "answered");
        assert!(server["after_ms"].is_number());
    }
    assert_eq!(line["udp"], "works");
    // On loopback there is no NAT.
    assert_eq!(line["nat"], "open");
    assert_eq!(line["reach"][1]["peer"], "open");
    assert_eq!(line["reach"][1]["direct"], "yes");
    assert_eq!(line["addresses"][0], "127.0.0.1");
}

#[test]
fn a_symmetric_nat_is_told_by_two_servers() {
    let (one, other) = (
        stun([127, 0, 0, 1], Says::Truth),
        stun([127, 0, 0, 1], Says::OtherPort),
    );
    let (status, line) = doctor(&["--no-signal", "--ice", &one, "--ice", &other]);
    assert_eq!(status, Some(1), "{line:#}");
    assert_eq!(line["nat"], "dependent");
    assert_eq!(verdicts(&line), ["symmetric_nat"]);
    assert_eq!(line["signaling"], Value::Null);
    assert_eq!(line["reach"][3]["direct"], "no");
}

#[test]
fn silence_has_an_end_and_a_verdict() {
    let (signal, one, other) = (
        signaling(),
        stun([127, 0, 0, 1], Says::Nothing),
        stun([127, 0, 0, 2], Says::Nothing),
    );
    let (status, line) = doctor(&["--signal", &signal, "--ice", &one, "--ice", &other]);
    assert_eq!(status, Some(1), "{line:#}");
    // The signaling server is on this machine: that TCP gets out is not proven by it.
    assert_eq!(verdicts(&line), ["stun_silent"]);
    assert_eq!(line["servers"][0]["result"], "silent");
    assert_eq!(line["udp"], "unknown");
    assert!(
        line["problems"][0]["remedy"]
            .as_str()
            .unwrap()
            .ends_with('.')
    );
}

#[test]
fn a_signaling_server_that_is_not_there_is_the_first_problem() {
    let url = format!("ws://127.0.0.1:{}/peerjs", free_port());
    let (status, line) = doctor(&["--signal", &url, "--no-ice"]);
    assert_eq!(status, Some(1), "{line:#}");
    assert_eq!(
        verdicts(&line),
        ["signaling_connection_refused", "only_host_candidates"]
    );
    assert_eq!(line["problems"][1]["stops"], false);
}

#[test]
fn a_person_is_told_in_words() {
    let (one, other) = (
        stun([127, 0, 0, 1], Says::Truth),
        stun([127, 0, 0, 1], Says::OtherPort),
    );
    let output = Command::new(env!("CARGO_BIN_EXE_wattle"))
        .args(["doctor", "--bind", "127.0.0.1", "--no-signal"])
        .args(["--ice", &one, "--ice", &other])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        &*one,
        "takes another port for every destination",
        "nodes behind most home routers",
        "problem:",
        "Configure a TURN server",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn wrong_arguments_end_with_two() {
    for args in [
        &["doctor", "--signal", "http://localhost"][..],
        &["doctor", "--no-signal", "--signal", "ws://localhost"],
        &["doctor", "--ice", "stun:x:0"],
        &["doctor", "--no-ice", "--ice", "stun:x"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_wattle"))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
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

/// A coturn for as long as the test lasts; `None` where there is none installed, which `CI=true` does
/// not accept.
struct Coturn {
    child: std::process::Child,
    port: u16,
}

impl Coturn {
    fn start(options: &[&str]) -> Option<Self> {
        let port = free_port();
        let child = Command::new("turnserver")
            .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech"])
            .args(["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"])
            .args(["--realm=wattle.test", "--user=player:secret"])
            .args(["--log-file=stdout", "--userdb=none", "--pidfile="])
            .arg(format!("--listening-port={port}"))
            // It leaves an empty data base where it runs.
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            assert!(
                !std::env::var("CI").is_ok_and(|ci| ci == "true"),
                "there is no turnserver (Debian: apt install coturn)"
            );
            return None;
        };
        let coturn = Self { child, port };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(40), "no coturn");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(coturn)
    }

    /// A TURN server as `--ice` takes it.
    fn ice(&self, transport: &str, credential: &str) -> String {
        let port = self.port;
        format!(
            r#"{{"urls":"turn:127.0.0.1:{port}?transport={transport}","username":"player","credential":"{credential}"}}"#
        )
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_turn_server_is_asked_over_both_transports() {
    let Some(coturn) = Coturn::start(&[]) else {
        eprintln!("no coturn is installed: not tested");
        return;
    };
    let (status, line) = doctor(&["--no-signal", "--ice", &coturn.ice("udp", "secret")]);
    assert_eq!(status, Some(0), "{line:#}");
    assert!(line["servers"][0]["relayed"].is_string(), "{line:#}");
    let other = &line["other_transports"][0];
    assert!(other["url"].as_str().unwrap().ends_with("transport=tcp"));
    assert_eq!(other["result"], "answered");
    // Nodes whose UDP is blocked would need the one that is not configured.
    assert_eq!(line["reach"][3]["relayed"], true);
    assert_eq!(line["reach"][4]["relayed"], false);
    let (status, line) = doctor(&["--no-signal", "--ice", &coturn.ice("tcp", "secret")]);
    assert_eq!(status, Some(0), "{line:#}");
    assert_eq!(line["reach"][4]["relayed"], true);
}

#[test]
fn wrong_credentials_are_told() {
    let Some(coturn) = Coturn::start(&[]) else {
        eprintln!("no coturn is installed: not tested");
        return;
    };
    for transport in ["udp", "tcp"] {
        let (status, line) = doctor(&["--no-signal", "--ice", &coturn.ice(transport, "wrong")]);
        assert_eq!(status, Some(1), "{line:#}");
        assert_eq!(verdicts(&line), ["turn_credentials_refused"], "{line:#}");
        assert_eq!(line["servers"][0]["code"], 401);
    }
}

/// Where UDP is filtered but the same server answers over TCP, it is UDP that is blocked.
#[test]
fn blocked_udp_is_told_by_a_server_that_answers_over_tcp() {
    let Some(coturn) = Coturn::start(&["--no-udp"]) else {
        eprintln!("no coturn is installed: not tested");
        return;
    };
    let (status, line) = doctor(&["--no-signal", "--ice", &coturn.ice("udp", "secret")]);
    assert_eq!(status, Some(1), "{line:#}");
    assert_eq!(line["udp"], "blocked", "{line:#}");
    assert_eq!(line["other_transports"][0]["result"], "answered");
}
