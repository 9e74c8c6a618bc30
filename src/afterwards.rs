//! What a user can do after a run: the command that goes on or runs again what failed, and why there were no jobs.

use std::io::IsTerminal;
use std::time::Duration;

use crate::cli::{self, CommandLine, Settings};
use crate::collect::Collected;
use crate::report::counters::{Details, Figures};
use crate::report::settings::Verbosity;
use crate::report::summary::{Again, Next};
use crate::source::settings::InputFile;
use crate::words::outcome::Status;

/// What comes next after a run that was not refused.
pub fn next(settings: &Settings, figures: &Figures, collected: &Collected) -> Next {
    let all = figures.all();
    let is_cut = collected.is_cut();
    if collected.came_to_nothing || !(is_cut || all.failed() > 0) {
        return Next::Nothing;
    }
    let is_any_ok = all.get(Status::Ok) > 0;
    let same_input = |command| Again { command, needs_stdin: settings.input.reads_stdin() };
    match (&settings.journal, is_cut, &settings.output.rejects) {
        (Some(_), true, _) => Next::GoOn(same_input(CommandLine::of_process().resumed())),
        (Some(_), false, _) => Next::RunFailed(same_input(CommandLine::of_process().retrying())),
        (None, true, _) if is_any_ok => Next::Hint("with --journal FILE, a run that was stopped can go on"),
        (None, false, Some(rejects)) => {
            let command = CommandLine::of_process().of_rejects(rejects, settings.output.input_format);
            Next::RunFailed(Again { command, needs_stdin: false })
        }
        (None, false, None) if is_any_ok => {
            Next::Hint("with --rejects FILE or --journal FILE, what failed can be run again")
        }
        (None, ..) => Next::Nothing,
    }
}

/// A hint for a run whose handler could have run several jobs at once, and spent its time waiting; `processor` is the
/// processor time of its workers, loading included.
pub fn waited(settings: &Settings, details: &Details, processor: Duration) -> Option<String> {
    /// A run that had jobs for less than this would gain nothing that anybody notices.
    const WORTH_WHILE: Duration = Duration::from_secs(2);
    /// More jobs at once than this are more than most servers that a handler waits for would like.
    const MOST: u32 = 16;
    let busy = details.times.all().sum();
    // What the processors of other hosts do is not known here.
    let is_meant = settings.pool.supplied
        && settings.pool.hosts.is_none()
        && settings.pool.concurrency == 1
        && settings.pool.batch.is_none()
        && details.asynchronous;
    let at_once = (busy.as_secs_f64() / processor.as_secs_f64().max(1e-3)) as u32;
    if !is_meant || busy < WORTH_WHILE || at_once < 4 {
        return None;
    }
    let share = 100.0 * (1.0 - processor.as_secs_f64() / busy.as_secs_f64());
    let at_once = at_once.min(MOST);
    Some(format!(
        "hint: the async handler waited for {share:.0} % of the time it had jobs; with --concurrency {at_once} each worker \
         waits for {at_once} at once, up to {at_once} times as fast"
    ))
}

/// Why a run whose input was read to its end had no jobs: in a line, and a hint at what was typed wrong. It is for a
/// person, so a quiet run says it on a terminal only, and what was typed wrong always.
pub fn no_jobs(settings: &Settings) -> Vec<String> {
    let empty = match &settings.input.files[..] {
        files if settings.output.shard.is_some() => {
            let names: Vec<String> = files.iter().map(InputFile::name).collect();
            format!("0 jobs: none of {} is in shard {}", names.join(", "), settings.input.shard)
        }
        [file] => format!("0 jobs: {} was empty", file.name()),
        files => format!("0 jobs: all {} inputs were empty", files.len()),
    };
    let is_told = settings.report.verbosity > Verbosity::Quiet || std::io::stderr().is_terminal();
    let mut lines: Vec<String> = is_told.then_some(empty).into_iter().collect();
    let misplaced = match &settings.handler {
        None if settings.input.reads_stdin() => cli::misplaced(&settings.pool.command.args),
        _ => Vec::new(),
    };
    if !misplaced.is_empty() {
        let (verb, flags) = if misplaced.len() == 1 { ("stands", "it is") } else { ("stand", "they are") };
        lines.push(format!(
            "hint: {} {verb} behind the program, so {flags} among its arguments; forkpool's own flags go before it",
            misplaced.join(" ")
        ));
    }
    lines
}
