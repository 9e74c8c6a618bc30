//! From what was typed (`Args`) and the environment to what each part uses: one small settings struct per part.
//! Contradictions between flags are refused here; nothing is opened, read or started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{Args, FailureLimit, InputArgs, ProtocolName, RetryOn, WorkerCount};
use crate::collect::settings::{Order, OutputSettings, RecordStyle};
use crate::collect::stop_policy::StopPolicy;
use crate::journal::settings::{JournalMode, JournalSettings, Sync, WorkerCode, WorkerIdentity};
use crate::pool::policies::{RecyclePolicy, RetryPolicy};
use crate::pool::settings::{Depth, PoolSettings, ahead};
use crate::protocol::Protocol;
use crate::report::settings::{ReportSettings, Verbosity};
use crate::shims;
use crate::source::settings::{Compression, InputFile, InputSettings};
use crate::words::error::{Error, Result};
use crate::words::format::Format;
use crate::words::outcome::Status;
use crate::words::worker::{Channel, HandlerChoice, WorkerCommand};

#[derive(Debug)]
pub struct Settings {
    /// What the worker is supplied for, if it is.
    pub handler: Option<HandlerChoice>,
    pub input: InputSettings,
    pub pool: PoolSettings,
    pub output: OutputSettings,
    pub journal: Option<JournalSettings>,
    pub report: ReportSettings,
    pub stop: StopPolicy,
}

/// Reads ahead at least this far, so that tiny jobs travel in large pieces.
const WINDOW_MIN: usize = 1024;

impl Settings {
    pub fn new(args: Args) -> Result<Settings> {
        let input_files = input_files(&args.input)?;
        let protocol = match args.workers.protocol {
            None | Some(ProtocolName::Json) => Protocol::Json,
            Some(ProtocolName::Lines) => Protocol::Lines,
            Some(ProtocolName::NodeIpc) => Protocol::NodeIpc,
        };
        let output = output(&args, &input_files, protocol)?;
        let pool = pool(&args, protocol, &output)?;
        let handler = args.workers.handler.as_deref().map(|handler| {
            let (file, function) = shims::split(handler);
            HandlerChoice {
                file: PathBuf::from(file),
                function: function.map(str::to_owned),
                route: args.workers.route.clone(),
                runtime: args.workers.runtime.clone(),
            }
        });
        let journal = args.resuming.journal.as_ref().map(|path| JournalSettings {
            path: path.clone(),
            worker: WorkerIdentity {
                protocol: protocol.name(),
                code: match &handler {
                    Some(handler) => WorkerCode::Handler(handler.clone()),
                    None => WorkerCode::Command(pool.command.clone()),
                },
            },
            input: output.input_format,
            mode: match (args.resuming.resume, args.resuming.retry_failed) {
                (false, _) => JournalMode::New,
                (true, false) => JournalMode::Resume,
                (true, true) => JournalMode::RetryFailed,
            },
            key: args.resuming.key.clone(),
            sync: args.resuming.sync.unwrap_or(Sync::Every(Duration::from_secs(1))),
        });
        Ok(Settings {
            handler,
            input: InputSettings {
                files: input_files,
                columns: args.input.columns_in,
                max_job_bytes: args.input.max_job_bytes,
                timeout_field: args.limits.timeout_field,
                keep_raw: args.output.rejects.is_some(),
            },
            pool,
            output,
            journal,
            report: ReportSettings {
                records_on_stdout: args.output.output.as_ref().is_none_or(|path| path.as_os_str() == "-"),
                progress: args.reporting.progress,
                progress_file: args.reporting.progress_file,
                summary_file: args.reporting.summary,
                verbosity: match (args.reporting.quiet, args.reporting.verbose) {
                    (true, _) => Verbosity::Quiet,
                    (false, false) => Verbosity::Normal,
                    (false, true) => Verbosity::Verbose,
                },
            },
            stop: match (args.limits.max_failures, args.limits.fail_fast) {
                (_, true) => StopPolicy::FailFast,
                (Some(FailureLimit::Count(n)), _) => StopPolicy::Count(n),
                (Some(FailureLimit::Percent(percent)), _) => StopPolicy::Percent(percent),
                (None, false) => StopPolicy::Never,
            },
        })
    }
}

fn input_files(args: &InputArgs) -> Result<Vec<InputFile>> {
    let stdin = args.input.iter().filter(|path| path.as_os_str() == "-").count();
    if stdin > 1 {
        return Err(Error::refused("stdin (\"-\") can be read only once"));
    }
    let file = |path: Option<&Path>| {
        let (compression, format) = path.map_or((Compression::None, None), endings);
        let format = args.from.or(format).unwrap_or(Format::Ndjson);
        InputFile { path: path.map(Path::to_owned), format, compression }
    };
    let named = |path: &PathBuf| file(Some(path.as_path()).filter(|path| path.as_os_str() != "-"));
    let files: Vec<InputFile> =
        if args.input.is_empty() { vec![file(None)] } else { args.input.iter().map(named).collect() };
    if let Some(other) = files.iter().find(|file| file.format != files[0].format) {
        return Err(Error::refused(format!(
            "{} and {} have different formats, {} and {}",
            files[0].name(),
            other.name(),
            files[0].format.name(),
            other.format.name()
        ))
        .hint("name one for all with --from, or run them apart"));
    }
    if args.columns_in.is_some() && !files[0].format.is_table() {
        return Err(Error::refused("--columns-in is for CSV and TSV input").hint("add --from csv"));
    }
    Ok(files)
}

fn endings(path: &Path) -> (Compression, Option<Format>) {
    let ending = |path: &Path| path.extension().map(|ending| ending.to_ascii_lowercase());
    let compression = match ending(path).as_ref().and_then(|ending| ending.to_str()) {
        Some("gz") => Compression::Gzip,
        Some("zst") => Compression::Zstd,
        _ => return (Compression::None, format_by_ending(path)),
    };
    (compression, format_by_ending(&path.with_extension("")))
}

fn format_by_ending(path: &Path) -> Option<Format> {
    match path.extension()?.to_ascii_lowercase().to_str()? {
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "txt" | "lines" => Some(Format::Lines),
        _ => None,
    }
}

fn output(args: &Args, inputs: &[InputFile], protocol: Protocol) -> Result<OutputSettings> {
    let path = args.output.output.clone().filter(|path| path.as_os_str() != "-");
    let by_ending = path.as_deref().and_then(format_by_ending);
    let by_protocol = if protocol == Protocol::Lines { Format::Lines } else { Format::Ndjson };
    let format = args.output.to.or(by_ending).unwrap_or(by_protocol);
    if format == Format::Lines && args.output.unordered {
        return Err(Error::refused("--unordered does not go with lines output: line N would not belong to job N")
            .hint("add --to ndjson"));
    }
    if args.output.columns.is_some() && !format.is_table() {
        return Err(Error::refused("--columns is for CSV and TSV output").hint("add --to csv"));
    }
    if args.output.csv_safe && !format.is_table() {
        return Err(Error::refused("--csv-safe is for CSV and TSV output").hint("add --to csv"));
    }
    if (args.output.meta || args.output.echo) && format == Format::Lines {
        return Err(Error::refused("--meta and --echo have no place in lines output").hint("add --to ndjson"));
    }
    Ok(OutputSettings {
        path,
        format,
        columns: args.output.columns.clone(),
        order: if args.output.unordered { Order::Completion } else { Order::Input },
        style: RecordStyle { meta: args.output.meta, echo: args.output.echo },
        rejects: args.output.rejects.clone(),
        csv_safe: args.output.csv_safe,
        input_format: inputs[0].format,
        input_has_header: args.input.columns_in.is_none(),
        memory: args.limits.memory,
    })
}

fn pool(args: &Args, protocol: Protocol, output: &OutputSettings) -> Result<PoolSettings> {
    let concurrency = args.workers.concurrency.unwrap_or(1) as usize;
    let (command, supplied) = worker_command(args, protocol, concurrency)?;
    let workers = match args.workers.workers {
        None => processors(),
        Some(WorkerCount::Exactly(n)) => n,
        Some(WorkerCount::Percent(percent)) => ((processors() as f64 * percent / 100.0).round() as usize).max(1),
    };
    let depth = match args.workers.depth {
        Some(depth) => depth,
        None if supplied => Depth::Auto,
        None => Depth::Fixed(1),
    };
    if protocol == Protocol::NodeIpc && (depth != Depth::Fixed(1) || concurrency > 1) {
        return Err(Error::refused("node-ipc has no job ids, so --depth and --concurrency must be 1"));
    }
    if protocol == Protocol::Lines && concurrency > 1 {
        return Err(Error::refused("the lines protocol answers by position, so --concurrency must be 1"));
    }
    if concurrency > 1 && args.workers.depth.is_some() {
        return Err(Error::refused(
            "--depth and --concurrency exclude each other: one queues jobs, one runs them at once",
        ));
    }
    let ahead = ahead(depth, concurrency);
    let window = args.limits.window.map_or_else(|| WINDOW_MIN.max(4 * workers * ahead), |n| n as usize);
    let keep_jobs = args.output.echo || args.output.rejects.is_some() || output.format.is_table();
    Ok(PoolSettings {
        workers,
        command,
        protocol,
        supplied,
        depth,
        concurrency,
        timeout: args.limits.timeout,
        start_timeout: args.limits.start_timeout,
        grace: args.limits.grace,
        dump: args.limits.dump,
        retry: RetryPolicy {
            retries: args.limits.retries,
            delay: args.limits.retry_delay,
            on: args
                .limits
                .retry_on
                .clone()
                .unwrap_or_else(|| vec![RetryOn::Died, RetryOn::Timeout, RetryOn::BadReply])
                .into_iter()
                .map(|on| match on {
                    RetryOn::Died => Status::Died,
                    RetryOn::Timeout => Status::Timeout,
                    RetryOn::BadReply => Status::BadReply,
                    RetryOn::Error => Status::Error,
                })
                .collect(),
        },
        recycle: RecyclePolicy {
            jobs: args.limits.recycle_jobs,
            memory: args.limits.recycle_memory,
            age: args.limits.recycle_age,
        },
        max_reply_bytes: args.limits.max_reply_bytes,
        window,
        memory: args.limits.memory,
        keep_jobs,
        redact: args.output.redact.clone(),
    })
}

fn worker_command(args: &Args, protocol: Protocol, concurrency: usize) -> Result<(WorkerCommand, bool)> {
    if let Some(handler) = &args.workers.handler {
        let runtime = args.workers.runtime.as_deref();
        let route = args.workers.route.as_deref();
        return Ok((shims::command(handler, runtime, route, concurrency)?, true));
    }
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Error::refused("no worker given").hint("forkpool -- PROGRAM [ARGS]…, or forkpool --handler FILE"));
    };
    let channel = if protocol == Protocol::NodeIpc { Channel::NodeIpc } else { Channel::Stdio };
    Ok((WorkerCommand { program: program.clone(), args: rest.to_vec(), channel }, false))
}

/// The processors this process may use, by affinity and by cgroup quota.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
