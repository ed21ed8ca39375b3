//! The bodies of requests, which are JSON objects. Errors name the member, and speak of JSON.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use peerbroker_config::Mistyped;

/// The body of a request: a JSON object. serde would read a struct from an array, too.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(Map::deserialize(deserializer)?).map(Object).map_err(D::Error::custom)
    }
}

/// Reads an object. The error names the first member that is wrong: the last one of the shortest object with
/// this error.
pub(super) fn read<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, String> {
    let error_of = |members| T::deserialize(Value::Object(members)).err().map(|error| error.to_string());
    T::deserialize(Value::Object(members.clone())).map_err(|error| {
        let error = error.to_string();
        let mut some = Map::new();
        let is_of_member = error_of(some.clone()).as_ref() != Some(&error);
        let wrong = members.into_iter().filter(|_| is_of_member).find_map(|(name, value)| {
            some.insert(name.clone(), value);
            (error_of(some.clone()).as_ref() == Some(&error)).then_some(name)
        });
        let error = in_plain_words(&error);
        wrong.map_or_else(|| error.clone(), |name| format!("{name}: {error}"))
    })
}

/// serde's error without the words of Rust.
pub(super) fn in_plain_words(error: &str) -> String {
    let quoted = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
    if let Some(mistyped) = Mistyped::read(error, "object") {
        return mistyped.to_string();
    }
    if let Some((_, known)) =
        error.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("no such member: there are {}", known.trim_start_matches("one of ").replace('`', ""));
    }
    match error.strip_prefix("missing field ") {
        Some(field) => format!("{} is missing", quoted(field)),
        None => error.to_owned(),
    }
}
