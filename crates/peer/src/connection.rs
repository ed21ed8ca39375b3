//! The handles of a connection.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::Value as Json;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::pipe::Lost;
use crate::registry::Registration;
use crate::safety::{Exchange, NoSafetyNumber};
use crate::session::{Command, Delivery, Ending, Traffic, share};
use peerbroker_serialization::Value;
use peerbroker_serialization::{Decoded, Decoder, EncodeError, Encoder, Message, Serialization};

/// The reason why a message was not sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// A value without a form in the connection's serialization.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The other end has closed the connection.
    #[error("the other end has closed the connection")]
    Closed,
    /// The connection was lost.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// A connection to a page or a program, as PeerJS's `DataConnection`. Dropping it closes it behind what
/// waits.
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// The terms on which both ends have agreed.
pub(crate) struct About {
    pub(crate) peer: String,
    pub(crate) label: String,
    pub(crate) metadata: Option<Json>,
    pub(crate) serialization: Serialization,
    pub(crate) protocol: Option<String>,
    pub(crate) is_caller: bool,
    pub(crate) binding: [u8; 32],
    /// The public keys of this end and of the other one.
    pub(crate) keys: [[u8; 32]; 2],
    pub(crate) exchange: Exchange,
    pub(crate) is_json_text: bool,
    pub(crate) _registration: Registration,
}

/// The sending half of a [`Connection`].
#[derive(Clone)]
pub struct Sender {
    about: Arc<About>,
    encoder: Arc<Mutex<Encoder>>,
    commands: mpsc::Sender<Command>,
    ending: Arc<Ending>,
    budget: Arc<Semaphore>,
    lost: Arc<OnceLock<Lost>>,
}

/// The receiving half of a [`Connection`].
pub struct Receiver {
    decoder: Decoder,
    encoder: Arc<Mutex<Encoder>>,
    messages: mpsc::UnboundedReceiver<Delivery>,
    commands: mpsc::Sender<Command>,
    ending: Arc<Ending>,
    lost: Arc<OnceLock<Lost>>,
}

impl Connection {
    pub(crate) fn new(about: About, traffic: Traffic, max_message_bytes: usize) -> Self {
        let Traffic { commands, ending, budget, messages, lost } = traffic;
        let mut encoder = Encoder::new(about.serialization);
        if about.is_json_text {
            encoder.write_json_as_text();
        }
        let encoder = Arc::new(Mutex::new(encoder));
        let receiver = Receiver {
            decoder: Decoder::new(about.serialization, max_message_bytes),
            encoder: Arc::clone(&encoder),
            messages,
            commands: commands.clone(),
            ending: Arc::clone(&ending),
            lost: Arc::clone(&lost),
        };
        let sender = Sender { about: Arc::new(about), encoder, commands, ending, budget, lost };
        Connection { sender, receiver }
    }

    /// The id of the other end.
    pub fn peer(&self) -> &str {
        &self.about().peer
    }

    /// The label, by the caller.
    pub fn label(&self) -> &str {
        &self.about().label
    }

    /// The metadata, by the caller.
    pub fn metadata(&self) -> Option<&Json> {
        self.about().metadata.as_ref()
    }

    /// The form of messages, by the caller.
    pub fn serialization(&self) -> Serialization {
        self.about().serialization
    }

    /// The subprotocol of both ends. Pages have none.
    pub fn protocol(&self) -> Option<&str> {
        self.about().protocol.as_deref()
    }

    /// True if this end has connected.
    pub fn is_caller(&self) -> bool {
        self.about().is_caller
    }

    /// A hash of the ids and public keys of both ends: the same at both only if nobody stands in between.
    pub fn binding(&self) -> [u8; 32] {
        self.about().binding
    }

    /// Twelve digits, as a page's `connection.safetyNumber()`: the same at both ends only if nobody stands in
    /// between. It takes a tenth of a second.
    pub async fn safety_number(&self) -> Result<String, NoSafetyNumber> {
        let [own, other] = &self.about().keys;
        self.about().exchange.clone().number(own, other).await
    }

    fn about(&self) -> &About {
        &self.sender.about
    }

    /// Sends a message, as [`Sender::send`].
    pub async fn send(&self, message: impl Into<Value>) -> Result<(), SendError> {
        self.sender.send(message).await
    }

    /// The next message, as [`Receiver::next`].
    pub async fn next(&mut self) -> Result<Option<Value>, Lost> {
        self.receiver.next().await
    }

    /// Closes the connection, as [`Sender::close`].
    pub async fn close(self) -> Result<(), Lost> {
        self.sender.close().await
    }

    /// Both halves, for two tasks.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About { peer, label, .. } = self.about();
        f.debug_struct("Connection").field("peer", peer).field("label", label).finish_non_exhaustive()
    }
}

impl Sender {
    /// Sends a message. It waits while more than 1 MiB is under way, and does not wait for the other end to
    /// read it. Safe to cancel: then the message is sent whole or not at all.
    pub async fn send(&self, message: impl Into<Value>) -> Result<(), SendError> {
        let messages = locked(&self.encoder).encode(&message.into())?;
        let size = messages.iter().map(Message::size).sum();
        let budget = Arc::clone(&self.budget);
        let permit = budget.acquire_many_owned(share(size)).await.map_err(|_| SendError::Closed)?;
        let sent = self.commands.send(Command::Send(messages, permit)).await;
        sent.map_err(|_| self.lost.get().cloned().map_or(SendError::Closed, SendError::Lost))
    }

    /// Closes the connection behind the messages that wait. It is lost if the other end reads none for 30 s.
    pub async fn close(self) -> Result<(), Lost> {
        let (done, is_done) = oneshot::channel();
        self.ending.tell();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            // It is dropped if the connection is lost.
            let _ = is_done.await;
        }
        self.lost.get().cloned().map_or(Ok(()), Err)
    }
}

impl Receiver {
    /// The next message; `None` once the other end has closed. Messages that nobody reads slow the sender
    /// down. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<Value>, Lost> {
        while let Some((message, _share)) = self.messages.recv().await {
            if matches!(message, Message::Text(_)) {
                locked(&self.encoder).write_json_as_text();
            }
            match self.decoder.decode(message) {
                Ok(Some(Decoded::Value(value))) => return Ok(Some(value)),
                Ok(Some(Decoded::Close)) => self.close().await,
                Ok(None) => {}
                Err(error) => {
                    self.close().await;
                    return Err(Lost::Unreadable(error.to_string()));
                }
            }
        }
        self.lost.get().cloned().map_or(Ok(None), Err)
    }

    async fn close(&mut self) {
        self.messages.close();
        let (done, _) = oneshot::channel();
        self.ending.tell();
        // It may be closed by now.
        let _ = self.commands.send(Command::Close(done)).await;
    }
}

fn locked(encoder: &Mutex<Encoder>) -> MutexGuard<'_, Encoder> {
    encoder.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
