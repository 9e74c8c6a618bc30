//! Where the workers are, if not here, and shards of a run.

use std::path::PathBuf;

use super::values::{ShardChoice, shard};
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
