//! Bytes into JSON values, as they arrive: the elements of an array that the input is, or values one after the other.
//!
//! Only brackets and strings are followed, to find where a value ends; whether it is one is for `json` to say. What
//! cannot be the beginning of a value is handed out up to the end of its line: nothing is dropped.

use super::pieces::Pieces;
use crate::words::layout::RECORD_SEPARATOR;

/// A piece of input that should be one value, as long as the queue is not touched again.
#[derive(Debug)]
pub struct Piece<'a> {
    pub bytes: &'a [u8],
    /// The line of the file where the piece begins, from 1.
    pub line: u64,
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What stands behind the array that the input began with.
    BehindArray,
    /// A comma, a colon or a bracket where a value should begin.
    NoValue,
    /// The input ended before the array did.
    OpenArray,
    /// The input ended inside of a value.
    OpenValue,
}

/// Splits bytes that arrive in any pieces.
pub struct ValueQueue {
    buffer: Vec<u8>,
    /// Where the piece that is being read begins.
    start: usize,
    /// All before this has been read.
    at: usize,
    /// The line of `start`.
    line: u64,
    shape: Shape,
    state: State,
    /// Brackets that are open in the piece.
    depth: usize,
    /// The piece was too long: its beginning has been given up, and its end is only looked for.
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Unknown,
    Values,
    /// No element has come yet.
    EmptyArray,
    Array,
    ClosedArray,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    /// In an object, an array or the element of one.
    Nested,
    String,
    /// Behind a backslash in a string.
    Escape,
    /// A number, or one of the words.
    Scalar,
    Junk(Fault),
}

#[inline]
pub fn is_blank(byte: u8) -> bool {
    byte <= b' ' && matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl ValueQueue {
    pub fn new() -> ValueQueue {
        ValueQueue {
            buffer: Vec::new(),
            start: 0,
            at: 0,
            line: 1,
            shape: Shape::Unknown,
            state: State::Between,
            depth: 0,
            is_cut: false,
        }
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The next piece that is whole. When the input has ended, what is left is a piece.
    pub fn next(&mut self, ended: bool) -> Option<Piece<'_>> {
        loop {
            if self.state == State::Between && !self.begin_value(ended) {
                return None;
            }
            let line = self.line;
            let (end, fault) = self.find_end(ended)?;
            self.state = State::Between;
            self.depth = 0;
            if std::mem::take(&mut self.is_cut) {
                continue;
            }
            return Some(Piece { bytes: &self.buffer[self.start..end], line, fault });
        }
    }

    /// A piece begins where reading has come to.
    fn begin_piece(&mut self) {
        self.line += memchr::memchr_iter(b'\n', &self.buffer[self.start..self.at]).count() as u64;
        self.start = self.at;
    }

    /// Goes to where the next piece begins. Returns false if it has not arrived, or there is none.
    fn begin_value(&mut self, ended: bool) -> bool {
        loop {
            let rest = &self.buffer[self.at..];
            let is_values = matches!(self.shape, Shape::Unknown | Shape::Values);
            let skipped = |byte: u8| is_blank(byte) || (is_values && byte == RECORD_SEPARATOR);
            let blanks = rest.iter().position(|&byte| !skipped(byte)).unwrap_or(rest.len());
            if self.shape == Shape::Unknown && rest[..blanks].contains(&RECORD_SEPARATOR) {
                self.shape = Shape::Values;
            }
            self.at += blanks;
            self.begin_piece();
            let Some(&first) = self.buffer.get(self.at) else {
                let is_open = matches!(self.shape, Shape::EmptyArray | Shape::Array);
                self.state = if is_open && ended { State::Junk(Fault::OpenArray) } else { State::Between };
                return is_open && ended;
            };
            self.state = match (self.shape, first) {
                (Shape::Unknown, b'[') => {
                    self.shape = Shape::EmptyArray;
                    self.at += 1;
                    continue;
                }
                (Shape::Unknown, _) => {
                    self.shape = Shape::Values;
                    continue;
                }
                (Shape::EmptyArray, b']') => {
                    self.shape = Shape::ClosedArray;
                    self.at += 1;
                    continue;
                }
                (Shape::EmptyArray | Shape::Array, _) => {
                    self.shape = Shape::Array;
                    State::Nested
                }
                (Shape::ClosedArray, _) => State::Junk(Fault::BehindArray),
                (Shape::Values, b'{' | b'[') => State::Nested,
                (Shape::Values, b'"') => {
                    self.at += 1;
                    State::String
                }
                (Shape::Values, b'}' | b']' | b',' | b':') => State::Junk(Fault::NoValue),
                (Shape::Values, _) => State::Scalar,
            };
            return true;
        }
    }

    /// Reads on to the end of the piece, and says where it is. `None` if it has not arrived.
    fn find_end(&mut self, ended: bool) -> Option<(usize, Option<Fault>)> {
        loop {
            let rest = &self.buffer[self.at..];
            if rest.is_empty() {
                return if ended { Some((self.at, self.end_of_input())) } else { None };
            }
            match self.state {
                State::Escape => {
                    self.at += 1;
                    self.state = State::String;
                }
                State::String => {
                    let found = memchr::memchr2(b'"', b'\\', rest);
                    self.at += found.map_or(rest.len(), |found| found + 1);
                    match found.map(|found| rest[found]) {
                        None => {}
                        Some(b'\\') => self.state = State::Escape,
                        Some(_) if self.depth == 0 && self.shape == Shape::Values => return Some((self.at, None)),
                        Some(_) => self.state = State::Nested,
                    }
                }
                State::Nested => {
                    if let Some(end) = self.find_end_of_nested() {
                        return Some((end, None));
                    }
                }
                State::Scalar => {
                    let ends = |&byte: &u8| is_blank(byte) || b"\"[]{},:\x1e".contains(&byte);
                    let length = rest.iter().position(ends);
                    self.at += length.unwrap_or(rest.len());
                    if length.is_some() {
                        return Some((self.at, None));
                    }
                }
                State::Junk(fault) => {
                    let length = memchr::memchr2(b'\r', b'\n', rest);
                    self.at += length.unwrap_or(rest.len());
                    if length.is_some() {
                        return Some((self.at, Some(fault)));
                    }
                }
                State::Between => unreachable!("a piece has begun"),
            }
        }
    }

    /// Follows brackets up to the end of the value, a string, or the end of what has arrived.
    fn find_end_of_nested(&mut self) -> Option<usize> {
        let is_element = self.shape == Shape::Array;
        while let Some(&byte) = self.buffer.get(self.at) {
            if is_element && self.depth == 0 && matches!(byte, b',' | b']') {
                let end = self.at;
                self.at += 1;
                if byte == b']' {
                    self.shape = Shape::ClosedArray;
                }
                return Some(end);
            }
            self.at += 1;
            match byte {
                b'"' => {
                    self.state = State::String;
                    return None;
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 && !is_element {
                        return Some(self.at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// What is wrong with the last piece.
    fn end_of_input(&mut self) -> Option<Fault> {
        match (self.state, self.shape) {
            (State::Junk(Fault::OpenArray), _) | (_, Shape::Array | Shape::EmptyArray) => {
                self.shape = Shape::ClosedArray;
                Some(Fault::OpenArray)
            }
            (State::Junk(fault), _) => Some(fault),
            (State::Scalar, _) => None,
            _ => Some(Fault::OpenValue),
        }
    }
}

impl Pieces for ValueQueue {
    fn buffer(&mut self) -> &mut Vec<u8> {
        if self.state == State::Between {
            self.begin_piece();
        }
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        &mut self.buffer
    }

    fn buffered(&self) -> usize {
        self.begun().len()
    }

    fn begun(&self) -> &[u8] {
        &self.buffer[if self.state == State::Between { self.at } else { self.start }..]
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn cut(&mut self) {
        self.begin_piece();
        self.buffer.drain(..self.at);
        (self.start, self.at) = (0, 0);
        self.is_cut = true;
    }
}
