//! What the page of a run (`--report`) says besides its figures: the command, the settings, the machine.

use std::time::{Duration, SystemTime};

use crate::cli::{CommandLine, Settings};
use crate::pool::settings::Depth;
use crate::report::page::Facts;
use crate::sys::children;
use crate::text::people::short_time;

/// `elapsed` is the time that the run has taken, and `running` that on its clock, which stands still with it.
pub fn facts(settings: &Settings, elapsed: Duration, running: Duration, errors: Vec<String>) -> Facts {
    let (processor, own) = (children::processor_time(), children::own_processor_time());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let used = (processor + own).as_secs_f64() / (elapsed.as_secs_f64() * processors as f64).max(1e-6);
    Facts {
        worker: settings.report.worker_words.clone(),
        command: CommandLine::of_process().as_typed(),
        settings: of_run(settings).into_iter().chain(of_place(elapsed, processor, own, processors)).collect(),
        processors: settings.pool.hosts.is_none().then_some(used),
        errors,
        names: settings.report.names.clone(),
        paused: elapsed.saturating_sub(running),
    }
}

fn of_run(settings: &Settings) -> Vec<(&'static str, String)> {
    let pool = &settings.pool;
    let inputs: Vec<String> = settings.input.files.iter().map(|file| file.name()).collect();
    let depth = match pool.depth {
        Depth::Auto => "auto".to_owned(),
        Depth::Fixed(depth) => depth.to_string(),
    };
    let mut facts = vec![
        ("Input", format!("{} ({})", inputs.join(", "), settings.input.files[0].format.name())),
        ("Output", format!("{} ({})", settings.output.name(), settings.output.format.name())),
        (if pool.hosts.is_some() { "Hosts" } else { "Workers" }, pool.workers.to_string()),
        ("Protocol", pool.protocol.name().to_owned()),
        ("Depth", depth),
        ("Retries", pool.retry.retries.to_string()),
    ];
    let some = |name, value: Option<String>| value.map(|value| (name, value));
    let more = [
        some("Concurrency", (pool.concurrency > 1).then(|| pool.concurrency.to_string())),
        some("Batch", pool.batch.map(|batch| batch.to_string())),
        some("Timeout", pool.timeout.map(short_time)),
        some("Rate", pool.rate.map(|rate| format!("a job each {}", short_time(rate.interval)))),
        some("Recycled after", pool.recycle.jobs.map(|jobs| format!("{jobs} jobs"))),
        some("Journal", settings.journal.as_ref().map(|journal| journal.path.display().to_string())),
        some("Rejects", settings.output.rejects.as_ref().map(|path| path.display().to_string())),
    ];
    facts.extend(more.into_iter().flatten());
    facts
}

fn of_place(elapsed: Duration, processor: Duration, own: Duration, processors: usize) -> Vec<(&'static str, String)> {
    let end = SystemTime::now();
    let start = end.checked_sub(elapsed).unwrap_or(end);
    let at = |time| humantime::format_rfc3339_seconds(time).to_string();
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let memory = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    let folder = std::env::current_dir().map(|folder| folder.display().to_string());
    vec![
        ("Began", at(start)),
        ("Ended", at(end)),
        ("Processor time", format!("{} workers, {} forkpool", short_time(processor), short_time(own))),
        (
            "Memory",
            format!(
                "{} forkpool, {} the largest process of a worker",
                memory(children::own_peak_memory()),
                memory(children::peak_memory())
            ),
        ),
        ("Host", text(system.nodename())),
        ("System", format!("{} {} {}", text(system.sysname()), text(system.release()), text(system.machine()))),
        ("Processors", processors.to_string()),
        ("Folder", folder.unwrap_or_default()),
        ("forkpool", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}
