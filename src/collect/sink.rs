//! What every format of output can do.

use std::io;

use crate::words::outcome::Outcome;

/// What makes records of outcomes, in the order they are given.
pub trait Sink {
    fn write(&mut self, outcome: &Outcome) -> io::Result<()>;
    /// Hands everything written so far to the system.
    fn flush(&mut self) -> io::Result<()>;
    /// Nothing more will come.
    fn finish(&mut self) -> io::Result<()>;
}
