//! The text of a file that holds no jobs: decompressed, without a byte-order mark.

use std::os::fd::OwnedFd;

use super::descriptor::Context;
use super::input::{Got, Input};
use crate::source::settings::InputFile;
use crate::words::error::Result;

pub struct Text {
    input: Input,
    has_read: bool,
    /// Why the rest of a compressed file could not be decoded.
    damage: Option<String>,
}

/// One read takes this much at most: many files may be read at the same time.
const READ: usize = 64 * 1024;

impl Text {
    pub fn new(file: &InputFile, fd: OwnedFd, context: &Context) -> Text {
        let input = Input::new(file, fd, context.clone()).in_pieces(READ);
        Text { input, has_read: false, damage: None }
    }

    /// Appends some of the text. Returns false at its end, and where a compressed file is cut: whoever wrote it may
    /// have been killed. The buffer of the first read is empty.
    pub fn read(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        match self.input.read(into) {
            Ok(got) => {
                self.has_read |= got == Got::Bytes;
                Ok(got == Got::Bytes)
            }
            Err(error) if self.has_read && self.input.is_decoded() => {
                self.damage = Some(error.message);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }
}
