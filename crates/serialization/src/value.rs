//! Values that messages carry.

use std::fmt;

use bytes::Bytes;
use serde_json::Value as Json;

/// A message of a connection, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JavaScript's `undefined`. PeerJS sends it as `null`.
    Undefined,
    /// `null`. A page loses a message that is only this, because PeerJS throws a TypeError.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number as in JavaScript, where integers are exact up to 2^53. A page cannot receive NaN.
    Number(f64),
    /// A text. A `Date` of a page arrives as one.
    Text(String),
    /// Bytes, which are an `ArrayBuffer` in a page. Its typed arrays and Blobs arrive as these.
    Bytes(Bytes),
    /// A list.
    Array(Vec<Value>),
    /// The members of an object, in its order.
    Object(Vec<(String, Value)>),
}

/// A part of a value that JSON has no form for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("JSON cannot hold {0}: use null or a text, or the serialization `binary`")]
pub struct NoJson(String);

impl Value {
    /// Returns the text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    /// Returns a member, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Converts as `JSON.stringify`. `odd` decides about values for which JSON has no form.
    pub(crate) fn to_json(&self, odd: fn(NoJson) -> Result<Json, NoJson>) -> Result<Json, NoJson> {
        match self {
            Self::Undefined => odd(NoJson("undefined".to_owned())),
            Self::Null => Ok(Json::Null),
            Self::Bool(value) => Ok(Json::Bool(*value)),
            // JavaScript writes 5, not 5.0.
            Self::Number(number) if *number as i64 as f64 == *number => Ok(Json::from(*number as i64)),
            Self::Number(number) if number.is_finite() => Ok(Json::from(*number)),
            Self::Number(number) => odd(NoJson(number.to_string())),
            Self::Text(text) => Ok(Json::from(text.as_str())),
            Self::Bytes(bytes) => odd(NoJson(format!("{} bytes", bytes.len()))),
            Self::Array(items) => {
                let item =
                    |item: &Self| if *item == Self::Undefined { Ok(Json::Null) } else { item.to_json(odd) };
                items.iter().map(item).collect()
            }
            Self::Object(members) => {
                let members = members.iter().filter(|(_, member)| *member != Self::Undefined);
                members.map(|(name, member)| Ok((name.as_str(), member.to_json(odd)?))).collect()
            }
        }
    }
}

/// A text is shown as it is, bytes by their length, and other values as JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_json(|odd| Ok(Json::from(odd.0))).map_err(|_| fmt::Error)? {
            Json::String(text) => f.write_str(&text),
            json => json.fmt(f),
        }
    }
}

impl TryFrom<Value> for Json {
    type Error = NoJson;

    fn try_from(value: Value) -> Result<Self, NoJson> {
        value.to_json(Err)
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => number.as_f64().map_or(Self::Null, Self::Number),
            Json::String(text) => Self::Text(text),
            Json::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Json::Object(members) => {
                Self::Object(members.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

macro_rules! conversions {
    ($value:ident: $($to:expr => $($from:ty),*;)*) => {
        $($(impl From<$from> for Value {
            fn from($value: $from) -> Self { $to }
        })*)*
    };
}

conversions! { value:
    Self::Bool(value) => bool;
    // Rounded beyond 2^53, as in JavaScript.
    Self::Number(value as f64) => f64, i32, u32, i64, u64, usize;
    Self::Text(value) => String;
    Self::Text(value.to_owned()) => &str;
    Self::Bytes(value) => Bytes;
    Self::Bytes(value.into()) => Vec<u8>;
}
