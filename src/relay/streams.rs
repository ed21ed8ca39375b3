//! Connections of clients that come over TCP. A client that reads slowly loses datagrams, as it would on a slow line.

use std::net::SocketAddr;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::limits::{ConnectionLimiter, ConnectionPermit};

/// Most connections.
const MAX: usize = 10_000;

/// Datagrams that wait for one client.
const WAITING: usize = 64;

type Datagram = Box<[u8]>;

/// The connections, by the address of their client.
pub(super) struct Streams {
    places: Arc<Semaphore>,
    by_address: DashMap<SocketAddr, mpsc::Sender<Datagram>>,
    limiter: Arc<ConnectionLimiter>,
}

/// The place of one connection.
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _permit: Option<ConnectionPermit>,
}

impl Streams {
    pub(super) fn new(limiter: Arc<ConnectionLimiter>) -> Self {
        Streams { places: Arc::new(Semaphore::new(MAX)), by_address: DashMap::new(), limiter }
    }

    /// Sends datagrams of `size` bytes. False if one of them had to be dropped.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8], size: usize) -> bool {
        let Some(queue) = self.by_address.get(&to).map(|queue| queue.clone()) else { return false };
        let lost = bytes.chunks(size.max(1)).filter(|datagram| queue.try_send((*datagram).into()).is_err());
        lost.count() == 0
    }

    /// A place for a connection, if there is one. The drop gives it back.
    pub(super) fn admit(&self, from: SocketAddr) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let permit = self.limiter.connect(Some(from.ip())).ok()?;
        Some(Place { _place: place, _permit: permit })
    }

    /// Adds a connection. Gives what it has to write.
    pub(super) fn open(&self, from: SocketAddr) -> (mpsc::WeakSender<Datagram>, mpsc::Receiver<Datagram>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let own = queue.downgrade();
        self.by_address.insert(from, queue);
        (own, waiting)
    }

    /// Removes a connection. False if its client has already opened another one.
    pub(super) fn close(&self, from: SocketAddr, own: &mpsc::WeakSender<Datagram>) -> bool {
        let is_own = |queue: &mpsc::Sender<_>| own.upgrade().is_some_and(|own| own.same_channel(queue));
        self.by_address.remove_if(&from, |_, queue| is_own(queue)).is_some()
    }
}
