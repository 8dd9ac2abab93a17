//! A network of a test's own: nothing leaves it, and it ends with the test.

use std::process::{Command, Stdio};

/// Runs the ignored test `name` of this binary in a new network namespace, after the lines of
/// `setup` (a shell script) and with all its interfaces up. Where there are no namespaces it says so
/// and does nothing; with `CI=true` it fails.
pub(crate) fn run(name: &str, setup: &str) {
    let unshare = |options: &[&str], program: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options).args(program);
        command
    };
    let works = |options: &&&[&str]| {
        unshare(options, &["ip", "link", "add", "probe0", "type", "veth"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let ways: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let Some(options) = ways.iter().find(works) else {
        let missing = "this machine lets us have no network namespace";
        assert!(
            !std::env::var("CI").is_ok_and(|ci| ci == "true"),
            "{missing}"
        );
        eprintln!("skipped: {missing}");
        return;
    };
    let script = format!("set -e\nip link set lo up\n{setup}\n{UNTIL_UP}\nexec \"$0\" \"$@\"");
    let exe = std::env::current_exe().unwrap();
    let status = unshare(options, &["sh", "-c", &script])
        .arg(exe)
        .args(["--exact", name, "--ignored", "--nocapture"])
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed in its network namespace");
}

const UNTIL_UP: &str = concat!("'", env!("CARGO_MANIFEST_DIR"), "/../tests/until-up'");

/// Whether the test that asks runs inside [`run`]: in a network that is not the machine's.
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}");
}
