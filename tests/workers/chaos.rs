//! A hostile worker of the json protocol, scripted by its jobs.
//!
//! A job says what to do, one step or several: `{"do":"crash"}`, `{"do":["touch","hang"],"touch":"/…"}`. If
//! no step has answered by the end, the job is answered with itself, so a job without `do` is an echo. The
//! steps, and the fields they read (`n` is a number):
//!
//! ```text
//! answering  answer, error (error: any JSON), huge (n MB), crumbs, stranger (an id nobody has), defer (after
//!            the next job's answer), env, alive (whether process `pid` is), not_utf8, nul, deep (n),
//!            surrogate
//! no reply   garbage (text), half, progress (n), recycle, ready
//! waiting    slow (n ms), hang, asked (SIGTERM), eof, touch (creates file `touch`), wait (for file `wait`)
//! dying      crash (signal), exit (n), abort
//! damage     stubborn (SIGTERM is ignored), flood (n MB of stderr), say (text, on stderr), allocate (n MB),
//!            close_stdout, close_stdin, orphan and daemon (a grandchild that holds the pipes, in the group
//!            or in a session of its own; its id goes into file `pid`)
//! ```
//!
//! `"count":FILE` appends the job's id to a file each time the job is begun; with `"until":N` the
//! steps are for the attempts before the Nth, whose only step is `then`.
//!
//! Options, of the worker's start: `--ready`, `--slow-start MS`, `--banner TEXT`, `--fail N` (exit with that
//! status, after some words), `--fail-unless FILE` (only as long as FILE is not there, which it creates),
//! `--close-stdin`, `--read-one` (takes no byte beyond the job it runs), `--buffered` (replies are held back until the end of the input), `--dump` (says on
//! SIGUSR1 or SIGQUIT where it is).

// `eprint!` panics where stderr is closed. The worker just ends by that, and is not asked to do better.
#![allow(clippy::print_stderr)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::value::RawValue;
use signal_hook::consts::{SIGQUIT, SIGTERM, SIGUSR1};

#[derive(Deserialize)]
struct Message<'a> {
    id: u64,
    #[serde(default = "first")]
    attempt: u32,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn first() -> u32 {
    1
}

/// The fields of a job that say what to do; see above.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Script {
    #[serde(rename = "do")]
    steps: Steps,
    until: Option<u32>,
    then: Option<String>,
    n: Option<u64>,
    text: Option<String>,
    signal: Option<String>,
    error: Option<serde_json::Value>,
    count: Option<String>,
    touch: Option<String>,
    wait: Option<String>,
    pid: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Steps {
    One(String),
    Several(Vec<String>),
}

impl Default for Steps {
    fn default() -> Steps {
        Steps::Several(Vec::new())
    }
}

struct Worker {
    input: io::BufReader<File>,
    output: io::BufWriter<io::Stdout>,
    /// Replies are held back until the end of the input (`--buffered`).
    buffered: bool,
    /// Replies that wait for the answer to the next job (`defer`).
    deferred: Vec<String>,
    /// Whether SIGTERM has been caught; `None` as long as no job has asked for it to be caught.
    asked: Option<Arc<AtomicBool>>,
    /// The step that the worker does, for a dump.
    doing: Arc<Mutex<String>>,
}

/// How long `hang` hangs: not for ever, in case that a test leaves the worker behind.
const FOREVER: Duration = Duration::from_secs(600);
/// The time between two looks at a file or a flag that is waited for.
const LOOK: Duration = Duration::from_millis(2);

fn main() -> io::Result<()> {
    // A crash is not to leave a core file.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)?;
    let mut worker = Worker {
        input: io::BufReader::with_capacity(1 << 20, own_stdin()?),
        output: io::BufWriter::with_capacity(1 << 20, io::stdout()),
        buffered: false,
        deferred: Vec::new(),
        asked: None,
        doing: Arc::default(),
    };
    worker.start(std::env::args().skip(1))?;
    let mut line = Vec::new();
    while worker.input.read_until(b'\n', &mut line)? > 0 {
        let message: Message = serde_json::from_slice(&line)?;
        worker.run(&message)?;
        line.clear();
    }
    worker.write_deferred()?;
    worker.output.flush()
}

impl Worker {
    fn start(&mut self, mut options: impl Iterator<Item = String>) -> io::Result<()> {
        while let Some(option) = options.next() {
            let mut value = || options.next().unwrap_or_else(|| panic!("{option} needs a value"));
            match option.as_str() {
                "--ready" => self.line("{\"status\":\"ready\"}")?,
                "--slow-start" => std::thread::sleep(Duration::from_millis(number(&value()))),
                "--banner" => self.line(&value())?,
                "--fail" => fail(number(&value())),
                "--fail-unless" if File::create_new(value()).is_ok() => fail(3),
                "--fail-unless" => {}
                "--close-stdin" => self.close_stdin()?,
                "--read-one" => self.input = io::BufReader::with_capacity(1, own_stdin()?),
                "--buffered" => self.buffered = true,
                "--dump" => self.dump_on_request()?,
                // This process is a grandchild, started by `linger`, that only stays alive.
                "--linger" => {
                    if value() == "daemon" {
                        rustix::process::setsid()?;
                    }
                    create(&value(), &std::process::id().to_string())?;
                    std::thread::sleep(FOREVER);
                    std::process::exit(0);
                }
                other => panic!("there is no option {other}"),
            }
        }
        Ok(())
    }

    fn run(&mut self, message: &Message) -> io::Result<()> {
        let mut script: Script = serde_json::from_str(message.data.get()).unwrap_or_default();
        if let Some(file) = &script.count {
            // One small write to a file that is opened for appending is not mixed with that of another worker.
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(file)?
                .write_all(format!("{}\n", message.id).as_bytes())?;
        }
        let steps = match std::mem::take(&mut script.steps) {
            _ if script.until.is_some_and(|until| message.attempt >= until) => script.then.take().into_iter().collect(),
            Steps::One(step) => vec![step],
            Steps::Several(steps) => steps,
        };
        let mut answered = false;
        for step in steps {
            *self.doing.lock().expect("no thread panics while it holds this") = format!("job {}: {step}", message.id);
            answered |= self.step(&step, &script, message)?;
        }
        if !answered {
            self.answer(message.id, message.data.get())?;
        }
        Ok(())
    }

    /// Does one step. Returns whether the job has been answered, or is to have no answer now.
    fn step(&mut self, step: &str, script: &Script, message: &Message) -> io::Result<bool> {
        let id = message.id;
        let text = || script.text.as_deref().unwrap_or("meow");
        let n = |default: u64| usize::try_from(script.n.unwrap_or(default)).expect("a number of this machine");
        let file = |name: &Option<String>| name.clone().unwrap_or_else(|| panic!("{step} needs a file"));
        match step {
            "answer" => self.answer(id, message.data.get())?,
            "error" => {
                let error = script.error.clone();
                let error = error.unwrap_or_else(|| serde_json::json!({"name": "ChaosError", "message": text()}));
                self.line(&format!("{{\"id\":{id},\"status\":\"error\",\"error\":{error}}}"))?;
            }
            "huge" => self.answer(id, &format!("\"{}\"", "x".repeat(n(1) << 20)))?,
            "crumbs" => {
                for byte in format!("{}\n", ok(id, message.data.get())).bytes() {
                    self.write(&[byte])?;
                }
            }
            "stranger" => self.answer(id + 1_000_000, "0")?,
            "defer" => {
                self.deferred.push(ok(id, message.data.get()));
                return Ok(true);
            }
            "env" => {
                let variable = |name: &str| std::env::var(name).ok();
                let slot = variable("FORKPOOL_SLOT");
                let env = serde_json::json!({"slot": slot, "workers": variable("FORKPOOL_WORKERS"),
                    "attempt": message.attempt, "pid": std::process::id(), "home": variable("HOME")});
                self.answer(id, &env.to_string())?;
            }
            "alive" => {
                let pid = fs::read_to_string(file(&script.pid))?;
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                // A zombie counts as dead.
                let alive = stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']));
                self.answer(id, &alive.to_string())?;
            }
            "not_utf8" => self.write(&[ok(id, "\"").as_bytes(), b"\xff\xfe\"}\n"].concat())?,
            "nul" => self.answer(id, "\"a\0b\"")?,
            "deep" => self.answer(id, &format!("{}{}", "[".repeat(n(10_000)), "]".repeat(n(10_000))))?,
            "surrogate" => self.answer(id, "\"\\ud83d\"")?,

            "garbage" => return self.line(text()).map(|()| false),
            "half" => {
                let reply = ok(id, message.data.get());
                return self.write(&reply.as_bytes()[..reply.len() / 2]).map(|()| false);
            }
            "progress" => {
                for step in 1..=n(1) {
                    self.line(&format!("{{\"id\":{id},\"status\":\"progress\",\"data\":{step}}}"))?;
                }
                return Ok(false);
            }
            "recycle" | "ready" => return self.line(&format!("{{\"status\":\"{step}\"}}")).map(|()| false),
            other => {
                self.suffer(other, script, n, &file, text())?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The steps that write nothing to stdout.
    fn suffer(
        &mut self,
        step: &str,
        script: &Script,
        n: impl Fn(u64) -> usize,
        file: &dyn Fn(&Option<String>) -> String,
        text: &str,
    ) -> io::Result<()> {
        match step {
            "slow" => std::thread::sleep(Duration::from_millis(n(10) as u64)),
            "hang" => std::thread::sleep(FOREVER),
            "stubborn" => drop(self.catch_term()?),
            "asked" => {
                let asked = self.catch_term()?;
                while !asked.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                }
            }
            "eof" => drop(self.input.read_to_end(&mut Vec::new())?),
            "touch" => create(&file(&script.touch), "")?,
            "wait" => {
                let file = file(&script.wait);
                while !Path::new(&file).exists() {
                    std::thread::sleep(LOOK);
                }
            }
            "crash" => crash(script.signal.as_deref().unwrap_or("KILL")),
            "exit" => std::process::exit(i32::try_from(n(0)).expect("an exit status")),
            "abort" => std::process::abort(),
            "say" => eprintln!("{text}"),
            "flood" => {
                let line = [&[b'x'; 99][..], b"\n"].concat().repeat(10_000);
                for _ in 0..n(1) {
                    io::stderr().write_all(&line)?;
                }
            }
            "allocate" => {
                let mut memory = vec![0_u8; n(1) << 20];
                // Every page is touched, so that it counts as resident memory.
                memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
                std::mem::forget(std::hint::black_box(memory));
            }
            "close_stdout" => rustix::stdio::dup2_stdout(OpenOptions::new().write(true).open("/dev/null")?)?,
            "close_stdin" => self.close_stdin()?,
            "orphan" | "daemon" => linger(step, &file(&script.pid))?,
            other => panic!("there is no step {other}"),
        }
        Ok(())
    }

    fn answer(&mut self, id: u64, data: &str) -> io::Result<()> {
        self.line(&ok(id, data))?;
        self.write_deferred()
    }

    fn write_deferred(&mut self) -> io::Result<()> {
        for reply in std::mem::take(&mut self.deferred) {
            self.line(&reply)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.write(format!("{line}\n").as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        if self.buffered { Ok(()) } else { self.output.flush() }
    }

    fn close_stdin(&mut self) -> io::Result<()> {
        let nothing = File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        self.input = io::BufReader::new(nothing);
        Ok(())
    }

    /// From now on SIGTERM only sets the flag.
    fn catch_term(&mut self) -> io::Result<Arc<AtomicBool>> {
        if let Some(asked) = &self.asked {
            return Ok(Arc::clone(asked));
        }
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGTERM, Arc::clone(&asked))?;
        self.asked = Some(Arc::clone(&asked));
        Ok(asked)
    }

    fn dump_on_request(&self) -> io::Result<()> {
        let doing = Arc::clone(&self.doing);
        let mut signals = signal_hook::iterator::Signals::new([SIGUSR1, SIGQUIT])?;
        std::thread::spawn(move || {
            for _ in signals.forever() {
                eprintln!("stack of chaos:\n  at {}", doing.lock().expect("no thread panics while it holds this"));
            }
        });
        Ok(())
    }
}

/// Stdin without the buffer that the standard library puts before it.
fn own_stdin() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn ok(id: u64, data: &str) -> String {
    format!("{{\"id\":{id},\"status\":\"ok\",\"data\":{data}}}")
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

fn fail(status: u64) {
    eprintln!("chaos cannot start: the cat is asleep");
    std::process::exit(i32::try_from(status).expect("an exit status"));
}

/// Creates a file that has its content as soon as it is there.
fn create(file: &str, content: &str) -> io::Result<()> {
    let half = format!("{file}.{}", std::process::id());
    fs::write(&half, content)?;
    fs::rename(half, file)
}

fn crash(name: &str) {
    let signal = match name {
        "KILL" => Signal::KILL,
        "SEGV" => Signal::SEGV,
        "TERM" => Signal::TERM,
        "STOP" => Signal::STOP,
        other => panic!("it does not crash by {other}"),
    };
    loop {
        // Rust's own handler of SIGSEGV takes itself away at the first signal and returns, so the signal is sent until
        // the process is gone.
        rustix::process::kill_process(rustix::process::getpid(), signal).expect("a process may kill itself");
    }
}

/// Leaves a grandchild behind that holds stdin, stdout and stderr, and returns once it is there.
fn linger(how: &str, pid: &str) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--linger", how, pid]).stdin(Stdio::inherit());
    let _grandchild = command.spawn()?;
    while !Path::new(pid).exists() {
        std::thread::sleep(LOOK);
    }
    Ok(())
}
