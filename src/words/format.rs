//! The formats of inputs and outputs, and how they are compressed.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Json,
    Csv,
    Tsv,
    Lines,
}

impl Format {
    /// Every format of an input, in the order in which `--help` names them.
    pub const OF_INPUTS: [Format; 5] = [Format::Ndjson, Format::Json, Format::Csv, Format::Tsv, Format::Lines];
    /// Every format of an output, in the same order.
    pub const OF_OUTPUTS: [Format; 4] = [Format::Ndjson, Format::Csv, Format::Tsv, Format::Lines];

    /// The format's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Lines => "lines",
        }
    }

    /// Rows of named columns.
    pub fn is_table(self) -> bool {
        matches!(self, Format::Csv | Format::Tsv)
    }

    /// What stands between the cells of a table, unless the user says otherwise.
    pub fn delimiter(self) -> u8 {
        if self == Format::Tsv { b'\t' } else { b',' }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}
