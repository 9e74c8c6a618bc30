//! `--merge`: the outputs of shards put back into the order of the jobs, so that the result is, byte for byte, what one
//! run over all jobs would have written; and what is missing, told by its number.
//!
//! In reading order: `queue` takes the next record of all files, `records` and `tables` are the kinds of files, `tally`
//! keeps what was found and what was not, `outcome` reads a record for another format.
//!
//! NDJSON can become any format, since a record has all that a run knew of its job (the job itself with `--echo`). A
//! table stays a table: it has lost what a record has. Plain lines have no numbers, and are refused: files that are
//! named in another order than that of their shards, or one that is missing, would give wrong lines without anybody
//! noticing.

mod outcome;
mod queue;
mod records;
pub mod settings;
mod tables;
mod tally;

use std::io;

use bytes::Bytes;

use crate::collect::settings::{OutputSettings, RecordStyle};
use crate::collect::{self, Output, Sink, SinkError, Table};
use crate::merge::settings::MergeSettings;
use crate::preflight::{self, ReadyToMerge};
use crate::report;
use crate::source::{self, Context, Source, Text};
use crate::text::people::escape;
use crate::words::error::{Error, Result, reason};
use crate::words::exit::Exit;
use crate::words::format::Format;
use crate::words::job::Job;
use crate::words::outcome::{JobError, Outcome, Status};
use crate::words::shard::Shard;
use queue::{Part, Queue};
use records::Records;
use tables::Rows;
use tally::Tally;

/// Where records go. Errors are those of the output.
trait Writer<Record> {
    fn write(&mut self, record: &Record) -> std::result::Result<(), SinkError>;

    /// A job has no record.
    fn lacks(&mut self, _job: u64) -> std::result::Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> std::result::Result<Vec<String>, SinkError>;
}

pub fn merge(settings: &MergeSettings) -> Result<Exit> {
    let context = Context::alone()?;
    let ReadyToMerge { parts, output, mut made } = preflight::look_at_merge(settings)?;
    let all = settings.input.as_ref().map(|input| count(input, &context)).transpose()?;
    let texts = settings.parts.iter().zip(parts).map(|(file, fd)| (file.name(), Text::new(file, fd, &context)));
    let is_table = settings.format_of_parts().is_table();
    let (mut tally, cuts, notices) = if is_table {
        let (mut rows, mut empty) = (Vec::new(), Vec::new());
        for (name, text) in texts {
            match Rows::new(name.clone(), text, settings.output.dialect)? {
                Some(part) => rows.push(part),
                None => empty.push(format!("{name}: it is empty, not even a header was written")),
            }
        }
        let (head, notice) = tables::unite(&mut rows)?;
        let queue = Queue::new(rows)?;
        made.keep();
        let mut table = Table::new(output, &settings.output);
        table.row(head.iter().map(String::as_str)).map_err(|error| unwritable(settings, SinkError::Output(error)))?;
        let (tally, cuts, notices) = run(queue, &mut table, settings, all)?;
        (tally, [empty, cuts].concat(), notice.into_iter().chain(notices).collect())
    } else {
        let records = texts.map(|(name, text)| Records::new(name, text)).collect();
        let queue: Queue<Records> = Queue::new(records)?;
        made.keep();
        let mut writer = writer_of_records(settings, &queue, output);
        run(queue, writer.as_mut(), settings, all)?
    };
    if !cuts.is_empty() {
        tally.is_cut();
    }
    cuts.iter().chain(&notices).chain(&tally.faults(all)).for_each(|line| say(line));
    if !settings.quiet {
        say(&tally.summary(settings.parts.len()));
    }
    Ok(tally.exit(all))
}

fn count(input: &source::settings::InputSettings, context: &Context) -> Result<u64> {
    let files = source::open_files(input)?;
    Ok(Source::new(input, files, context)?.count(Shard::WHOLE, None)?.all)
}

fn say(line: &str) {
    report::say(&format!("forkpool: {}\n", escape(line)));
}

/// What writes records in the output's format.
fn writer_of_records(settings: &MergeSettings, queue: &Queue<Records>, output: Output) -> Box<dyn Writer<Bytes>> {
    if settings.output.format == Format::Ndjson {
        return Box::new(Lines(output));
    }
    let (meta, has_jobs) = queue.first().map_or((false, true), |line| outcome::style(line));
    let style = RecordStyle { meta, ..RecordStyle::default() };
    let is_line = settings.output.format == Format::Lines;
    let of_sink = OutputSettings { style, ..settings.output.clone() };
    let sink = collect::sink(&of_sink, output, std::sync::Arc::default());
    Box::new(Converted { sink, fills_gaps: is_line, lacks_jobs: !is_line && !has_jobs })
}

/// Merges, and returns what was found, which files are cut, and what else to say. Whatever fails, all records before it
/// are written.
fn run<P: Part>(
    mut queue: Queue<P>,
    writer: &mut (impl Writer<P::Record> + ?Sized),
    settings: &MergeSettings,
    all: Option<u64>,
) -> Result<(Tally, Vec<String>, Vec<String>)>
where
    P::Record: PartialEq,
{
    let mut tally = Tally::default();
    let written = write_all(&mut queue, writer, all, &mut tally);
    // An output that has failed takes no more.
    let is_output = matches!(&written, Err(Failure::Output(_)));
    let finished = if is_output { Ok(Vec::new()) } else { writer.finish() };
    match written {
        // It was not refused: something has been written.
        Err(Failure::Input(error)) => return Err(Error { exit: Exit::IoFailed, ..error }),
        Err(Failure::Output(error)) => return Err(unwritable(settings, error)),
        Ok(()) => {}
    }
    let of_writer = finished.map_err(|error| unwritable(settings, error))?;
    Ok((tally, queue.parts.iter().filter_map(Part::notice).collect(), of_writer))
}

enum Failure {
    Input(Error),
    Output(SinkError),
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Failure {
        Failure::Output(error)
    }
}

fn write_all<P: Part>(
    queue: &mut Queue<P>,
    writer: &mut (impl Writer<P::Record> + ?Sized),
    all: Option<u64>,
    tally: &mut Tally,
) -> std::result::Result<(), Failure>
where
    P::Record: PartialEq,
{
    let mut last: Option<(u64, P::Record, usize)> = None;
    while let Some((numbered, part)) = queue.pop().map_err(Failure::Input)? {
        if let Some((job, record, first)) = &last
            && *job == numbered.job
        {
            let files = [*first, part].map(|part| queue.parts[part].name());
            tally.again(*record == numbered.record, files);
            continue;
        }
        for job in tally.found(numbered.job, numbered.is_ok) {
            writer.lacks(job)?;
        }
        writer.write(&numbered.record)?;
        last = Some((numbered.job, numbered.record, part));
    }
    for job in tally.end(all) {
        writer.lacks(job)?;
    }
    Ok(())
}

fn unwritable(settings: &MergeSettings, error: SinkError) -> Error {
    match error {
        SinkError::Temporary(error) => error,
        SinkError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Error::new(Exit::ReaderGone, ""),
        SinkError::Output(error) => {
            Error::io(format!("cannot write to {}: {}", settings.output.name(), reason(&error)))
        }
    }
}

/// Records as they are, a line each.
struct Lines(Output);

impl Writer<Bytes> for Lines {
    fn write(&mut self, record: &Bytes) -> std::result::Result<(), SinkError> {
        let buffer = self.0.buffer();
        buffer.extend_from_slice(record);
        buffer.push(b'\n');
        Ok(self.0.wrote()?)
    }

    fn finish(&mut self) -> std::result::Result<Vec<String>, SinkError> {
        self.0.finish()?;
        Ok(Vec::new())
    }
}

impl Writer<csv::StringRecord> for Table {
    fn write(&mut self, row: &csv::StringRecord) -> std::result::Result<(), SinkError> {
        Ok(self.row(row)?)
    }

    fn finish(&mut self) -> std::result::Result<Vec<String>, SinkError> {
        Table::finish(self)?;
        Ok(Vec::new())
    }
}

/// Records in another format.
struct Converted {
    sink: Box<dyn Sink>,
    /// A job that is missing leaves an empty line, or line N would not belong to job N.
    fills_gaps: bool,
    lacks_jobs: bool,
}

impl Writer<Bytes> for Converted {
    fn write(&mut self, record: &Bytes) -> std::result::Result<(), SinkError> {
        let no_record = || io::Error::new(io::ErrorKind::InvalidData, "a record of the files is damaged");
        self.sink.write(&outcome::of(record).ok_or_else(no_record)?)
    }

    fn lacks(&mut self, job: u64) -> std::result::Result<(), SinkError> {
        if !self.fills_gaps {
            return Ok(());
        }
        let job = Job { number: job, line: 0, data: Bytes::new(), extra: None };
        self.sink.write(&Outcome::unrun(job, Status::NotRun, &JobError::not_run("missing")))
    }

    fn finish(&mut self) -> std::result::Result<Vec<String>, SinkError> {
        self.sink.finish()?;
        let mut notices = self.sink.notices();
        if self.lacks_jobs {
            notices.push(
                "the records have no jobs, so the table has no columns of them; hint: run the shards with --echo"
                    .to_owned(),
            );
        }
        Ok(notices)
    }
}
