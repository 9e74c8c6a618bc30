//! What the tests of all parts share.

use proptest::test_runner::{Config, FileFailurePersistence};

/// Random tests remember the cases that have failed: those of `src/text/gather.rs` in
/// `tests/regressions/text/gather.txt`.
/// The number of cases is the default of proptest, or PROPTEST_CASES.
pub fn random() -> Config {
    let persistence = FileFailurePersistence::SourceParallel("tests/regressions");
    Config { failure_persistence: Some(Box::new(persistence)), ..Config::default() }
}
