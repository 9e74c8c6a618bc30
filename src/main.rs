//! forkpool: a batch runner that fans jobs out to a warm process pool.
//!
//! ```text
//! input ──► source ──► [jobs] ──► worker thread × N ──► [outcomes] ──► collector ──► output
//!           thread     bounded    owns one Child,       holds a        (main thread)  records, rejects,
//!           frames,               one poll(2) loop,     whole          reorders,      journal, summary
//!           validates             one pure Session      window         writes
//!              ▲                                                           │
//!              └─────── permits: window − (read, outcome not yet received) ┘
//! ```
//!
//! Data flows one way, and each stage can only wait for the stage after it. Nothing but records goes to
//! stdout; everything said to people goes through the reporter to stderr.

// The program from the top down: a module knows those below it, and none above it. Each folder's mod.rs says what is
// in the folder.

// What can be asked for: a run, a trial of the worker, a look at what would be run, and outputs of shards put together.
mod run;
mod afterwards;
mod facts;
mod last_files;
mod check;
mod dry_run;
mod merge;
// What runs at the far end of a stream instead.
mod agent;

// What a run begins with: every file is looked at, and what was typed becomes the settings of each part.
mod preflight;
mod cli;

// What the process does besides its work: it obeys signals, and prints what was asked for instead of a run.
mod signal;
mod manual;
mod stdout;

// The parts. A part knows another one only where data flows between them: the source hands jobs to the pool, the
// collector takes outcomes from it, and both ends of a run use the journal.
mod source;
mod collect;
mod pool;
mod protocol;
mod shims;
mod journal;
mod report;

// What every part may know: jobs, outcomes, errors, exit statuses.
mod words;

// What knows nothing of jobs: bytes and text, and the system.
mod text;
mod sys;

#[cfg(any(test, fuzzing))]
mod rejects_again;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod testing;

use clap::Parser;

use words::error::Result;
use words::exit::Exit;

fn main() {
    // A thread inherits the signals that are blocked, so this comes before there is a second one.
    signal::let_through();
    // At a usage error, --help and --version clap ends the process here.
    let args = cli::Args::try_parse().unwrap_or_else(|error| cli::explain(error).exit());
    let exit = start(args).unwrap_or_else(|error| {
        if error.exit != Exit::ReaderGone {
            report::say(&format!("{error}\n"));
        }
        error.exit
    });
    exit.leave();
}

fn start(args: cli::Args) -> Result<Exit> {
    if let Some(page) = args.reporting.man {
        return manual::show(page);
    }
    if let Some(shell) = args.reporting.completions {
        return stdout::print(&cli::completions(shell));
    }
    if !args.hosts.merge.is_empty() {
        return merge::merge(&cli::merge_settings(&args)?);
    }
    if args.hosts.agent {
        return agent::serve();
    }
    let (check, dry_run) = (args.workers.check, args.workers.dry_run);
    let settings = cli::Settings::new(&args)?;
    if check {
        check::check(&settings)
    } else if dry_run {
        dry_run::dry_run(&settings)
    } else {
        run::run(settings)
    }
}
