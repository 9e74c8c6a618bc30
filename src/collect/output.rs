//! Where records are written, in large pieces.

use std::io;

use crate::text::destination::Destination;
use crate::text::gather::{Gather, Put};

pub struct Output {
    destination: Destination,
    bytes: Gather,
}

/// Written at once when so much has gathered: large enough to make the call's own cost vanish.
const PIECE: usize = 256 * 1024;

impl Output {
    pub fn new(destination: Destination) -> Output {
        Output { destination, bytes: Gather::default() }
    }

    /// Where records are appended; `wrote` must follow.
    pub fn bytes(&mut self) -> &mut Gather {
        &mut self.bytes
    }

    /// The same for text.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.text()
    }

    /// Something has been appended to the buffer.
    pub fn wrote(&mut self) -> io::Result<()> {
        if self.bytes.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while !self.bytes.is_empty() {
            let written = self.destination.write(self.bytes.first())?;
            self.bytes.advance(written);
        }
        Ok(())
    }

    /// Nothing more will come: a file of a run without records is empty.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.destination.begin()
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer().extend_from_slice(bytes);
        self.wrote()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Output::flush(self)
    }
}
