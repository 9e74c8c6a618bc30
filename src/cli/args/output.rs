//! Where records go, and what is in them.

use std::path::PathBuf;

use super::values::format;
use crate::cli::columns::{Names, names};
use crate::words::format::Format;
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write records to FILE instead of stdout
    ///
    /// Its ending says the format and the compression: out.csv, out.ndjson.gz, out.tsv.zst.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// ndjson, csv, tsv or lines [default: by the file's ending, else ndjson]
    ///
    /// With --protocol lines the default is lines. In lines output a string is its text, any other value is
    /// JSON, and a job that failed leaves an empty line, so that line N belongs to job N.
    #[arg(long, value_name = "FORMAT", value_parser = format(Format::OF_OUTPUTS), hide_possible_values = true)]
    pub to: Option<Format>,

    /// Columns of CSV output: dotted paths into the record and the job
    ///
    /// Without it, rows are kept until the last result is known, so that no column is missed; with it they
    /// are written as they come. A path with a comma is quoted as in CSV; a name that has dots itself is found
    /// too. Examples: --columns name,data.petted,error.message, --columns '"income, net",data.tax'
    #[arg(long, value_name = "PATHS", value_parser = names)]
    pub columns: Option<Names>,

    /// Write records as they finish, not in input order
    #[arg(long)]
    pub unordered: bool,

    /// What is done without it, too: records are in input order
    #[arg(short = 'k', long, hide = true, conflicts_with = "unordered")]
    pub keep_order: bool,

    /// Add attempts, worker, ms and line to each record
    #[arg(long)]
    pub meta: bool,

    /// Add the job to its record, as "input"
    #[arg(long)]
    pub echo: bool,

    /// Add the job's field FIELD to its record, as "id"
    #[arg(long, value_name = "FIELD", hide_short_help = true)]
    pub id: Option<String>,

    /// Write the jobs that did not end ok to FILE, in the input's own format
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,

    /// Disarm CSV cells that a spreadsheet would run as a formula
    #[arg(long, hide_short_help = true)]
    pub csv_safe: bool,

    /// Blank out this field in errors, at any depth; may be repeated
    #[arg(long, value_name = "FIELD", hide_short_help = true)]
    pub redact: Vec<String>,
}
