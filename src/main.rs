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

mod cli;
mod config;
mod run;

mod check;

mod job;

mod source;

mod pool;
mod protocol;
mod shims;

mod collect;
mod journal;
mod report;

mod cancel;
mod error;
mod exit;
mod framing;
mod gather;
mod signal;
mod sys;

use std::io::Write;

use clap::Parser;

fn main() {
    // Usage errors, --help and --version end here.
    let args = cli::Args::parse();
    let exit = start(args).unwrap_or_else(|error| {
        if error.exit != exit::Exit::ReaderGone {
            // When stderr is closed there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "{error}");
        }
        error.exit
    });
    exit.leave();
}

fn start(args: cli::Args) -> error::Result<exit::Exit> {
    if let Some(shell) = args.reporting.completions {
        return run::print(&cli::completions(shell));
    }
    let (check, dry_run) = (args.workers.check, args.workers.dry_run);
    let settings = config::Settings::new(args)?;
    if check {
        check::check(&settings)
    } else if dry_run {
        run::dry_run(&settings)
    } else {
        run::run(settings)
    }
}
