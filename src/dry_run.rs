//! `--dry-run`: says what would be run, and how many jobs there are.

use std::io::IsTerminal;
use std::path::Path;

use crate::cli::Settings;
use crate::journal;
use crate::journal::settings::JournalMode;
use crate::pool::process;
use crate::pool::settings::{Depth, PoolSettings};
use crate::protocol::Protocol;
use crate::source::{self, Context, Count, Source};
use crate::stdout;
use crate::text::people::{count, counted};
use crate::words::error::Result;
use crate::words::exit::Exit;
use crate::words::worker::{Channel, HandlerChoice};

/// `--dry-run`: says what would be run, and runs nothing.
pub fn dry_run(settings: &Settings) -> Result<Exit> {
    let program = process::find_program(&settings.pool.command.program, std::env::var_os("PATH"))?;
    let jobs = count_jobs(settings)?;
    let mut text = String::new();
    let mut say = |label: &str, value: String| text.push_str(&format!("{label:<9} {value}\n"));
    say("workers", format!("{} × {}", settings.pool.workers, worker(settings, &program)));
    say("protocol", protocol(&settings.pool));
    for file in &settings.input.files {
        say("input", format!("{} ({})", file.name(), file.format.name()));
    }
    match &jobs {
        None => say("jobs", "not counted: the input is a terminal".to_owned()),
        Some(Count { jobs, bad: 0, .. }) => say("jobs", count(*jobs)),
        Some(Count { jobs, bad, .. }) => {
            say("jobs", format!("{} and {} that cannot be read as a job", count(*jobs), counted(*bad, "line")))
        }
    }
    say("output", format!("{} ({})", settings.output.name(), settings.output.format.name()));
    if let Some(path) = &settings.output.rejects {
        say("rejects", format!("{} ({})", path.display(), settings.output.input_format.name()));
    }
    if let Some(journal) = &settings.journal {
        let done = jobs.map_or(String::new(), |jobs| format!(" ({} done already)", counted(jobs.done, "job")));
        say("journal", format!("{}{done}", journal.path.display()));
    }
    stdout::print(text.as_bytes())
}

/// Reads the whole input and counts its jobs; `None` if somebody would have to type it.
fn count_jobs(settings: &Settings) -> Result<Option<Count>> {
    let files = source::open_files(&settings.input)?;
    let source = Source::new(&settings.input, files, &Context::alone()?)?;
    let from_terminal = settings.input.files.iter().any(|file| file.path.is_none()) && std::io::stdin().is_terminal();
    let journal = settings.journal.as_ref().filter(|journal| journal.mode != JournalMode::New);
    let recall = journal.map(journal::peek).transpose()?.flatten();
    if from_terminal { Ok(None) } else { source.count(recall).map(Some) }
}

/// The program of the workers with its arguments, or the handler that it is supplied for.
fn worker(settings: &Settings, program: &Path) -> String {
    let program = program.display().to_string();
    match &settings.handler {
        // The command line of a supplied worker holds forkpool's own code, which says nothing to a user.
        Some(HandlerChoice { file, function: None, .. }) => format!("{program}, around {}", file.display()),
        Some(HandlerChoice { file, function: Some(function), .. }) => {
            format!("{program}, around {function} of {}", file.display())
        }
        None => {
            let quoted = settings.pool.command.args.iter().map(|word| format!(" {:?}", word.to_string_lossy()));
            std::iter::once(program).chain(quoted).collect()
        }
    }
}

fn protocol(pool: &PoolSettings) -> String {
    let name = match (pool.protocol, pool.command.channel) {
        (Protocol::Json, Channel::Private) => "json on descriptors 3 and 4",
        (Protocol::Json, _) => "json",
        (Protocol::Lines, _) => "lines",
        (Protocol::NodeIpc, _) => "node-ipc",
    };
    let depth = match pool.depth {
        Depth::Auto => "auto".to_owned(),
        Depth::Fixed(depth) => depth.to_string(),
    };
    format!("{name}, depth {depth}, concurrency {}", pool.concurrency)
}
