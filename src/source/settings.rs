//! What the source is told about its inputs.

use std::path::PathBuf;

use crate::words::dialect::Quote;
use crate::words::format::{Compression, Format};
use crate::words::shard::Shard;

#[derive(Debug, Clone)]
pub struct InputSettings {
    /// In the order they are read; never empty.
    pub files: Vec<InputFile>,
    /// `--columns-in`: the CSV input has no header of its own.
    pub columns: Option<Vec<String>>,
    /// `--delimiter`.
    pub delimiter: Option<u8>,
    pub quote: Quote,
    pub max_job_bytes: usize,
    pub timeout_field: Option<String>,
    /// Keep the input's own bytes with each job that is not NDJSON (for `--rejects`).
    pub keep_raw: bool,
    /// The jobs that are this run's.
    pub shard: Shard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// `None` is stdin.
    pub path: Option<PathBuf>,
    pub format: Format,
    pub compression: Compression,
}

impl InputSettings {
    /// These files, with nothing said about them.
    pub fn of_files(files: Vec<InputFile>) -> InputSettings {
        InputSettings {
            files,
            columns: None,
            delimiter: None,
            quote: Quote::Double,
            max_job_bytes: usize::MAX,
            timeout_field: None,
            keep_raw: false,
            shard: Shard::WHOLE,
        }
    }

    pub fn reads_stdin(&self) -> bool {
        self.files.iter().any(|file| file.path.is_none())
    }
}

impl InputFile {
    /// How messages name it.
    pub fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "stdin".to_owned(), |path| path.display().to_string())
    }
}

#[cfg(any(test, fuzzing))]
impl InputSettings {
    pub fn for_tests() -> InputSettings {
        InputSettings { max_job_bytes: 10_000, ..InputSettings::of_files(Vec::new()) }
    }
}
