//! Outputs of shards as CSV or TSV. The first column is the number of the job (see `collect::origin`); it is left out
//! of the merged table, which is that of an undivided run.

use std::io::{self, Read};

use csv::StringRecord;

use super::queue::{Numbered, Part};
use crate::collect;
use crate::collect::origin::{Marker, Origin};
use crate::source::Text;
use crate::words::dialect::Dialect;
use crate::words::error::{Error, Result};

pub struct Rows {
    name: String,
    reader: csv::Reader<Pieces>,
    header: StringRecord,
    marker: Marker,
    /// A row that has been read, behind which there may be another: only the last one can be cut.
    next: Option<StringRecord>,
    is_cut: bool,
    plan: Plan,
}

/// How a row of a file becomes one of the merged table.
#[derive(Debug, Clone, Default)]
struct Plan {
    /// Where each cell goes; without it they stay where they are.
    places: Option<Vec<usize>>,
    width: usize,
    status: Status,
}

/// Which cells tell whether a job has ended ok, without that of its number.
#[derive(Debug, Clone, Copy, Default)]
enum Status {
    In(usize),
    /// No column has the status; one that has an error's name or message tells as well.
    Error(usize),
    #[default]
    Nowhere,
}

impl Rows {
    /// Reads the header; `None` if there is none, since the run was killed before it wrote its table.
    pub fn new(name: String, text: Text, dialect: Dialect) -> Result<Option<Rows>> {
        let pieces = Pieces { text, buffer: Vec::new(), at: 0, quote: dialect.quote, last: b'\n', is_odd: false };
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(dialect.delimiter).quote(dialect.quote.unwrap_or(b'"'));
        let mut reader = builder.from_reader(pieces);
        let mut header = StringRecord::new();
        if !reader.read_record(&mut header).map_err(|error| unreadable(&name, error))? {
            return Ok(None);
        }
        let marker = header.get(0).and_then(Marker::read).ok_or_else(|| {
            Error::refused(format!(
                "{name}: its first column is not forkpool.job, so nobody knows which row is which job"
            ))
            .hint("--merge takes tables that runs with --shard have written")
        })?;
        header = header.iter().skip(1).collect();
        let mut rows = Rows { name, reader, header, marker, next: None, is_cut: false, plan: Plan::default() };
        rows.next = rows.read()?;
        Ok(Some(rows))
    }

    fn read(&mut self) -> Result<Option<StringRecord>> {
        let mut row = StringRecord::new();
        let is_row = self.reader.read_record(&mut row).map_err(|error| unreadable(&self.name, error))?;
        Ok(is_row.then_some(row))
    }
}

/// The header of the merged table, and what the user should know of it. Each file is told where its cells go.
pub fn unite(parts: &mut [Rows]) -> Result<(Vec<String>, Option<String>)> {
    let Some(first) = parts.first().map(|part| part.marker.clone()) else {
        return Err(Error::refused("all files are empty: not even a header was written"));
    };
    let refused = |part: &Rows, why: &str| {
        Error::refused(format!("{} and {} do not fit together: {why}", parts[0].name, part.name))
            .hint("the runs of all shards must have the same flags")
    };
    for part in parts.iter() {
        match (&first, &part.marker) {
            (Marker::Chosen, Marker::Chosen) if part.header == parts[0].header => {}
            (Marker::Found(ours), Marker::Found(theirs)) if ours.meta == theirs.meta => {}
            (Marker::Found(_), Marker::Found(_)) => return Err(refused(part, "only one of them has --meta")),
            (Marker::Chosen, Marker::Chosen) => return Err(refused(part, "their columns differ")),
            _ => return Err(refused(part, "only one of them has --columns")),
        }
    }
    let origins: Vec<Origin> = parts.iter().filter_map(|part| part.marker.origin().cloned()).collect();
    if origins.is_empty() {
        let head: Vec<String> = parts[0].header.iter().map(str::to_owned).collect();
        let plan = Plan { places: None, width: head.len(), status: Status::among(&head) };
        parts.iter_mut().for_each(|part| part.plan = plan.clone());
        return Ok((head, None));
    }
    let whole = Origin::union(origins.iter());
    let (head, renamed) = collect::head(&whole);
    for (part, origin) in parts.iter_mut().zip(&origins) {
        let places = origin.places(&whole, head.len() - whole.status());
        if places.len() != part.header.len() {
            return Err(Error::refused(format!("{}: its header has been changed", part.name)));
        }
        part.plan = Plan { places: Some(places), width: head.len(), status: Status::In(whole.status()) };
    }
    let names = renamed.join(", ");
    let notice = format!("the jobs have columns of these names, so those of forkpool are {names}");
    Ok((head, (!renamed.is_empty()).then_some(notice)))
}

impl Status {
    fn among(head: &[String]) -> Status {
        let find = |name: &str| head.iter().position(|column| column == name);
        let error = || ["error.name", "error.message", "error"].into_iter().find_map(find).map(Status::Error);
        find("status").map(Status::In).or_else(error).unwrap_or_default()
    }
}

impl Part for Rows {
    type Record = StringRecord;

    fn name(&self) -> &str {
        &self.name
    }

    fn next(&mut self) -> Result<Option<Numbered<StringRecord>>> {
        let Some(row) = self.next.take() else { return Ok(None) };
        self.next = self.read()?;
        if self.next.is_none() && self.reader.get_ref().ends_within_a_row() {
            self.is_cut = true;
            return Ok(None);
        }
        let job = row.get(0).and_then(|cell| cell.parse().ok()).filter(|job| *job > 0);
        let (Some(job), true) = (job, row.len() == self.header.len() + 1) else {
            let line = row.position().map_or(0, csv::Position::line);
            return Err(Error::refused(format!("{}: line {line}: it is no row of this table", self.name)));
        };
        let record = self.plan.apply(&row);
        let is_ok = match self.plan.status {
            Status::In(place) => record.get(place) == Some("ok"),
            Status::Error(place) => record.get(place) == Some(""),
            Status::Nowhere => true,
        };
        Ok(Some(Numbered { job, is_ok, record }))
    }

    fn notice(&self) -> Option<String> {
        let damage = self.reader.get_ref().text.damage().map(|why| format!("{why}; the rows before that are taken"));
        damage.or_else(|| self.is_cut.then(|| format!("{}: its last row is cut, and left out", self.name)))
    }

    fn hint(&self) -> String {
        "a run with --unordered has written it; run the shard without, or write NDJSON, which can be sorted".to_owned()
    }
}

impl Plan {
    fn apply(&self, row: &StringRecord) -> StringRecord {
        let Some(places) = &self.places else { return row.iter().skip(1).collect() };
        let mut cells = vec![""; self.width];
        for (place, cell) in places.iter().zip(row.iter().skip(1)) {
            cells[*place] = cell;
        }
        StringRecord::from(cells)
    }
}

/// The bytes of a table, and whether they end where a row does.
struct Pieces {
    text: Text,
    buffer: Vec<u8>,
    at: usize,
    quote: Option<u8>,
    last: u8,
    /// An odd number of quotes has been read: a cell is open.
    is_odd: bool,
}

impl Pieces {
    fn ends_within_a_row(&self) -> bool {
        self.last != b'\n' || self.is_odd
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            self.text.read(&mut self.buffer).map_err(|error| io::Error::other(error.message))?;
            let quotes = self.quote.map_or(0, |quote| memchr::memchr_iter(quote, &self.buffer).count());
            self.is_odd ^= quotes % 2 == 1;
            self.last = self.buffer.last().copied().unwrap_or(self.last);
        }
        let bytes = into.len().min(self.buffer.len() - self.at);
        into[..bytes].copy_from_slice(&self.buffer[self.at..self.at + bytes]);
        self.at += bytes;
        Ok(bytes)
    }
}

fn unreadable(name: &str, error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::refused(error.to_string()),
        csv::ErrorKind::Utf8 { .. } => Error::refused(format!("cannot read {name}: it is not UTF-8")),
        _ => Error::refused(format!("cannot read {name}")),
    }
}
