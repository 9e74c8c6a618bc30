//! The columns of a table, and rows into jobs: one object of strings each.

use bytes::Bytes;

use super::by_line::bad;
use super::frame::{Frame, NOT_UTF8};
use super::pieces::Pieces;
use super::rows::{Cell, Fault, Row, RowQueue};
use crate::words::dialect::{Dialect, Quote};
use crate::words::format::Format;
use crate::words::job::Extent;

/// What the rows of a table are read with.
pub struct Columns {
    names: Vec<String>,
    /// `"name":` of each column, as JSON.
    keys: Vec<Vec<u8>>,
    /// The bytes that an object takes beside the cells, about.
    overhead: usize,
    quote: u8,
    keep_raw: bool,
}

impl Columns {
    /// `quote` is the one that is doubled inside of a quoted cell.
    pub fn new(names: Vec<String>, quote: Option<u8>, keep_raw: bool) -> Columns {
        let key = |name: &String| {
            let mut key = serde_json::to_vec(name).expect("a string always serializes");
            key.push(b':');
            key
        };
        let keys: Vec<Vec<u8>> = names.iter().map(key).collect();
        let overhead = keys.iter().map(|key| key.len() + 3).sum();
        Columns { names, keys, overhead, quote: quote.unwrap_or(b'"'), keep_raw }
    }

    /// The job that a row is, or why it is none.
    pub fn frame(&self, row: &Row) -> Frame {
        match self.object(row) {
            Ok(data) => {
                let frame = Frame::job(row.line, data);
                match self.keep_raw {
                    true => frame.with_raw(Bytes::copy_from_slice(row.bytes), Extent::Whole),
                    false => frame,
                }
            }
            Err(reason) => {
                let extent = if row.fault == Some(Fault::OpenQuote) { Extent::Open } else { Extent::Whole };
                bad(row.bytes, row.line, reason, extent, self.keep_raw)
            }
        }
    }

    fn object(&self, row: &Row) -> Result<Bytes, String> {
        match row.fault {
            Some(Fault::OpenQuote) => return Err("a quote is opened that is never closed".to_owned()),
            Some(Fault::TextAfterQuote { cell }) => {
                let name = self.names.get(cell).map_or_else(|| (cell + 1).to_string(), |name| format!("{name:?}"));
                return Err(format!("column {name}: text behind a closing quote (--quote none takes quotes as text)"));
            }
            None => {}
        }
        let (expected, found) = (self.names.len(), row.cells.len());
        if expected != found {
            let s = if expected == 1 { "" } else { "s" };
            return Err(format!("expected {expected} field{s}, found {found}"));
        }
        let Ok(text) = std::str::from_utf8(row.bytes) else {
            let is_bad = |cell: &Cell| std::str::from_utf8(&row.bytes[cell.start..cell.end]).is_err();
            let index = row.cells.iter().position(is_bad).unwrap_or_default();
            return Err(format!("column {:?} is {NOT_UTF8}", self.names[index]));
        };
        let mut data = Vec::with_capacity(text.len() + self.overhead);
        for (index, (key, &cell)) in self.keys.iter().zip(row.cells).enumerate() {
            data.push(if index == 0 { b'{' } else { b',' });
            data.extend_from_slice(key);
            write_string(&mut data, &self.text(text, cell));
        }
        data.push(b'}');
        Ok(Bytes::from(data))
    }

    /// The text of a cell.
    fn text<'a>(&self, row: &'a str, cell: Cell) -> std::borrow::Cow<'a, str> {
        let text = &row[cell.start..cell.end];
        if !cell.is_doubled {
            return text.into();
        }
        let quote = char::from(self.quote);
        text.replace(&format!("{quote}{quote}"), &quote.to_string()).into()
    }
}

fn write_string(data: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(data, text).expect("a string always serializes, and a Vec takes it");
}

/// The texts of the cells of a header, or `None` if it cannot be read.
pub fn names(row: &Row, quote: Option<u8>) -> Option<Vec<String>> {
    if row.fault.is_some() {
        return None;
    }
    let text = std::str::from_utf8(row.bytes).ok()?;
    let reader = Columns::new(Vec::new(), quote, false);
    Some(row.cells.iter().map(|&cell| reader.text(text, cell).into_owned()).collect())
}

/// The cells of one row of CSV, or `None` if `text` is no such row.
pub fn of_row(text: &str) -> Option<Vec<String>> {
    let dialect = Dialect::of(Format::Csv, None, Quote::Double);
    let mut rows = RowQueue::new(dialect);
    rows.buffer().extend_from_slice(text.as_bytes());
    let names = names(&rows.next(true)?, dialect.quote)?;
    if rows.next(true).is_some() { None } else { Some(names) }
}

/// Gives columns without a name one: `column_N`, where N counts the columns from 1. Where a column is called so
/// already, `_2`, `_3` … is added.
pub fn name_the_nameless(names: &mut [String]) {
    for index in 0..names.len() {
        if !names[index].is_empty() {
            continue;
        }
        let plain = format!("column_{}", index + 1);
        let mut name = plain.clone();
        let mut count = 1;
        while names.contains(&name) {
            count += 1;
            name = format!("{plain}_{count}");
        }
        names[index] = name;
    }
}

/// Two columns with one name, counted from 1.
pub fn namesakes(names: &[String]) -> Option<(usize, usize)> {
    let mut places = std::collections::HashMap::new();
    let mut columns = names.iter().enumerate().map(|(index, name)| (index + 1, name));
    columns.find_map(|(column, name)| places.insert(name, column).map(|first| (first, column)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_without_a_name_is_called_by_its_place() {
        let named = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            name_the_nameless(&mut names);
            names.join(",")
        };
        assert_eq!(named(&["", "a", ""]), "column_1,a,column_3");
        assert_eq!(named(&["", "column_1", "column_1_2", ""]), "column_1_3,column_1,column_1_2,column_4");
        assert_eq!(named(&["a", "b"]), "a,b");
    }

    #[test]
    fn two_columns_of_one_name_are_found() {
        let found = |names: &[&str]| namesakes(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(found(&["a", "b", "a"]), Some((1, 3)));
        assert_eq!(found(&["a", "b"]), None);
    }
}
