//! Names of columns, and single characters, as they are typed.

use crate::source::columns;
use crate::words::dialect::Quote;

/// One row of CSV: `a,"Income, net",b` are three names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

pub fn names(text: &str) -> Result<Names, String> {
    let expected = "expected names separated by commas; one that has a comma is quoted: a,\"b, c\"";
    columns::of_row(text).map(Names).ok_or_else(|| expected.to_owned())
}

/// `--delimiter`: one character, or `\t` or `tab`.
pub fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        "\r" | "\n" | "\"" => Err("ends a row or quotes a cell, so it cannot stand between cells".to_owned()),
        _ => one_byte(text).ok_or_else(|| "expected one ASCII character, such as ';', or tab".to_owned()),
    }
}

/// `--quote`: one character, or `none`.
pub fn quote(text: &str) -> Result<Quote, String> {
    match text {
        "none" => Ok(Quote::None),
        "\"" => Ok(Quote::Double),
        "\r" | "\n" => Err("ends a row, so it cannot quote a cell".to_owned()),
        _ => one_byte(text).map(Quote::Char).ok_or_else(|| "expected one ASCII character, or none".to_owned()),
    }
}

fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_row_of_csv() {
        let split = |text: &str| names(text).map(|names| names.0.join("|"));
        assert_eq!(split("a,b.c"), Ok("a|b.c".to_owned()));
        assert_eq!(split("\"Income, net\",b"), Ok("Income, net|b".to_owned()));
        assert_eq!(split("\"say \"\"x\"\"\""), Ok("say \"x\"".to_owned()));
        assert_eq!(split("a,,b"), Ok("a||b".to_owned()));
        for text in ["", "a\nb", "\"a", "\"a\"b"] {
            assert!(names(text).is_err(), "{text}");
        }
    }

    #[test]
    fn delimiters_and_quotes_are_one_byte() {
        assert_eq!([delimiter(";"), delimiter("\\t"), delimiter("tab")], [Ok(b';'), Ok(b'\t'), Ok(b'\t')]);
        assert_eq!(
            [quote("'"), quote("none"), quote("\"")],
            [Ok(Quote::Char(b'\'')), Ok(Quote::None), Ok(Quote::Double)]
        );
        for text in ["", ";;", "é", "\n"] {
            assert!(delimiter(text).is_err() && quote(text).is_err(), "{text}");
        }
    }
}
