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

// From the top down; see each folder's mod.rs. A module knows those below it, and a part knows another part only
// where data flows from one to the other.

mod check;
mod cli;
mod dry_run;
mod preflight;
mod run;
mod signal;
mod stdout;

mod collect;
mod journal;
mod pool;
mod protocol;
mod report;
mod shims;
mod source;

mod words;

mod sys;
mod text;

#[cfg(test)]
mod testing;

use clap::Parser;

use words::error::Result;
use words::exit::Exit;

fn main() {
    // Before there is a second thread.
    signal::let_through();
    // Usage errors, --help and --version end here.
    let args = cli::Args::parse();
    let exit = start(args).unwrap_or_else(|error| {
        if error.exit != Exit::ReaderGone {
            report::say(&format!("{error}\n"));
        }
        error.exit
    });
    exit.leave();
}

fn start(args: cli::Args) -> Result<Exit> {
    if let Some(shell) = args.reporting.completions {
        return stdout::print(&cli::completions(shell));
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
