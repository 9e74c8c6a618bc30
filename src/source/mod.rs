//! Where jobs come from: one thread reads the input, splits it into frames, numbers them and feeds the pool.
//!
//! A job is *read* when it has its number and its permit; what lies in a buffer is not read yet. A frame that
//! is no job becomes a `bad_input` outcome in its place. The thread is never joined: it may sit in a read.

mod by_line;
pub mod columns;
mod csv;
mod decode;
mod descriptor;
mod feeder;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod independent;
mod input;
mod json;
mod lines;
mod ndjson;
mod pieces;
mod reader;
mod rows;
pub mod settings;
mod text;
mod unread;
mod values;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::SeekFrom;

use crate::journal::Recall;
use crate::source::settings::{InputFile, InputSettings};
use crate::words::error::{Error, Result, reason};
use crate::words::exit::Exit;
use crate::words::format::Format;
#[cfg(any(test, fuzzing))]
use crate::words::job::Job;
use crate::words::layout::Layout;
use crate::words::shard::Shard;

use by_line::ByLine;
use csv::CsvFrames;
use frame::{Frames, More};
use input::Input;
use json::JsonFrames;
use reader::Reader;

pub use descriptor::Context;
pub use feeder::Feed;
pub use text::Text;

/// All inputs of a run, opened. Of those that are files the beginning has been looked at; nothing is read yet.
pub struct Source {
    readers: Vec<Reader>,
    /// What the inputs have besides their jobs, as far as it is known.
    pub layout: Arc<Layout>,
    /// All bytes of the inputs, if all are files.
    pub size: Option<u64>,
}

/// Opens every input, so that one that cannot be read is refused before anything is run.
pub fn open_files(settings: &InputSettings) -> Result<Vec<OwnedFd>> {
    settings.files.iter().map(descriptor::open).collect()
}

/// The first job of the input files, for a trial. stdin is left alone.
pub fn first_job(settings: &InputSettings) -> Result<Option<Bytes>> {
    let named: Vec<InputFile> = settings.files.iter().filter(|file| file.path.is_some()).cloned().collect();
    let settings = InputSettings { files: named, ..settings.clone() };
    let files = open_files(&settings)?;
    let source = Source::new(&settings, files, &Context::alone()?)?;
    let mut frames = Vec::new();
    for mut reader in source.readers {
        while reader.frames.read(&mut frames)? == More::Frames {
            if let Some(data) = frames.drain(..).find_map(|frame| frame.data.ok()) {
                return Ok(Some(data));
            }
        }
    }
    Ok(None)
}

impl Source {
    /// `files` as `open_files` returned them.
    pub fn new(settings: &InputSettings, files: Vec<OwnedFd>, context: &Context) -> Result<Source> {
        let layout = Arc::new(Layout::default());
        let size = files.iter().map(descriptor::size).sum();
        let mut readers = Vec::with_capacity(files.len());
        for (file, fd) in settings.files.iter().zip(files) {
            let format = |fd, context| frames(settings, file, fd, context, Arc::clone(&layout));
            if descriptor::size(&fd).is_some() {
                look_at_beginning(&file.name(), &fd, context, format)?;
            }
            readers.push(Reader { file: file.clone(), frames: format(fd, context.clone()) });
        }
        Ok(Source { readers, layout, size })
    }

    /// Feeds the pool until the inputs end or the run is stopped: the body of the source's thread.
    pub fn run(self, feed: Feed) {
        feed.run(self.readers);
    }

    /// How many jobs of this shard there are: reads all of the input. `recall` knows what a journal has of them.
    pub fn count(self, shard: Shard, mut recall: Option<Recall>) -> Result<Count> {
        let mut count = Count::default();
        let mut frames = Vec::new();
        for mut reader in self.readers {
            while reader.frames.read(&mut frames)? == More::Frames {
                for frame in frames.drain(..) {
                    count.all += 1;
                    if !shard.has(count.all) {
                        continue;
                    }
                    let Ok(data) = frame.data else {
                        count.bad += 1;
                        continue;
                    };
                    count.jobs += 1;
                    let is_done = recall.as_mut().is_some_and(|recall| {
                        let key = recall.next_key(&data);
                        recall.find(key).is_some()
                    });
                    count.done += u64::from(is_done);
                }
            }
        }
        Ok(count)
    }
}

/// All of an input: each piece as a job, and whether it is one; and what the input has besides.
#[cfg(any(test, fuzzing))]
type All = (Vec<(Job, bool)>, Arc<Layout>);

#[cfg(any(test, fuzzing))]
pub fn read_all(settings: &InputSettings) -> Result<All> {
    let source = Source::new(settings, open_files(settings)?, &Context::alone()?)?;
    let (mut all, mut frames) = (Vec::new(), Vec::new());
    for mut reader in source.readers {
        while reader.frames.read(&mut frames)? == More::Frames {
            for frame in frames.drain(..) {
                let (is_job, data) = (frame.data.is_ok(), frame.data.unwrap_or_default());
                let number = all.len() as u64 + 1;
                all.push((Job { number, line: frame.line, data, extra: frame.extra }, is_job));
            }
        }
    }
    Ok((all, source.layout))
}

/// What splits an input of this format.
fn frames(
    settings: &InputSettings,
    file: &InputFile,
    fd: OwnedFd,
    context: Context,
    layout: Arc<Layout>,
) -> Box<dyn Frames> {
    let input = Input::new(file, fd, context);
    match file.format {
        Format::Ndjson => Box::new(ByLine::new(input, settings, ndjson::FORM, layout)),
        Format::Json => Box::new(JsonFrames::new(input, settings, layout)),
        Format::Lines => Box::new(ByLine::new(input, settings, lines::FORM, layout)),
        Format::Csv | Format::Tsv => Box::new(CsvFrames::new(input, settings, file.format, layout)),
    }
}

/// Refuses a file whose beginning shows that it cannot be used. It is left where it stood, so that nothing of a
/// file that waits for its turn is kept in memory.
fn look_at_beginning(
    name: &str,
    fd: &OwnedFd,
    context: &Context,
    frames: impl Fn(OwnedFd, Context) -> Box<dyn Frames>,
) -> Result<()> {
    let refused = |error: io::Error| Error::refused(format!("cannot read {name}: {}", reason(&error)));
    let start = rustix::fs::tell(fd).map_err(|error| refused(error.into()))?;
    let looked = frames(fd.try_clone().map_err(refused)?, context.clone()).look();
    rustix::fs::seek(fd, SeekFrom::Start(start)).map_err(|error| refused(error.into()))?;
    looked.map_err(|error| Error { exit: Exit::Refused, ..error })
}

/// What is in the input.
#[derive(Debug, Default)]
pub struct Count {
    /// All that has a number, whosever shard it is in.
    pub all: u64,
    pub jobs: u64,
    /// Pieces of input that are no job.
    pub bad: u64,
    /// Jobs that the journal has.
    pub done: u64,
}
