//! The handle of a peer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::random;
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::address::{Address, encoded};
use crate::calls::Calls;
use crate::connection::Connection;
use crate::error::{ConnectError, OpenError};
use crate::line::Line;
use crate::options::{ConnectOptions, Options};
use crate::registry::Registry;
use crate::rooms::{Room, RoomError, Rooms};
use crate::signalling::{Signalling, admitted};
use crate::socket::{Dial, Network};

/// The timeout until the broker admits the peer. A taken id is probed first.
const ADMISSION: Duration = Duration::from_secs(45);
/// Messages that wait for the broker.
const MAX_QUEUED: usize = 64;
/// Connections that nobody has taken yet.
const MAX_INCOMING: usize = 64;

/// A client with an id. Dropping it gives the id up; its connections remain.
pub struct Peer {
    calls: Arc<Calls>,
    rooms: Arc<Rooms>,
    incoming: mpsc::Receiver<Result<Connection, ConnectError>>,
    /// Ends the peer's task when it is dropped, or hears of its end.
    closing: oneshot::Sender<oneshot::Sender<()>>,
}

impl Peer {
    /// Opens a peer at a broker, whose address is a URL, also without its scheme.
    pub async fn open(broker: &str, options: Options) -> Result<Self, OpenError> {
        let address = Address::parse(broker, options.key.as_deref());
        let address = address.ok_or_else(|| OpenError::Address(broker.to_owned()))?;
        let network = Network::new(address.clone(), &options.ca, options.origin.clone());
        Self::open_at(Arc::new(network.ok_or(OpenError::Ca)?), address, options).await
    }

    pub(crate) async fn open_at(
        dial: Arc<dyn Dial>,
        address: Address,
        options: Options,
    ) -> Result<Self, OpenError> {
        let id = options.id.clone().unwrap_or_else(|| format!("{:016x}", random::<u64>()));
        let token = options.token.clone().unwrap_or_else(|| format!("{:032x}", random::<u128>()));
        let query = format!("key={}&id={}&token={}", address.encoded_key(), encoded(&id), encoded(&token));
        let path = format!("{}?{query}", address.socket_path());
        let mut line = Line::new(Arc::clone(&dial), path);
        let silent = |_| OpenError::Silent(address.clone());
        timeout(ADMISSION, admitted(&mut line, &id, &address)).await.map_err(silent)??;
        line.succeeded();
        let (frames, queued) = mpsc::channel(MAX_QUEUED);
        let (connected, incoming) = mpsc::channel(MAX_INCOMING);
        let (closing, is_closing) = oneshot::channel();
        let rooms = Arc::new(Rooms::new(frames.clone()));
        let registry = Registry::new(options.max_connections);
        let calls = Arc::new(Calls { id, address, options, dial, frames, registry, end: OnceLock::new() });
        let task = Signalling {
            line,
            calls: Arc::clone(&calls),
            rooms: Arc::clone(&rooms),
            frames: queued,
            connected,
        };
        tokio::spawn(task.run(is_closing));
        Ok(Peer { calls, rooms, incoming, closing })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.calls.id
    }

    /// The broker, with the key.
    pub fn address(&self) -> &Address {
        &self.calls.address
    }

    /// Connects to the page or program with this id, whose answer may take 30 s. Safe to cancel.
    pub async fn connect(&self, id: &str, options: ConnectOptions) -> Result<Connection, ConnectError> {
        self.calls.connect(id, options).await
    }

    /// The next connection of another peer, or the reason why one failed; `None` once the peer is closed.
    /// Safe to cancel.
    pub async fn incoming(&mut self) -> Option<Result<Connection, ConnectError>> {
        self.incoming.recv().await
    }

    /// Joins a room of the broker, with data of at most 1 KiB that its members see.
    pub async fn join(&self, room: &str, data: Option<Json>) -> Result<Room, RoomError> {
        Room::join(&self.rooms, room, data).await
    }

    /// Gives the id up.
    pub async fn close(self) {
        let (done, is_done) = oneshot::channel();
        if self.closing.send(done).is_ok() {
            // It is dropped when the task has ended.
            let _ = is_done.await;
        }
    }
}
