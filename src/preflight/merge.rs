//! What a merge reads and writes, looked at and opened before anything is touched.

use std::os::fd::OwnedFd;

use super::made::Made;
use super::target::Target;
use super::uses::{self, Role, Use};
use crate::collect::Output;
use crate::merge::settings::MergeSettings;
use crate::source;
use crate::source::settings::InputSettings;
use crate::sys::descriptors;
use crate::words::error::{Error, Result};

pub struct ReadyToMerge {
    pub parts: Vec<OwnedFd>,
    pub output: Output,
    pub made: Made,
}

/// Descriptors beside those of the files that are merged: the output, the input that is counted, bells.
const OTHERS: usize = 16;

pub fn look_at_merge(settings: &MergeSettings) -> Result<ReadyToMerge> {
    provide_descriptors(settings.parts.len())?;
    let of_parts = InputSettings::of_files(settings.parts.clone());
    let parts = source::open_files(&of_parts)?;
    let mut made = Made::default();
    let target = match &settings.output.path {
        Some(path) => Target::open(path, &mut made)?,
        None => Target::stdout()?,
    };
    let mut all = uses::of_inputs(&of_parts, &parts);
    if let Some(input) = &settings.input {
        all.extend(input.files.iter().filter_map(|file| Some(Use::of_path(Role::Input, file.path.as_ref()?))));
    }
    all.push(Use::new(Role::Output, settings.output.name(), target.stat()));
    uses::refuse_shared(&all)?;
    target.check_given()?;
    let output = Output::new(target.into_destination()?, settings.output.compression);
    Ok(ReadyToMerge { parts, output, made })
}

fn provide_descriptors(parts: usize) -> Result<()> {
    let needed = (descriptors::count() + parts + OTHERS) as u64;
    let (now, most) = descriptors::limits();
    if now.is_none_or(|now| now >= needed) {
        return Ok(());
    }
    if most.is_none_or(|most| most >= needed) && descriptors::raise_limit(needed).is_ok() {
        return Ok(());
    }
    let limit = most.or(now).unwrap_or_default();
    Err(Error::refused(format!("{parts} files need {needed} file descriptors, and the limit (ulimit -n) is {limit}"))
        .hint("merge some of them first, as NDJSON, and then what came of that"))
}
