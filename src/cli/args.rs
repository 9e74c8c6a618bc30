//! What the user typed: the only file that knows clap. It records and checks single values; what follows from them
//! together is decided in `settings`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, ValueEnum};

use super::columns::{Names, delimiter, names, quote};
use crate::journal::settings::SyncPolicy;
use crate::manual::Page;
use crate::pool::settings::Depth;
use crate::report::settings::Progress;
use crate::text::people::duration;
use crate::words::dialect::Quote;
use crate::words::format::Format;
use crate::words::rate::Rate;
use crate::words::shard::Shard;

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

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Read jobs from FILE instead of stdin; may be repeated, "-" is stdin
    ///
    /// Files are read in the order given. Gzip and Zstandard are decompressed, also on stdin.
    #[arg(short, long = "input", value_name = "FILE", alias = "arg-file", short_alias = 'a')]
    pub input: Vec<PathBuf>,

    /// ndjson, json, csv, tsv or lines [default: by the file's ending, else ndjson]
    ///
    /// ndjson: one JSON text per line. json: one array, whose elements are the jobs, or values printed over
    /// any number of lines. csv, tsv: a header, then one job per row, an object of strings. lines: each line
    /// is a job, a JSON string. Example: --from csv
    #[arg(long, value_name = "FORMAT", value_parser = format(Format::OF_INPUTS), hide_possible_values = true)]
    pub from: Option<Format>,

    /// Column names of a CSV or TSV input that has no header
    ///
    /// They are one row of CSV. Example: --columns-in name,"income, net"
    #[arg(long, value_name = "NAMES", value_parser = names, hide_short_help = true)]
    pub columns_in: Option<Names>,

    /// What stands between the cells of a CSV or TSV input: one character, or tab [default: comma; tab for TSV]
    ///
    /// An output of the same format has it too, and any CSV or TSV output where the input is no table.
    /// Example: --delimiter ';'
    #[arg(long, value_name = "C", value_parser = delimiter, hide_short_help = true)]
    pub delimiter: Option<u8>,

    /// What quotes the cells of a CSV or TSV input: one character, or none [default: "]
    ///
    /// With none, quotes are text. An output has the same character where it has the same delimiter; with
    /// none it has the default. Example: --quote none
    #[arg(long, value_name = "C", value_parser = quote, hide_short_help = true)]
    pub quote: Option<Quote>,

    /// Refuse a job larger than SIZE (it becomes a bad_input record) [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64MiB", hide_default_value = true, hide_short_help = true)]
    pub max_job_bytes: usize,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Workers")]
pub struct WorkerArgs {
    /// Number of workers, or a percentage [default: processors]
    ///
    /// The default is the number of processors this process may use, by affinity and by cgroup quota.
    /// Examples: -j 8, -j 50%
    #[arg(short = 'j', long, value_name = "N", value_parser = worker_count, aliases = ["jobs", "max-procs"], short_alias = 'P')]
    pub workers: Option<WorkerCount>,

    /// Call a function of FILE for each job; the worker is supplied
    ///
    /// The ending chooses the runtime: .js .mjs .cjs .ts (node), .py (python3), .rb (ruby), .php (php),
    /// .pl (perl). Without FUNCTION: the default export, else `handler`, else the only function of the file.
    /// Example: --handler pet.js:petKitten
    #[arg(long, value_name = "FILE[:FUNCTION]", conflicts_with = "command")]
    pub handler: Option<String>,

    /// Run the handler with PROGRAM, such as bun, deno or "venv/bin/python -X dev"
    #[arg(long, value_name = "PROGRAM", requires = "handler", conflicts_with = "command", hide_short_help = true)]
    pub runtime: Option<String>,

    /// The job's field FIELD names the exported function to call
    #[arg(long, value_name = "FIELD", requires = "handler", conflicts_with = "command", hide_short_help = true)]
    pub route: Option<String>,

    /// Call FUNCTION of the handler's file once in each worker, before its first job
    ///
    /// For a connection, or a model on the card of this slot (FORKPOOL_SLOT). It is called without arguments,
    /// and awaited. An error of it is a failed start, after which the worker is started again.
    /// Example: --handler pet.py --init connect
    #[arg(long, value_name = "FUNCTION", requires = "handler", conflicts_with = "command", hide_short_help = true)]
    pub init: Option<String>,

    /// Load the handler's file once, and fork each worker from that (Python and Ruby; Linux)
    ///
    /// N workers take the time and the memory of one import, and a new one is there in milliseconds. What the
    /// file makes while it is loaded is shared by all workers: connections belong in --init, which is called in
    /// each. A file that starts threads is refused. SIGUSR2 loads it anew.
    /// Example: --handler predict.py --preload
    #[arg(long, requires = "handler", hide_short_help = true)]
    pub preload: bool,

    /// What the worker speaks: json, lines or node-ipc [default: json]
    ///
    /// json: a line {"id":1,"data":…} in, a line {"id":1,"status":"ok","data":…} out.
    /// lines: a line in, a line out, by position: any unbuffered line filter.
    /// node-ipc: the channel of Node's child_process.fork (process.on('message'), process.send).
    #[arg(long, value_name = "PROTOCOL", value_enum, conflicts_with = "handler", hide_possible_values = true)]
    pub protocol: Option<ProtocolName>,

    /// Jobs given to one worker ahead of its answers: a number, or auto [default: auto for handlers, else 1]
    ///
    /// With more than 1, a worker that takes its jobs in order need not wait for the next one. auto grows
    /// while jobs take microseconds and falls to 1 when they take milliseconds. Example: --depth auto
    #[arg(long, value_name = "N", value_parser = depth, hide_short_help = true)]
    pub depth: Option<Depth>,

    /// Jobs that one worker runs at the same time [default: 1]
    ///
    /// For asynchronous handlers (Node, Python's async def) and programs that answer by id in any order.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=65_536), hide_short_help = true)]
    pub concurrency: Option<u32>,

    /// Call the handler with a list of up to N jobs; it returns a list as long
    ///
    /// One call of a model, one INSERT, one request for many rows. Nobody waits for a list to fill: it has the
    /// jobs that wait, up to N. An element that is an error is the error of its job. If the call throws, takes
    /// longer than --timeout or ends the worker, its jobs are run again one by one, in lists of one, so that
    /// only the culprit fails: a job may be begun twice. Example: --handler embed.py --batch 64
    #[arg(long, value_name = "N", requires = "handler", conflicts_with_all = ["concurrency", "depth", "route", "check"], value_parser = clap::value_parser!(u16).range(1..), hide_short_help = true)]
    pub batch: Option<u16>,

    /// Put a command before each worker's, such as "taskset -c {slot}"
    ///
    /// {slot} is the number of the worker's slot, from 0. Examples: --wrap 'nice -n 5', --wrap 'prlimit --as=4G'
    #[arg(long, value_name = "COMMAND", hide_short_help = true)]
    pub wrap: Option<String>,

    /// Start one worker, try it with odd jobs, and say in plain words what it does wrong
    #[arg(long, hide_short_help = true)]
    pub check: bool,

    /// Say what would be run, and how many jobs there are; load the handler, and run no job
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Hosts")]
pub struct HostArgs {
    /// Run the workers on HOST, over ssh: N of them, else as many as -j says there; repeatable
    ///
    /// ssh must let you in without a question. A host that has no forkpool gets this one, into ~/.cache/forkpool.
    /// The handler's file is sent along. ":" is this machine. Example: --host node1:8,ada@node2,:4
    #[arg(long = "host", value_name = "HOST[:N]", value_delimiter = ',', hide_short_help = true)]
    pub hosts: Vec<String>,

    /// Read the hosts from FILE, one `HOST[:N]` a line, or take those of the Slurm allocation
    ///
    /// A host that is named several times has as many workers, as in a PBS node file. With slurm, srun starts
    /// one step a node. Example: salloc -N4 forkpool --hosts slurm --handler embed.py -i rows.csv -o out.csv
    #[arg(long = "hosts", value_name = "FILE|slurm", hide_short_help = true)]
    pub hosts_from: Option<PathBuf>,

    /// Reach a host with COMMAND, in which {host} is its name: anything that carries stdin and stdout
    ///
    /// `forkpool --agent` is put behind it, and `sh` where there is no forkpool, to bring it there; if it ends with
    /// --agent itself, neither.
    /// Example: --launch 'kubectl exec -i {host} --'
    #[arg(long, value_name = "COMMAND", hide_short_help = true)]
    pub launch: Option<String>,

    /// Give the workers on other hosts the variable NAME of this environment; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',', hide_short_help = true)]
    pub env: Vec<String>,

    /// Send FILE along to each host; repeatable
    ///
    /// It lies beside the handler's file, in a directory of the run (FORKPOOL_RUN_DIR) that is removed in the
    /// end. A program that is sent so is run from there. Example: --put model.bin --put helpers.py
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub put: Vec<PathBuf>,

    /// Serve a stream on stdin and stdout: what --host starts on the other host
    #[arg(long, hide_short_help = true)]
    pub agent: bool,

    /// Run only the jobs of one shard: the Kth, K+Nth, K+2Nth … job; or auto, in the task of an array
    ///
    /// Each job keeps the number that it has in the whole input, and --merge puts the outputs of all shards back
    /// together. auto takes K and N from the array of Slurm, Grid Engine, AWS Batch, LSF, PBS or Kubernetes; where
    /// the system does not tell N, the variable FORKPOOL_SHARDS does.
    /// Example: forkpool --shard 3/8 -i rows.csv -o part-3.csv --handler pet.py
    #[arg(long, value_name = "K/N", value_parser = shard, hide_short_help = true)]
    pub shard: Option<ShardChoice>,

    /// Put the outputs of all shards into one, in the order of the jobs, and say which jobs are missing
    ///
    /// The result is what one run over all jobs would have written. NDJSON can become any format; for a table the
    /// records must have their jobs (--echo). With -i the jobs of the input are counted, so that those missing at
    /// the end are told as well. Example: forkpool --merge part-*.csv -o out.csv
    #[arg(long, value_name = "FILE", num_args = 1.., hide_short_help = true)]
    #[arg(conflicts_with_all = ["command", "shard", "WorkerArgs", "LimitArgs", "ResumeArgs"])]
    #[arg(conflicts_with_all = ["unordered", "meta", "echo", "id", "rejects", "redact", "progress_file", "log_dir", "summary"])]
    #[arg(conflicts_with_all = ["report", "trace", "junit", "metrics", "joblog"])]
    pub merge: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Time limit for each job; its worker is killed and replaced
    ///
    /// Durations are 500ms, 30s, 2m; a bare number is seconds. The clock starts when the worker begins the
    /// job, not when the job was queued.
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    pub timeout: Option<Duration>,

    /// The job's field FIELD is its own time limit (seconds, or a duration)
    #[arg(long, value_name = "FIELD", hide_short_help = true)]
    pub timeout_field: Option<String>,

    /// Time a worker may take to load [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "60s", hide_default_value = true, hide_short_help = true)]
    pub start_timeout: Duration,

    /// Time between asking a worker to end and killing it [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s", hide_default_value = true, hide_short_help = true)]
    pub grace: Duration,

    /// At a timeout, first send SIGNAL (QUIT, USR1 …) and keep what the worker prints in the record
    #[arg(long, value_name = "SIGNAL", value_parser = signal, hide_short_help = true)]
    pub dump: Option<i32>,

    /// Run a failed job again up to N times [default: 0]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub retries: u32,

    /// Which failures are retried [default: died,timeout,bad_reply]
    #[arg(long, value_name = "STATUSES", value_delimiter = ',', value_enum, hide_short_help = true)]
    pub retry_on: Option<Vec<RetryOn>>,

    /// Pause before the first retry; doubles each time, with jitter, up to 1 minute [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s", hide_default_value = true, hide_short_help = true)]
    pub retry_delay: Duration,

    /// Give out no more jobs than this, over all workers: 100/s, 90/m, 1000/h; 100/s:20 lets 20 go at once
    ///
    /// Each attempt counts. An error with `"retry_after":30,"pause":true` holds the whole pool back for 30 s, whether
    /// there is a rate or not. Example: forkpool -j 8 --rate 50/s --handler fetch.mjs < urls.ndjson
    #[arg(long, value_name = "RATE", hide_short_help = true)]
    pub rate: Option<Rate>,

    /// Replace a worker after N jobs; 1 is a fresh worker for each job
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    pub recycle_jobs: Option<u64>,

    /// Replace a worker, between jobs, once it holds more than SIZE of memory
    #[arg(long, value_name = "SIZE", value_parser = size, hide_short_help = true)]
    pub recycle_memory: Option<usize>,

    /// Replace a worker, between jobs, once it is older than DURATION
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, hide_short_help = true)]
    pub recycle_age: Option<Duration>,

    /// Stop after N failed jobs, or N% of the jobs (once 100 have ended)
    #[arg(long, value_name = "N", value_parser = failure_limit)]
    pub max_failures: Option<FailureLimit>,

    /// Stop at the first failed job, and kill what is in flight
    #[arg(long, conflicts_with = "max_failures")]
    pub fail_fast: bool,

    /// Jobs read and not yet ended, at most [default: max(1024, 4 × workers × depth)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 24), hide_short_help = true)]
    pub window: Option<u64>,

    /// Memory for jobs in flight and for results that wait for their turn [default: 256MiB]
    ///
    /// Results beyond it wait in an unlinked temporary file (in TMPDIR), so that one slow job neither stalls
    /// the pool nor fills the memory.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "256MiB", hide_default_value = true, hide_short_help = true)]
    pub memory: usize,

    /// Refuse a reply larger than SIZE (a bad_reply record) [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64MiB", hide_default_value = true, hide_short_help = true)]
    pub max_reply_bytes: usize,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write records to FILE instead of stdout
    ///
    /// Its ending says the format and the compression: out.csv, out.ndjson.gz, out.tsv.zst.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// ndjson, csv, tsv or lines [default: by the file's ending, else ndjson]
    ///
    /// With --protocol lines the default is lines. In lines output a string is its text, any other value is
    /// JSON, and a job that failed leaves an empty line, so that line N belongs to job N.
    #[arg(long, value_name = "FORMAT", value_parser = format(Format::OF_OUTPUTS), hide_possible_values = true)]
    pub to: Option<Format>,

    /// Columns of CSV output: dotted paths into the record and the job
    ///
    /// Without it, rows are kept until the last result is known, so that no column is missed; with it they
    /// are written as they come. A path with a comma is quoted as in CSV; a name that has dots itself is found
    /// too. Examples: --columns name,data.petted,error.message, --columns '"income, net",data.tax'
    #[arg(long, value_name = "PATHS", value_parser = names)]
    pub columns: Option<Names>,

    /// Write records as they finish, not in input order
    #[arg(long)]
    pub unordered: bool,

    /// What is done without it, too: records are in input order
    #[arg(short = 'k', long, hide = true, conflicts_with = "unordered")]
    pub keep_order: bool,

    /// Add attempts, worker, ms and line to each record
    #[arg(long)]
    pub meta: bool,

    /// Add the job to its record, as "input"
    #[arg(long)]
    pub echo: bool,

    /// Add the job's field FIELD to its record, as "id"
    #[arg(long, value_name = "FIELD", hide_short_help = true)]
    pub id: Option<String>,

    /// Write the jobs that did not end ok to FILE, in the input's own format
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,

    /// Disarm CSV cells that a spreadsheet would run as a formula
    #[arg(long, hide_short_help = true)]
    pub csv_safe: bool,

    /// Blank out this field in errors, at any depth; may be repeated
    #[arg(long, value_name = "FIELD", hide_short_help = true)]
    pub redact: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Resuming")]
pub struct ResumeArgs {
    /// Append every outcome to FILE as it happens
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,

    /// Run only what the journal does not have; the output is complete all the same
    #[arg(long, requires = "journal")]
    pub resume: bool,

    /// With --resume, run again what is not ok, also with a worker that was changed; or only these statuses
    ///
    /// Results that are kept may be of the worker as it was before. Example: --retry-failed=error,timeout
    #[arg(long, value_name = "STATUSES", requires = "resume", hide_short_help = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "died,timeout,bad_reply,error")]
    #[arg(value_delimiter = ',', value_enum)]
    pub retry_failed: Option<Vec<RetryOn>>,

    /// The same as --resume --retry-failed
    #[arg(long, hide = true, requires = "journal", conflicts_with_all = ["resume", "retry_failed"])]
    pub resume_failed: bool,

    /// With --resume, keep all that is done, although the worker was changed
    #[arg(long, requires = "resume", hide_short_help = true)]
    pub accept_changes: bool,

    /// With --journal, know a job by its field FIELD, not by its whole content
    #[arg(long, value_name = "FIELD", requires = "journal", hide_short_help = true)]
    pub key: Option<String>,

    /// When the journal is forced to the disk: always, never, or every so often [default: 1s]
    #[arg(long, value_name = "WHEN", value_parser = sync, requires = "journal", hide_short_help = true)]
    pub sync: Option<SyncPolicy>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reporting")]
pub struct ReportArgs {
    /// How progress is shown on stderr: auto, bar, plain or off [default: auto]
    ///
    /// auto: a bar on a terminal, else a plain line every minute (every 10 s under CI=true).
    #[arg(long, value_name = "HOW", value_parser = progress(), default_value = "auto", hide_default_value = true, hide_short_help = true)]
    pub progress: Progress,

    /// The same as --progress bar
    #[arg(long, alias = "eta", hide = true, conflicts_with = "progress")]
    pub bar: bool,

    /// Write the workers' own progress messages to FILE, as {"job":7,"progress":…}
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub progress_file: Option<PathBuf>,

    /// Write each worker's stderr to DIR as well, a file for each slot, with times
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub log_dir: Option<PathBuf>,

    /// Write the summary to FILE as JSON
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub summary: Option<PathBuf>,

    /// Write a page to FILE that says how the run went: what failed and why, where the time went, what to do
    ///
    /// It is one file, without a network or a script. Example: --report run.html
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub report: Option<PathBuf>,

    /// Write what each worker did and when to FILE, for Perfetto or chrome://tracing; .gz compresses it
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub trace: Option<PathBuf>,

    /// Write the jobs to FILE as JUnit XML, for a CI system; past 10,000 only those that failed
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub junit: Option<PathBuf>,

    /// Write figures to FILE for Prometheus (node_exporter's textfile collector), also while the run goes on
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub metrics: Option<PathBuf>,

    /// Write a line for each job to FILE, with GNU parallel's columns
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub joblog: Option<PathBuf>,

    /// No bar, no summary, no worker log: errors only
    #[arg(short, long)]
    pub quiet: bool,

    /// Say when workers start, end and are replaced
    #[arg(short, long, conflicts_with = "quiet", hide_short_help = true)]
    pub verbose: bool,

    /// Show the manual page forkpool(1); --man=worker shows forkpool-worker(7)
    #[arg(long, value_name = "PAGE", value_parser = page(), num_args = 0..=1, require_equals = true, default_missing_value = "forkpool", hide_possible_values = true, hide_short_help = true, exclusive = true)]
    pub man: Option<Page>,

    /// Print completions for SHELL (bash, elvish, fish, powershell, zsh)
    #[arg(long, value_name = "SHELL", value_enum, hide_short_help = true, exclusive = true)]
    pub completions: Option<clap_complete::Shell>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    Json,
    Lines,
    NodeIpc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RetryOn {
    Died,
    Timeout,
    BadReply,
    Error,
}

impl RetryOn {
    pub const ALL: [RetryOn; 4] = [RetryOn::Died, RetryOn::Timeout, RetryOn::BadReply, RetryOn::Error];
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WorkerCount {
    Exactly(usize),
    Percent(f64),
}

/// `--shard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardChoice {
    Given(Shard),
    /// The one of the array's task in which this process runs.
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FailureLimit {
    Count(u64),
    Percent(f64),
}

/// The script with which `shell` completes forkpool's flags.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Args as clap::CommandFactory>::command(), "forkpool", &mut script);
    script
}

/// A parser that takes the name of one of these formats: `ndjson`, `csv` …
fn format<const N: usize>(formats: [Format; N]) -> impl TypedValueParser<Value = Format> {
    named(formats.map(|format| (format.name(), format)))
}

fn page() -> impl TypedValueParser<Value = Page> {
    named([("forkpool", Page::Forkpool), ("worker", Page::Worker)])
}

fn progress() -> impl TypedValueParser<Value = Progress> {
    named([("auto", Progress::Auto), ("bar", Progress::Bar), ("plain", Progress::Plain), ("off", Progress::Off)])
}

/// A parser that takes one of these names; completions and error messages list them.
fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.map(|(name, _)| name)).map(move |typed| {
        let chosen = values.iter().find(|(name, _)| *name == typed);
        chosen.expect("the parser has refused every other name").1
    })
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than 0".to_owned()),
        some => Ok(some),
    }
}

fn size(text: &str) -> Result<usize, String> {
    let bytes = parse_size::parse_size(text).map_err(|_| "expected a size such as 64KiB, 256MiB or 1GB".to_owned())?;
    match usize::try_from(bytes) {
        Ok(0) => Err("must be above 0".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err("is more than this machine can address".to_owned()),
    }
}

fn percent(text: &str) -> Option<Result<f64, String>> {
    let number = text.strip_suffix('%')?;
    Some(match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent.is_finite() => Ok(percent),
        _ => Err("expected a percentage above 0, such as 50%".to_owned()),
    })
}

/// More workers than this are a slip of the finger, not a wish: each is a process and a thread.
const MOST_WORKERS: usize = 10_000;

fn worker_count(text: &str) -> Result<WorkerCount, String> {
    if let Some(percent) = percent(text) {
        return percent.map(WorkerCount::Percent);
    }
    match text.parse::<usize>() {
        Ok(0) => Err("at least one worker is needed".to_owned()),
        Ok(n) if n <= MOST_WORKERS => Ok(WorkerCount::Exactly(n)),
        Ok(_) => Err(format!("at most {MOST_WORKERS} workers")),
        Err(_) => Err("expected a number such as 8, or a percentage such as 50%".to_owned()),
    }
}

fn depth(text: &str) -> Result<Depth, String> {
    match text.parse::<usize>() {
        Ok(n @ 1..=65_536) => Ok(Depth::Fixed(n)),
        _ if text == "auto" => Ok(Depth::Auto),
        _ => Err("expected auto or a number from 1 to 65536".to_owned()),
    }
}

fn failure_limit(text: &str) -> Result<FailureLimit, String> {
    if let Some(percent) = percent(text) {
        return percent.map(FailureLimit::Percent);
    }
    match text.parse::<u64>() {
        Ok(n) if n > 0 => Ok(FailureLimit::Count(n)),
        _ => Err("expected a number above 0, or a percentage such as 5%".to_owned()),
    }
}

fn shard(text: &str) -> Result<ShardChoice, String> {
    if text == "auto" { Ok(ShardChoice::Auto) } else { text.parse().map(ShardChoice::Given) }
}

fn sync(text: &str) -> Result<SyncPolicy, String> {
    match text {
        "always" => Ok(SyncPolicy::Always),
        "never" => Ok(SyncPolicy::Never),
        _ => positive_duration(text)
            .map(SyncPolicy::Every)
            .map_err(|_| "expected always, never or a duration such as 1s".to_owned()),
    }
}

fn signal(text: &str) -> Result<i32, String> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    match name {
        "ABRT" => Ok(libc::SIGABRT),
        "HUP" => Ok(libc::SIGHUP),
        "INT" => Ok(libc::SIGINT),
        "QUIT" => Ok(libc::SIGQUIT),
        "USR1" => Ok(libc::SIGUSR1),
        "USR2" => Ok(libc::SIGUSR2),
        _ => Err("expected one of ABRT, HUP, INT, QUIT, USR1, USR2".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn sizes_are_binary_or_decimal_as_written() {
        assert_eq!([size("64KiB"), size("1GB"), size("7")], [Ok(65_536), Ok(1_000_000_000), Ok(7)]);
        assert!(positive_duration("0").is_err());
        assert!(size("0").is_err() && size("much").is_err() && size("-1").is_err());
    }

    #[test]
    fn worker_counts_are_numbers_or_percentages() {
        assert_eq!(worker_count("8"), Ok(WorkerCount::Exactly(8)));
        assert_eq!(worker_count("50%"), Ok(WorkerCount::Percent(50.0)));
        for text in ["0", "-1", "0%", "many", "99999999"] {
            assert!(worker_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_worker_keeps_its_own_flags() {
        let args = Args::try_parse_from(["forkpool", "-j", "2", "sed", "-u", "--", "-j"]).unwrap();
        assert_eq!(args.command, ["sed", "-u", "--", "-j"]);
        assert!(Args::try_parse_from(["forkpool", "--colums", "a", "--", "cat"]).is_err());
    }
}
