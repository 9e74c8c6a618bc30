//! What comes of a slot's work, passed on to the collector, to people and to whoever can stop the run.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::fatal::fatal_error;
use super::seat::{Ear, News};
use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::report::state::Glances;
use crate::text::people::{counted, whole_seconds};
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::doing::Occupation;
use crate::words::message::Message;
use crate::words::outcome::Outcome;

pub struct Listener {
    pub slot: u32,
    /// Workers are forked from a template, and not started cold.
    pub forks: bool,
    /// `worker w3`, or `host node1`.
    pub name: String,
    pub outcomes: Sender<Message>,
    pub cancel: Arc<Cancel>,
    pub reporter: Reporter,
    pub counters: Arc<Counters>,
    pub glances: Arc<Glances>,
    pub is_agent: bool,
    /// How many workers the host keeps, while it is ready.
    pub keeps: Option<usize>,
}

impl Ear for Listener {
    fn outcomes(&mut self, outcomes: Vec<Outcome>) {
        // Sending fails only where the collector is gone. It outlives the slots, unless it has panicked, and then the
        // process ends.
        let _ = self.outcomes.send(Message::Outcomes(outcomes));
    }

    fn news(&mut self, news: News) {
        let (reporter, counters) = (&self.reporter, &self.counters);
        let name = &self.name;
        match news {
            News::Started => reporter.verbose(format!("{name} started{}", self.how())),
            News::StartFailed(words) => {
                counters.restarted(&words);
                reporter.verbose(words);
            }
            News::Proven if self.is_agent => {
                // The desk is gone only when the run has ended.
                let _ = self.outcomes.send(Message::Proven);
            }
            News::Proven => {}
            News::HostReady(workers) => {
                counters.host_ready(workers);
                self.keeps = Some(workers);
                reporter.verbose(format!("{name} is ready with {}", counted(workers as u64, "worker")));
            }
            News::Said(text) => reporter.log(self.slot, text),
            News::Brought(bytes) => {
                let size = indicatif::BinaryBytes(bytes as u64);
                reporter.notice(format!("{name} has no forkpool: this one is sent into its cache ({size})"));
            }
            News::LeftOut(words) => reporter.notice(words),
            News::Starved(words) => reporter.notice(words),
            News::GaveUp(error) => self.cancel.raise(Level::Abort, Reason::Failed(error)),
            News::Fatal(error) => {
                if self.is_agent {
                    // As above.
                    let _ = self.outcomes.send(Message::Unfit);
                }
                self.cancel.raise(Level::Abort, Reason::Failed(fatal_error(&error)));
            }
            News::NotReplaced(why) => {
                counters.restarted(&why);
                reporter.notice(format!("{name} is not replaced yet, the others go on: {why}"));
            }
            News::Renewed(workers) => reporter.notice(format!("{} replaced", counted(workers as u64, "worker"))),
            News::Lost(words) => {
                counters.restarted(&words);
                reporter.notice(words);
            }
            News::Recycled => {
                counters.recycled();
                reporter.verbose(format!("{name} was recycled"));
            }
            News::Buried => {
                if let Some(workers) = self.keeps.take() {
                    counters.host_gone(workers);
                }
                reporter.log_end(self.slot);
            }
            News::Doing(doing) => self.glances.put(self.slot, doing),
            News::Asynchronous if self.is_agent => {
                // The desk is gone only when the run has ended.
                let _ = self.outcomes.send(Message::Asynchronous);
            }
            News::Asynchronous => counters.asynchronous(),
            News::NotSerial => reporter.notice(format!(
                "{name} answers out of order, so each worker gets one job at a time from now on (--concurrency \
                 K gives it K at once)"
            )),
            News::Silent(silent) => reporter.hint(format!(
                "{name} has read its first job and has answered nothing for {}; many programs hold their output \
                 back in a pipe: try sed -u, jq --unbuffered, python -u, stdbuf -oL",
                whole_seconds(silent.as_secs_f64())
            )),
            News::Loading { slots, so_far, limit } => reporter.notice(format!(
                "{} loading for {}; --start-timeout {}",
                names(&slots).join(", "),
                whole_seconds(so_far.as_secs_f64()),
                humantime::format_duration(limit),
            )),
            News::Lingering(slots, rest) => reporter.notice(lingering(&slots, rest)),
            News::Progress { job, data } if self.is_agent => {
                // The desk is gone only when the run has ended.
                let _ = self.outcomes.send(Message::Progress(job, data));
            }
            News::HeldBack { .. } if self.is_agent => {}
            News::Progress { job, data } => reporter.progress(job, &data),
            News::HeldBack { job, pause } => reporter.notice(format!(
                "no job is given out for {}: the error of job {job} asks for that (retry_after, pause)",
                humantime::format_duration(pause)
            )),
            News::PassedOnRetry => counters.passed_on_retry(),
            // Sending fails only where the collector is gone, here and below, and then the message is nobody's.
            News::Retried(failure) => drop(self.outcomes.send(Message::Retried(failure))),
            News::Spent(spell) => {
                counters.spent(&spell);
                if matches!(spell.occupation, Occupation::Starting | Occupation::Down) {
                    drop(self.outcomes.send(Message::Spent(spell)));
                }
            }
        }
    }
}

impl Listener {
    /// How a worker was started, unless it was executed as usual.
    fn how(&self) -> &'static str {
        if self.forks { ", forked from the template" } else { "" }
    }
}

/// A line that says which workers are waited for, and for how long.
fn lingering(slots: &[u32], rest: std::time::Duration) -> String {
    let workers = counted(slots.len() as u64, "worker");
    let rest = whole_seconds(rest.as_secs_f64());
    format!(
        "waiting for {workers} that did not exit at the end of the input ({}), up to {rest} (--grace)",
        names(slots).join(", ")
    )
}

/// The names of workers, as many as say anything to anybody, and how many more there are.
fn names(slots: &[u32]) -> Vec<String> {
    const NAMED: usize = 8;
    let mut names: Vec<String> = slots.iter().take(NAMED).map(|slot| format!("w{slot}")).collect();
    if slots.len() > NAMED {
        names.push(format!("{} more", slots.len() - NAMED));
    }
    names
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::testing::outcome;
    use crate::words::error::Error;
    use crate::words::exit::Exit;
    use crate::words::outcome::Status;

    struct Scene {
        listener: Listener,
        messages: crossbeam_channel::Receiver<Message>,
    }

    fn scene() -> Scene {
        let (outcomes, messages) = crossbeam_channel::unbounded();
        let (cancel, counters) = (Cancel::new(), Arc::default());
        let glances = Arc::default();
        Scene {
            listener: Listener {
                slot: 3,
                forks: false,
                name: "worker w3".to_owned(),
                outcomes,
                cancel,
                reporter: Reporter::silent(),
                counters,
                glances,
                is_agent: false,
                keeps: None,
            },
            messages,
        }
    }

    #[test]
    fn outcomes_go_to_the_collector_in_one_message() {
        let mut scene = scene();
        scene.listener.outcomes(vec![outcome(1, Status::Ok), outcome(2, Status::Died)]);
        let Message::Outcomes(outcomes) = scene.messages.recv().unwrap() else { panic!("outcomes of this run") };
        assert_eq!((outcomes.len(), scene.messages.len()), (2, 0));
    }

    #[test]
    fn outcomes_for_a_collector_that_is_gone_are_nobodys() {
        let mut scene = scene();
        drop(scene.messages);
        scene.listener.outcomes(vec![outcome(1, Status::Ok)]);
    }

    /// What is said, and how many restarts, recycled workers and passed retries are counted.
    #[track_caller]
    fn check(news: News, said: &[&str], counted: (u64, u64, u64)) {
        let mut scene = scene();
        scene.listener.news(news);
        assert_eq!(scene.listener.reporter.said(), said);
        let figures = scene.listener.counters.snapshot();
        assert_eq!((figures.restarts, figures.recycled, figures.passed_on_retry), counted);
        assert_eq!(scene.listener.cancel.level(), Level::Run);
    }

    #[test]
    fn news_are_said_and_counted_as_what_they_are() {
        let words = || "worker w3 exited with status 1".to_owned();
        let said = "forkpool: worker w3 exited with status 1";
        check(News::Started, &["forkpool: worker w3 started"], (0, 0, 0));
        check(News::Lost(words()), &[said], (1, 0, 0));
        check(News::StartFailed(words()), &[said], (1, 0, 0));
        check(News::Starved(words()), &[said], (0, 0, 0));
        check(News::Recycled, &["forkpool: worker w3 was recycled"], (0, 1, 0));
        check(News::Buried, &[], (0, 0, 0));
        check(News::PassedOnRetry, &[], (0, 0, 1));
        check(News::Progress { job: 7, data: Bytes::from_static(b"0.5") }, &["7: 0.5"], (0, 0, 0));
    }

    #[test]
    fn the_end_of_a_workers_log_is_its_last_line() {
        let mut scene = scene();
        scene.listener.reporter.log(3, Bytes::from_static(b"half a line"));
        assert!(scene.listener.reporter.said().is_empty());
        scene.listener.news(News::Buried);
        assert_eq!(scene.listener.reporter.said(), ["w3: half a line\n"]);
    }

    #[test]
    fn a_host_counts_from_when_it_is_ready_until_it_is_gone() {
        let mut scene = scene();
        let ready = |scene: &Scene| scene.listener.counters.snapshot().hosts.map(|hosts| (hosts.ready, hosts.workers));
        scene.listener.counters.hosts_are(2);
        scene.listener.news(News::Buried);
        assert_eq!(ready(&scene), Some((0, 0)), "it was gone before it was ready");
        scene.listener.news(News::HostReady(8));
        assert_eq!(ready(&scene), Some((1, 8)));
        scene.listener.news(News::Buried);
        assert_eq!(ready(&scene), Some((0, 0)));
    }

    #[test]
    fn whoever_cannot_go_on_stops_the_run_at_once() {
        let mut scene = scene();
        scene.listener.news(News::GaveUp(Error::pool("workers keep failing")));
        assert_eq!(scene.listener.cancel.level(), Level::Abort);
        assert_eq!(scene.listener.cancel.reason().map(|reason| reason.exit()), Some(Exit::PoolFailed));
        scene.listener.news(News::Fatal(Bytes::from_static(b"{\"name\":\"SyntaxError\",\"message\":\"oops\"}")));
        let failures = scene.listener.cancel.failures();
        assert!(failures[1].message.contains("oops"), "{}", failures[1].message);
    }

    #[test]
    fn of_many_workers_that_are_waited_for_some_are_named() {
        let check = |slots: std::ops::Range<u32>, expected: &str| {
            let slots: Vec<u32> = slots.collect();
            assert_eq!(lingering(&slots, Duration::from_secs(4)), expected);
        };
        let end = "up to 4 s (--grace)";
        check(2..3, &format!("waiting for 1 worker that did not exit at the end of the input (w2), {end}"));
        let eight = "w0, w1, w2, w3, w4, w5, w6, w7";
        check(0..8, &format!("waiting for 8 workers that did not exit at the end of the input ({eight}), {end}"));
        let many = format!("waiting for 11 workers that did not exit at the end of the input ({eight}, 3 more), {end}");
        check(0..11, &many);
    }
}
