//! The end of the pipeline, on the main thread: receives outcomes, puts them into order, writes their records,
//! counts them, and decides when the run is over or has failed enough.
//!
//! The collector flushes when nothing more is waiting, never on a timer: a job typed by hand is answered at once, a
//! million of them are written in large pieces. Only the files that tell of jobs may have to wait for a moment. When an
//! output fails it goes on receiving, so that every thread before it can end, and writes no more. When the temporary
//! directory fails the run ends as well, but every job that was read still gets its record.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::rejects::Rejects;
use super::reorder::Reorder;
use super::sink::{Sink, SinkError};
use super::temporary;
use crate::collect::settings::Order;
use crate::collect::stop_policy::StopPolicy;
use crate::journal;
use crate::pool::dispatch::Dispatch;
use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::report::files::JobFiles;
use crate::sys::clock::Clock;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, reason};
use crate::words::exit::Exit;
use crate::words::message::{InputEnd, Message};
use crate::words::outcome::{Outcome, Status, error_words};

/// Where outcomes end: the output, the rejects file, and what puts outcomes into order before that.
pub struct Outputs {
    pub sink: Box<dyn Sink>,
    /// How messages name the output.
    pub sink_name: String,
    /// The rejects file, with the name that messages give it.
    pub rejects: Option<(String, Rejects)>,
    pub reorder: Reorder,
    pub order: Order,
    /// Failures are told on stderr, since the output has no place for them (lines).
    pub tell_failures: bool,
}

pub struct Collector {
    pub outputs: Outputs,
    pub journal: Option<journal::Writer>,
    pub messages: Receiver<Message>,
    pub dispatch: Arc<Dispatch>,
    pub clock: Clock,
    pub cancel: Arc<Cancel>,
    pub counters: Arc<Counters>,
    pub reporter: Reporter,
    pub stop: StopPolicy,
    /// Files that tell of each job.
    pub files: JobFiles,
}

/// How the run went, as far as the collector has seen it.
#[derive(Debug)]
pub struct Collected {
    pub failed: u64,
    /// The whole of the input was read.
    pub complete: bool,
    /// Jobs were given up because the run was being stopped: they were not begun, or ended with their worker.
    pub gave_up_jobs: bool,
    /// Lines of the input that were not read, if anybody knows.
    pub unread: Option<u64>,
    /// Reading the input failed.
    pub input_error: Option<Error>,
    /// The run was refused before any job had ended, or the pool failed before any was begun: no output was touched.
    pub came_to_nothing: bool,
    /// Files that tell of each job, to be finished.
    pub files: JobFiles,
}

impl Collected {
    /// Whether there is more to do: part of the input was not read, or jobs were given up.
    pub fn is_cut(&self) -> bool {
        !self.complete || self.gave_up_jobs
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    ThisRun,
    Journal,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    ended: u64,
    failed: u64,
}

/// The state of one run.
struct Collecting {
    collector: Collector,
    /// A message that was received while outcomes were gathered for the journal, and has not been looked at.
    pending: Option<Message>,
    all: Tally,
    /// The outcomes that came from the journal. They are left out when it is decided whether the run has failed enough:
    /// a run that resumes with `--max-failures` would else end where the one before it has ended.
    restored: Tally,
    /// The outcomes of jobs that were never begun, of a pool that has failed, while there are no others. Their records
    /// would only take the place of an older output, so they are written when it turns out that a job was begun.
    unbegun: Vec<Outcome>,
    /// What [`Collected::gave_up_jobs`] says.
    gave_up_jobs: bool,
    /// An output has failed; nothing more is written.
    broken: bool,
}

/// How many outcomes are written to the journal together, at most: enough to make the cost of a write vanish, few
/// enough that their records are soon written as well.
const GROUP: usize = 1024;

impl Collector {
    /// Collects until every job that was read has its record.
    pub fn run(self) -> Collected {
        let (all, restored) = (Tally::default(), Tally::default());
        let (pending, unbegun) = (None, Vec::new());
        let mut run =
            Collecting { collector: self, pending, all, restored, unbegun, gave_up_jobs: false, broken: false };
        let mut input: Option<InputEnd> = None;
        while input.as_ref().is_none_or(|input| run.all.ended < input.jobs) {
            match run.next() {
                Some(Message::Outcomes(mut outcomes)) => {
                    run.write_journal(&mut outcomes);
                    run.take(outcomes, Origin::ThisRun);
                }
                Some(Message::Restored(outcomes)) => run.take(outcomes, Origin::Journal),
                Some(Message::Retried(failure)) => run.collector.files.retried(&failure),
                Some(Message::Spent(spell)) => run.collector.files.spent(&spell),
                Some(Message::InputEnded(end)) => {
                    run.collector.counters.input_ended();
                    input = Some(end);
                }
                // These are for an agent.
                Some(Message::Proven | Message::Asynchronous | Message::Unfit | Message::Progress(..)) => {}
                Some(Message::Panicked(thread)) => {
                    run.fail(Error::pool(format!("a bug in forkpool: thread {thread} has panicked")));
                    break;
                }
                None => break,
            }
        }
        let mut end = input.unwrap_or(InputEnd { jobs: 0, complete: false, unread: None, error: None });
        if run.all.ended > 0
            && let Some(error) = &mut end.error
            && error.exit == Exit::Refused
        {
            // A run of which something was done was not refused: its input has failed, which is another exit status.
            error.exit = Exit::IoFailed;
        }
        let came_to_nothing = run.came_to_nothing(&end);
        if !came_to_nothing {
            run.write_unbegun();
            run.finish();
        }
        Collected {
            failed: run.all.failed,
            complete: end.complete,
            gave_up_jobs: run.gave_up_jobs,
            unread: end.unread,
            input_error: end.error,
            came_to_nothing,
            files: run.collector.files,
        }
    }
}

impl Collecting {
    /// What [`Collected::came_to_nothing`] says.
    fn came_to_nothing(&self, end: &InputEnd) -> bool {
        let refused = end.error.as_ref().is_some_and(|error| error.exit == Exit::Refused);
        (refused && self.all.ended == 0) || (self.pool_failed() && self.all.ended == self.unbegun.len() as u64)
    }

    fn pool_failed(&self) -> bool {
        self.collector.cancel.reason().is_some_and(|reason| reason.exit() == Exit::PoolFailed)
    }

    /// The next message. Before it is waited for, everything written so far is handed to the system.
    fn next(&mut self) -> Option<Message> {
        if let Some(message) = self.pending.take() {
            return Some(message);
        }
        match self.collector.messages.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                self.flush();
                self.wait()
            }
        }
    }

    /// Waits for a message. The files that tell of jobs are shown meanwhile, as often as they are to be.
    fn wait(&mut self) -> Option<Message> {
        let Collector { files, messages, .. } = &mut self.collector;
        while let Some(due) = files.show(Instant::now()) {
            match messages.recv_deadline(due) {
                Err(RecvTimeoutError::Timeout) => {}
                received => return received.ok(),
            }
        }
        messages.recv().ok()
    }

    /// Writes outcomes to the journal before their records are written, so that what is in the output is in the
    /// journal. Outcomes that have arrived meanwhile are added to `outcomes`, so that many share one write, and one
    /// wait for the disk.
    fn write_journal(&mut self, outcomes: &mut Vec<Outcome>) {
        let Some(journal) = &mut self.collector.journal else { return };
        while outcomes.len() < GROUP && self.pending.is_none() {
            match self.collector.messages.try_recv() {
                Ok(Message::Outcomes(more)) => outcomes.extend(more),
                Ok(other) => self.pending = Some(other),
                Err(_) => break,
            }
        }
        if let Err(error) = journal.append(outcomes.iter()) {
            self.collector.journal = None;
            // All outcomes so far are in the journal, so their records may still be written; later ones may not.
            self.finish_outputs();
            self.fail(error);
        }
    }

    fn take(&mut self, outcomes: Vec<Outcome>, origin: Origin) {
        let (jobs, bytes) = (outcomes.len(), outcomes.iter().map(Outcome::size).sum());
        match origin {
            Origin::ThisRun => {
                let now = self.collector.clock.now();
                let shares = self.collector.counters.ended(&outcomes, now);
                self.collector.files.ended(&outcomes, &shares, now);
            }
            Origin::Journal => {
                self.collector.counters.restored(&outcomes);
                self.collector.files.restored(&outcomes);
            }
        }
        for outcome in outcomes {
            let is_first = self.all.ended == self.unbegun.len() as u64;
            self.count(&outcome, origin);
            if outcome.status == Status::NotRun && is_first && self.pool_failed() {
                self.unbegun.push(outcome);
                continue;
            }
            self.write_unbegun();
            self.write_in_order(&outcome);
        }
        // The clock is read only now, since a write may have been waiting for its reader all the time.
        let waiting = self.collector.outputs.reorder.bytes();
        self.collector.dispatch.received(jobs, bytes, waiting, self.collector.clock.now());
    }

    fn write_unbegun(&mut self) {
        for outcome in std::mem::take(&mut self.unbegun) {
            self.write_in_order(&outcome);
        }
    }

    /// Writes a record, and those that were waiting for it; or lets it wait for those before it.
    fn write_in_order(&mut self, outcome: &Outcome) {
        match self.collector.outputs.order {
            Order::Completion => self.write(outcome),
            Order::Input if self.broken => {}
            Order::Input if self.collector.outputs.reorder.next() == outcome.job.number => {
                self.write(outcome);
                self.collector.outputs.reorder.advance();
            }
            Order::Input => {
                if let Err(error) = self.collector.outputs.reorder.push(outcome) {
                    let error = temporary::failure("waiting results", &error).hint(temporary::RESULTS_HINT);
                    self.stop(error);
                }
            }
        }
        self.write_ready();
    }

    /// Writes the records that were waiting for the one just written.
    fn write_ready(&mut self) {
        while !self.broken {
            match self.collector.outputs.reorder.pop() {
                Ok(Some(outcome)) => self.write(&outcome),
                Ok(None) => return,
                Err(error) => {
                    self.fail(temporary::failure("waiting results", &error));
                }
            }
        }
    }

    fn count(&mut self, outcome: &Outcome, origin: Origin) {
        let failed = u64::from(outcome.status != Status::Ok);
        self.all.ended += 1;
        self.all.failed += failed;
        if origin == Origin::Journal {
            self.restored.ended += 1;
            self.restored.failed += failed;
            return;
        }
        if outcome.status == Status::NotRun || self.collector.cancel.level() > Level::Run {
            self.gave_up_jobs |= matches!(outcome.status, Status::NotRun | Status::Died);
            return;
        }
        // The policy is asked also after a job that ended ok: a share of failures may be reached when enough jobs have
        // ended.
        let (failed, ended) = (self.all.failed - self.restored.failed, self.all.ended - self.restored.ended);
        if self.collector.stop.reached(failed, ended) {
            let (level, words) = match self.collector.stop {
                StopPolicy::FailFast => (Level::Abort, "stopped at the first failed job (--fail-fast)".to_owned()),
                _ => (Level::Drain, format!("stopped after {failed} failed jobs (--max-failures)")),
            };
            self.collector.cancel.raise(level, Reason::MaxFailures(words));
        }
    }

    fn write(&mut self, outcome: &Outcome) {
        if self.broken {
            return;
        }
        if let Err(error) = self.collector.outputs.sink.write(outcome) {
            self.sink_failed(error);
        }
        if self.broken || outcome.status == Status::Ok {
            return;
        }
        // Jobs that were never begun are told in the summary, once for all.
        if self.collector.outputs.tell_failures && outcome.status != Status::NotRun {
            self.tell(outcome);
        }
        if let Some((name, rejects)) = &mut self.collector.outputs.rejects
            && let Err(error) = rejects.write(outcome)
        {
            let error = Error::io(format!("{name}: {}", reason(&error)));
            self.fail(error);
        }
    }

    /// Says on stderr what became of a job whose record has no room for it.
    fn tell(&self, outcome: &Outcome) {
        self.collector.reporter.error(&format!(
            "job {} (line {}) {}: {}",
            outcome.job.number,
            outcome.job.line,
            outcome.status.name(),
            error_words(&outcome.payload)
        ));
    }

    fn flush(&mut self) {
        if self.broken {
            return;
        }
        if let Err(error) = self.collector.outputs.sink.flush() {
            self.output_failed(&error);
        }
    }

    fn finish(&mut self) {
        self.finish_outputs();
        if let Some(mut journal) = self.collector.journal.take()
            && let Err(error) = journal.finish()
        {
            // The records are all written. But after a power cut the journal may lack their outcomes, and their jobs
            // would be run again.
            self.collector.cancel.raise(Level::Abort, Reason::Failed(error));
        }
    }

    fn finish_outputs(&mut self) {
        if self.broken {
            return;
        }
        if let Err(error) = self.collector.outputs.sink.finish() {
            self.sink_failed(error);
        }
        if let Some((name, rejects)) = &mut self.collector.outputs.rejects
            && let Err(error) = rejects.finish()
        {
            let error = Error::io(format!("{name}: {}", reason(&error)));
            self.fail(error);
        }
        let outputs = &self.collector.outputs;
        let of_rejects = outputs.rejects.as_ref().and_then(|(_, rejects)| rejects.notice());
        outputs.sink.notices().into_iter().chain(of_rejects).for_each(|words| self.collector.reporter.notice(words));
    }

    fn sink_failed(&mut self, error: SinkError) {
        match error {
            SinkError::Output(error) => self.output_failed(&error),
            SinkError::Temporary(error) => self.stop(error),
        }
    }

    fn output_failed(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.broken = true;
            self.collector.cancel.raise(Level::Abort, Reason::ReaderGone);
        } else {
            let name = &self.collector.outputs.sink_name;
            self.fail(Error::io(format!("cannot write to {name}: {}", reason(error))));
        }
    }

    /// Ends the run, and writes no more records.
    fn fail(&mut self, error: Error) {
        self.broken = true;
        self.stop(error);
    }

    /// Ends the run. The records that are still to come are written.
    fn stop(&self, error: Error) {
        self.collector.cancel.raise(Level::Abort, Reason::Failed(error));
    }
}

#[cfg(test)]
mod tests;
