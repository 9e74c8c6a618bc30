//! `--check`: starts one worker, tries it with good and odd jobs, and says in plain words what it does wrong.
//!
//! The pool is not involved: one thread, one worker, one trial after the other. A worker that fails a trial is
//! replaced before the next, so that one fault does not look like two.

mod hosts;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::cli::Settings;
use crate::pool::exited::How;
use crate::pool::process;
use crate::pool::template::Alone;
use crate::pool::{error_text, fatal_error};
use crate::protocol::{Body, Protocol};
use crate::report::Reporter;
use crate::report::settings::{Progress, ReportSettings};
use crate::source;
use crate::stdout;
use crate::sys;
use crate::sys::clock::Clock;
use crate::text::people::{cut, escape};
use crate::words::error::{Error, Result};
use crate::words::exit::Exit;
use crate::words::job::Job;
use crate::words::outcome::error_words;

use worker::{Heard, Worker};

/// A worker is given this long to answer, since somebody is watching. After that its input is closed, to see whether it
/// answers then. One that takes longer to load should say when it is ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// After the answers a worker is listened to for this long: a further line would be one too many, and would come at
/// once.
const SURPLUS: Duration = Duration::from_millis(100);
/// The bytes of a large job. They fit neither into a pipe nor into a line buffer of fixed size, where a worker has one.
const LARGE: usize = 1 << 20;
/// The usual job, when no input is given.
const USUAL: &str = r#"{"name":"Tom"}"#;
/// A job with all that parsers stumble over: quotes, a backslash, a line break, letters outside of ASCII and of the
/// first plane, a number that no double holds.
const ODD: &str = r#"{"name":"Zoë \"\\\n🐾","":[[]],"n":12345678901234567890,"none":null}"#;
/// The same for the lines protocol: a text without a line break, which no line could hold.
const ODD_LINE: &str = r#""Zoë \"\\\t🐾""#;

/// Tries the worker. The error is a worker that cannot be started.
pub fn check(settings: &Settings) -> Result<Exit> {
    // Where no watcher can be had, only the worker itself ends when this process is killed, not what the worker has
    // started.
    if let Some(hosts) = &settings.pool.hosts {
        return hosts::check(hosts, settings.pool.start_timeout);
    }
    let _watcher = sys::watcher::start();
    process::find(&settings.pool.command)?;
    let usual = match source::first_job(&settings.input)? {
        Some(data) => data,
        None if settings.pool.protocol == Protocol::Lines => Bytes::from_static(b"\"Tom\""),
        None => Bytes::from_static(USUAL.as_bytes()),
    };
    with_worker(settings, |check| check.run(&usual))
}

/// Starts a worker, sees that it has loaded its handler, and ends it. A worker of the user's own need not say when it
/// has loaded, so nothing is found out about that.
pub fn loads(settings: &Settings) -> Result<()> {
    let _watcher = sys::watcher::start();
    with_worker(settings, |check| check.start())
}

/// Runs a trial of a worker, and buries the worker.
fn with_worker<T>(settings: &Settings, run: impl FnOnce(&mut Check<'_>) -> Result<T>) -> Result<T> {
    let quiet =
        ReportSettings { progress: Progress::Off, progress_file: None, log_dir: None, ..settings.report.clone() };
    let no_thread = |error| Error::no_thread(&error);
    let clock = Clock::start().map_err(no_thread)?;
    let reporter = Reporter::start(&quiet, Arc::default(), clock.clone(), None).map_err(no_thread)?;
    let pool = &settings.pool;
    let template = pool.preload.then(|| Alone::load(pool, &reporter, &clock)).transpose();
    let template = template.inspect_err(|_| reporter.clone().end(Vec::new(), Vec::new()))?;
    let mut check = Check {
        settings,
        template,
        reporter: reporter.clone(),
        worker: None,
        next: 1,
        trials: 0,
        failed: 0,
        begun: Instant::now(),
        took: Duration::ZERO,
        init_took: None,
    };
    let result = run(&mut check);
    if let Some(worker) = check.worker.take() {
        worker.process.bury();
    }
    if let Some(template) = check.template.take() {
        template.bury();
    }
    reporter.end(Vec::new(), Vec::new());
    result
}

/// Why a trial may expect a worker.
const HAS_WORKER: &str = "`start` makes a worker before each trial, and `told` takes it away only after";

struct Check<'a> {
    settings: &'a Settings,
    /// What the worker is forked from (`--preload`).
    template: Option<Alone>,
    reporter: Reporter,
    worker: Option<Worker>,
    /// The number of the next job.
    next: u64,
    trials: u32,
    failed: u32,
    /// When the trial began.
    begun: Instant,
    /// How long its answers took.
    took: Duration,
    /// How long the handler's init function took, if there is one.
    init_took: Option<Duration>,
}

/// How a trial ended: what is worth saying, or what the worker does wrong.
type Trial = std::result::Result<String, String>;

impl Check<'_> {
    fn run(&mut self, usual: &Bytes) -> Result<Exit> {
        let lines = self.settings.pool.protocol == Protocol::Lines;
        let odd = if lines { ODD_LINE } else { ODD };
        let large = format!("\"{}\"", "x".repeat(LARGE));
        let large = if lines { large } else { format!("{{\"name\":{large}}}") };
        let empty = if lines { "\"\"" } else { "null" };
        self.start()?;
        if let Some(took) = self.init_took {
            let name = self.init();
            self.told(&name, |check| {
                check.took = took;
                Ok(String::new())
            })?;
        }
        self.told("a job", |check| check.answers(std::slice::from_ref(usual)))?;
        // A worker that cannot run an ordinary job would fail the other trials for the same reason.
        if self.failed == 0 {
            self.told("odd text", |check| check.answers(&[Bytes::from_static(odd.as_bytes())]))?;
            self.told(if lines { "an empty line" } else { "an odd job (null)" }, |check| {
                check.answers(&[Bytes::from_static(empty.as_bytes())])
            })?;
            self.told("a job of 1 MiB", |check| check.answers(&[Bytes::from(large)]))?;
            if self.settings.pool.protocol != Protocol::NodeIpc {
                self.told("two jobs at once", |check| check.answers(&[usual.clone(), usual.clone()]))?;
            }
        }
        self.told("the end of the input", Check::ends)?;
        let (trials, failed) = (self.trials, self.failed);
        if failed == 0 {
            stdout::print(format!("the worker does all that is asked of it ({trials} trials)\n").as_bytes())
        } else {
            stdout::print(format!("{failed} of {trials} trials failed; see forkpool-worker(7)\n").as_bytes())?;
            Ok(Exit::JobsFailed)
        }
    }

    /// Makes one trial and says how it went. The worker is replaced if it failed.
    fn told(&mut self, name: &str, trial: impl FnOnce(&mut Self) -> Trial) -> Result<()> {
        self.start()?;
        self.begun = Instant::now();
        let outcome = trial(self);
        let ms = self.took.as_secs_f64() * 1000.0;
        self.trials += 1;
        let words = match outcome {
            Ok(words) if words.is_empty() => format!("ok      {name} ({ms:.1} ms)\n"),
            Ok(words) => format!("ok      {name} ({ms:.1} ms): {words}\n"),
            Err(words) => {
                self.failed += 1;
                if let Some(worker) = self.worker.take() {
                    worker.process.bury();
                }
                format!("FAILED  {name}: {words}\n")
            }
        };
        match stdout::print(escape(&words).as_bytes())? {
            Exit::Ok => Ok(()),
            exit => Err(Error::new(exit, "the reader of the output went away")),
        }
    }

    /// Starts a worker if there is none. One that forkpool supplies has loaded its handler and called the init function
    /// when this returns.
    fn start(&mut self) -> Result<()> {
        if self.worker.is_some() {
            return Ok(());
        }
        let pool = &self.settings.pool;
        self.worker = Some(Worker::start(pool, self.template.as_ref())?);
        if !pool.supplied {
            return Ok(());
        }
        let failed = |words: &str| Err(Error::pool(format!("the supplied worker {words}")));
        let until = Instant::now() + pool.start_timeout;
        let mut init = None;
        loop {
            let line = match self.hear(until) {
                Heard::Nothing if init.is_some() => {
                    return failed(&format!("was still in {} after --start-timeout", self.init()));
                }
                Heard::Nothing => return failed("was not ready within --start-timeout"),
                Heard::End => return failed(&self.how_it_ended()),
                Heard::TooLong(line) => return failed(&self.too_long(&line)),
                Heard::Line(line) => line,
            };
            match pool.protocol.decode(&line).map(|reply| reply.body) {
                Ok(Body::Loading(_)) => {}
                Ok(Body::Initializing(_)) => init = Some(Instant::now()),
                Ok(Body::Ready) => {
                    self.init_took = init.map(|begun| begun.elapsed());
                    return Ok(());
                }
                Ok(Body::Fatal(error)) => return Err(fatal_error(&error)),
                Ok(Body::Unstarted(error)) => {
                    return Err(Error::pool(format!("{} failed: {}", self.init(), error_text(&error))));
                }
                _ => return failed(&format!("wrote: {}", shown(&line))),
            }
        }
    }

    /// Gives the worker these jobs in one piece. It passes if it answers each of them and writes nothing else.
    fn answers(&mut self, jobs: &[Bytes]) -> Trial {
        let protocol = self.settings.pool.protocol;
        let first = self.next;
        for data in jobs {
            let job = Job { number: self.next, line: self.next, data: data.clone(), extra: None };
            self.next += 1;
            let worker = self.worker.as_mut().expect(HAS_WORKER);
            protocol.encode(&job, 1, &mut worker.input)?;
        }
        let mut open: Vec<u64> = (first..self.next).collect();
        let mut out_of_order = false;
        let mut words = String::new();
        while !open.is_empty() {
            let line = match self.hear(Instant::now() + PATIENCE) {
                Heard::Line(line) => line,
                Heard::TooLong(line) => return Err(self.too_long(&line)),
                Heard::End => return Err(format!("{} instead of answering", self.how_it_ended())),
                Heard::Nothing => return Err(self.why_silent(jobs.len() - open.len())),
            };
            let reply = protocol.decode(&line).map_err(|reason| no_reply(&reason, &line))?;
            let note = match &reply.body {
                Body::Ok(data) => shown(data),
                Body::Error { error, .. } => said(error),
                Body::Fatal(error) => return Err(format!("it says that it cannot work at all: {}", said(error))),
                Body::Again => return Err(no_reply("its status is \"again\", which is for batches", &line)),
                Body::Progress(_) | Body::Ready | Body::Recycle | Body::Asynchronous | Body::Noise => continue,
                Body::Loading(_) | Body::Initializing(_) | Body::Unstarted(_) => continue,
            };
            let place = match reply.id {
                None => 0,
                Some(id) => open.iter().position(|&job| job == id).ok_or_else(|| {
                    let wanted: Vec<String> = open.iter().map(u64::to_string).collect();
                    format!("it answers job {id}, but was given {}: a reply carries its job's id", wanted.join(" and "))
                })?,
            };
            out_of_order |= place > 0;
            open.remove(place);
            words = note;
        }
        self.took = self.begun.elapsed();
        self.says_no_more()?;
        if out_of_order {
            return Ok("answered out of order: it runs jobs at the same time; see --concurrency".to_owned());
        }
        Ok(if jobs.len() == 1 { words } else { "answered in order".to_owned() })
    }

    /// Sees that the worker writes no further line and goes on, now that it has answered all its jobs.
    fn says_no_more(&mut self) -> std::result::Result<(), String> {
        let protocol = self.settings.pool.protocol;
        match self.hear(Instant::now() + SURPLUS) {
            Heard::Line(line) if !matches!(protocol.decode(&line), Ok(reply) if !is_final(&reply.body)) => {
                Err(format!("it writes more than one line for each job: {}", shown(&line)))
            }
            Heard::TooLong(line) => Err(self.too_long(&line)),
            Heard::End => Err(format!("it answers, and then {}", self.how_it_ended())),
            Heard::Line(_) | Heard::Nothing => Ok(()),
        }
    }

    /// Why the worker has not answered all its jobs. To find that out its input is closed: a worker that answers then
    /// has held its output back in a buffer.
    fn why_silent(&mut self, answered: usize) -> String {
        let waited = humantime::format_duration(PATIENCE);
        let worker = self.worker.as_mut().expect(HAS_WORKER);
        if !worker.input.is_empty() {
            return format!("it does not read its input: {} bytes of the job are still there", worker.input.len());
        }
        worker.process.close_input();
        let late = matches!(self.hear(Instant::now() + Duration::from_secs(1)), Heard::Line(_));
        if late {
            return format!(
                "no answer within {waited}, but one as soon as its input was closed: it holds its output back in a \
                 buffer. Flush after each line: python -u, sed -u, jq --unbuffered, stdbuf -oL, fflush()"
            );
        }
        let more = if answered > 0 { " to the second job" } else { "" };
        format!(
            "no answer{more} within {waited}. One that takes long to load should say {{\"status\":\"ready\"}} first"
        )
    }

    /// The trial of the end of the input: the worker is to finish and to exit with status 0.
    fn ends(&mut self) -> Trial {
        let worker = self.worker.as_mut().expect(HAS_WORKER);
        worker.process.close_input();
        worker.output_ended |= worker.process.output.is_none();
        let grace = self.settings.pool.grace;
        let end = Instant::now() + grace;
        while self.worker.as_ref().is_some_and(|worker| worker.exited.is_none()) {
            match self.worker.as_mut().expect(HAS_WORKER).hear_or_exit(end, &self.reporter) {
                Heard::Line(line) => return Err(format!("it writes a line that nobody asked for: {}", shown(&line))),
                Heard::TooLong(line) => return Err(self.too_long(&line)),
                Heard::Nothing if Instant::now() >= end => {
                    let grace = humantime::format_duration(grace);
                    return Err(format!("it goes on; forkpool would wait for --grace ({grace}) and then kill it"));
                }
                Heard::End | Heard::Nothing => {}
            }
        }
        self.took = self.begun.elapsed();
        match self.worker.as_ref().and_then(|worker| worker.exited) {
            Some(How::Code(0)) => Ok("exit status 0".to_owned()),
            _ => Err(format!("{}; it should exit with status 0", self.how_it_ended())),
        }
    }

    /// The handler's init function, in words.
    fn init(&self) -> String {
        let name = self.settings.handler.as_ref().and_then(|handler| handler.init.as_deref());
        format!("the init function {}", name.unwrap_or_default())
    }

    fn too_long(&self, line: &[u8]) -> String {
        let most = self.settings.pool.max_reply_bytes;
        format!("it writes a line that is longer than --max-reply-bytes ({most} bytes): {}", shown(line))
    }

    fn how_it_ended(&self) -> String {
        match self.worker.as_ref().and_then(|worker| worker.exited) {
            Some(how) => format!("it {}", how),
            None => "it closed its output".to_owned(),
        }
    }

    fn hear(&mut self, until: Instant) -> Heard {
        self.worker.as_mut().expect(HAS_WORKER).hear(until, &self.reporter)
    }
}

fn is_final(body: &Body) -> bool {
    matches!(body, Body::Ok(_) | Body::Error { .. } | Body::Fatal(_))
}

/// What is wrong with a line that is no reply, and what to do.
fn no_reply(reason: &str, line: &[u8]) -> String {
    let wrote = shown(line);
    if line.trim_ascii_start().starts_with(b"{") {
        format!("{reason}; it wrote: {wrote}")
    } else {
        format!("it prints what is no reply: {wrote}. stdout is for replies only: print to stderr, or use --handler")
    }
}

/// `an error: KittenBites: Felix bites`
fn said(error: &[u8]) -> String {
    format!("an error: {}", shown(error_words(error).as_bytes()))
}

/// Letters of what a worker wrote that are shown: as many as fit on a line of a terminal beside the rest.
const SHOWN: usize = 60;

/// The beginning of what the worker wrote.
fn shown(bytes: &[u8]) -> String {
    cut(&String::from_utf8_lossy(bytes), SHOWN)
}
