//! One input, opened, and what splits it into frames.

use super::frame::Frames;
use super::settings::InputFile;

/// One input and what splits it.
pub struct Reader {
    pub file: InputFile,
    pub frames: Box<dyn Frames>,
}
