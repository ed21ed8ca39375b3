//! The clients that find each other without an id.

use std::fmt;

use peerbroker_core::vocabulary::labels;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

labels! {
    /// The clients that find each other without an id.
    #[derive(Default)]
    pub enum Discovery {
        /// No clients.
        #[default]
        Off = "false",
        /// The clients of one network.
        Near = "near",
        /// The clients of one network that have the same PIN.
        Pin = "pin",
        /// All clients.
        All = "true",
    }
}

impl Discovery {
    /// True if clients get a list of others: of all, or of their network.
    pub fn lists(self) -> bool {
        matches!(self, Discovery::Near | Discovery::All)
    }

    fn of_label(label: &str) -> Option<Self> {
        Discovery::ALL.into_iter().find(|discovery| discovery.label() == label)
    }
}

impl From<bool> for Discovery {
    fn from(is_on: bool) -> Self {
        if is_on { Discovery::All } else { Discovery::Off }
    }
}

// `true` and `false` in JSON, as before there were others.
impl Serialize for Discovery {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Discovery::Off => to.serialize_bool(false),
            Discovery::All => to.serialize_bool(true),
            Discovery::Near | Discovery::Pin => to.serialize_str(self.label()),
        }
    }
}

impl<'de> Deserialize<'de> for Discovery {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Value)
    }
}

struct Value;

impl de::Visitor<'_> for Value {
    type Value = Discovery;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, \"near\" or \"pin\"")
    }

    fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<Discovery, E> {
        Ok(is_on.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Discovery, E> {
        let word = Some(text).filter(|text| !matches!(*text, "true" | "false"));
        word.and_then(Discovery::of_label).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl PartialSchema for Discovery {
    fn schema() -> RefOr<Schema> {
        let words = [Discovery::Near, Discovery::Pin].map(Discovery::label);
        OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Boolean))
            .item(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)))
            .into()
    }
}

impl ToSchema for Discovery {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_booleans_of_before_and_two_words() {
        for (json, expected) in [
            ("false", Discovery::Off),
            ("true", Discovery::All),
            ("\"near\"", Discovery::Near),
            ("\"pin\"", Discovery::Pin),
        ] {
            assert_eq!(serde_json::from_str::<Discovery>(json).unwrap(), expected);
            assert_eq!(serde_json::to_string(&expected).unwrap(), json);
        }
        for json in ["\"true\"", "\"false\"", "\"all\"", "\"\"", "1", "null", "{}"] {
            let error = serde_json::from_str::<Discovery>(json).unwrap_err().to_string();
            assert!(error.contains("expected true, false, \"near\" or \"pin\""), "{error}");
        }
    }
}
