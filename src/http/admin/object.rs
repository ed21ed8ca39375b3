//! The bodies of requests, which are JSON objects. Errors name the member, and speak of JSON.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use peerbroker_config::Mistyped;

/// The body of a request: a JSON object.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Mistyped::read(deserializer)?.map(Object);
        read.map_err(|mistyped| D::Error::custom(mistyped.in_words("an object", &[])))
    }
}
