//! Where jobs come from.

use std::path::PathBuf;

use super::values::{format, size};
use crate::cli::columns::{Names, delimiter, names, quote};
use crate::words::dialect::Quote;
use crate::words::format::Format;
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Read jobs from FILE instead of stdin; may be repeated, "-" is stdin
    ///
    /// Files are read in the order given. Gzip and Zstandard are decompressed, also on stdin.
    #[arg(short, long = "input", value_name = "FILE", alias = "arg-file", short_alias = 'a')]
    pub input: Vec<PathBuf>,

    /// ndjson, json, csv, tsv or lines [default: by the file's ending, else ndjson]
    ///
    /// ndjson: one JSON text per line. json: one array, whose elements are the jobs, or values printed over
    /// any number of lines. csv, tsv: a header, then one job per row, an object of strings. lines: each line
    /// is a job, a JSON string. Example: --from csv
    #[arg(long, value_name = "FORMAT", value_parser = format(Format::OF_INPUTS), hide_possible_values = true)]
    pub from: Option<Format>,

    /// Column names of a CSV or TSV input that has no header
    ///
    /// They are one row of CSV. Example: --columns-in name,"income, net"
    #[arg(long, value_name = "NAMES", value_parser = names, hide_short_help = true)]
    pub columns_in: Option<Names>,

    /// What stands between the cells of a CSV or TSV input: one character, or tab [default: comma; tab for TSV]
    ///
    /// An output of the same format has it too, and any CSV or TSV output where the input is no table.
    /// Example: --delimiter ';'
    #[arg(long, value_name = "C", value_parser = delimiter, hide_short_help = true)]
    pub delimiter: Option<u8>,

    /// What quotes the cells of a CSV or TSV input: one character, or none [default: "]
    ///
    /// With none, quotes are text. An output has the same character where it has the same delimiter; with
    /// none it has the default. Example: --quote none
    #[arg(long, value_name = "C", value_parser = quote, hide_short_help = true)]
    pub quote: Option<Quote>,

    /// Refuse a job larger than SIZE (it becomes a bad_input record) [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64MiB", hide_default_value = true, hide_short_help = true)]
    pub max_job_bytes: usize,
}
