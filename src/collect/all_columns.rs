//! Records as a table with every column that any record has.
//!
//! The columns are not known before the last result, so rows are kept (on disk, past a few MiB) and written at the end:
//! nothing is guessed, nothing is dropped.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::csv::{Table, text, text_of};
use super::origin::{Marker, Origin};
use super::output::Output;
use super::rows::{ReadError, Rows};
use super::sink::{Sink, SinkError};
use super::temporary;
use crate::collect::settings::OutputSettings;
use crate::text::json::field;
use crate::words::layout::Layout;
use crate::words::outcome::{Outcome, Status};

/// One row a record, with every column that any record has.
pub struct AllColumns {
    table: Table,
    layout: Arc<Layout>,
    rows: Rows,
    /// The jobs' own keys and the results' keys, each in the order first seen.
    job_keys: Keys,
    result_keys: Keys,
    /// A job that is no object, and a result that is none.
    plain_job: bool,
    plain_result: bool,
    meta: bool,
    /// Only the jobs of a shard are written: the first column says which.
    is_shard: bool,
    /// Our own columns that have given way to others of their name, as they are called now.
    renamed: Vec<String>,
}

/// Rows beyond this wait on disk: enough for a table that somebody looks at, little beside `--memory`.
pub const ROWS_IN_MEMORY: usize = 4 << 20;

/// The columns that every table without `--columns` ends with.
const LAST: [&str; 3] = ["status", "error.name", "error.message"];
const META: [&str; 4] = ["attempts", "worker", "ms", "line"];

impl AllColumns {
    pub fn new(output: Output, settings: &OutputSettings, layout: Arc<Layout>) -> AllColumns {
        AllColumns {
            table: Table::new(output, settings),
            layout,
            rows: Rows::new(ROWS_IN_MEMORY),
            job_keys: Keys::default(),
            result_keys: Keys::default(),
            plain_job: false,
            plain_result: false,
            meta: settings.style.meta,
            is_shard: settings.shard.is_some(),
            renamed: Vec::new(),
        }
    }

    fn write_all(&mut self) -> Result<(), SinkError> {
        // All of the table's columns, also those of a table without rows.
        let columns = self.layout.columns.get().map(|names| Keys::of(names));
        let columns = Columns {
            plain_job: self.plain_job && columns.is_none(),
            jobs: columns.as_ref().unwrap_or(&self.job_keys),
            results: &self.result_keys,
            plain_result: self.plain_result,
            meta: self.meta,
        };
        let head = columns.head(&mut self.renamed);
        let marker = self.is_shard.then(|| Marker::Found(columns.origin()).cell());
        self.table.row(marker.iter().chain(&head).map(String::as_str))?;
        let (table, is_shard) = (&mut self.table, self.is_shard);
        let mut write = |outcome: Outcome| {
            let number = is_shard.then(|| outcome.job.number.to_string());
            table.row(number.iter().chain(&columns.cells(&outcome)).map(String::as_str))
        };
        self.rows.read(&mut write).map_err(|error| match error {
            ReadError::Taker(error) => SinkError::Output(error),
            ReadError::Rows(error) => SinkError::Temporary(temporary::failure("rows", &error)),
        })?;
        Ok(self.table.finish()?)
    }
}

impl Sink for AllColumns {
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        match members(&outcome.job.data) {
            Some(members) => self.job_keys.add(members, outcome.job.number),
            // A line that is no job has no columns of its own.
            None => self.plain_job |= outcome.status != Status::BadInput,
        }
        if outcome.status == Status::Ok {
            match members(&outcome.payload) {
                Some(members) => self.result_keys.add(members, outcome.job.number),
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

    fn notices(&self) -> Vec<String> {
        if self.renamed.is_empty() {
            return Vec::new();
        }
        vec![format!("the jobs have columns of these names, so those of forkpool are {}", self.renamed.join(", "))]
    }
}

/// The columns of a whole table.
struct Columns<'a> {
    /// The keys of the jobs.
    jobs: &'a Keys,
    /// There are jobs that are no objects.
    plain_job: bool,
    /// The keys of the results.
    results: &'a Keys,
    /// There are results that are no objects.
    plain_result: bool,
    meta: bool,
}

impl Columns<'_> {
    /// The header. No name is there twice: the job's columns keep theirs, a result's says where it is from, and ours
    /// give way and are added to `renamed`.
    fn head(&self, renamed: &mut Vec<String>) -> Vec<String> {
        let mut head = Head::default();
        self.jobs.names.iter().for_each(|name| head.push(name));
        let mut ours = |head: &mut Head, name: &str| {
            if head.push_unique(name, "forkpool") {
                renamed.extend(head.names.last().cloned());
            }
        };
        if self.plain_job {
            ours(&mut head, "input");
        }
        let meta: &[&str] = if self.meta { &META } else { &[] };
        for key in &self.results.names {
            let is_ours = LAST.contains(&key.as_str()) || meta.contains(&key.as_str());
            head.push_unique(&if is_ours { format!("data.{key}") } else { key.clone() }, "data");
        }
        if self.plain_result {
            head.push_unique("data", "data");
        }
        LAST.iter().chain(meta).for_each(|name| ours(&mut head, name));
        head.names
    }

    fn origin(&self) -> Origin {
        let firsts = |keys: &Keys| keys.names.iter().cloned().zip(keys.firsts.iter().copied()).collect();
        Origin {
            jobs: firsts(self.jobs),
            plain_job: self.plain_job,
            results: firsts(self.results),
            plain_result: self.plain_result,
            meta: self.meta,
        }
    }

    fn cells(&self, outcome: &Outcome) -> Vec<String> {
        let mut cells =
            Vec::with_capacity(self.jobs.names.len() + self.results.names.len() + LAST.len() + META.len() + 2);
        let job = members(&outcome.job.data);
        let is_object = job.is_some();
        self.jobs.pick(job, &mut cells);
        if self.plain_job {
            cells.push(if is_object { String::new() } else { text_of(&outcome.job.data) });
        }
        let is_ok = outcome.status == Status::Ok;
        let result = if is_ok { members(&outcome.payload) } else { None };
        let plain = is_ok && result.is_none();
        self.results.pick(result, &mut cells);
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
            cells.push(worker_cell(outcome));
            cells.push(format!("{:.3}", outcome.elapsed.as_secs_f64() * 1000.0));
            cells.push(outcome.job.line.to_string());
        }
        cells
    }
}

/// The header of a table with these columns, and those of our own names that have given way to others.
pub fn head(origin: &Origin) -> (Vec<String>, Vec<String>) {
    let names = |keys: &[(String, u64)]| Keys::of(&keys.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
    let (jobs, results) = (names(&origin.jobs), names(&origin.results));
    let Origin { plain_job, plain_result, meta, .. } = *origin;
    let mut renamed = Vec::new();
    let head = Columns { jobs: &jobs, plain_job, results: &results, plain_result, meta }.head(&mut renamed);
    (head, renamed)
}

/// The slot that ran the last attempt: `3`, or `node1/3` where it is another host's.
fn worker_cell(outcome: &Outcome) -> String {
    match (outcome.host.name(), outcome.worker) {
        (Some(host), Some(worker)) => format!("{host}/{worker}"),
        (Some(host), None) => host,
        (None, Some(worker)) => worker.to_string(),
        (None, None) => String::new(),
    }
}

/// The names of a header as they are put together.
#[derive(Default)]
struct Head {
    names: Vec<String>,
    taken: HashSet<String>,
}

impl Head {
    fn push(&mut self, name: &str) {
        self.names.push(name.to_owned());
        self.taken.insert(name.to_owned());
    }

    /// Puts `prefix` before a name that is taken, as often as that is needed, and says whether it was.
    fn push_unique(&mut self, name: &str, prefix: &str) -> bool {
        let mut unique = name.to_owned();
        while self.taken.contains(&unique) {
            unique = format!("{prefix}.{unique}");
        }
        self.push(&unique);
        unique != name
    }
}

/// Names in the order first seen.
#[derive(Default)]
struct Keys {
    names: Vec<String>,
    places: HashMap<String, usize>,
    /// The number of the job that had each of them first.
    firsts: Vec<u64>,
}

impl Keys {
    fn of(names: &[String]) -> Keys {
        let places = names.iter().cloned().enumerate().map(|(place, name)| (name, place)).collect();
        Keys { names: names.to_vec(), places, firsts: vec![0; names.len()] }
    }

    fn add(&mut self, members: Members, job: u64) {
        for (name, _) in members.0 {
            if !self.places.contains_key(&name) {
                self.places.insert(name.clone(), self.names.len());
                self.firsts.push(job);
                self.names.push(name);
            }
        }
    }

    /// Appends a cell for each name: the last member that is called so, or nothing.
    fn pick(&self, members: Option<Members>, cells: &mut Vec<String>) {
        let start = cells.len();
        cells.resize(start + self.names.len(), String::new());
        for (name, value) in members.unwrap_or_default().0 {
            if let Some(place) = self.places.get(&name) {
                cells[start + place] = text(value);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a table with these columns, and what of it has given way.
    fn head(jobs: &[&str], results: &[&str], meta: bool, plain_result: bool) -> (String, String) {
        let keys = |names: &[&str]| Keys::of(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let (jobs, results) = (keys(jobs), keys(results));
        let mut renamed = Vec::new();
        let columns = Columns { jobs: &jobs, plain_job: false, results: &results, plain_result, meta };
        (columns.head(&mut renamed).join(" "), renamed.join(" "))
    }

    #[test]
    fn no_name_is_there_twice_and_the_users_columns_keep_theirs() {
        let none = String::new();
        assert_eq!(head(&["a"], &["a", "b"], false, false).0, "a data.a b status error.name error.message");
        assert_eq!(
            head(&["status", "error.name"], &[], false, false),
            (
                "status error.name forkpool.status forkpool.error.name error.message".to_owned(),
                "forkpool.status forkpool.error.name".to_owned()
            )
        );
        assert_eq!(
            head(&["line", "data.x", "x"], &["x", "status", "line"], true, true).0,
            "line data.x x data.data.x data.status data.line data status error.name error.message attempts worker ms \
             forkpool.line"
        );
        assert_eq!(head(&[], &["ms"], true, false).1, none);
        assert_eq!(
            head(&["data"], &["data", "data.data"], false, true).0,
            "data data.data data.data.data data.data.data.data status error.name error.message"
        );
        // A table that was written by forkpool, and goes in again.
        assert_eq!(
            head(&["status", "forkpool.status", "error.name", "error.message"], &[], false, false).1,
            "forkpool.forkpool.status forkpool.error.name forkpool.error.message"
        );
    }
}
