//! Tables: rows of text as CSV or TSV, and JSON values as text. Which columns a table has is for `chosen_columns` and
//! `all_columns` to say.

use std::io;

use serde_json::value::RawValue;

use super::output::Output;
use crate::collect::settings::OutputSettings;

/// Rows on their way into the output.
pub struct Table {
    /// `None` once the output is finished.
    writer: Option<csv::Writer<Output>>,
    safe: bool,
}

impl Table {
    pub fn new(output: Output, settings: &OutputSettings) -> Table {
        let mut builder = csv::WriterBuilder::new();
        builder.delimiter(settings.dialect.delimiter).quote(settings.dialect.quote.unwrap_or(b'"')).flexible(true);
        Table { writer: Some(builder.from_writer(output)), safe: settings.csv_safe }
    }

    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        for cell in cells {
            if self.safe && is_formula(cell) {
                writer.write_field(format!("'{cell}"))?;
            } else {
                writer.write_field(cell)?;
            }
        }
        writer.write_record(None::<&[u8]>)?;
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), csv::Writer::flush)
    }

    /// Nothing more will come.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.into_inner().map_err(|error| io::Error::from(error.error().kind()))?.finish()
    }
}

/// Whether a spreadsheet would run the cell (OWASP, CSV injection). A plain number is none.
fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err()
}

/// A JSON value as a cell: a string is its text, null is empty, numbers stay as they are written, the rest is
/// JSON.
pub fn text(value: &RawValue) -> String {
    text_of(value.get().as_bytes())
}

pub fn text_of(json: &[u8]) -> String {
    match json.first() {
        Some(b'"') => serde_json::from_slice(json).unwrap_or_else(|_| String::from_utf8_lossy(json).into_owned()),
        _ if json == b"null" => String::new(),
        _ => String::from_utf8_lossy(json).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_text_and_numbers_stay_as_written() {
        let cells = [r#""a\nb""#, "12345678901234567890", "1.10", "null", "true", r#"{"a":1}"#]
            .map(|json| text_of(json.as_bytes()));
        assert_eq!(cells, ["a\nb", "12345678901234567890", "1.10", "", "true", r#"{"a":1}"#]);
    }

    #[test]
    fn formulas_are_told_from_numbers() {
        for cell in ["=1+1", "+SUM(A1)", "-cmd|x", "@x", "\tx", "-"] {
            assert!(is_formula(cell), "{cell}");
        }
        for cell in ["-5", "+1.5e3", "a=b", "", "'=1"] {
            assert!(!is_formula(cell), "{cell}");
        }
    }
}
