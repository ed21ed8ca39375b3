//! Messages of PeerJS's signalling.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use peerbroker_serialization::{Serialization, UnknownSerialization};

/// The kind of a connection in descriptions.
pub(crate) const DATA: &str = "data";

/// A message of the broker. Of rooms, it has more members.
#[derive(Debug, Deserialize)]
pub(crate) struct Frame<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) src: Option<String>,
    #[serde(borrow)]
    pub(crate) payload: Option<&'a RawValue>,
}

impl Frame<'_> {
    /// The payload, if it has this form.
    pub(crate) fn read<'b, T: Deserialize<'b>>(&'b self) -> Option<T> {
        serde_json::from_str(self.payload?.get()).ok()
    }
}

/// The payload of ERROR and ID-TAKEN.
#[derive(Deserialize)]
pub(crate) struct ErrorText {
    pub(crate) msg: String,
}

/// The payload of OFFER, ANSWER and CANDIDATE. `safety` and the members behind it are of peerbroker.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sdp: Option<Sdp>,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) connection_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reliable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serialization: Option<String>,
    /// A member of releases before 1.5, which read JSON as text.
    #[serde(skip_serializing)]
    pub(crate) browser: Option<String>,
    /// The part of this end in a safety number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) safety: Option<String>,
    /// The subprotocols of the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) protocols: Vec<String>,
    /// The one that the callee has chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Sdp {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) sdp: String,
}

impl Description {
    pub(crate) fn new(connection_id: &str) -> Self {
        Description {
            kind: DATA.to_owned(),
            connection_id: connection_id.to_owned(),
            ..Description::default()
        }
    }

    pub(crate) fn sdp(&self) -> &str {
        self.sdp.as_ref().map_or("", |sdp| &sdp.sdp)
    }

    /// PeerJS 0.3 names none.
    pub(crate) fn serialization(&self) -> Result<Serialization, UnknownSerialization> {
        self.serialization.as_deref().map_or(Ok(Serialization::Binary), str::parse)
    }

    /// The message to another peer.
    pub(crate) fn to(&self, kind: &str, dst: &str) -> String {
        serde_json::json!({ "type": kind, "dst": dst, "payload": self }).to_string()
    }
}
