//! The formats of inputs and outputs.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Csv,
    Tsv,
    Lines,
}

impl Format {
    /// Every format, in the order in which `--help` names them.
    pub const ALL: [Format; 4] = [Format::Ndjson, Format::Csv, Format::Tsv, Format::Lines];

    /// The format's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Lines => "lines",
        }
    }

    /// Rows of named columns.
    pub fn is_table(self) -> bool {
        matches!(self, Format::Csv | Format::Tsv)
    }
}
