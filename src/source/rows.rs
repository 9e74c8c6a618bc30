//! Bytes into the rows of a table, and rows into cells, as they arrive.
//!
//! One parser owns both: it finds where a row ends while it reads the cells, so no byte of a row can be left over. A
//! row ends as in Python's csv, at CR, LF or CRLF outside of quotes. A quote opens a quoted cell only where the cell
//! begins; inside, a doubled quote is a quote. What cannot be told is a fault of the row, and the whole row is handed
//! out with it: nothing is mended, nothing is dropped.

use super::pieces::Pieces;
use crate::words::dialect::{Dialect, StrayQuote};
use crate::words::layout::LineEnd;

/// One row, as long as the queue is not touched again.
#[derive(Debug)]
pub struct Row<'a> {
    /// The row's own bytes, without its line end.
    pub bytes: &'a [u8],
    /// The line of the file where the row begins, from 1.
    pub line: u64,
    pub cells: &'a [Cell],
    pub fault: Option<Fault>,
}

/// Where in its row a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub start: usize,
    pub end: usize,
    /// Quotes in the cell are doubled.
    pub is_doubled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The cell with this index goes on behind the quote that closes it.
    TextAfterQuote { cell: usize },
    /// The input ended inside of a quoted cell.
    OpenQuote,
}

/// Splits bytes that arrive in any pieces.
pub struct RowQueue {
    pub dialect: Dialect,
    buffer: Vec<u8>,
    /// Where the row that is being read begins.
    start: usize,
    /// All before this has been read.
    at: usize,
    state: State,
    /// Where the cell that is being read begins, counted from the beginning of its row.
    cell_start: usize,
    cells: Vec<Cell>,
    fault: Option<Fault>,
    /// The line on which the row begins.
    line: u64,
    /// A cell of the row is quoted, so the row may stand on several lines.
    has_quotes: bool,
    /// How the first row ended.
    line_end: Option<LineEnd>,
    /// The last row ended with a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The row was too long: its beginning has been given up, and its end is only looked for.
    is_cut: bool,
    /// The last row has been handed out; the next one begins at `at`.
    is_out: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    CellStart,
    Plain,
    Quoted {
        is_doubled: bool,
    },
    /// Behind a quote inside of a quoted cell: the next byte says whether it closes the cell.
    Quote {
        is_doubled: bool,
    },
}

impl RowQueue {
    pub fn new(dialect: Dialect) -> RowQueue {
        RowQueue {
            dialect,
            buffer: Vec::new(),
            start: 0,
            at: 0,
            state: State::CellStart,
            cell_start: 0,
            cells: Vec::new(),
            fault: None,
            line: 1,
            has_quotes: false,
            line_end: None,
            after_cr: false,
            is_cut: false,
            is_out: false,
        }
    }

    /// How the first row ended, once that is known.
    pub fn line_end(&self) -> Option<LineEnd> {
        self.line_end
    }

    /// Takes `bytes` bytes and their `lines` lines away, before the first row.
    pub fn skip(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.at = self.start;
        self.line += lines;
    }

    /// The next row that is whole. When the input has ended, what is left is a row.
    pub fn next(&mut self, ended: bool) -> Option<Row<'_>> {
        loop {
            self.begin_row();
            let line = self.line;
            let end = self.find_end(ended)?;
            let breaks = if self.has_quotes { count_breaks(&self.buffer[self.start..end]) } else { 0 };
            self.line += breaks + 1;
            self.is_out = true;
            if std::mem::take(&mut self.is_cut) {
                continue;
            }
            return Some(Row { bytes: &self.buffer[self.start..end], line, cells: &self.cells, fault: self.fault });
        }
    }

    /// Leaves the row that was handed out behind.
    fn begin_row(&mut self) {
        if std::mem::take(&mut self.is_out) {
            self.start = self.at;
            self.state = State::CellStart;
            self.cells.clear();
            self.fault = None;
            self.has_quotes = false;
        }
    }

    /// Reads on to the end of the row, and says where its line end begins. `None` if there is no whole row yet.
    fn find_end(&mut self, ended: bool) -> Option<usize> {
        if self.after_cr && self.at == self.start {
            let first = self.buffer.get(self.at)?;
            self.after_cr = false;
            if *first == b'\n' {
                self.start += 1;
                self.at += 1;
            }
        }
        loop {
            let Some(&next) = self.buffer.get(self.at) else {
                return if ended { self.end_of_input() } else { None };
            };
            match self.state {
                State::CellStart => {
                    self.cell_start = self.at - self.start;
                    if Some(next) == self.dialect.quote {
                        self.has_quotes = true;
                        self.state = State::Quoted { is_doubled: false };
                        self.at += 1;
                    } else {
                        self.state = State::Plain;
                    }
                }
                State::Plain => {
                    let rest = &self.buffer[self.at..];
                    let length = memchr::memchr3(self.dialect.delimiter, b'\r', b'\n', rest);
                    self.at += length.unwrap_or(rest.len());
                    if length.is_some()
                        && let Some(end) = self.end_cell(0, false, ended)?
                    {
                        return Some(end);
                    }
                }
                State::Quoted { is_doubled } => {
                    let rest = &self.buffer[self.at..];
                    let quote = memchr::memchr(self.dialect.quote.unwrap_or(b'"'), rest);
                    self.at += quote.map_or(rest.len(), |quote| quote + 1);
                    if quote.is_some() {
                        self.state = State::Quote { is_doubled };
                    }
                }
                State::Quote { .. } if Some(next) == self.dialect.quote => {
                    self.state = State::Quoted { is_doubled: true };
                    self.at += 1;
                }
                State::Quote { is_doubled } if is_one_of(next, self.dialect.delimiter) => {
                    if let Some(end) = self.end_cell(1, is_doubled, ended)? {
                        return Some(end);
                    }
                }
                State::Quote { .. } => self.stray_quote(),
            }
        }
    }

    /// The cell that is being read ends at `at`, with a delimiter or a line break; `quotes` bytes at either end of it
    /// are its quotes. Returns where its row ends, if that ends too. The outer `None` says that a byte is missing.
    fn end_cell(&mut self, quotes: usize, is_doubled: bool, ended: bool) -> Option<Option<usize>> {
        let end = self.at;
        let byte = self.buffer[end];
        if byte == b'\r' && self.line_end.is_none() {
            // Only for the first row this waits: how its line ends is how all lines are written again.
            let following = self.buffer.get(end + 1);
            if following.is_none() && !ended {
                return None;
            }
            self.line_end = Some(if following == Some(&b'\n') { LineEnd::CrLf } else { LineEnd::Cr });
        }
        self.push_cell(quotes, is_doubled);
        self.state = State::CellStart;
        self.at += 1;
        if byte == self.dialect.delimiter {
            return Some(None);
        }
        self.after_cr = byte == b'\r';
        self.line_end.get_or_insert(LineEnd::Lf);
        Some(Some(end))
    }

    fn push_cell(&mut self, quotes: usize, is_doubled: bool) {
        if !self.is_cut {
            let end = self.at - self.start - quotes;
            self.cells.push(Cell { start: self.cell_start + quotes, end, is_doubled });
        }
    }

    /// Something other than the end of the cell stands behind the quote that should have closed it.
    fn stray_quote(&mut self) {
        self.state = State::Plain;
        if self.is_cut {
            return;
        }
        let cell = &self.buffer[self.start + self.cell_start..self.at];
        let is_one_cell = memchr::memchr3(self.dialect.delimiter, b'\r', b'\n', cell).is_none();
        if self.dialect.stray == StrayQuote::Refused || !is_one_cell {
            self.fault.get_or_insert(Fault::TextAfterQuote { cell: self.cells.len() });
        }
    }

    /// The input has ended: what is left is a row, if there is anything.
    fn end_of_input(&mut self) -> Option<usize> {
        if self.at == self.start && !self.is_cut {
            return None;
        }
        match self.state {
            State::CellStart => {
                self.cell_start = self.at - self.start;
                self.push_cell(0, false);
            }
            State::Plain => self.push_cell(0, false),
            State::Quote { is_doubled } => self.push_cell(1, is_doubled),
            State::Quoted { is_doubled } => {
                self.fault.get_or_insert(Fault::OpenQuote);
                self.cell_start += 1;
                self.push_cell(0, is_doubled);
            }
        }
        Some(self.at)
    }
}

impl Pieces for RowQueue {
    fn buffer(&mut self) -> &mut Vec<u8> {
        self.begin_row();
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        &mut self.buffer
    }

    fn buffered(&self) -> usize {
        self.begun().len()
    }

    fn begun(&self) -> &[u8] {
        &self.buffer[if self.is_out { self.at } else { self.start }..]
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn cut(&mut self) {
        self.begin_row();
        self.line += count_breaks(&self.buffer[self.start..self.at]);
        self.buffer.drain(..self.at);
        (self.start, self.at) = (0, 0);
        self.cells.clear();
        self.is_cut = true;
    }
}

fn is_one_of(byte: u8, delimiter: u8) -> bool {
    byte == delimiter || byte == b'\r' || byte == b'\n'
}

/// Line breaks inside of a row: CR, LF and CRLF count as one each.
fn count_breaks(bytes: &[u8]) -> u64 {
    let breaks = memchr::memchr2_iter(b'\r', b'\n', bytes);
    breaks.filter(|&place| bytes[place] == b'\n' || bytes.get(place + 1) != Some(&b'\n')).count() as u64
}
