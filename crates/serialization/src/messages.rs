//! The serializations of PeerJS: how a message becomes messages of a data channel, and back.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use bytes::Bytes;

use crate::binary_pack::{BinaryPackError, pack, unpack};
use crate::value::{NoJson, Value};

/// The packed bytes that a message of a data channel may have; longer ones go in chunks (PeerJS's
/// `util.chunkedMTU`).
const CHUNK_BYTES: usize = 16_300;

/// The member that chunks have, and a message that closes the connection.
const PEER_DATA: &str = "__peerData";

/// The unfinished messages of a connection. PeerJS sends one after the other.
const MAX_UNFINISHED: usize = 16;

/// The memory of a chunk besides its message.
const CHUNK_COST: usize = 128;

/// The default of `max_message_bytes`.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The form of a connection's messages, which the caller chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serialization {
    /// BinaryPack, with chunks: any value, of any length. The default of PeerJS.
    #[default]
    Binary,
    /// JSON, of less than 16,300 bytes.
    Json,
    /// Texts and bytes as they are.
    Raw,
}

/// A serialization that only the other end has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this end has no serialization {0:?}: connect with `binary`, `json` or `raw`")]
pub struct UnknownSerialization(String);

impl Serialization {
    /// Returns PeerJS's name, as in an OFFER.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Json => "json",
            Self::Raw => "raw",
        }
    }
}

impl FromStr for Serialization {
    type Err = UnknownSerialization;

    fn from_str(name: &str) -> Result<Self, UnknownSerialization> {
        match name {
            "binary" | "binary-utf8" => Ok(Self::Binary),
            "json" => Ok(Self::Json),
            // PeerJS 0.3 says `none`.
            "raw" | "none" => Ok(Self::Raw),
            _ => Err(UnknownSerialization(name.to_owned())),
        }
    }
}

/// A message of a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
}

impl Message {
    /// Its bytes.
    pub fn size(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Bytes(bytes) => bytes.len(),
        }
    }
}

/// The reason why a message cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A value that BinaryPack has no form for.
    #[error(transparent)]
    Pack(#[from] BinaryPackError),
    /// A value that JSON has no form for.
    #[error(transparent)]
    Json(#[from] NoJson),
    /// More bytes of JSON than PeerJS sends: this many.
    #[error("the message has {0} bytes of JSON, and PeerJS allows less than {CHUNK_BYTES}: use `binary`")]
    TooLong(usize),
    /// A value other than a text or bytes.
    #[error("a raw connection sends texts and bytes: use the serialization `binary` for other values")]
    NotRaw,
}

/// The reason why a message of the other end cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The message is not BinaryPack.
    #[error(transparent)]
    Unpack(#[from] BinaryPackError),
    /// The message is not JSON.
    #[error("the message is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A chunk lacks a member, or contradicts the earlier ones of its message.
    #[error("a chunk of a message contradicts itself or the other chunks")]
    WrongChunk,
    /// Chunks of too many messages.
    #[error("the other end has begun {MAX_UNFINISHED} messages, and sends another")]
    TooManyUnfinished,
    /// Messages are longer than this bound.
    #[error("the messages of the other end exceed `max_message_bytes`, which is {0}: raise it, or send less")]
    TooLong(usize),
}

/// Writes the messages of one connection.
pub struct Encoder {
    serialization: Serialization,
    /// The id of the next message that goes in chunks.
    next_id: u64,
    /// True if the other end reads JSON as text.
    is_json_text: bool,
}

impl Encoder {
    /// Creates the encoder of a new connection.
    pub fn new(serialization: Serialization) -> Self {
        Self { serialization, next_id: 1, is_json_text: false }
    }

    /// Writes JSON as text from now on: PeerJS before 1.5 cannot read it as bytes, and 1.5 not as text.
    pub fn write_json_as_text(&mut self) {
        self.is_json_text = true;
    }

    /// Writes a value as the messages that PeerJS 1.5.5 would send, in order.
    pub fn encode(&mut self, value: &Value) -> Result<Vec<Message>, EncodeError> {
        let message = match (self.serialization, value) {
            (Serialization::Binary, _) => match Bytes::from(pack(value)?) {
                packed if packed.len() <= CHUNK_BYTES => Message::Bytes(packed),
                packed => return self.chunks(packed),
            },
            (Serialization::Json, _) => match value.to_json(Err)?.to_string() {
                json if json.len() >= CHUNK_BYTES => return Err(EncodeError::TooLong(json.len())),
                json if self.is_json_text => Message::Text(json),
                json => Message::Bytes(json.into()),
            },
            (Serialization::Raw, Value::Text(text)) => Message::Text(text.clone()),
            (Serialization::Raw, Value::Bytes(bytes)) => Message::Bytes(bytes.clone()),
            (Serialization::Raw, _) => return Err(EncodeError::NotRaw),
        };
        Ok(vec![message])
    }

    fn chunks(&mut self, packed: Bytes) -> Result<Vec<Message>, EncodeError> {
        let id = self.next_id;
        self.next_id += 1;
        let chunks = packed.chunks(CHUNK_BYTES).enumerate().map(|(n, data)| {
            let chunk = vec![
                (PEER_DATA.to_owned(), id.into()),
                ("n".to_owned(), n.into()),
                ("data".to_owned(), packed.slice_ref(data).into()),
                ("total".to_owned(), packed.len().div_ceil(CHUNK_BYTES).into()),
            ];
            Ok(Message::Bytes(pack(&Value::Object(chunk))?.into()))
        });
        chunks.collect()
    }
}

/// A message of the other end.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A value for the program.
    Value(Value),
    /// PeerJS's `connection.close({ flush: true })`.
    Close,
}

/// Reads the messages of one connection.
pub struct Decoder {
    serialization: Serialization,
    max_message_bytes: usize,
    unfinished: HashMap<u64, Unfinished>,
}

/// A message of which chunks are missing.
struct Unfinished {
    total: u64,
    chunks: BTreeMap<u64, Bytes>,
    cost: usize,
}

impl Decoder {
    /// Creates the decoder of a new connection. It keeps chunks of at most `max_message_bytes` together, and
    /// charges each 128 bytes more than it has.
    pub fn new(serialization: Serialization, max_message_bytes: usize) -> Self {
        Self { serialization, max_message_bytes, unfinished: HashMap::new() }
    }

    /// Reads the next message of the data channel. Returns `None` for a chunk whose message is unfinished.
    ///
    /// After an error a message is missing, so the caller closes the connection.
    pub fn decode(&mut self, message: Message) -> Result<Option<Decoded>, DecodeError> {
        let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).map(Value::from);
        let value = match (self.serialization, message) {
            (Serialization::Binary, Message::Bytes(bytes)) => self.binary(bytes)?,
            (Serialization::Binary, Message::Text(_)) => return Err(BinaryPackError::Wrong("a text").into()),
            // PeerJS sends bytes since 1.5, and texts before.
            (Serialization::Json, Message::Bytes(bytes)) => Some(json(&bytes)?),
            (Serialization::Json, Message::Text(text)) => Some(json(text.as_bytes())?),
            (Serialization::Raw, Message::Bytes(bytes)) => Some(bytes.into()),
            (Serialization::Raw, Message::Text(text)) => Some(text.into()),
        };
        let is_close = |data: &Value| data.get("type").and_then(Value::as_str) == Some("close");
        Ok(value.map(|value| match value.get(PEER_DATA) {
            Some(data) if is_close(data) => Decoded::Close,
            _ => Decoded::Value(value),
        }))
    }

    fn binary(&mut self, packed: Bytes) -> Result<Option<Value>, DecodeError> {
        let cost = packed.len() + CHUNK_COST;
        let value = unpack(packed)?;
        let Some(Value::Number(_)) = value.get(PEER_DATA) else { return Ok(Some(value)) };
        // PeerJS would look for a chunk inside again, which it never sends.
        Ok(self.chunk(&value, cost)?.map(unpack).transpose()?)
    }

    /// Keeps a chunk. Returns the message whose last chunk this is.
    fn chunk(&mut self, chunk: &Value, cost: usize) -> Result<Option<Bytes>, DecodeError> {
        let integer = |name| match chunk.get(name) {
            Some(Value::Number(number)) if *number as u64 as f64 == *number => Ok(*number as u64),
            _ => Err(DecodeError::WrongChunk),
        };
        let id = integer(PEER_DATA)?;
        let n = integer("n")?;
        let total = integer("total")?;
        let Some(Value::Bytes(data)) = chunk.get("data") else { return Err(DecodeError::WrongChunk) };
        let kept: usize = self.unfinished.values().map(|message| message.cost).sum();
        if total > (self.max_message_bytes / CHUNK_COST) as u64 || kept + cost > self.max_message_bytes {
            return Err(DecodeError::TooLong(self.max_message_bytes));
        }
        if self.unfinished.len() == MAX_UNFINISHED && !self.unfinished.contains_key(&id) {
            return Err(DecodeError::TooManyUnfinished);
        }
        let new = Unfinished { total, chunks: BTreeMap::new(), cost: 0 };
        let message = self.unfinished.entry(id).or_insert(new);
        message.cost += cost;
        let is_new = message.chunks.insert(n, data.clone()).is_none();
        if !is_new || n >= total || message.total != total {
            return Err(DecodeError::WrongChunk);
        }
        let is_whole = message.chunks.len() as u64 == total;
        let message = if is_whole { self.unfinished.remove(&id) } else { None };
        Ok(message.map(|message| message.chunks.into_values().collect::<Vec<_>>().concat().into()))
    }
}
