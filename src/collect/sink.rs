//! What every format of output can do.

use std::io;

use crate::words::error::Error;
use crate::words::outcome::Outcome;

/// Makes records of outcomes, in the order in which they are given, and writes them.
pub trait Sink {
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError>;
    /// Hands everything written so far to the system.
    fn flush(&mut self) -> io::Result<()>;
    /// Writes what is still held back: no outcome will follow.
    fn finish(&mut self) -> Result<(), SinkError>;
    /// What the user should know of the output, once it is finished.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why a record was not written.
#[derive(Debug)]
pub enum SinkError {
    /// The output takes no more. Nothing may be written after that.
    Output(io::Error),
    /// The temporary directory takes no more. Every outcome is kept, also those that are still to come, and `finish`
    /// writes their records. But they are kept in memory, so the run must end.
    Temporary(Error),
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> SinkError {
        SinkError::Output(error)
    }
}
