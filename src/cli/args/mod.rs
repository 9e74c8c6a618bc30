//! What the user typed: the only place that knows clap. It records and checks single values; what follows from them
//! together is decided in `settings`. Each group of flags has a file, in the order of `--help`.

mod input;
mod workers;
mod hosts;
mod limits;
mod output;
mod resuming;
mod reporting;
mod values;

pub use hosts::HostArgs;
pub use input::InputArgs;
pub use limits::LimitArgs;
pub use output::OutputArgs;
pub use reporting::ReportArgs;
pub use resuming::ResumeArgs;
pub use values::{FailureLimit, ProtocolName, RetryOn, ShardChoice, WorkerCount};
pub use workers::WorkerArgs;

use std::ffi::OsString;

use clap::Parser;

use crate::report::settings::Progress;

const EXAMPLES: &str = "\
Examples:
  forkpool --handler pet.js < kittens.ndjson           a plain function for each job
  forkpool -j 8 -i names.csv -o out.csv -- ./worker    any program that speaks the protocol
  forkpool --protocol lines -- sed -u 's/a/b/'         any line filter is a warm worker

Exit status: 0 all jobs ok, 1 some not, 2 refused, 3 the pool failed, 4 input or output failed,
5 not complete (--max-failures, --merge), 129/130/143 by a signal, 141 the reader went away. See forkpool(1) and forkpool-worker(7).";

/// Run a batch of jobs through a pool of warm worker processes: one record per job, in input order.
#[derive(Debug, Parser)]
#[command(name = "forkpool", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(
    override_usage = "forkpool [OPTIONS] -- PROGRAM [ARGS]…\n       forkpool [OPTIONS] --handler FILE[:FUNCTION]"
)]
pub struct Args {
    /// The worker: a program that reads jobs on stdin and writes replies on stdout
    ///
    /// It is started once per slot and kept. See --protocol for what it must speak, and forkpool-worker(7).
    #[arg(value_name = "PROGRAM", trailing_var_arg = true, hide_short_help = true)]
    pub command: Vec<OsString>,

    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub workers: WorkerArgs,
    #[command(flatten)]
    pub hosts: HostArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub resuming: ResumeArgs,
    #[command(flatten)]
    pub reporting: ReportArgs,
}

impl Args {
    /// Forgets all that is not about workers and their limits: an agent gets the whole command line, and the rest of it
    /// stays with whoever sent that.
    pub fn keep_workers_only(&mut self) {
        let bare = Args::parse_from(["forkpool"]);
        let Args { input, hosts, output, resuming, reporting, .. } = bare;
        // What workers write may be wanted in the files of --log-dir, also where the terminal is to be quiet.
        let (quiet, verbose) = (false, self.reporting.verbose);
        *self = Args {
            command: std::mem::take(&mut self.command),
            input,
            hosts,
            workers: std::mem::replace(&mut self.workers, bare.workers),
            limits: std::mem::replace(&mut self.limits, bare.limits),
            output,
            resuming,
            reporting: ReportArgs { quiet, verbose, progress: Progress::Off, ..reporting },
        };
    }
}

/// The script with which `shell` completes forkpool's flags.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Args as clap::CommandFactory>::command(), "forkpool", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_worker_keeps_its_own_flags() {
        let args = Args::try_parse_from(["forkpool", "-j", "2", "sed", "-u", "--", "-j"]).unwrap();
        assert_eq!(args.command, ["sed", "-u", "--", "-j"]);
        assert!(Args::try_parse_from(["forkpool", "--colums", "a", "--", "cat"]).is_err());
    }
}
