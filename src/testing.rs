//! What the tests of all parts share.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::test_runner::{Config, FileFailurePersistence};

use crate::journal::settings::{JournalMode, JournalSettings, SyncPolicy, WorkerCode, WorkerIdentity};
use crate::pool::policies::{RecyclePolicy, RetryPolicy};
use crate::pool::settings::{Depth, PoolSettings};
use crate::protocol::Protocol;
use crate::words::format::Format;
use crate::words::host::HostId;
use crate::words::job::Job;
use crate::words::outcome::{Outcome, Status};
use crate::words::worker::{Channel, WorkerCommand};

/// What takes longer than this hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// Random tests remember the cases that have failed: those of `src/text/gather.rs` in
/// `tests/regressions/text/gather.txt`.
/// The number of cases is the default of proptest, or PROPTEST_CASES.
pub fn random() -> Config {
    let persistence = FileFailurePersistence::SourceParallel("tests/regressions");
    Config { failure_persistence: Some(Box::new(persistence)), ..Config::default() }
}

/// A job on the line of its number.
pub fn job(number: u64, data: &str) -> Job {
    Job { number, line: number, data: Bytes::copy_from_slice(data.as_bytes()), extra: None }
}

/// What a worker made of the job `{}` in its first attempt.
pub fn outcome(number: u64, status: Status) -> Outcome {
    let payload = match status {
        Status::Ok => Bytes::from_static(b"{}"),
        _ => Bytes::from_static(b"{\"name\":\"Error\",\"message\":\"sad\"}"),
    };
    let job = job(number, "{}");
    Outcome {
        job,
        status,
        payload,
        attempts: 1,
        host: HostId::HERE,
        worker: Some(0),
        batch: 0,
        elapsed: Duration::from_millis(1),
        began: None,
    }
}

/// One worker, a line filter that is `sh -c SCRIPT`, without limits that a test could meet by chance.
pub fn pool_settings(script: &str) -> PoolSettings {
    let args = vec!["-c".into(), script.into()];
    PoolSettings {
        workers: 1,
        command: WorkerCommand {
            wrap: Vec::new(),
            program: "/bin/sh".into(),
            args,
            channel: Channel::Stdio,
            env: Vec::new(),
        },
        protocol: Protocol::Lines,
        supplied: false,
        preload: false,
        depth: Depth::Fixed(1),
        concurrency: 1,
        batch: None,
        timeout: None,
        start_timeout: HANG,
        grace: HANG,
        dump: None,
        retry: RetryPolicy { retries: 0, delay: Duration::ZERO, on: vec![Status::Died] },
        rate: None,
        recycle: RecyclePolicy::default(),
        max_reply_bytes: 1 << 20,
        window: 1024,
        memory: 1 << 28,
        keep_jobs: true,
        redact: vec![],
        hosts: None,
        watched: false,
    }
}

/// A journal of lines that go through `cat`.
pub fn journal_settings(path: &Path, mode: JournalMode) -> JournalSettings {
    let code = WorkerCode::Command(pool_settings("cat").command);
    JournalSettings {
        path: path.to_owned(),
        mode,
        accepts_changes: false,
        worker: WorkerIdentity { protocol: Protocol::Lines.name(), code },
        input: Format::Lines,
        key: None,
        shard: None,
        sync: SyncPolicy::Never,
    }
}

/// Asks every few milliseconds until it is so. Panics if that takes too long.
#[track_caller]
pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + HANG;
    while !is_so() {
        assert!(Instant::now() < end, "it never happens");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs what would hang if it were wrong. Panics if it takes too long.
#[track_caller]
pub fn in_time<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(body);
    wait_until(|| thread.is_finished());
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
