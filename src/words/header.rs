//! The header of a table, which the source reads and the outputs write.

use bytes::Bytes;

/// The names of a table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub names: Vec<String>,
    /// The header's own bytes, without the line end; empty if the table has none.
    pub raw: Bytes,
}
