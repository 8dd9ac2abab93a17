//! The named plans of `tests/plans/`: bugs that were found once, and courses worth keeping.

use std::fs;
use std::path::Path;

use wattle_core::sim::plan::{Plan, Verdict};

#[test]
fn all_named_plans_hold() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "plan"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        let plan: Plan = text
            .parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let verdict = plan.run().verdict;
        assert_eq!(verdict, Verdict::Held, "{name}: {verdict}");
    }
}
