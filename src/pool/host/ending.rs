//! How the stream to a host comes to its end, planned or not, and what becomes of the jobs there then.

use std::time::{Duration, Instant};

use super::link::{Asked, Ending, Link, Stage, Why};
use super::{HostSession, SILENCE, State};
use crate::pool::dispatch::Failure;
use crate::pool::outbox::{Action, Report};
use crate::pool::policies::restart_pause;
use crate::protocol::stream::Order;
use crate::words::advice::RetryAdvice;
use crate::words::cancel::Level;
use crate::words::error::Error;
use crate::words::host::Way;
use crate::words::outcome::{JobError, Status};

/// What the agent gets beyond `--grace` to end: it terminates and kills its workers, and what it says must arrive.
const BEYOND_GRACE: Duration = Duration::from_secs(15);
/// What an agent gets that is to kill its workers at once. When the stream ends after that, it does so all the same.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The time in which the end of the output follows the exit, or the exit the end of the output.
const SETTLE: Duration = Duration::from_secs(1);
/// After this long a killed command that is still there is given up.
const ABANDONED: Duration = Duration::from_secs(10);

impl HostSession {
    /// The run is being stopped, or no work is left.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        let (level, why, grace) = (self.stopping.level, self.stopping.why.clone(), self.settings.grace);
        let State::Live(link) = &mut self.state else {
            self.state = State::Over;
            return;
        };
        if matches!(link.ending, Ending::Killed(..)) {
            return;
        }
        // An agent that has not said hello knows nothing yet, and has nothing that must end in peace.
        if !link.is_answered() {
            return self.kill(Why::Lingered(if level == Level::Run { Asked::Finish } else { Asked::Stop }), now);
        }
        match level {
            Level::Abort => {
                link.send(&Order::Abort(why));
                link.ending = Ending::Asked(Asked::Stop, now + AT_ONCE);
            }
            Level::Drain => {
                link.send(&Order::Drain(why));
                link.ending = Ending::Asked(Asked::Stop, now + grace + BEYOND_GRACE);
            }
            Level::Run => self.ask_to_end(Asked::Finish, now),
        }
    }

    /// Asks the agent to end, which has no job left.
    pub(super) fn ask_to_end(&mut self, what_for: Asked, now: Instant) {
        let until = now + self.settings.grace + BEYOND_GRACE;
        let Some(link) = self.link_mut() else { return };
        if link.ending == Ending::No {
            link.send(&Order::End);
            link.ending = Ending::Asked(what_for, until);
        }
    }

    /// Kills what carries the stream if everything has been said: some do not end by themselves.
    pub(super) fn end_if_idle(&mut self, now: Instant) {
        let Some(link) = self.link_mut() else { return };
        if link.said_bye && link.judge_at.is_none() && link.exited.is_none() {
            link.judge_at = Some(now + SETTLE);
            self.out.actions.push(Action::CloseInput);
        } else if link.failed.is_some() && !link.is_answered() {
            // Another version of forkpool: there is nothing to be said to it.
            self.kill(Why::Lingered(Asked::Finish), now);
        }
    }

    /// The far end cannot be trusted any more, or is not there.
    pub(super) fn fault(&mut self, why: String, now: Instant) {
        self.kill(Why::Fault(why), now);
    }

    fn kill(&mut self, why: Why, now: Instant) {
        let Some(link) = self.link_mut() else { return };
        if matches!(link.ending, Ending::Killed(..)) {
            return;
        }
        link.ending = Ending::Killed(why, now + ABANDONED);
        self.out.actions.push(Action::Signal(libc::SIGKILL));
    }

    /// The exit of what carries the stream, or the end of its output, has been seen.
    pub(super) fn seen_an_end(&mut self, now: Instant) {
        let Some(link) = self.link_mut() else { return };
        if link.exited.is_some() && link.output_ended {
            self.gone(now);
        } else {
            link.judge_at = Some(now + SETTLE);
        }
    }

    pub(super) fn check_clocks(&mut self, now: Instant) {
        let start_timeout = self.settings.start_timeout;
        let Some(link) = self.link_mut() else { return };
        if link.judge_at.is_some_and(|at| at <= now) {
            if link.exited.is_some() {
                return self.gone(now);
            }
            link.judge_at = None;
            let (said_bye, ending) = (link.said_bye, link.ending.clone());
            return match ending {
                Ending::Killed(..) => {}
                Ending::Asked(what_for, _) if said_bye => self.kill(Why::Lingered(what_for), now),
                _ if said_bye => self.kill(Why::Lingered(Asked::Finish), now),
                _ => self.kill(Why::Fault("closed its stream".to_owned()), now),
            };
        }
        match link.ending {
            Ending::Killed(_, until) if until <= now => return self.gone(now),
            Ending::Asked(what_for, until) if until <= now => return self.kill(Why::Lingered(what_for), now),
            _ => {}
        }
        if !link.is_heard() {
            return;
        }
        let was_written = std::mem::take(&mut link.was_written);
        if let Stage::Calling { since } = &mut link.stage {
            // Nothing is so long before a hello but the program that a host has asked for.
            if was_written {
                *since = now;
            }
            if *since + start_timeout <= now {
                let limit = humantime::format_duration(start_timeout);
                return self.fault(format!("did not answer within {limit} (--start-timeout)"), now);
            }
        }
        // Before its workers are ready an agent may be busy with the files that are sent to it.
        if was_written && !link.is_ready() {
            link.heard = now;
        }
        if link.heard + SILENCE <= now {
            let limit = humantime::format_duration(SILENCE);
            return self.fault(format!("was silent for {limit}"), now);
        }
        if link.is_answered() && link.ping_due <= now {
            self.ping(now);
        }
    }

    /// The stream is over. Jobs that had begun are charged, all others returned.
    fn gone(&mut self, now: Instant) {
        let State::Live(mut link) = std::mem::replace(&mut self.state, State::Absent { start_at: now }) else { return };
        let words = self.words(&link);
        let error = JobError::new("HostLost", words.clone()).with("host", self.name.clone()).to_json();
        let stopped = JobError::new("WorkerDied", format!("ended with the run: {}", self.stopping.why)).to_json();
        for flying in link.flight.take_all() {
            let elapsed = flying.begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
            match flying.begun {
                None => self.out.returned.push(flying.delivery),
                Some(_) => {
                    let error = if self.stopping.level > Level::Run { stopped.clone() } else { error.clone() };
                    let job = (flying.delivery, None);
                    self.fail(job, Status::Died, error, RetryAdvice::default(), elapsed, now);
                }
            }
        }
        self.out.actions.push(Action::Bury);
        if self.may_bring() && trouble(&link) == Some(Trouble::NoProgram) {
            self.way = Way::Brought;
            return;
        }
        self.out.reports.extend(link.take_held_back());
        self.report_end(&link, words);
        if !self.goes_on() {
            self.state = State::Over;
        } else if link.is_proven && link.failed.is_none() && !link.said_bye {
            self.losses += 1;
            let pause = if self.losses > 1 { restart_pause(self.losses) } else { Duration::ZERO };
            self.state = State::Absent { start_at: now + pause };
        }
    }

    /// Tells what the end of the stream was.
    fn report_end(&mut self, link: &Link, words: String) {
        let planned = match &link.ending {
            Ending::Asked(what_for, _) | Ending::Killed(Why::Lingered(what_for), _) => Some(*what_for),
            _ => None,
        };
        if let Some((error, true)) = &link.failed {
            let message = format!("host {}: {}", self.name, error.message);
            return self.out.reports.push(Report::GaveUp(Error { message, ..error.clone() }));
        }
        if !self.goes_on() {
            return;
        }
        if planned == Some(Asked::Recycle) && link.failed.is_none() {
            self.out.reports.push(Report::Recycled);
        } else if link.failed.is_some() || !link.is_proven {
            let hint = link.failed.as_ref().and_then(|(error, _)| error.hint.clone());
            let failure = if link.failed.is_some() { Failure::OfHost } else { Failure::AtStart };
            self.out.reports.push(Report::FailedStart(
                failure,
                words,
                hint.or_else(|| trouble(link).map(|trouble| trouble.hint().to_owned())),
            ));
        } else {
            self.out.reports.push(Report::Lost(words));
        }
    }

    /// `host node1 was silent for 60s`, and what was written to stderr last.
    fn words(&self, link: &Link) -> String {
        let name = &self.name;
        if let Some((error, _)) = &link.failed {
            return format!("host {name}: {}", error.message);
        }
        let how = match (&link.ending, &link.exited) {
            (Ending::Killed(Why::Fault(why), _), _) => why.clone(),
            (_, Some(_)) if link.said_bye => "was ended from outside".to_owned(),
            (_, Some(exited)) => format!("is gone: what led there {}", exited.how),
            (_, None) => "is gone".to_owned(),
        };
        let said: Vec<String> = [link.tail.text(), String::from_utf8_lossy(&link.noise).into_owned()]
            .into_iter()
            .filter_map(|text| Some(text.lines().rfind(|line| says_why(line))?.trim().to_owned()))
            .collect();
        if said.is_empty() { format!("host {name} {how}") } else { format!("host {name} {how}: {}", said.join("; ")) }
    }
}

/// Whether a line of stderr may say why the stream has ended: not if the agent or one of its workers wrote it.
fn says_why(line: &str) -> bool {
    let is_of_worker = line.strip_prefix('w').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    !line.trim().is_empty() && !line.starts_with("forkpool: ") && !is_of_worker
}

/// What is probably wrong with a host whose agent never said hello, by what the way there says of it.
fn trouble(link: &Link) -> Option<Trouble> {
    let noise = String::from_utf8_lossy(&link.noise);
    if link.is_answered() { None } else { Trouble::of(&link.tail.text(), &noise) }
}

/// What is probably wrong with a host whose agent never said hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    NotAllowed,
    NotThere,
    NoProgram,
    NoAgent,
}

impl Trouble {
    /// Judges by what was written to stderr, and by what was printed in place of a hello.
    pub fn of(stderr: &str, noise: &str) -> Option<Trouble> {
        let has = |words: &[&str]| words.iter().any(|word| stderr.contains(word) || noise.contains(word));
        if has(&["Permission denied (", "Host key verification failed", "Too many authentication failures"]) {
            Some(Trouble::NotAllowed)
        } else if has(&["Could not resolve", "Name or service not known", "No route to host", "Connection refused"]) {
            Some(Trouble::NotThere)
        } else if has(&["not found", "No such file", "no such file", "Unknown command", "executable file"]) {
            Some(Trouble::NoProgram)
        } else if !noise.is_empty() {
            Some(Trouble::NoAgent)
        } else {
            None
        }
    }

    pub fn hint(self) -> &'static str {
        match self {
            Trouble::NotAllowed => "the host must let you in without a question: try ssh -o BatchMode=yes HOST true",
            Trouble::NotThere => "the name, and that sshd runs there: try ssh HOST true",
            Trouble::NoProgram => {
                "forkpool must be in the PATH of a command that is run on the host, in the same version"
            }
            Trouble::NoAgent => "what was printed is no agent of forkpool: an rc file may print, or end the shell",
        }
    }
}
