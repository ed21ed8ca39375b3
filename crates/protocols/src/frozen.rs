//! A client that is written down, to be read again.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::names::Hold;

/// A client that is written down. It holds what it held: nobody else gets its names meanwhile.
#[derive(Default)]
pub struct Frozen {
    /// Its state, as JSON text.
    pub state: String,
    /// Its holds on names and places in this process, in the order in which it takes them back.
    pub held: VecDeque<Hold>,
}

impl Frozen {
    /// Writes a state down.
    pub(super) fn of(state: &impl Serialize, held: VecDeque<Hold>) -> Self {
        // Only a map with keys that are no text cannot be written.
        Frozen { state: serde_json::to_string(state).unwrap_or_default(), held }
    }

    /// Reads the state. `None` if it is not one of this protocol.
    pub(super) fn read<S: DeserializeOwned>(&self) -> Option<S> {
        serde_json::from_str(&self.state).ok()
    }

    /// Takes back the next thing that it holds.
    pub(super) fn take<T: 'static>(&mut self) -> Option<T> {
        self.held.pop_front()?.downcast().ok().map(|held| *held)
    }
}

/// An id as text.
pub(super) mod id {
    use peerbroker_core::vocabulary::PeerId;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(id: &PeerId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PeerId, D::Error> {
        PeerId::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A time as its milliseconds. Only the process that wrote it down reads it.
pub(super) mod time {
    use peerbroker_core::clock::Instant;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.as_millis())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        u64::deserialize(deserializer).map(Instant::from_millis)
    }
}
