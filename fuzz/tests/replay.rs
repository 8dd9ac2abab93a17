//! All inputs that are kept: those that reach something new, and those that once broke a law.

use std::path::Path;
use std::time::Instant;

fn replay_all(of: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
    for (name, target) in wattle_fuzz::TARGETS {
        let begin = Instant::now();
        let inputs = wattle_fuzz::replay(&root.join(name), target);
        println!(
            "{of} of {name}: {inputs} in {} ms",
            begin.elapsed().as_millis()
        );
        assert!(of != "corpus" || inputs > 0, "no inputs for {name}");
    }
}

#[test]
fn corpora() {
    replay_all("corpus");
}

#[test]
fn regressions() {
    replay_all("regressions");
}

/// A directory whose target has another name would never be replayed.
#[test]
fn every_directory_has_its_target() {
    for of in ["corpus", "regressions"] {
        let Ok(entries) = Path::new(env!("CARGO_MANIFEST_DIR")).join(of).read_dir() else {
            continue;
        };
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            let name = entry.file_name();
            let known = |(target, _): &wattle_fuzz::Target| name.to_str() == Some(*target);
            assert!(wattle_fuzz::TARGETS.iter().any(known), "{of}/{name:?}");
        }
    }
}
