//! Prints the native trace hash of every seed given, one a line, for `check.mjs` to compare.

use std::process::ExitCode;

fn main() -> ExitCode {
    for argument in std::env::args().skip(1) {
        let Ok(seed) = argument.parse() else {
            eprintln!("trace-hash: '{argument}' is not a seed: give whole numbers from 0 on");
            return ExitCode::from(2);
        };
        println!("{:016x}", wattle_tests_wasm::trace_hash(seed));
    }
    ExitCode::SUCCESS
}
