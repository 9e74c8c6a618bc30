//! How a table is written: what stands between its cells, and what quotes them.

use super::format::Format;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    pub delimiter: u8,
    /// `None`: nothing quotes, and a quote is a character like any other.
    pub quote: Option<u8>,
    pub stray: StrayQuote,
}

/// What is made of a cell that begins with a quote and goes on behind the one that closes it (`"Weird" Al`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrayQuote {
    /// The cell is its own bytes, quotes included: most programs that write TSV quote nothing.
    Kept,
    /// Its row is no job: every CSV reader makes something else of it.
    Refused,
}

/// `--quote`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quote {
    #[default]
    Double,
    Char(u8),
    None,
}

impl Dialect {
    pub fn of(format: Format, delimiter: Option<u8>, quote: Quote) -> Dialect {
        Dialect {
            delimiter: delimiter.unwrap_or_else(|| format.delimiter()),
            quote: match quote {
                Quote::Double => Some(b'"'),
                Quote::Char(quote) => Some(quote),
                Quote::None => None,
            },
            stray: if format == Format::Tsv { StrayQuote::Kept } else { StrayQuote::Refused },
        }
    }
}
