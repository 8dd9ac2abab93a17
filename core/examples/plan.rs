//! Runs a plan from a file and prints its timeline: `plan FILE`.

use std::process::ExitCode;

use wattle_core::sim::plan::Plan;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: plan FILE");
        return ExitCode::from(2);
    };
    let plan = std::fs::read_to_string(&path).map(|text| text.parse::<Plan>());
    let plan = match plan {
        Ok(Ok(plan)) => plan,
        Ok(Err(error)) => {
            eprintln!("{path}: {error}");
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::from(2);
        }
    };
    let report = plan.run_with_timeline(|config| config);
    println!("{}\n{}", report.timeline, report.verdict);
    match report.verdict.law() {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    }
}
