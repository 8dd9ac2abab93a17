//! Whole networks: separate processes of the command by LAN code, on loopback.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test, which has std and may panic"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take that should take milliseconds.
const SOON: Duration = Duration::from_secs(40);

/// A running `wattle --json`.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Process {
    fn start(args: &[&str]) -> Self {
        // Nothing leaves this machine.
        let no_ice = matches!(args[0], "host" | "join").then_some("--no-ice");
        let mut child = Command::new(env!("CARGO_BIN_EXE_wattle"))
            .args(args)
            .args(no_ice)
            .arg("--json")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let value =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// A host on loopback, and its code.
    fn host(args: &[&str]) -> (Self, String) {
        let mut host = Self::start(
            &[
                &["host", "--lan", "--bind", "127.0.0.1", "--grace", "6"],
                args,
            ]
            .concat(),
        );
        let created = host.event("network_created");
        let code = created["code"].as_str().unwrap().to_owned();
        assert!(code.starts_with('L'), "{code}");
        (host, code)
    }

    fn join(code: &str) -> Self {
        Self::start(&["join", code, "--bind", "127.0.0.1", "--grace", "6"])
    }

    fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// The next event of this kind; those before it are passed over.
    fn event(&mut self, kind: &str) -> Value {
        self.within(SOON, kind)
            .unwrap_or_else(|| panic!("no {kind} after {:#?}", self.seen))
    }

    fn within(&mut self, time: Duration, kind: &str) -> Option<Value> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line["event"] == kind {
                        return Some(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("ended without {kind} after {:#?}", self.seen)
                }
            }
        }
    }

    /// Waits for the process to end; gives its status.
    fn status(&mut self) -> Option<i32> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still running: {:#?}", self.seen);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_processes_talk_and_part() {
    let (mut host, code) = Process::host(&[]);
    let mut joiner = Process::join(&code.to_lowercase());
    for phase in ["signaling", "ice", "datachannel"] {
        assert_eq!(joiner.event("phase")["phase"], phase);
    }
    let joined = joiner.event("joined");
    let own = joined["node"].as_str().unwrap().to_owned();
    let nodes = joined["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    assert_eq!(nodes[1], own.as_str());
    for time in ["signaling_ms", "ice_ms", "datachannel_ms", "total_ms"] {
        assert!(joined["timing"][time].as_f64().unwrap() >= 0.0, "{time}");
    }
    assert_eq!(joiner.event("node_joined")["node"], nodes[0]);
    assert_eq!(host.event("node_joined")["node"], own.as_str());

    host.say("broadcast hello  there ");
    let message = joiner.event("message");
    assert_eq!(message["text"], "hello  there ");
    assert_eq!(message["from"], nodes[0]);
    joiner.say(&format!("send {} hi", &nodes[0].as_str().unwrap()[..6]));
    assert_eq!(host.event("message")["text"], "hi");
    let state = loop {
        // One state may be lost.
        joiner.say("state x=1");
        if let Some(state) = host.within(Duration::from_millis(200), "state") {
            break state;
        }
    };
    assert_eq!(
        (&state["text"], &state["from"]),
        (&"x=1".into(), &own.as_str().into())
    );
    host.say("stats");
    let stats = host.event("stats");
    assert_eq!(stats["nodes"][0]["messages_sent"], 1);
    joiner.say("dance");
    assert_eq!(joiner.event("error")["kind"], "usage");
    joiner.say("kick aaaa");
    assert_eq!(joiner.event("error")["kind"], "unknown_node");

    joiner.say("leave");
    assert_eq!(joiner.event("ended")["reason"], "left");
    assert_eq!(joiner.status(), Some(0));
    assert_eq!(host.event("node_left")["reason"], "left");
    host.say("leave");
    assert_eq!(host.event("ended")["reason"], "left");
    assert_eq!(host.status(), Some(0));
}

#[test]
fn eight_meet_and_the_ninth_is_told() {
    let (mut host, code) = Process::host(&[]);
    let mut joiners: Vec<Process> = (0..7).map(|_| Process::join(&code)).collect();
    for joiner in &mut joiners {
        joiner.event("joined");
    }
    for _ in 0..7 {
        host.event("node_joined");
    }
    // A broadcast goes to those whom its sender knows of.
    for _ in 0..7 {
        joiners[0].event("node_joined");
    }
    let mut ninth = Process::join(&code);
    let error = ninth.event("error");
    assert_eq!(error["kind"], "network_full");
    assert!(
        error["remedy"]
            .as_str()
            .is_some_and(|remedy| !remedy.is_empty())
    );
    assert_eq!(ninth.event("ended")["reason"], "network_full");
    assert_eq!(ninth.status(), Some(1));

    joiners[0].say("broadcast everyone");
    for joiner in &mut joiners[1..] {
        assert_eq!(joiner.event("message")["text"], "everyone");
    }
    assert_eq!(host.event("message")["text"], "everyone");
    host.say("leave");
    for joiner in &mut joiners {
        assert_eq!(joiner.event("ended")["reason"], "host_closed");
        assert_eq!(joiner.status(), Some(0));
    }
    assert_eq!(host.status(), Some(0));
}

#[test]
fn every_join_is_reported_and_a_host_is_told_if_it_asks() {
    let (mut host, code) = Process::host(&["--verbose"]);
    let mut joiner = Process::join(&code);
    let report = joiner.event("connect_report");
    assert!(
        joiner.seen.iter().any(|line| line["event"] == "joined"),
        "after joined"
    );
    assert_eq!(report["verdict"], "connected", "{report:#}");
    assert_eq!(report["ended_in"], Value::Null);
    assert!(report["timing"]["total_ms"].is_number());
    assert!(report["candidates"]["local"]["host"].as_u64().unwrap() > 0);
    assert!(report["candidates"]["remote"]["host"].as_u64().unwrap() > 0);
    let address = report["addresses"]["local"][0]["address"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let told = host.event("connect_report");
    assert_eq!(told["verdict"], "connected");
    let joined = joiner.seen.iter().find(|line| line["event"] == "joined");
    assert_eq!(told["node"], joined.unwrap()["node"]);
}

#[test]
fn a_code_of_nobody_is_refused_with_its_reason() {
    // A port where nobody listens, and nobody else can.
    let unheard = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    unheard.bind(&any.into()).unwrap();
    let address = unheard.local_addr().unwrap().as_socket().unwrap();
    let code = wattle_smol::NetworkCode::lan(address).unwrap().to_string();
    let mut joiner = Process::start(&["join", &code, "--bind", "127.0.0.1", "--timeout", "7"]);
    let report = joiner.event("connect_report");
    assert_eq!(report["ended_in"], "signaling", "{report:#}");
    assert_eq!(report["verdict"], "signaling_connection_refused");
    assert!(report["remedy"].is_string());
    assert!(report["took_ms"].is_number());
    let error = joiner.event("error");
    assert_eq!(error["kind"], "signaling_connection_refused");
    assert_eq!(joiner.status(), Some(1));
}

#[test]
fn a_killed_joiner_is_lost() {
    let (mut host, code) = Process::host(&[]);
    let mut joiner = Process::join(&code);
    joiner.event("joined");
    host.event("node_joined");
    joiner.child.kill().unwrap();
    assert_eq!(host.event("node_left")["reason"], "lost");
    host.say("leave");
    assert_eq!(host.status(), Some(0));
}

#[test]
fn a_killed_host_ends_its_network() {
    let (mut host, code) = Process::host(&[]);
    let mut joiner = Process::join(&code);
    joiner.event("joined");
    host.child.kill().unwrap();
    assert_eq!(joiner.event("error")["kind"], "host_lost");
    assert_eq!(joiner.event("ended")["reason"], "host_lost");
    assert_eq!(joiner.status(), Some(1));
}

#[test]
fn a_mesh_outlives_its_killed_host() {
    let (mut host, code) = Process::host(&["--topology", "mesh"]);
    let mut joiners: Vec<Process> = (0..3).map(|_| Process::join(&code)).collect();
    let ids: Vec<String> = joiners
        .iter_mut()
        .map(|joiner| joiner.event("joined")["node"].as_str().unwrap().to_owned())
        .collect();
    for (place, joiner) in joiners.iter_mut().enumerate() {
        let others = ids.iter().enumerate().filter(|(other, _)| *other != place);
        // In whatever order.
        let mut missing: Vec<&str> = others.map(|(_, id)| id.as_str()).collect();
        while !missing.is_empty() {
            let route = joiner.event("node_route");
            if route["route"] == "direct" {
                missing.retain(|id| route["node"] != *id);
            }
        }
    }
    host.child.kill().unwrap();
    for joiner in &mut joiners {
        assert_eq!(joiner.event("node_left")["reason"], "lost");
        assert_eq!(joiner.event("host_lost")["reason"], "lost");
    }
    joiners[0].say("broadcast without a host");
    for joiner in &mut joiners[1..] {
        assert_eq!(joiner.event("message")["text"], "without a host");
    }
    for joiner in &mut joiners[..2] {
        joiner.say("leave");
        assert_eq!(joiner.status(), Some(0));
    }
    // Who is left alone ends as the host did.
    assert_eq!(joiners[2].event("ended")["reason"], "host_lost");
    assert_eq!(joiners[2].status(), Some(1));
}

#[test]
fn without_input_a_host_stays() {
    let (mut host, code) = Process::host(&[]);
    host.stdin = None;
    std::thread::sleep(Duration::from_millis(300));
    let mut joiner = Process::join(&code);
    joiner.event("joined");
    assert!(host.child.try_wait().unwrap().is_none());
}

#[cfg(unix)]
#[test]
fn a_signal_is_a_goodbye() {
    let (mut host, code) = Process::host(&[]);
    let mut joiner = Process::join(&code);
    joiner.event("joined");
    host.event("node_joined");
    let killed = Command::new("kill")
        .arg(joiner.child.id().to_string())
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(host.event("node_left")["reason"], "left");
    assert_eq!(joiner.status(), Some(0));
}

#[test]
fn a_referee_does_not_relay() {
    let (_host, code) = Process::host(&["--no-relay"]);
    let mut one = Process::join(&code);
    one.event("joined");
    let mut two = Process::join(&code);
    let joined = two.event("joined");
    let other = joined["nodes"][1].as_str().unwrap();
    two.say(&format!("send {other} hi"));
    assert_eq!(two.event("error")["kind"], "not_relayed");
}

#[test]
fn a_standalone_server_brings_them_together() {
    let mut server = Process::start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = server.event("listening")["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let signal = ["--signal", &url, "--bind", "127.0.0.1"];
    let mut host = Process::start(&[&["host", "--code", "wattle"], &signal[..]].concat());
    assert_eq!(host.event("network_created")["code"], "WATTLE");
    let mut joiner = Process::start(&[&["join", "WATTLE"], &signal[..]].concat());
    joiner.event("joined");
    let mut nobody = Process::start(&[&["join", "NQBQDY"], &signal[..]].concat());
    assert_eq!(nobody.event("error")["kind"], "code_not_found");
    assert_eq!(nobody.status(), Some(1));
    let mut thief = Process::start(&[&["host", "--code", "wattle"], &signal[..]].concat());
    assert_eq!(thief.event("error")["kind"], "code_taken");
    assert_eq!(thief.status(), Some(1));
}

#[test]
fn the_demo_ends_by_itself() {
    for args in [
        &["demo", "--nodes", "4"][..],
        &["demo", "--nodes", "2", "--topology", "mesh"],
        &["demo", "--nodes", "3", "--topology", "mesh"],
        &["demo", "--nodes", "5", "--topology", "mesh"],
    ] {
        let mut demo = Process::start(args);
        let summary = demo.event("summary");
        assert_eq!(summary["nodes"].to_string(), args[2]);
        assert_eq!(demo.status(), Some(0), "{args:?}");
    }
}
