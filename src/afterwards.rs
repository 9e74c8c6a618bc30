//! What a user can do after a run: the command that goes on or runs again what failed, and why there were no jobs.

use std::io::IsTerminal;

use crate::cli::{self, CommandLine, Settings};
use crate::collect::Collected;
use crate::report::counters::Figures;
use crate::report::settings::Verbosity;
use crate::report::summary::{Again, Next};
use crate::words::outcome::Status;

/// What comes next after a run that was not refused.
pub fn next(settings: &Settings, figures: &Figures, collected: &Collected) -> Next {
    let all = figures.all();
    let is_cut = !collected.complete || collected.gave_up_jobs;
    if collected.came_to_nothing || !(is_cut || all.failed() > 0) {
        return Next::Nothing;
    }
    let line = CommandLine::of_process();
    let needs_stdin = reads_stdin(settings);
    if settings.journal.is_some() && is_cut {
        Next::GoOn(Again { command: line.resumed(), needs_stdin })
    } else if settings.journal.is_some() {
        Next::RunFailed(Again { command: line.retrying(), needs_stdin })
    } else if is_cut && all.get(Status::Ok) == 0 {
        Next::Nothing
    } else if is_cut {
        Next::Hint("with --journal FILE, a run that was stopped can go on")
    } else if let Some(rejects) = &settings.output.rejects {
        let command = line.of_rejects(rejects, settings.output.input_format);
        Next::RunFailed(Again { command, needs_stdin: false })
    } else if all.get(Status::Ok) > 0 {
        Next::Hint("with --rejects FILE or --journal FILE, what failed can be run again")
    } else {
        Next::Nothing
    }
}

/// Why a run whose input was read to its end had no jobs: in a line, and a hint at what was typed wrong. It is for a
/// person, so a quiet run says it on a terminal only, and what was typed wrong always.
pub fn no_jobs(settings: &Settings) -> Vec<String> {
    let empty = match &settings.input.files[..] {
        [file] => format!("0 jobs: {} was empty", file.name()),
        files => format!("0 jobs: all {} inputs were empty", files.len()),
    };
    let is_told = settings.report.verbosity > Verbosity::Quiet || std::io::stderr().is_terminal();
    let mut lines: Vec<String> = is_told.then_some(empty).into_iter().collect();
    let misplaced = match &settings.handler {
        None if reads_stdin(settings) => cli::misplaced(&settings.pool.command.args),
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

fn reads_stdin(settings: &Settings) -> bool {
    settings.input.files.iter().any(|file| file.path.is_none())
}
