//! `wattle sim`, as processes: seeds replay, plans are read, failures are told.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test, which has std and may panic"
)]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn sim(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wattle"));
    command.arg("sim").args(args).stdin(Stdio::null());
    command
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Runs it for a program: the exit status, and the one line of this kind.
fn run(args: &[&str], kind: &str) -> (Option<i32>, Value) {
    let output = sim(args).arg("--json").output().unwrap();
    let lines = lines(&output);
    let line = lines.iter().find(|line| line["event"] == kind);
    let line = line.unwrap_or_else(|| panic!("no {kind} in {lines:?}"));
    (output.status.code(), line.clone())
}

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("wattle-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_seed_is_the_same_world_in_every_process() {
    for topology in ["star", "mesh"] {
        let world = |seed| {
            let (status, world) = run(&["--seed", seed, "--topology", topology], "world");
            assert_eq!(status, Some(0));
            assert_eq!(
                (&world["verdict"], &world["law"]),
                (&"held".into(), &Value::Null)
            );
            assert_eq!(world["hash"].as_str().unwrap().len(), 16);
            world
        };
        let seven = world("7");
        assert_eq!(world("7"), seven);
        assert_ne!(world("8")["hash"], seven["hash"]);
    }
}

#[test]
fn many_seeds_are_the_same_worlds_on_however_many_threads() {
    let args = ["--seeds", "30", "--first", "100", "--topology", "star"];
    let (status, one) = run(&args, "summary");
    assert_eq!(status, Some(0));
    assert_eq!(
        (&one["worlds"], &one["failed"]),
        (&30.into(), &false.into())
    );
    assert!(one["virtual_seconds"].as_f64().unwrap() > 30.0);
    let (_, two) = run(&args, "summary");
    assert_eq!((&one["hash"], &one["steps"]), (&two["hash"], &two["steps"]));
    assert_eq!(run(&args, "ended").1["reason"], "held");
}

#[test]
fn a_trace_is_a_plan_and_what_happened() {
    let args = ["--seed", "7", "--topology", "mesh", "--nodes", "3"];
    let (_, world) = run(&args, "world");
    let (status, trace) = run(&[&args[..], &["--trace"]].concat(), "trace");
    assert_eq!(status, Some(0));
    assert!(trace["timeline"].as_str().unwrap().lines().count() > 50);
    let plan = File::new("plan", trace["plan"].as_str().unwrap());
    let (status, again) = run(&["--plan", plan.path()], "world");
    assert_eq!(status, Some(0));
    assert_eq!(again["hash"], world["hash"], "the plan says it all");
    // For a person it is the same text.
    let output = sim(&args).arg("--trace").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(trace["plan"].as_str().unwrap().trim()));
    assert!(text.contains(trace["timeline"].as_str().unwrap().trim()));
    assert!(text.contains(world["hash"].as_str().unwrap()));
}

/// A model link and a real one cannot talk, so these two never meet.
const NEVER_MEET: &str = "seed 1\nnodes model native\nat 0ms host 0\nat 100ms join 1\n\
                          heal 5000ms core 0 1\n";

#[test]
fn a_world_that_fails_says_which_law_and_what_happened_last() {
    let plan = File::new("never-meet", NEVER_MEET);
    let (status, world) = run(&["--plan", plan.path()], "world");
    assert_eq!(status, Some(1));
    assert_eq!(world["verdict"], "broken");
    assert_eq!(world["law"], "liveness");
    assert_eq!(run(&["--plan", plan.path()], "ended").1["reason"], "failed");
    let output = sim(&["--plan", plan.path()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("liveness") && text.contains("what happened last"),
        "{text}"
    );
}

#[test]
fn a_plan_that_cannot_be_read_is_a_wrong_argument() {
    let bad = File::new("bad", "seed 1\nnodes model\nat 0ms dance 0\n");
    for path in [bad.path(), "/no/such/plan"] {
        let (status, error) = run(&["--plan", path], "error");
        assert_eq!(status, Some(2));
        assert_eq!(error["kind"], "usage");
        assert!(error["message"].as_str().unwrap().starts_with(path));
        let output = sim(&["--plan", path]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_with_a_summary() {
    use std::io::{BufRead as _, BufReader};
    let mut child = sim(&["--seeds", "1000000000", "--topology", "star", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if seen.is_empty() {
            assert_eq!(line["event"], "progress");
            let id = child.id().to_string();
            let status = Command::new("kill").args(["-INT", &id]).status();
            assert!(status.unwrap().success());
        }
        seen.push(line);
    }
    let summary = &seen[seen.len() - 2];
    assert_eq!(summary["event"], "summary");
    assert!(summary["worlds"].as_u64().unwrap() > 0);
    assert_eq!(seen[seen.len() - 1]["reason"], "stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
