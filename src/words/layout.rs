//! What an input has besides its jobs: the source reads it, and the outputs write it again.

use std::sync::OnceLock;

use bytes::Bytes;

/// What the inputs of a run have besides their jobs. Each part is set once, by the first input that shows it, and
/// before the first job whose record could need it.
#[derive(Debug, Default)]
pub struct Layout {
    /// The names of a table's columns.
    pub columns: OnceLock<Vec<String>>,
    /// All that stands before the first job, with its line ends: a byte-order mark, a line `sep=;`, a table's header.
    pub head: OnceLock<Bytes>,
    /// What stands between the cells of a table.
    pub delimiter: OnceLock<u8>,
    pub line_end: OnceLock<LineEnd>,
    /// A JSON input is one array, not values one after the other.
    pub is_json_array: OnceLock<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    Lf,
    CrLf,
    /// The line ends of Macs before 2001, which Excel can still write. Only a row can end so.
    Cr,
}

impl LineEnd {
    pub fn bytes(self) -> &'static [u8] {
        match self {
            LineEnd::Lf => b"\n",
            LineEnd::CrLf => b"\r\n",
            LineEnd::Cr => b"\r",
        }
    }
}

/// The mark at the beginning of a text in UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// RFC 7464 puts it before each value of a sequence. At the beginning of JSON it says that an array that follows is one
/// value, and not an array of jobs.
pub const RECORD_SEPARATOR: u8 = 0x1e;
