//! The command's arguments and exit statuses, where no network is needed.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test, which has std and may panic"
)]

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn wattle(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wattle"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn wrong_arguments_end_with_two() {
    for args in [
        &[][..],
        &["dance"],
        &["join"],
        &["join", "L-"],
        &["join", "ABCDE"],
        &["join", "ABCDE0"],
        &["host", "--code", "LAN"],
        &["host", "--code", "L1HGE14A-6Y0"],
        &["host", "--lan", "--code", "ABCDEF"],
        &["host", "--lan", "--signal", "ws://localhost"],
        &["host", "--signal", "http://localhost"],
        &["host", "--max-nodes", "1"],
        &["host", "--max-nodes", "65"],
        &["host", "--topology", "ring"],
        &["join", "ABCDEF", "--topology", "mesh"],
        &["host", "--timeout", "0"],
        &["host", "--bind", "0.0.0.0"],
        &["host", "--bind", "localhost"],
        &["host", "--ice", "http://x"],
        &["host", "--ice", "stun:x", "--no-ice"],
        &["host", "--ice", "@/no/such/file"],
        &["host", "--ice", "[]"],
        &["host", "--ice-policy", "none"],
        &["demo", "--nodes", "1"],
        &["demo", "--nodes", "17"],
        &["serve", "--listen", "9000"],
        &["sim", "--seeds", "0"],
        &["sim", "--seeds", "many"],
        &["sim", "--topology", "ring"],
        &["sim", "--nodes", "65"],
        &["sim", "--trace"],
        &["sim", "--seed", "1", "--seeds", "2"],
        &["sim", "--seed", "1", "--plan", "x"],
        &["sim", "--plan", "x", "--topology", "star"],
        &["sim", "--seed", "-1"],
    ] {
        let output = wattle(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_arguments_are_an_event_for_a_program() {
    let output = wattle(&["host", "--json", "--ice", "stun:x:0"]);
    assert_eq!(output.status.code(), Some(2));
    let [line] = lines(&output).try_into().unwrap();
    assert_eq!(line["event"], "error");
    assert_eq!(line["kind"], "usage");
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("stun:x:0"), "{message}");
    assert!(message.contains("port"), "{message}");
}

#[test]
fn servers_of_the_environment_are_checked_where_they_are_used() {
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wattle"));
        command.args(args).env("WATTLE_ICE", "turn:x:0");
        command.stdin(Stdio::null()).output().unwrap()
    };
    let output = run(&["join", "ABCDEF", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let [line] = lines(&output).try_into().unwrap();
    assert_eq!(line["kind"], "usage");
    let message = line["message"].as_str().unwrap();
    assert!(message.starts_with("WATTLE_ICE: "), "{message}");
    // Not where others are given, nor where there is no need of any: these end differently.
    for args in [
        &["host", "--lan", "--bind", "192.0.2.77", "--no-ice"][..],
        &["host", "--lan", "--bind", "192.0.2.77", "--ice", "stun:x"],
        &["demo", "--bind", "192.0.2.77"],
    ] {
        assert_eq!(run(args).status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for args in [&["--help"][..], &["--version"], &["join", "--help"]] {
        let output = wattle(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn an_address_of_another_machine_cannot_be_bound() {
    // 192.0.2.0/24 is for documentation (RFC 5737); nothing is sent there.
    let output = wattle(&["host", "--lan", "--bind", "192.0.2.77", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let [error, ended] = lines(&output).try_into().unwrap();
    assert_eq!(error["event"], "error");
    assert_eq!(error["kind"], "bind_failed");
    assert!(error["remedy"].is_string());
    assert_eq!(ended["event"], "ended");
    assert_eq!(ended["reason"], "bind_failed");
}

#[test]
fn a_taken_port_cannot_be_served_at() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = wattle(&["serve", "--listen", &address, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let first = &lines(&output)[0];
    assert_eq!(first["kind"], "bind_failed");
}
