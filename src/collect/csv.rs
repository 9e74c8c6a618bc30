//! Records as CSV or TSV.
//!
//! With `--columns` rows stream as they come. Without it the columns are not known before the last result, so
//! rows are kept (on disk, past a few MiB) and written at the end: nothing is guessed, nothing is dropped.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::Output;
use super::rows::{ReadError, Rows};
use super::sink::{Sink, SinkError};
use super::temporary;
use crate::collect::record::write_record;
use crate::collect::settings::OutputSettings;
use crate::collect::settings::RecordStyle;
use crate::text::json::field;
use crate::words::format::Format;
use crate::words::header::Header;
use crate::words::outcome::{Outcome, Status};

/// One row a record, with the columns the user chose.
pub struct ChosenColumns {
    table: Table,
    columns: Vec<String>,
    headed: bool,
}

/// One row a record, with every column that any record has.
pub struct AllColumns {
    table: Table,
    header: Arc<OnceLock<Header>>,
    rows: Rows,
    /// The jobs' own keys and the results' keys, each in the order first seen.
    job_keys: Keys,
    result_keys: Keys,
    /// A job that is no object, and a result that is none.
    plain_job: bool,
    plain_result: bool,
    meta: bool,
}

/// Rows beyond this wait on disk: enough for a table that somebody looks at, little beside `--memory`.
pub const ROWS_IN_MEMORY: usize = 4 << 20;

/// The columns that every table without `--columns` ends with.
const LAST: [&str; 3] = ["status", "error.name", "error.message"];
const META: [&str; 4] = ["attempts", "worker", "ms", "line"];

// ---- Chosen columns ----

impl ChosenColumns {
    pub fn new(output: Output, settings: &OutputSettings, columns: &[String]) -> ChosenColumns {
        ChosenColumns { table: Table::new(output, settings), columns: columns.to_vec(), headed: false }
    }

    fn head(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.headed, true) {
            self.table.row(self.columns.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

impl Sink for ChosenColumns {
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        self.head()?;
        let mut record = Vec::new();
        write_record(outcome, RecordStyle { meta: true, echo: true }, &mut record);
        let cells = self.columns.iter().map(|path| cell(&record, outcome, path));
        Ok(self.table.row(cells.collect::<Vec<_>>().iter().map(String::as_str))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.table.flush()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.head()?;
        Ok(self.table.flush()?)
    }
}

/// The value at a dotted path: in the record, else in the job, else in the result.
fn cell(record: &[u8], outcome: &Outcome, path: &str) -> String {
    let found = look_up(record, path)
        .or_else(|| look_up(&outcome.job.data, path))
        .or_else(|| (outcome.status == Status::Ok).then(|| look_up(&outcome.payload, path)).flatten());
    found.map(text).unwrap_or_default()
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

// ---- All columns ----

impl AllColumns {
    pub fn new(output: Output, settings: &OutputSettings, header: Arc<OnceLock<Header>>) -> AllColumns {
        AllColumns {
            table: Table::new(output, settings),
            header,
            rows: Rows::new(ROWS_IN_MEMORY),
            job_keys: Keys::default(),
            result_keys: Keys::default(),
            plain_job: false,
            plain_result: false,
            meta: settings.style.meta,
        }
    }

    fn write_all(&mut self) -> Result<(), SinkError> {
        let header = self.header.get();
        let columns = Columns {
            // All of the table's columns, also those of a table without rows.
            jobs: header.map_or_else(|| self.job_keys.names.clone(), |header| header.names.clone()),
            plain_job: self.plain_job && header.is_none(),
            results: self.result_keys.names.clone(),
            plain_result: self.plain_result,
            meta: self.meta,
        };
        self.table.row(columns.head().iter().map(String::as_str))?;
        let table = &mut self.table;
        self.rows.read(|outcome| table.row(columns.cells(&outcome).iter().map(String::as_str))).map_err(|error| {
            match error {
                ReadError::Taker(error) => SinkError::Output(error),
                ReadError::Rows(error) => SinkError::Temporary(temporary::failure("rows", &error)),
            }
        })?;
        Ok(self.table.flush()?)
    }
}

/// The columns of a whole table.
struct Columns {
    /// The keys of the jobs.
    jobs: Vec<String>,
    /// There are jobs that are no objects.
    plain_job: bool,
    /// The keys of the results.
    results: Vec<String>,
    /// There are results that are no objects.
    plain_result: bool,
    meta: bool,
}

impl Columns {
    fn head(&self) -> Vec<String> {
        let mut head = self.jobs.clone();
        if self.plain_job {
            head.push("input".to_owned());
        }
        let jobs = head.len();
        for key in &self.results {
            // The job's column keeps its name; the result's says where it is from.
            let taken = head[..jobs].contains(key) || LAST.contains(&key.as_str());
            head.push(if taken { format!("data.{key}") } else { key.clone() });
        }
        if self.plain_result {
            let taken = head.iter().any(|column| column == "data");
            head.push(if taken { "data.data".to_owned() } else { "data".to_owned() });
        }
        head.extend(LAST.map(str::to_owned));
        if self.meta {
            head.extend(META.map(str::to_owned));
        }
        head
    }

    fn cells(&self, outcome: &Outcome) -> Vec<String> {
        let mut cells = Vec::with_capacity(self.jobs.len() + self.results.len() + LAST.len() + META.len() + 2);
        let job = members(&outcome.job.data);
        let is_object = job.is_some();
        let job = job.unwrap_or_default();
        cells.extend(self.jobs.iter().map(|key| pick(&job, key)));
        if self.plain_job {
            cells.push(if is_object { String::new() } else { text_of(&outcome.job.data) });
        }
        let is_ok = outcome.status == Status::Ok;
        let result = if is_ok { members(&outcome.payload) } else { None };
        let plain = is_ok && result.is_none();
        let result = result.unwrap_or_default();
        cells.extend(self.results.iter().map(|key| pick(&result, key)));
        if self.plain_result {
            cells.push(if plain { text_of(&outcome.payload) } else { String::new() });
        }
        cells.push(outcome.status.name().to_owned());
        for key in ["name", "message"] {
            let error = if is_ok { None } else { field(&outcome.payload, key) };
            cells.push(error.map(text).unwrap_or_default());
        }
        if self.meta {
            cells.push(outcome.attempts.to_string());
            cells.push(outcome.worker.map(|worker| worker.to_string()).unwrap_or_default());
            cells.push(format!("{:.3}", outcome.elapsed.as_secs_f64() * 1000.0));
            cells.push(outcome.job.line.to_string());
        }
        cells
    }
}

impl Sink for AllColumns {
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        match members(&outcome.job.data) {
            Some(members) => self.job_keys.add(members),
            // A line that is no job has no columns of its own.
            None => self.plain_job |= outcome.status != Status::BadInput,
        }
        if outcome.status == Status::Ok {
            match members(&outcome.payload) {
                Some(members) => self.result_keys.add(members),
                None => self.plain_result = true,
            }
        }
        let failed = |error| SinkError::Temporary(temporary::failure("rows", &error).hint(temporary::ROWS_HINT));
        self.rows.push(outcome).map_err(failed)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.write_all()
    }
}

/// Names in the order first seen.
#[derive(Default)]
struct Keys {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Keys {
    fn add(&mut self, members: Members) {
        for (name, _) in members.0 {
            if !self.places.contains_key(&name) {
                self.places.insert(name.clone(), self.names.len());
                self.names.push(name);
            }
        }
    }
}

/// The members of an object in their order, or `None` if `json` is no object.
fn members(json: &[u8]) -> Option<Members<'_>> {
    serde_json::from_slice(json).ok()
}

#[derive(Default)]
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> serde::de::Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

/// The last member of that name, as JSON has it.
fn pick(members: &Members, name: &str) -> String {
    members.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| text(value)).unwrap_or_default()
}

/// A JSON value as a cell: a string is its text, null is empty, numbers stay as they are written, the rest is
/// JSON.
fn text(value: &RawValue) -> String {
    text_of(value.get().as_bytes())
}

fn text_of(json: &[u8]) -> String {
    match json.first() {
        Some(b'"') => serde_json::from_slice(json).unwrap_or_else(|_| String::from_utf8_lossy(json).into_owned()),
        _ if json == b"null" => String::new(),
        _ => String::from_utf8_lossy(json).into_owned(),
    }
}

// ---- Writing ----

/// Rows on their way into the output.
struct Table {
    writer: csv::Writer<Output>,
    safe: bool,
}

impl Table {
    fn new(output: Output, settings: &OutputSettings) -> Table {
        let delimiter = if settings.format == Format::Tsv { b'\t' } else { b',' };
        let writer = csv::WriterBuilder::new().delimiter(delimiter).flexible(true).from_writer(output);
        Table { writer, safe: settings.csv_safe }
    }

    fn row<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> io::Result<()> {
        for cell in cells {
            if self.safe && is_formula(cell) {
                self.writer.write_field(format!("'{cell}"))?;
            } else {
                self.writer.write_field(cell)?;
            }
        }
        self.writer.write_record(None::<&[u8]>)?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Whether a spreadsheet would run the cell (OWASP, CSV injection). A plain number is none.
fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err()
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
