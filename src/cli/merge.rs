//! What `--merge` and the flags beside it mean.

use std::path::Path;

use super::args::Args;
use super::settings;
use crate::merge::settings::MergeSettings;
use crate::protocol::Protocol;
use crate::source::settings::InputFile;
use crate::words::error::{Error, Result};
use crate::words::format::Format;

pub fn merge_settings(args: &Args) -> Result<MergeSettings> {
    let parts: Vec<InputFile> = args.hosts.merge.iter().map(|path| part(path, args.output.to)).collect();
    if parts.iter().filter(|part| part.path.is_none()).count() > 1 {
        return Err(Error::refused("stdin (\"-\") can be read only once"));
    }
    let format = parts[0].format;
    if let Some(other) = parts.iter().find(|part| part.format != format) {
        let names = [&parts[0], other].map(|part| format!("{} ({})", part.name(), part.format.name()));
        return Err(Error::refused(format!("{} have different formats", names.join(" and "))));
    }
    if !matches!(format, Format::Ndjson | Format::Csv | Format::Tsv) {
        let error = Error::refused(format!("--merge cannot take {} files: they have no job numbers", format.name()));
        return Err(error.hint("run the shards with --to ndjson, then --merge FILE... --to lines"));
    }
    let mut output = settings::output(args, &parts, Protocol::Json, None)?;
    if args.output.to.is_none() && output.format == Format::Ndjson && !has_format(args) {
        output.format = format;
    }
    if format.is_table() && output.format != format {
        let words = format!("--merge cannot make {} of {}", output.format.name(), format.name());
        return Err(Error::refused(words).hint("run the shards with --to ndjson, which can become any format"));
    }
    if format.is_table() && output.columns.is_some() {
        return Err(
            Error::refused("--columns is not for tables that are merged").hint("choose them in the runs of the shards")
        );
    }
    output.dialect = settings::output_dialect(&args.input, output.format, output.format)?;
    let input = if args.input.input.is_empty() {
        None
    } else {
        Some(settings::input(args, settings::input_files(&args.input)?, None))
    };
    Ok(MergeSettings { parts, input, output, quiet: args.reporting.quiet })
}

/// Whether the output's name says its format.
fn has_format(args: &Args) -> bool {
    args.output.output.as_deref().is_some_and(|path| settings::endings(path).1.is_some())
}

/// The format of a file whose name does not tell is the one that is to be written, if that is a table.
fn part(path: &Path, to: Option<Format>) -> InputFile {
    let (compression, format) = settings::endings(path);
    let format = format.or(to.filter(|to| to.is_table())).unwrap_or(Format::Ndjson);
    let path = Some(path.to_owned()).filter(|path| path.as_os_str() != "-");
    InputFile { path, format, compression }
}
