//! What the end-to-end tests share: the real binary, run to its end, with nothing left behind.

pub mod console;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A run that takes longer than this hangs: two minutes are enough for the slowest machine.
pub const HANG: Duration = Duration::from_secs(120);

/// The environment variable that marks all processes of a run.
const MARK: &str = "FORKPOOL_TEST_RUN";

/// The name of the process that ends the workers if forkpool is killed, as /proc shows it.
const WATCHER: &str = "forkpool-watch\n";

/// A command line of forkpool under test.
pub struct Run {
    command: Command,
    input: Vec<u8>,
    mark: String,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status as a shell shows it: for a death by a signal, 128 and the signal's number.
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// `forkpool ARGS…`, in an environment without surprises. Its stdin is empty.
pub fn forkpool<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    let mut run = Run::new(Command::new(env!("CARGO_BIN_EXE_forkpool")));
    run.command.args(args);
    run
}

/// forkpool with the hostile worker: `chaotic("-j 2 --timeout 1s -- --ready")`. Words behind ` --` are the
/// worker's options.
pub fn chaotic(words: &str) -> Run {
    let (own, workers) = words.split_once("-- ").unwrap_or((words, ""));
    let words = own.split_whitespace().chain(["--", chaos()]).chain(workers.split_whitespace());
    forkpool(words)
}

/// `sh -c SCRIPT` with forkpool on the PATH, in `folder`: the command lines of the documents.
pub fn shell(script: &str, folder: &Path) -> Run {
    let mut run = Run::new(Command::new("sh"));
    run.command.arg("-c").arg(script).current_dir(folder);
    run
}

impl Run {
    fn new(mut command: Command) -> Run {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_BIN_EXE_forkpool")).parent().expect("a binary is in a folder");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&path)));
        command.env("PATH", path.expect("the PATH was one before")).env(MARK, &mark);
        // These variables would change what is shown, or how interpreters buffer.
        for name in ["CI", "NO_COLOR", "PYTHONUNBUFFERED", "NODE_OPTIONS", "FORKPOOL_SLOT"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Run { command, input: Vec::new(), mark }
    }

    pub fn stdin(mut self, input: impl AsRef<[u8]>) -> Run {
        self.input = input.as_ref().to_vec();
        self.command.stdin(Stdio::piped());
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Run {
        self.command.current_dir(folder);
        self
    }

    /// The command, for what the other methods do not cover.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts the run; `Running::end` must follow.
    pub fn start(mut self) -> Running {
        let mut child = self.command.spawn().expect("the program starts");
        // Where no input was given, stdin stays open until `end`, for tests that write the input themselves.
        if !self.input.is_empty()
            && let Some(mut stdin) = child.stdin.take()
        {
            let input = std::mem::take(&mut self.input);
            // An error only means that the run has ended before it has read all of its input.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        Running { child: Some(child), mark: self.mark, said: Vec::new() }
    }

    /// Starts the run, whose input ends when what is returned with it is dropped.
    pub fn start_with_stdin(mut self) -> (Running, ChildStdin) {
        self.command.stdin(Stdio::piped());
        let mut running = self.start();
        let stdin = running.child().stdin.take().expect("it is piped");
        (running, stdin)
    }

    /// Runs forkpool to its end. Panics if it hangs, or leaves a process behind.
    pub fn end(self) -> Ended {
        self.start().end()
    }
}

/// A run under way.
pub struct Running {
    child: Option<Child>,
    mark: String,
    /// What has been read of the run's stderr so far.
    said: Vec<u8>,
}

impl Running {
    pub fn id(&self) -> i32 {
        self.child.as_ref().expect("it is taken only at the end").id().cast_signed()
    }

    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it is taken only at the end")
    }

    /// The processes of this run that are alive, forkpool included, without its watcher.
    pub fn processes(&self) -> Vec<i32> {
        marked(&self.mark).into_iter().filter(|&id| !is_watcher(id)).collect()
    }

    /// The process that ends the workers if forkpool is killed, once it has got so far as to have its name.
    pub fn watcher(&self) -> i32 {
        let is_named = |id: &i32| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name == WATCHER);
        wait_for(HANG, || marked(&self.mark).into_iter().find(is_named)).expect("there is a watcher")
    }

    /// Its processor time so far, all threads together.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it is running");
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name in brackets").1.split(' ').collect();
        let ticks = |field: &str| field.parse::<u64>().expect("times are numbers");
        let ticks = ticks(fields[11]) + ticks(fields[12]);
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Waits until its stdout, which nobody reads, takes little or nothing more, and it has nothing more to do for that
    /// reason.
    #[track_caller]
    pub fn wait_until_it_is_held_up(&mut self) {
        let stdout = self.child().stdout.take().expect("it is piped");
        let room = rustix::pipe::fcntl_getpipe_size(&stdout).expect("it is a pipe") as u64;
        let is_full = || rustix::io::ioctl_fionread(&stdout).is_ok_and(|bytes| bytes > room / 2);
        wait_for(HANG, || is_full().then_some(())).expect("it fills its stdout");
        self.child().stdout = Some(stdout);
        let rests = wait_for(HANG, || {
            let before = self.processor_time();
            thread::sleep(Duration::from_millis(100));
            (self.processor_time() == before).then_some(())
        });
        rests.expect("it comes to rest");
    }

    /// Waits until these words are on the run's stderr.
    #[track_caller]
    pub fn wait_until_it_says(&mut self, words: &str) {
        let mut stderr = self.child().stderr.take().expect("it is piped");
        // A read that blocked would hang for as long as the run is silent.
        rustix::io::ioctl_fionbio(&stderr, true).expect("a pipe can be read without blocking");
        let said = wait_for(HANG, || {
            // An error says that there is nothing more for now; what came before it is kept.
            let is_over = stderr.read_to_end(&mut self.said).is_ok();
            let said = String::from_utf8_lossy(&self.said).contains(words);
            (said || is_over).then_some(said)
        });
        self.child().stderr = Some(stderr);
        assert_eq!(said, Some(true), "{words} is never said: {}", String::from_utf8_lossy(&self.said));
    }

    /// Waits for the end and for every process of the run to be gone.
    pub fn end(mut self) -> Ended {
        let ended = self.end_leaving_processes();
        let left = wait_for(HANG, || Some(marked(&self.mark)).filter(Vec::is_empty));
        assert!(left.is_some(), "processes are left: {:?}\n{}", describe(&marked(&self.mark)), ended.stderr);
        ended
    }

    /// Waits for the end of forkpool only.
    pub fn end_leaving_processes(&mut self) -> Ended {
        let child = self.child.take().expect("it ends once");
        let id = child.id().cast_signed();
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::spawn(move || drop(sender.send(child.wait_with_output())));
        let Ok(output) = receiver.recv_timeout(HANG) else {
            let left = describe(&marked(&self.mark));
            // All processes of the run are killed: one that held the pipes would else be waited for.
            marked(&self.mark).into_iter().chain([id]).for_each(|id| kill(id, libc::SIGKILL));
            let output = receiver.recv().expect("the thread sends").expect("a process can be waited for");
            panic!("it hangs: {left:?}\n{}", String::from_utf8_lossy(&output.stderr));
        };
        let mut output = output.expect("a process can be waited for");
        output.stderr.splice(..0, self.said.drain(..));
        Ended::new(output)
    }
}

impl Drop for Running {
    /// A test that fails in the middle leaves nothing behind either.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        for id in marked(&self.mark) {
            kill(id, libc::SIGKILL);
        }
    }
}

impl Ended {
    fn new(output: Output) -> Ended {
        let status = output.status;
        Ended {
            status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn check_status(self, expected: i32) -> Ended {
        assert_eq!(self.status, expected, "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The records on stdout.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        records(&self.stdout)
    }

    /// The statuses of the records, in their order.
    #[track_caller]
    pub fn statuses(&self) -> Vec<String> {
        self.records().iter().map(|record| record["status"].as_str().expect("a status is text").to_owned()).collect()
    }
}

/// Jobs as NDJSON.
pub fn lines(jobs: &[Value]) -> String {
    jobs.iter().map(|job| job.to_string() + "\n").collect()
}

/// Waits until a worker has created this file.
#[track_caller]
pub fn wait_until_there(file: &Path) {
    wait_for(HANG, || file.exists().then_some(())).expect("the worker creates its file");
}

/// NDJSON as values. Panics if the jobs are not 1, 2, 3 … in this order.
#[track_caller]
pub fn records(ndjson: &[u8]) -> Vec<Value> {
    let lines = ndjson.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let records: Vec<Value> = lines
        .map(|line| {
            serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
        })
        .collect();
    for (record, number) in records.iter().zip(1_u64..) {
        assert_eq!(record["job"], number, "records are in input order, one a job");
    }
    records
}

/// The hostile worker, built once.
pub fn chaos() -> &'static str {
    static CHAOS: OnceLock<String> = OnceLock::new();
    CHAOS.get_or_init(|| {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "chaos"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the chaos worker is built");
        let folder = Path::new(env!("CARGO_BIN_EXE_forkpool")).parent().expect("a binary is in a folder");
        folder.join("examples/chaos").to_str().expect("the target folder's name is text").to_owned()
    })
}

/// A file or folder of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether a program is installed.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether a program that a test needs is installed. Where nothing may be skipped, one that is not is a failure.
#[track_caller]
pub fn installed(program: &str) -> bool {
    if has(program) {
        return true;
    }
    assert!(!console::all_must_run(), "{program} is not installed");
    console::skip(&format!("{program} is not installed"));
    false
}

/// Whether a library of Python that a test needs is installed. Where nothing may be skipped, one that is not is a failure.
#[track_caller]
pub fn importable(library: &str) -> bool {
    let import = Command::new("python3").args(["-c", &format!("import {library}")]).stderr(Stdio::null()).status();
    if installed("python3") && import.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(!console::all_must_run(), "{library} is not installed for Python");
    console::skip(&format!("{library} is not installed for Python"));
    false
}

/// Checks all cases at once, for those that mostly wait.
pub fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let check = &check;
    // A case that panics has said why; the scope panics then.
    thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(move || check(case)))));
}

/// Asks every few milliseconds until there is an answer, or time is up.
pub fn wait_for<T>(most: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + most;
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if Instant::now() >= end => return None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

pub fn kill(id: i32, signal: i32) {
    let id = rustix::process::Pid::from_raw(id).expect("a process has an id");
    let signal = rustix::process::Signal::from_named_raw(signal).expect("tests send named signals");
    // It may be gone already.
    let _ = rustix::process::kill_process(id, signal);
}

/// Living processes with this mark in their environment. A zombie counts as dead.
fn marked(mark: &str) -> Vec<i32> {
    let entry = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for folder in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = folder.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // Both files are gone, or empty, once the process is.
        let environment = fs::read(folder.path().join("environ")).unwrap_or_default();
        let is_marked = environment.split(|&byte| byte == 0).any(|variable| variable == entry.as_bytes());
        if is_marked && is_alive(id) {
            found.push(id);
        }
    }
    found
}

/// Whether there is such a process; one that has ended and was not reaped is none.
pub fn is_alive(id: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether this is a forkpool that a forkpool has forked.
fn is_watcher(id: i32) -> bool {
    let is_forkpool = |id: i32| {
        fs::read_link(format!("/proc/{id}/exe"))
            .is_ok_and(|program| program == Path::new(env!("CARGO_BIN_EXE_forkpool")))
    };
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
    is_forkpool(id) && parent.is_some_and(is_forkpool)
}

fn describe(ids: &[i32]) -> Vec<String> {
    let describe = |id: &i32| {
        let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        format!("{id}: {}", String::from_utf8_lossy(&words).replace('\0', " "))
    };
    ids.iter().map(describe).collect()
}
