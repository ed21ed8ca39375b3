//! Objects of JSON and tables of TOML that people write, and the words for a mistake in one.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde::de::{DeserializeOwned, Deserializer, Unexpected};
use serde_path_to_error::{Path, Segment, Track};
use serde_value::{DeserializerError as Error, Value};

/// A value that its setting cannot have.
#[derive(Debug)]
pub struct Mistyped {
    /// The way to the value.
    pub path: Path,
    error: Error,
}

impl Mistyped {
    /// Reads a value with members. serde would read a struct from a list, too. The outer error is one of the
    /// format.
    pub fn read<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Result<T, Self>, D::Error> {
        let value = Value::deserialize(from)?;
        let mut track = Track::new();
        let read = BTreeMap::deserialize(value).and_then(|members| {
            T::deserialize(serde_path_to_error::Deserializer::new(Value::Map(members), &mut track))
        });
        Ok(read.map_err(|error| Mistyped { path: track.path(), error }))
    }

    /// The member of the object that has the mistake.
    pub fn name(&self) -> Option<&str> {
        match self.path.iter().next()? {
            Segment::Map { key } => Some(key),
            _ => None,
        }
    }

    /// The member and its mistake in the words of the format. `object` is its name of a value with members.
    /// The values of some members are secrets, which are not shown.
    pub fn in_words(&self, object: &str, secrets: &[&str]) -> String {
        let shows_value = self.name().is_none_or(|name| !secrets.contains(&name));
        let mistyped = |expected: &str, found: String| match shows_value {
            true => format!("expected {expected}, not {found}"),
            false => format!("expected {expected}"),
        };
        let why = match &self.error {
            Error::InvalidType(found, expected) | Error::InvalidValue(found, expected) => {
                let expected = in_plain_words(expected).replace("an object", object);
                mistyped(&expected, shown(found.to_unexpected(), object))
            }
            Error::UnknownVariant(found, known) => mistyped(&either(known), format!("{found:?}")),
            Error::UnknownField(_, known) => format!("no such member: there are {}", known.join(", ")),
            Error::MissingField(member) => format!("{member} is missing"),
            error => error.to_string(),
        };
        self.name().map(|name| format!("{name}: ")).unwrap_or_default() + &why
    }
}

/// The expectation of a type.
fn in_plain_words(expected: &str) -> &str {
    match expected {
        "usize" | "u32" | "u64" => "a whole number of 0 or more",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        expected => expected,
    }
}

fn shown(found: Unexpected<'_>, object: &str) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => format!("{value:?}"),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Unit => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => object.to_owned(),
        other => other.to_string(),
    }
}

/// The words, the last one behind "or".
fn either(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        words => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Change;
    use serde_json::{Value as Json, json};

    fn mistake(body: Json) -> String {
        Mistyped::read::<Change, _>(body).unwrap().unwrap_err().in_words("an object", &[])
    }

    #[test]
    fn a_mistake_names_what_is_expected_and_the_value() {
        for (name, value, words) in [
            ("concurrent_limit", json!("5"), "a whole number of 0 or more, not \"5\""),
            ("messages_per_second", json!(-1), "a whole number of 0 or more, not -1"),
            ("concurrent_limit", json!(1.5), "a whole number of 0 or more, not 1.5"),
            ("relay_calls_per_key", json!(true), "a whole number of 0 or more, not true"),
            ("expire_timeout", json!([]), "a whole number of 0 or more, not a list"),
            ("enabled", json!(1), "true or false, not 1"),
            ("origins", json!({}), "a list, not an object"),
            ("webhook", json!(5), "an object with url, secrets and messages, not 5"),
            ("auth", json!("jwt"), "an object with a method: none, jwt or webhook, not \"jwt\""),
            ("relay", json!("on"), "fallback, always or off, not \"on\""),
            ("allow_discovery", json!("all"), "true, false, \"near\" or \"pin\", not \"all\""),
        ] {
            assert_eq!(mistake(json!({ name: value })), format!("{name}: expected {words}"));
        }
        assert_eq!(mistake(json!([1])), "expected an object, not a list");
        assert_eq!(mistake(json!({"webhook": {}})), "webhook: url is missing");
        assert!(mistake(json!({"ice": 1})).starts_with("ice: no such member: there are name, enabled, "));
    }

    #[test]
    fn a_secret_is_not_shown_and_a_table_is_no_object() {
        let read = Mistyped::read::<Change, _>(json!({"auth": "hush"})).unwrap();
        let words = read.unwrap_err().in_words("a table", &["auth"]);
        assert_eq!(words, "auth: expected a table with a method: none, jwt or webhook");
    }
}
