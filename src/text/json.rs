//! Looking into JSON without parsing it: values stay as they are written.

use serde_json::value::RawValue;

/// The value of a field of a JSON object, as it is written; the last one where there are several. `None` if
/// there is none, or `json` is no object.
pub fn field<'a>(json: &'a [u8], name: &str) -> Option<&'a RawValue> {
    struct Find<'n>(&'n str);
    impl<'de> serde::de::Visitor<'de> for Find<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                let value: &RawValue = map.next_value()?;
                if key == self.0 {
                    found = Some(value);
                }
            }
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde::Deserializer::deserialize_map(&mut deserializer, Find(name)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_as_it_is_written() {
        let found = |json: &'static str| field(json.as_bytes(), "a").map(RawValue::get);
        assert_eq!(found(r#"{"b":[{"a":1}],"\u0061":1.0}"#), Some("1.0"));
        assert_eq!(found(r#"{"a":1,"a":2}"#), Some("2"));
        assert_eq!([found("{}"), found("[1]"), found("null"), found("\"a\"")], [None; 4]);
    }
}
