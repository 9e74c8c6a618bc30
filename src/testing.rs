//! What the tests of all parts share.

use proptest::test_runner::{Config, FileFailurePersistence};

/// Random tests remember the cases that have failed under tests/regressions, each beside a path like its own.
pub fn random() -> Config {
    let persistence = FileFailurePersistence::SourceParallel("tests/regressions");
    Config { failure_persistence: Some(Box::new(persistence)), ..Config::default() }
}
