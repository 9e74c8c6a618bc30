//! What the fuzz targets in tests/fuzz call: the checks of the random tests, with inputs that nobody has made up. Each
//! panics if a check fails.

use crate::rejects_again::check_rejects;
use crate::source::independent::{check_table, check_values};
use crate::text::magic::Magic;
use crate::words::dialect::Quote;
use crate::words::format::Format;
use crate::words::layout::{BYTE_ORDER_MARK, RECORD_SEPARATOR};

/// A CSV table in reads of these sizes.
pub fn table(table: &[u8], sizes: &[u8]) {
    // What is not read as it is, or not by the other reader: compressed files, and a line `sep=`.
    let text = table.strip_prefix(BYTE_ORDER_MARK).unwrap_or(table);
    let has_separator = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"sep="));
    if Magic::of(text).is_none() && !has_separator {
        check_table(table, &cuts(sizes));
    }
}

/// JSON values in reads of these sizes.
pub fn values(values: &str, sizes: &[u8]) {
    // RFC 7464 is unknown to the other reader.
    if !values.as_bytes().contains(&RECORD_SEPARATOR) {
        check_values(values, &cuts(sizes));
    }
}

/// An input of one of the formats, as a table perhaps without a header and with one of three kinds of quotes.
pub fn rejects(input: &[u8], format: u8, is_headless: bool, quote: u8) {
    let format = Format::OF_INPUTS[usize::from(format) % Format::OF_INPUTS.len()];
    let quote = [Quote::Double, Quote::Char(b'a'), Quote::None][usize::from(quote) % 3];
    check_rejects(input, format, is_headless, quote);
}

/// An empty read would be the end.
fn cuts(sizes: &[u8]) -> Vec<usize> {
    sizes.iter().map(|&size| usize::from(size) + 1).collect()
}
