//! stderr with a bar below the text, if there is one.
//!
//! The bar is one line, shorter than the terminal, and the cursor is left at its first column. When the terminal gets
//! narrower and breaks the line, the cursor stays where the line begins, so erasing from the cursor to the end of the
//! screen erases all rows of it, also on a terminal that cuts lines instead of breaking them.

use super::stderr::Stderr;

#[derive(Debug, Default)]
pub struct Screen {
    stderr: Stderr,
    /// The bar that stands on the terminal; empty if there is none.
    bar: String,
}

/// ECMA-48, ED: erase from the cursor to the end of the screen.
const ERASE: &str = "\x1b[J";

impl Screen {
    /// Writes whole lines above the bar. `moved` is called for each piece that stderr has taken.
    pub fn write(&mut self, lines: &str, moved: impl FnMut()) {
        self.stderr.write(above(lines, &self.bar).as_bytes(), moved);
    }

    /// Draws this bar instead of the one that stands there.
    pub fn draw(&mut self, bar: String, moved: impl FnMut()) {
        // The old bar is written over, and only the rest of it erased: if it were erased first, it would flicker.
        self.stderr.write(format!("\r{bar}{ERASE}\r").as_bytes(), moved);
        self.bar = bar;
    }

    /// Erases the bar.
    pub fn clear(&mut self) {
        if !std::mem::take(&mut self.bar).is_empty() {
            self.stderr.write(format!("\r{ERASE}").as_bytes(), || {});
        }
    }
}

fn above(lines: &str, bar: &str) -> String {
    if bar.is_empty() { lines.to_owned() } else { format!("\r{ERASE}{lines}{bar}\r") }
}
