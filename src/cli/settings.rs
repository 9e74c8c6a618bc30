//! From what was typed (`Args`) and the environment to what each part uses: one small settings struct per part.
//! Contradictions between flags are refused here; nothing is opened, read or started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{
    Args, FailureLimit, InputArgs, LimitArgs, ProtocolName, ResumeArgs, RetryOn, WorkerArgs, WorkerCount,
};
use super::shards;
use crate::collect::settings::{Order, OutputSettings, RecordStyle};
use crate::collect::stop_policy::StopPolicy;
use crate::journal::settings::{JournalMode, JournalSettings, SyncPolicy, WorkerCode, WorkerIdentity};
use crate::pool::policies::{RecyclePolicy, RetryPolicy};
use crate::pool::settings::{Depth, PoolSettings, ahead, queued};
use crate::protocol::Protocol;
use crate::report::settings::{Progress, ReportSettings, Verbosity};
use crate::shims::{self, Init, Manner};
use crate::source::settings::{InputFile, InputSettings};
use crate::text::shell;
use crate::words::dialect::{Dialect, Quote};
use crate::words::error::{Error, Result};
use crate::words::format::{Compression, Format};
use crate::words::outcome::Status;
use crate::words::shard::Shard;
use crate::words::slots::SlotNames;
use crate::words::worker::{Channel, HandlerChoice, WorkerCommand};

#[derive(Debug)]
pub struct Settings {
    /// The handler, if forkpool supplies the worker around it.
    pub handler: Option<HandlerChoice>,
    pub input: InputSettings,
    pub pool: PoolSettings,
    pub output: OutputSettings,
    pub journal: Option<JournalSettings>,
    pub report: ReportSettings,
    pub stop: StopPolicy,
}

/// The window is at least this many jobs, so that tiny jobs travel in large pieces.
const WINDOW_MIN: usize = 1024;

impl Settings {
    pub fn new(args: &Args) -> Result<Settings> {
        let files = input_files(&args.input)?;
        let protocol = match args.workers.protocol {
            None | Some(ProtocolName::Json) => Protocol::Json,
            Some(ProtocolName::Lines) => Protocol::Lines,
            Some(ProtocolName::NodeIpc) => Protocol::NodeIpc,
        };
        let shard = args.hosts.shard.map(shards::resolve).transpose()?;
        let output = output(args, &files, protocol, shard)?;
        let pool = pool(args, protocol, &output)?;
        let handler = handler(&args.workers);
        let report = ReportSettings { names: slot_names(&pool), ..report(args, worker_words(&handler, &pool.command)) };
        let code = match &handler {
            Some(handler) => WorkerCode::Handler(handler.clone()),
            None => WorkerCode::Command(pool.command.clone()),
        };
        let worker = WorkerIdentity { protocol: protocol.name(), code };
        Ok(Settings {
            handler,
            input: input(args, files, shard),
            pool,
            journal: journal(&args.resuming, worker, output.input_format, shard),
            output,
            report,
            stop: stop(&args.limits),
        })
    }
}

fn handler(args: &WorkerArgs) -> Option<HandlerChoice> {
    let (file, function) = shims::split(args.handler.as_deref()?);
    Some(HandlerChoice {
        file: PathBuf::from(file),
        function: function.map(str::to_owned),
        route: args.route.clone(),
        runtime: args.runtime.clone(),
        init: args.init.clone(),
    })
}

pub fn input(args: &Args, files: Vec<InputFile>, shard: Option<Shard>) -> InputSettings {
    InputSettings {
        files,
        columns: args.input.columns_in.clone().map(|names| names.0),
        delimiter: args.input.delimiter,
        quote: args.input.quote.unwrap_or_default(),
        max_job_bytes: args.input.max_job_bytes,
        timeout_field: args.limits.timeout_field.clone(),
        keep_raw: args.output.rejects.is_some(),
        shard: shard.unwrap_or(Shard::WHOLE),
    }
}

fn journal(args: &ResumeArgs, worker: WorkerIdentity, input: Format, shard: Option<Shard>) -> Option<JournalSettings> {
    Some(JournalSettings {
        path: args.journal.clone()?,
        worker,
        input,
        mode: match (args.resume, &args.retry_failed) {
            _ if args.resume_failed => JournalMode::RunAgain(statuses(&RetryOn::ALL)),
            (false, _) => JournalMode::New,
            (true, None) => JournalMode::Resume,
            (true, Some(failed)) => JournalMode::RunAgain(statuses(failed)),
        },
        accepts_changes: args.accept_changes || args.retry_failed.is_some() || args.resume_failed,
        key: args.key.clone(),
        shard,
        sync: args.sync.unwrap_or(SyncPolicy::Every(Duration::from_secs(1))),
    })
}

/// The handler as it was named, or the command of the worker.
fn worker_words(handler: &Option<HandlerChoice>, command: &WorkerCommand) -> String {
    match handler {
        Some(HandlerChoice { file, function, .. }) => {
            let function = function.as_ref().map_or_else(String::new, |function| format!(":{function}"));
            format!("{}{function}", file.display())
        }
        None => shell::join(std::iter::once(&command.program).chain(&command.args)),
    }
}

fn report(args: &Args, worker_words: String) -> ReportSettings {
    ReportSettings {
        records_on_stdout: args.output.output.as_ref().is_none_or(|path| path.as_os_str() == "-"),
        progress: if args.reporting.bar { Progress::Bar } else { args.reporting.progress },
        progress_file: args.reporting.progress_file.clone(),
        log_dir: args.reporting.log_dir.clone(),
        summary_file: args.reporting.summary.clone(),
        names: SlotNames::default(),
        joblog: args.reporting.joblog.clone(),
        junit: args.reporting.junit.clone(),
        metrics: args.reporting.metrics.clone(),
        trace: args.reporting.trace.clone(),
        page: args.reporting.report.clone(),
        worker_words,
        id: args.output.id.clone(),
        verbosity: match (args.reporting.quiet, args.reporting.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
            (false, true) => Verbosity::Verbose,
        },
    }
}

/// What messages call the slots.
fn slot_names(pool: &PoolSettings) -> SlotNames {
    let hosts = pool.hosts.iter().flat_map(|hosts| &hosts.list);
    SlotNames::of_hosts(hosts.map(|host| host.name.clone()))
}

fn stop(args: &LimitArgs) -> StopPolicy {
    match (args.max_failures, args.fail_fast) {
        (_, true) => StopPolicy::FailFast,
        (Some(FailureLimit::Count(n)), _) => StopPolicy::Count(n),
        (Some(FailureLimit::Percent(percent)), _) => StopPolicy::Percent(percent),
        (None, false) => StopPolicy::Never,
    }
}

pub fn input_files(args: &InputArgs) -> Result<Vec<InputFile>> {
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

pub fn endings(path: &Path) -> (Compression, Option<Format>) {
    let ending = |path: &Path| path.extension().map(|ending| ending.to_ascii_lowercase());
    let compression = match ending(path).as_ref().and_then(|ending| ending.to_str()) {
        Some("gz") => Compression::Gzip,
        Some("zst") => Compression::Zstd,
        _ => return (Compression::None, format_by_ending(path)),
    };
    (compression, format_by_ending(&path.with_extension("")))
}

/// The ending of a kind of file that a user may hope for.
fn unwritable(path: &Path) -> Option<&'static str> {
    let ending = path.extension()?.to_ascii_lowercase();
    ["xlsx", "xls", "ods", "parquet", "xz", "bz2", "zip", "lz4"]
        .into_iter()
        .find(|&known| known == ending.to_string_lossy())
}

fn format_by_ending(path: &Path) -> Option<Format> {
    match path.extension()?.to_ascii_lowercase().to_str()? {
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "json" => Some(Format::Json),
        "txt" | "lines" => Some(Format::Lines),
        _ => None,
    }
}

pub fn output(args: &Args, inputs: &[InputFile], protocol: Protocol, shard: Option<Shard>) -> Result<OutputSettings> {
    let path = args.output.output.clone().filter(|path| path.as_os_str() != "-");
    let (compression, by_ending) = path.as_deref().map_or((Compression::None, None), endings);
    let by_ending = by_ending.filter(|format| Format::OF_OUTPUTS.contains(format));
    if args.output.to.is_none()
        && let Some(ending) = path.as_deref().and_then(unwritable)
    {
        let words = format!("cannot write .{ending} files");
        return Err(Error::refused(words).hint("write .csv, .ndjson, .csv.gz or .ndjson.zst, and convert it"));
    }
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
    if (args.output.meta || args.output.echo || args.output.id.is_some()) && format == Format::Lines {
        return Err(Error::refused("--meta, --echo and --id have no place in lines output").hint("add --to ndjson"));
    }
    Ok(OutputSettings {
        path,
        format,
        compression,
        columns: args.output.columns.clone().map(|names| names.0),
        order: if args.output.unordered { Order::Completion } else { Order::Input },
        style: RecordStyle { meta: args.output.meta, echo: args.output.echo, id: args.output.id.clone() },
        rejects_compression: args.output.rejects.as_deref().map_or(Compression::None, |path| endings(path).0),
        rejects: args.output.rejects.clone(),
        csv_safe: args.output.csv_safe,
        input_format: inputs[0].format,
        dialect: output_dialect(&args.input, inputs[0].format, format)?,
        shard,
        memory: args.limits.memory,
    })
}

/// How a table is written: as the input is, where that is what was said of it.
pub fn output_dialect(args: &InputArgs, input: Format, output: Format) -> Result<Dialect> {
    let plain = Dialect::of(output, None, Quote::Double);
    if args.delimiter.is_none() && args.quote.is_none() {
        return Ok(plain);
    }
    if !input.is_table() && !output.is_table() {
        let flag = if args.delimiter.is_some() { "--delimiter" } else { "--quote" };
        return Err(Error::refused(format!("{flag} is for CSV and TSV")).hint("add --from csv"));
    }
    let of_input = Dialect::of(input, args.delimiter, args.quote.unwrap_or_default());
    if of_input.quote == Some(of_input.delimiter) {
        return Err(Error::refused("--delimiter and --quote are the same character"));
    }
    if input.is_table() && input != output {
        return Ok(plain);
    }
    Ok(match Dialect::of(output, args.delimiter, args.quote.unwrap_or_default()) {
        Dialect { quote: None, delimiter, .. } => Dialect { delimiter, ..plain },
        dialect => dialect,
    })
}

fn pool(args: &Args, protocol: Protocol, output: &OutputSettings) -> Result<PoolSettings> {
    let concurrency = args.workers.concurrency.unwrap_or(1) as usize;
    let batch = args.workers.batch.map(usize::from);
    let (command, supplied) = worker_command(args, protocol, concurrency)?;
    let hosts = super::hosts::hosts(args)?;
    let per_host = match args.workers.workers {
        None => processors(),
        Some(WorkerCount::Exactly(n)) => n,
        Some(WorkerCount::Percent(percent)) => ((processors() as f64 * percent / 100.0).round() as usize).max(1),
    };
    // With hosts each of them is a slot, and -j says how many workers one has that does not say so itself.
    let workers = hosts.as_ref().map_or(per_host, |hosts| hosts.list.len());
    let depth = match args.workers.depth {
        Some(depth) => depth,
        // A job that waits behind another in its worker would be begun later than it was given out, together with others.
        None if supplied && args.limits.rate.is_none() => Depth::Auto,
        None => Depth::Fixed(1),
    };
    refuse_queues(protocol, depth, concurrency, args.workers.depth.is_some())?;
    let limits = &args.limits;
    let is_remote = hosts.is_some();
    let least = WINDOW_MIN.max(4 * queued(workers, ahead(depth, concurrency, batch), is_remote));
    Ok(PoolSettings {
        workers,
        command,
        protocol,
        supplied,
        preload: args.workers.preload && !is_remote,
        depth,
        concurrency,
        batch,
        timeout: limits.timeout,
        start_timeout: limits.start_timeout,
        grace: limits.grace,
        dump: limits.dump,
        retry: retry(limits),
        rate: limits.rate,
        recycle: RecyclePolicy {
            jobs: limits.recycle_jobs,
            // Of a host only the agent can see what its workers take.
            memory: limits.recycle_memory.filter(|_| !is_remote),
            age: limits.recycle_age,
        },
        max_reply_bytes: limits.max_reply_bytes,
        window: limits.window.map_or(least, |window| window as usize),
        memory: limits.memory,
        keep_jobs: args.output.echo
            || args.output.id.is_some()
            || args.output.rejects.is_some()
            || args.reporting.joblog.is_some()
            || args.reporting.report.is_some()
            || output.format.is_table(),
        redact: args.output.redact.clone(),
        hosts,
        watched: args.reporting.trace.is_some() || args.reporting.report.is_some(),
    })
}

/// Refuses what cannot go together: several jobs in the hands of one worker need a protocol that can tell their answers
/// apart, and they are either queued or run at the same time.
fn refuse_queues(protocol: Protocol, depth: Depth, concurrency: usize, depth_is_given: bool) -> Result<()> {
    if protocol == Protocol::NodeIpc && (depth != Depth::Fixed(1) || concurrency > 1) {
        return Err(Error::refused("node-ipc has no job ids, so --depth and --concurrency must be 1"));
    }
    if protocol == Protocol::Lines && concurrency > 1 {
        return Err(Error::refused("the lines protocol answers by position, so --concurrency must be 1"));
    }
    if concurrency > 1 && depth_is_given {
        return Err(Error::refused(
            "--depth and --concurrency exclude each other: one queues jobs, one runs them at once",
        ));
    }
    Ok(())
}

fn retry(limits: &LimitArgs) -> RetryPolicy {
    let on = limits.retry_on.as_deref().unwrap_or(&[RetryOn::Died, RetryOn::Timeout, RetryOn::BadReply]);
    RetryPolicy { retries: limits.retries, delay: limits.retry_delay, on: statuses(on) }
}

fn statuses(failed: &[RetryOn]) -> Vec<Status> {
    let status = |on: &RetryOn| match on {
        RetryOn::Died => Status::Died,
        RetryOn::Timeout => Status::Timeout,
        RetryOn::BadReply => Status::BadReply,
        RetryOn::Error => Status::Error,
    };
    failed.iter().map(status).collect()
}

fn worker_command(args: &Args, protocol: Protocol, concurrency: usize) -> Result<(WorkerCommand, bool)> {
    let wrap = args.workers.wrap.as_deref().map(shell::split).transpose();
    let wrap = wrap.map_err(|why| Error::refused(format!("--wrap: {why}")))?.unwrap_or_default();
    if let Some(handler) = handler(&args.workers) {
        if args.workers.preload {
            refuse_preload(&wrap)?;
        }
        let init = if args.workers.dry_run { Init::OnlyFound } else { Init::Called };
        let manner =
            Manner { concurrency, takes_batches: args.workers.batch.is_some(), init, forks: args.workers.preload };
        let command = shims::command(&handler, &manner)?;
        return Ok((WorkerCommand { wrap, ..command }, true));
    }
    if args.workers.batch.is_some() {
        return Err(Error::refused("--batch is for handlers: a program of your own reads as many jobs as it likes")
            .hint("--handler FILE --batch N, or --depth N -- PROGRAM"));
    }
    if args.workers.preload {
        return Err(Error::refused("--preload is for handlers: forkpool cannot fork a program that it did not supply")
            .hint("--handler FILE --preload"));
    }
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Error::refused("no worker given").hint("forkpool -- PROGRAM [ARGS]…, or forkpool --handler FILE"));
    };
    let channel = if protocol == Protocol::NodeIpc { Channel::NodeIpc } else { Channel::Stdio };
    Ok((WorkerCommand { wrap, program: program.clone(), args: rest.to_vec(), channel, env: Vec::new() }, false))
}

/// Refuses what cannot be had together with `--preload`.
fn refuse_preload(wrap: &[String]) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Err(Error::refused(
            "--preload is for Linux: elsewhere a worker that is forked would be no child of forkpool",
        ));
    }
    if wrap.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        "--wrap and --preload exclude each other: workers are forked, and no command is executed for them",
    )
    .hint("--wrap before forkpool itself, or limits that the function of --init sets for its own process"))
}

/// How many processors this process may use, by affinity and by cgroup quota; one where the system does not tell.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn settings(words: &str) -> Result<Settings> {
        let words = std::iter::once("forkpool").chain(words.split_whitespace());
        Settings::new(&Args::try_parse_from(words).expect("the words are flags of forkpool"))
    }

    #[track_caller]
    fn refused(words: &str, reason: &str) {
        let error = settings(words).expect_err(words);
        assert!(error.message.contains(reason), "{words}: {}", error.message);
    }

    #[test]
    fn formats_follow_the_endings_unless_they_are_named() {
        let formats = |words: &str| {
            let settings = settings(&format!("{words} -- w")).unwrap();
            (settings.input.files[0].format, settings.input.files[0].compression, settings.output.format)
        };
        assert_eq!(formats(""), (Format::Ndjson, Compression::None, Format::Ndjson));
        assert_eq!(formats("-i a.csv -o b.tsv"), (Format::Csv, Compression::None, Format::Tsv));
        assert_eq!(formats("-i a.TSV.gz -o b.csv --to lines"), (Format::Tsv, Compression::Gzip, Format::Lines));
        assert_eq!(formats("-i a.txt.zst --from ndjson"), (Format::Ndjson, Compression::Zstd, Format::Ndjson));
        assert_eq!(formats("--protocol lines"), (Format::Ndjson, Compression::None, Format::Lines));
        assert_eq!(formats("--protocol lines --to ndjson"), (Format::Ndjson, Compression::None, Format::Ndjson));
    }

    #[test]
    fn what_contradicts_itself_is_refused_before_anything_is_opened() {
        refused("", "no worker given");
        refused("-i - -i - -- w", "can be read only once");
        refused("-i a.csv -i b.ndjson -- w", "have different formats, csv and ndjson");
        refused("--columns-in a,b -- w", "--columns-in is for CSV and TSV");
        refused("--columns a -- w", "--columns is for CSV and TSV");
        refused("--csv-safe -- w", "--csv-safe is for CSV and TSV");
        refused("--to lines --unordered -- w", "--unordered does not go with lines output");
        refused("--to lines --meta -- w", "have no place in lines output");
        refused("--protocol node-ipc --depth 2 -- w", "node-ipc has no job ids");
        refused("--protocol node-ipc --concurrency 2 -- w", "node-ipc has no job ids");
        refused("--protocol lines --concurrency 2 -- w", "answers by position");
        refused("--depth 2 --concurrency 2 -- w", "exclude each other");
        refused("--batch 2 -- w", "--batch is for handlers");
        refused("--wrap ' -- w", "--wrap: a quote is not closed");
        refused("--to lines --id name -- w", "have no place in lines output");
        refused("--handler samples/pet.py:feed --init feed", "feed cannot be both");
        refused("--preload -- w", "--preload is for handlers");
        #[cfg(target_os = "linux")]
        {
            refused("--preload --wrap nice --handler samples/pet.py", "--wrap and --preload exclude each other");
            refused("--preload --handler samples/pet.mjs", "--preload is for Python and Ruby");
        }
    }

    #[test]
    fn a_pool_has_what_was_asked_for_and_sensible_values_else() {
        let pool = |words: &str| settings(&format!("{words} -- w")).unwrap().pool;
        let plain = pool("-j 3");
        assert_eq!((plain.workers, plain.depth, plain.concurrency, plain.window), (3, Depth::Fixed(1), 1, 1024));
        assert_eq!((plain.timeout, plain.grace.as_secs(), plain.start_timeout.as_secs()), (None, 5, 60));
        assert_eq!(plain.retry.on, [Status::Died, Status::Timeout, Status::BadReply]);
        assert_eq!((plain.retry.retries, plain.keep_jobs, plain.supplied), (0, false, false));
        assert_eq!(pool("-j 100 --depth auto").window, 4 * 100 * 512, "all queues can be filled four times");
        assert_eq!(pool("-j 100 --window 7").window, 7);
        assert_eq!(pool("--host a,b").window, 4 * 2 * 8192, "of eight workers each, whatever they have");
        let thousand: Vec<String> = (0..1000).map(|n| format!("h{n}")).collect();
        assert_eq!(pool(&format!("--host {}", thousand.join(","))).window, 1 << 20, "not gigabytes of tiny jobs");
        assert_eq!(pool("--retry-on error").retry.on, [Status::Error]);
        assert!(pool("--echo").keep_jobs && pool("--rejects r").keep_jobs && pool("--to csv").keep_jobs);
    }

    #[test]
    fn a_run_stops_and_resumes_as_it_was_told() {
        let stop = |words: &str| settings(&format!("{words} -- w")).unwrap().stop;
        assert_eq!(stop(""), StopPolicy::Never);
        assert_eq!(stop("--max-failures 3"), StopPolicy::Count(3));
        assert_eq!(stop("--max-failures 5%"), StopPolicy::Percent(5.0));
        assert_eq!(stop("--fail-fast"), StopPolicy::FailFast);
        let journal = |words: &str| settings(&format!("--journal j {words} -- w")).unwrap().journal.unwrap();
        assert_eq!(journal("").mode, JournalMode::New);
        assert_eq!(
            (journal("--resume").mode, journal("--resume").sync),
            (JournalMode::Resume, SyncPolicy::Every(Duration::from_secs(1)))
        );
        let again = journal("--resume --retry-failed");
        let failed = [Status::Died, Status::Timeout, Status::BadReply, Status::Error];
        assert_eq!((again.mode, again.accepts_changes), (JournalMode::RunAgain(failed.to_vec()), true));
        assert_eq!(journal("--resume --retry-failed=error").mode, JournalMode::RunAgain(vec![Status::Error]));
        assert!(journal("--resume --accept-changes").accepts_changes && !journal("--resume").accepts_changes);
        assert_eq!(journal("--resume-failed").mode, JournalMode::RunAgain(failed.to_vec()));
        assert_eq!(journal("--sync never").sync, SyncPolicy::Never);
    }

    #[test]
    fn flags_of_neighbours_mean_what_they_mean_there() {
        for words in ["--jobs 3", "-P 3", "-P3", "--max-procs=3 -k", "-j 3 --keep-order"] {
            assert_eq!(settings(&format!("{words} -- w")).unwrap().pool.workers, 3, "{words}");
        }
        assert_eq!(settings("--bar -- w").unwrap().report.progress, Progress::Bar);
        assert_eq!(settings("-a f -- w").unwrap().input.files[0].path.as_deref(), Some(Path::new("f")));
    }

    #[test]
    fn the_output_is_stdout_by_each_of_its_names() {
        for (words, path, on_stdout) in [("", None, true), ("-o -", None, true), ("-o f", Some("f"), false)] {
            let settings = settings(&format!("{words} -- w")).unwrap();
            assert_eq!(settings.output.path.as_deref(), path.map(Path::new));
            assert_eq!(settings.report.records_on_stdout, on_stdout, "{words}");
        }
    }
}
