//! Records as a table with the columns of `--columns`. Rows are written as they come.
//!
//! A path begins with a field of the record, and then means the record and nothing else; or it is looked up in the job,
//! and then in the result. At every step a key that itself has dots wins over the path through it.

use std::collections::HashSet;
use std::io;

use serde_json::value::RawValue;

use super::csv::{Table, text};
use super::origin::Marker;
use super::output::Output;
use super::sink::{Sink, SinkError};
use crate::collect::record::write_record;
use crate::collect::settings::{OutputSettings, RecordStyle};
use crate::text::json::field;
use crate::words::error::{Error, Result};
use crate::words::format::Format;
use crate::words::outcome::{Outcome, Status};

/// One row a record, with the columns the user chose.
pub struct ChosenColumns {
    table: Table,
    columns: Vec<Column>,
    /// The record in which paths are looked up: one with everything that it may have.
    style: RecordStyle,
    headed: bool,
    /// Only the jobs of a shard are written: the first column says which.
    is_shard: bool,
    rows: u64,
    /// Rows that have a result.
    results: u64,
}

struct Column {
    path: String,
    /// The path begins with a field of the record.
    is_of_record: bool,
    /// Some record or job has had it.
    is_found: bool,
}

/// Fields of the record that are no objects.
const PLAIN: [&str; 7] = ["job", "status", "attempts", "host", "worker", "ms", "line"];
/// Those that may be one.
const NESTED: [&str; 3] = ["data", "error", "input"];

/// Refuses what no record and no job can have. `columns` are those of the input, if it is a table and they are known.
pub fn check_paths(settings: &OutputSettings, columns: Option<&[String]>) -> Result<()> {
    let mut seen = HashSet::new();
    for path in settings.columns.iter().flatten() {
        let refused = |words: String| Error::refused(format!("--columns: {words}"));
        if path.is_empty() {
            return Err(refused("a path is empty".to_owned()));
        }
        if !seen.insert(path) {
            return Err(refused(format!("{path} is named twice")));
        }
        let Some((first, rest)) = path.split_once('.') else { continue };
        if PLAIN.contains(&first) {
            let error = refused(format!("there is no {path}: {first} is no object"));
            return Err(error.hint(format!("a column of the input that is called so is input.{path}")));
        }
        if first != "input" {
            continue;
        }
        match columns {
            Some(columns) if !columns.iter().any(|column| column == rest) => {
                let error = refused(format!("there is no {path}: the input has no column {rest:?}"));
                return Err(error.hint(format!("its columns are {}", columns.join(", "))));
            }
            None if settings.input_format == Format::Lines => {
                return Err(refused(format!("there is no {path}: a job is a line of text")));
            }
            _ => {}
        }
    }
    Ok(())
}

impl ChosenColumns {
    pub fn new(output: Output, settings: &OutputSettings, paths: &[String]) -> ChosenColumns {
        let has_id = settings.style.id.is_some();
        let column = |path: &String| Column {
            path: path.clone(),
            // Only where a record has an `id` does the name not mean a field of the job.
            is_of_record: is_of_record(path) || (has_id && path.split('.').next() == Some("id")),
            is_found: PLAIN.contains(&path.as_str()) || NESTED.contains(&path.as_str()),
        };
        let columns = paths.iter().map(column).collect();
        let style = RecordStyle { meta: true, echo: true, ..settings.style.clone() };
        let (table, is_shard) = (Table::new(output, settings), settings.shard.is_some());
        ChosenColumns { table, columns, style, headed: false, is_shard, rows: 0, results: 0 }
    }

    fn head(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.headed, true) {
            let marker = self.is_shard.then(|| Marker::Chosen.cell());
            let paths = self.columns.iter().map(|column| &column.path);
            self.table.row(marker.iter().chain(paths).map(String::as_str))?;
        }
        Ok(())
    }
}

impl Sink for ChosenColumns {
    fn write(&mut self, outcome: &Outcome) -> std::result::Result<(), SinkError> {
        self.head()?;
        self.rows += 1;
        self.results += u64::from(outcome.status == Status::Ok);
        let mut record = Vec::new();
        write_record(outcome, &self.style, &mut record);
        let cell = |column: &mut Column| {
            let found = column.value(&record, outcome);
            column.is_found |= found.is_some();
            found.map(text).unwrap_or_default()
        };
        let cells: Vec<String> = self.columns.iter_mut().map(cell).collect();
        let number = self.is_shard.then(|| outcome.job.number.to_string());
        Ok(self.table.row(number.iter().chain(&cells).map(String::as_str))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.table.flush()
    }

    fn finish(&mut self) -> std::result::Result<(), SinkError> {
        self.head()?;
        Ok(self.table.finish()?)
    }

    fn notices(&self) -> Vec<String> {
        let is_missing = |column: &&Column| {
            // Without a result nobody knows what results have; what errors have differs from one to the next.
            let may_be_elsewhere = column.path.starts_with("error.") || (self.results == 0 && !column.is_of_input());
            !column.is_found && !may_be_elsewhere
        };
        let missing = self.columns.iter().filter(|_| self.rows > 0).filter(is_missing);
        missing.map(|column| format!("--columns: no record and no job has {:?}", column.path)).collect()
    }
}

impl Column {
    fn value<'a>(&self, record: &'a [u8], outcome: &'a Outcome) -> Option<&'a RawValue> {
        if self.is_of_record {
            return look_up(record, &self.path);
        }
        let in_result = || if outcome.status == Status::Ok { look_up(&outcome.payload, &self.path) } else { None };
        look_up(&outcome.job.data, &self.path).or_else(in_result)
    }

    fn is_of_input(&self) -> bool {
        self.path.starts_with("input.")
    }
}

fn is_of_record(path: &str) -> bool {
    let first = path.split('.').next().unwrap_or(path);
    PLAIN.contains(&first) || NESTED.contains(&first)
}

/// Follows a dotted path; a key that itself has dots wins over the path through it.
fn look_up<'a>(json: &'a [u8], path: &str) -> Option<&'a RawValue> {
    if let Some(value) = field(json, path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(dot, _)| {
        let value = field(json, &path[..dot])?;
        look_up(value.get().as_bytes(), &path[dot + 1..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_into_objects_and_a_literal_key_wins() {
        let found = |json: &'static str, path: &str| look_up(json.as_bytes(), path).map(RawValue::get);
        assert_eq!(found(r#"{"a":{"b":{"c":1.0}}}"#, "a.b.c"), Some("1.0"));
        assert_eq!(found(r#"{"a":{"b":1},"a.b":2}"#, "a.b"), Some("2"));
        assert_eq!(found(r#"{"a":{"b.c":3}}"#, "a.b.c"), Some("3"));
        assert_eq!(found(r#"{"a":[1]}"#, "a.b"), None);
    }
}
