//! What a merge is told: which files, and what to write.

use crate::collect::settings::OutputSettings;
use crate::source::settings::{InputFile, InputSettings};
use crate::words::format::Format;

#[derive(Debug)]
pub struct MergeSettings {
    /// The outputs of the shards, all in the same format; never empty.
    pub parts: Vec<InputFile>,
    /// The input of the shards, if it is to be counted.
    pub input: Option<InputSettings>,
    pub output: OutputSettings,
    /// Say nothing but what is wrong.
    pub quiet: bool,
}

impl MergeSettings {
    pub fn format_of_parts(&self) -> Format {
        self.parts[0].format
    }
}
