//! What the collector is told about records and where they go.

use std::path::{Path, PathBuf};

use crate::words::dialect::Dialect;
use crate::words::format::{Compression, Format};
use crate::words::shard::Shard;

#[derive(Debug, Clone)]
pub struct OutputSettings {
    /// `None` is stdout.
    pub path: Option<PathBuf>,
    pub format: Format,
    pub compression: Compression,
    /// How a table is written.
    pub dialect: Dialect,
    pub columns: Option<Vec<String>>,
    pub order: Order,
    pub style: RecordStyle,
    pub rejects: Option<PathBuf>,
    pub rejects_compression: Compression,
    pub csv_safe: bool,
    /// The input's format, in which rejects are written.
    pub input_format: Format,
    /// The shard whose jobs are written. A table says then which row is which job, for `--merge`.
    pub shard: Option<Shard>,
    /// How many bytes of memory results may take that wait for their turn; the rest waits on disk.
    pub memory: usize,
}

impl OutputSettings {
    /// How messages name the output.
    pub fn name(&self) -> String {
        name_of(self.path.as_deref())
    }

    /// How messages name the rejects file.
    pub fn rejects_name(&self) -> String {
        name_of(self.rejects.as_deref())
    }
}

fn name_of(path: Option<&Path>) -> String {
    path.map_or_else(|| "stdout".to_owned(), |path| path.display().to_string())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Records are in the order of their jobs in the input.
    Input,
    /// Records are in the order in which their jobs ended.
    Completion,
}

/// Which optional parts a record has.
#[derive(Debug, Clone, Default)]
pub struct RecordStyle {
    /// `attempts`, `worker`, `ms` and `line`.
    pub meta: bool,
    /// The job itself, as `input`.
    pub echo: bool,
    /// The job's field with this name, as `id`, where the job has one.
    pub id: Option<String>,
}
