//! The header of a table, which the source reads and the outputs write.

use bytes::Bytes;

/// The names of a table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub names: Vec<String>,
    /// The bytes of the header's line, as they were read, without the line end; empty if the table has no header.
    pub raw: Bytes,
}
