//! Messages of clients to the app's server, as a webhook or a hook of an embedding program gets them.

use std::pin::Pin;

use peerbroker_core::vocabulary::{ApiKey, ConnId, PeerId};

/// A message of a client to the app's server.
#[derive(Clone, Debug)]
pub struct AppMessage {
    /// The key of the client.
    pub key: ApiKey,
    /// Its id.
    pub id: PeerId,
    /// Its connection.
    pub connection: ConnId,
    /// The payload, as the client's JSON text.
    pub payload: Option<String>,
    /// The id that the client has given the message, as JSON text. Without one it gets no answer.
    pub request: Option<String>,
}

/// The app's work on a message. Ready with the answer, JSON text, if there is one; or with the reason of a
/// failure, for the log.
pub type Answering = Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>>;

/// The app's server. `None` if it takes no messages of the key.
pub type AskApp = Box<dyn Fn(AppMessage) -> Option<Answering> + Send + Sync>;
