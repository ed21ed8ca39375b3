//! The manner of a peer, and that of a connection.

use rustls_pki_types::CertificateDer;
use serde_json::Value as Json;

use peerbroker_serialization::{DEFAULT_MAX_MESSAGE_BYTES, Serialization};

/// The manner of a [`Peer`](crate::Peer).
#[derive(Clone, Debug)]
pub struct Options {
    /// Its id. Without one, it gets a random one.
    pub id: Option<String>,
    /// The secret by which it comes back as itself, or the proof of its id where the key requires one.
    pub token: Option<String>,
    /// The API key, instead of that in the address, or `peerjs`.
    pub key: Option<String>,
    /// Authorities to trust besides the public ones.
    pub ca: Vec<CertificateDer<'static>>,
    /// The page that it stands for, where the key requires one.
    pub origin: Option<String>,
    /// Subprotocols of callers that it takes, the best first.
    pub protocols: Vec<String>,
    /// Most bytes of a message that comes in chunks, 64 MiB by default.
    pub max_message_bytes: usize,
    /// Most connections at once, 256 by default.
    pub max_connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            id: None,
            token: None,
            key: None,
            ca: Vec::new(),
            origin: None,
            protocols: Vec::new(),
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            max_connections: 256,
        }
    }
}

impl Options {
    /// The defaults with this id.
    pub fn with_id(id: impl Into<String>) -> Self {
        Options { id: Some(id.into()), ..Options::default() }
    }
}

/// The manner of a connection.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Its label. Without one, it gets its id, as with PeerJS.
    pub label: Option<String>,
    /// Its metadata: `connection.metadata` at the other end.
    pub metadata: Option<Json>,
    /// The form of its messages.
    pub serialization: Serialization,
    /// Subprotocols to offer, the best first. If the other end takes one, messages are raw bytes.
    pub protocols: Vec<String>,
}
