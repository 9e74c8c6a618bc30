//! What the workers are, how many there are, and how they are spoken to.

use super::values::{ProtocolName, WorkerCount, depth, worker_count};
use crate::pool::settings::Depth;
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
