//! `--redact FIELD`: blanks out fields of errors, at any depth, whatever their case. Everything else stays
//! byte for byte: the JSON is walked, not parsed and printed again.

use bytes::Bytes;

/// `json` (valid, as it came from a worker) with the values of `fields` replaced by `"[redacted]"`.
pub fn redact(json: &Bytes, fields: &[String]) -> Bytes {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = &json[..];
    while let Some(quote) = memchr::memchr(b'"', rest) {
        let text = &rest[quote..];
        let text = &text[..string_length(text)];
        let after = &rest[quote + text.len()..];
        out.extend_from_slice(&rest[..quote + text.len()]);
        rest = after;
        let value = after.trim_ascii_start();
        if value.first() != Some(&b':') || !is_secret(text, fields) {
            continue;
        }
        let value = value[1..].trim_ascii_start();
        out.extend_from_slice(b":\"[redacted]\"");
        rest = &value[value_length(value)..];
    }
    out.extend_from_slice(rest);
    Bytes::from(out)
}

fn is_secret(key: &[u8], fields: &[String]) -> bool {
    // A key that is no text (an unpaired surrogate) cannot be named on the command line.
    let Ok(key) = serde_json::from_slice::<String>(key) else { return false };
    fields.iter().any(|field| field.to_lowercase() == key.to_lowercase())
}

/// The length of the string that `json` begins with, quotes included.
fn string_length(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(next) = memchr::memchr2(b'"', b'\\', &json[at..]) {
        at += next + 1;
        if json[at - 1] == b'"' {
            return at;
        }
        // The character behind a backslash is skipped: if it is a quote, it does not end the string.
        at += 1;
    }
    json.len()
}

/// The length of the value that `json` begins with.
fn value_length(json: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at += string_length(&json[at..]),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
        // A string, object or array has ended. A number or a word ends at what follows it, seen above.
        if depth == 0 && matches!(json[at - 1], b'"' | b'}' | b']') {
            return at;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_everything_else_stays_as_it_is_written() {
        let check = |json: &str, expected: &str| {
            let fields = ["token".to_owned(), "Pass Word".to_owned()];
            assert_eq!(redact(&Bytes::copy_from_slice(json.as_bytes()), &fields), expected);
        };
        check(r#"{"n":1e400,"token":"abc","n":2}"#, r#"{"n":1e400,"token":"[redacted]","n":2}"#);
        check(
            r#"{"TOKEN" : {"a":["}",1]} , "b":[{"token":5},"token"]}"#,
            r#"{"TOKEN":"[redacted]" , "b":[{"token":"[redacted]"},"token"]}"#,
        );
        check(r#"{"pass\u0020word":null}"#, r#"{"pass\u0020word":"[redacted]"}"#);
        check(r#"{"a":"\"token\":1","token":true}"#, r#"{"a":"\"token\":1","token":"[redacted]"}"#);
        check(r#""token""#, r#""token""#);
        let deep = format!("{}{{\"token\":1}}{}", "[".repeat(50_000), "]".repeat(50_000));
        check(&deep, &deep.replace('1', "\"[redacted]\""));
    }
}
