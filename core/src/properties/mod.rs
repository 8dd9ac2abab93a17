//! What holds for all inputs, tried with many: where a simple model is the better oracle.
//!
//! Every run tries the same inputs; `PROPTEST_CASES=100000` tries more of them.

mod codes;
mod json;
mod membership;
mod payloads;

use core::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

/// Tries what the strategy makes; a failure is shrunk and shown.
pub(crate) fn check<S: Strategy<Value: Debug>>(
    strategy: S,
    property: impl Fn(S::Value) -> TestCaseResult,
) {
    let config = Config {
        // A failure comes again by itself.
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    if let Err(failure) = TestRunner::new_with_rng(config, rng).run(&strategy, property) {
        panic!("{failure}");
    }
}
