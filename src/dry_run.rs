//! `--dry-run`: says what would be run, and how many jobs there are; a handler is loaded for that, and no job is run.

use std::io::IsTerminal;
use std::path::Path;

use crate::check;
use crate::cli::Settings;
use crate::journal;
use crate::journal::settings::JournalMode;
use crate::pool::process;
use crate::pool::settings::{Depth, Host, PoolSettings};
use crate::protocol::Protocol;
use crate::source::{self, Context, Count, Source};
use crate::stdout;
use crate::text::people::{count, counted};
use crate::text::shell::join;
use crate::words::error::Result;
use crate::words::exit::Exit;
use crate::words::worker::{Channel, HandlerChoice};

/// `--dry-run`: says what would be run, and runs no job. A handler is loaded, in a worker that is ended again, so that
/// one that cannot be loaded, or that has no such function, is found.
pub fn dry_run(settings: &Settings) -> Result<Exit> {
    let program = process::find_all(&settings.pool)?;
    // What a handler needs may be on the hosts only.
    if settings.handler.is_some() && settings.pool.hosts.is_none() {
        check::loads(settings)?;
    }
    let jobs = count_jobs(settings)?;
    stdout::print(words(settings, &program, jobs.as_ref()).as_bytes())
}

/// What is said. `jobs` is `None` where they cannot be counted.
fn words(settings: &Settings, program: &Path, jobs: Option<&Count>) -> String {
    let mut text = String::new();
    let mut say = |label: &str, value: String| text.push_str(&format!("{label:<9} {value}\n"));
    match &settings.pool.hosts {
        None => say("workers", format!("{} × {}", settings.pool.workers, worker(settings, program))),
        Some(hosts) => hosts.list.iter().for_each(|host| say("host", host_words(host))),
    }
    say("protocol", protocol(&settings.pool));
    for file in &settings.input.files {
        say("input", format!("{} ({})", file.name(), file.format.name()));
    }
    match jobs {
        None => say("jobs", "not counted: the input is a terminal".to_owned()),
        Some(Count { jobs, bad: 0, .. }) => say("jobs", count(*jobs)),
        Some(Count { jobs, bad, .. }) => {
            say("jobs", format!("{} and {} that cannot be read as a job", count(*jobs), counted(*bad, "line")))
        }
    }
    if let Some(shard) = settings.output.shard {
        let all = jobs.map_or(String::new(), |jobs| format!(" of {}", counted(jobs.all, "job")));
        say("shard", format!("{shard}{all}"));
    }
    say("output", format!("{} ({})", settings.output.name(), settings.output.format.name()));
    if let Some(path) = &settings.output.rejects {
        say("rejects", format!("{} ({})", path.display(), settings.output.input_format.name()));
    }
    if let Some(journal) = &settings.journal {
        let done = jobs.map_or(String::new(), |jobs| format!(" ({} done already)", counted(jobs.done, "job")));
        say("journal", format!("{}{done}", journal.path.display()));
    }
    text
}

/// `node1: 8 workers, by ssh -T node1 forkpool --agent`
fn host_words(host: &Host) -> String {
    let workers = host.workers.map_or("as many workers as -j says there".to_owned(), |n| counted(n as u64, "worker"));
    let command = &host.command;
    let words = std::iter::once(&command.program).chain(&command.args).map(|word| word.to_string_lossy().into_owned());
    format!("{}: {workers}, by {}", host.name, join(words.collect::<Vec<_>>()))
}

/// Reads the whole input and counts its jobs; `None` if somebody would have to type it.
fn count_jobs(settings: &Settings) -> Result<Option<Count>> {
    let files = source::open_files(&settings.input)?;
    let source = Source::new(&settings.input, files, &Context::alone()?)?;
    let from_terminal = settings.input.reads_stdin() && std::io::stdin().is_terminal();
    let journal = settings.journal.as_ref().filter(|journal| journal.mode != JournalMode::New);
    let recall = journal.map(journal::peek).transpose()?.flatten();
    if from_terminal { Ok(None) } else { source.count(settings.input.shard, recall).map(Some) }
}

/// The program of the workers with its arguments, or the handler that it is supplied for.
fn worker(settings: &Settings, program: &Path) -> String {
    let wrap = &settings.pool.command.wrap;
    let wrap = if wrap.is_empty() { String::new() } else { join(wrap) + " " };
    let program = format!("{wrap}{}", program.display());
    match &settings.handler {
        // The command line of a supplied worker holds forkpool's own code, which says nothing to a user.
        Some(HandlerChoice { file, function, init, .. }) => {
            let function = function.as_ref().map_or(String::new(), |function| format!("{function} of "));
            let init = init.as_ref().map_or(String::new(), |init| format!(", after {init}"));
            let forked = if settings.pool.preload { ", forked from a template" } else { "" };
            format!("{program}, around {function}{}{init}{forked}", file.display())
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
    match pool.batch {
        Some(most) => format!("{name}, batches of up to {most} jobs"),
        None => format!("{name}, depth {depth}, concurrency {}", pool.concurrency),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Args;

    /// What is said of this command line, without the labels of its lines.
    fn said(words: &str, jobs: Option<Count>) -> Vec<String> {
        let words = std::iter::once("forkpool").chain(words.split_whitespace());
        let settings = Settings::new(&Args::try_parse_from(words).unwrap()).unwrap();
        let text = super::words(&settings, Path::new("/bin/w"), jobs.as_ref());
        text.lines().map(|line| line[10..].to_owned()).collect()
    }

    #[test]
    fn everything_that_takes_part_is_named() {
        let words = "-j 2 -i a.csv -i b.csv -o out.tsv --rejects r.csv --journal j --depth 4 -- w -u b";
        let settings = Settings::new(&Args::try_parse_from(["forkpool"].into_iter().chain(words.split(' '))).unwrap());
        let count = Count { all: 1201, jobs: 1200, bad: 1, done: 7 };
        let expected = "\
workers   2 × /bin/w \"-u\" \"b\"
protocol  json, depth 4, concurrency 1
input     a.csv (csv)
input     b.csv (csv)
jobs      1,200 and 1 line that cannot be read as a job
output    out.tsv (tsv)
rejects   r.csv (csv)
journal   j (7 jobs done already)
";
        assert_eq!(super::words(&settings.unwrap(), Path::new("/bin/w"), Some(&count)), expected);
    }

    #[test]
    fn a_terminal_is_not_counted() {
        let lines = said("-j 1 --journal j -- w", None);
        assert_eq!(lines[2..], ["stdin (ndjson)", "not counted: the input is a terminal", "stdout (ndjson)", "j"]);
    }

    #[test]
    fn the_protocol_is_named_with_where_it_is_spoken() {
        let protocol = |words: &str| said(words, Some(Count::default()))[1].clone();
        assert_eq!(protocol("--protocol lines -- w"), "lines, depth 1, concurrency 1");
        assert_eq!(protocol("--protocol node-ipc -- w"), "node-ipc, depth 1, concurrency 1");
        assert_eq!(protocol("--concurrency 3 -- w"), "json, depth 1, concurrency 3");
        let batches = "json on descriptors 3 and 4, batches of up to 64 jobs";
        assert_eq!(protocol("--handler samples/pet.py --batch 64"), batches);
        assert_eq!(protocol("--handler samples/pet.py"), "json on descriptors 3 and 4, depth auto, concurrency 1");
    }

    #[test]
    fn a_handler_is_named_and_not_what_runs_it() {
        let workers = |words: &str| said(words, Some(Count::default()))[0].clone();
        assert_eq!(workers("-j 1 --wrap=nice --handler samples/pet.py"), "1 × nice /bin/w, around samples/pet.py");
        assert_eq!(workers("-j 1 --handler samples/pet.py"), "1 × /bin/w, around samples/pet.py");
        assert_eq!(workers("-j 1 --handler samples/pet.py:feed"), "1 × /bin/w, around feed of samples/pet.py");
        let words = "-j 1 --handler samples/pet.py --init connect";
        assert_eq!(workers(words), "1 × /bin/w, around samples/pet.py, after connect");
        #[cfg(target_os = "linux")]
        assert_eq!(
            workers("-j 1 --preload --handler samples/pet.py"),
            "1 × /bin/w, around samples/pet.py, forked from a template"
        );
    }
}
