//! HTML as text: the only place where text from outside becomes a part of the page.

use std::fmt::Write as _;

use crate::text::people::escape;

/// A page while it is made.
#[derive(Debug, Default)]
pub struct Html(String);

impl Html {
    pub fn line(&mut self, markup: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{markup}");
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// Text that stands for nothing but itself, in an element or in a quoted attribute. Control characters, and those that
/// reorder what follows, are shown as escapes.
pub fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Marks that change the direction of what follows, and have no width.
            '\u{200e}' | '\u{200f}' | '\u{61c}' => {
                let _ = write!(safe, "\\u{{{:x}}}", c as u32);
            }
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_text() {
        assert_eq!(text("<b a='\"'>&amp;"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;amp;");
        assert_eq!(text("a\u{202e}b\u{200f}\u{0}\u{2066}"), "a\\u{202e}b\\u{200f}\\x00\\u{2066}");
        assert_eq!(text("é 🐾\n"), "é 🐾\n");
    }
}
