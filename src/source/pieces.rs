//! Inputs of which a piece may stand on any number of lines: the rows of a table, and JSON values. They differ in where
//! a piece ends and in what it becomes.

use super::by_line::too_long;
use super::frame::{Frame, More};
use super::input::{Got, Input};
use crate::words::error::Result;

/// Bytes that arrive, the last of them in a piece that has not ended.
pub trait Pieces {
    /// The buffer to append to.
    fn buffer(&mut self) -> &mut Vec<u8>;

    /// Bytes of the piece that has not ended.
    fn buffered(&self) -> usize;

    /// The bytes of the piece that has not ended.
    fn begun(&self) -> &[u8];

    /// The line on which that piece begins.
    fn line(&self) -> u64;

    /// The piece that has not ended has been given up.
    fn is_cut(&self) -> bool;

    /// Gives up the piece that has not ended: its end is still looked for, and the piece after it is the next one.
    fn cut(&mut self);
}

/// Reads on, when no piece is whole. A piece that has grown too long is given up, and is a frame. Returns what the
/// caller's read has come to, or `None` if there may be whole pieces now. `ended` is set at the end of the input.
pub fn read_on(
    input: &mut Input,
    pieces: &mut impl Pieces,
    max_bytes: usize,
    ended: &mut bool,
    frames: &mut Vec<Frame>,
) -> Result<Option<More>> {
    if *ended {
        return Ok(Some(More::End));
    }
    if pieces.buffered() > max_bytes {
        if !pieces.is_cut() {
            frames.push(too_long(pieces.begun(), pieces.line(), max_bytes));
        }
        pieces.cut();
        if !frames.is_empty() {
            return Ok(Some(More::Frames));
        }
    }
    match input.read(pieces.buffer())? {
        Got::Bytes => {}
        Got::End => *ended = true,
        Got::Stopped => return Ok(Some(More::Stopped)),
    }
    Ok(None)
}
