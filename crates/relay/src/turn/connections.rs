//! Clients come in: datagrams at ports, and connections over TCP or TLS on it (RFC 8656, section 3.1).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_media_api::Dropped;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{CHANNEL_HEADER, Client, ClientId, Ingress, ReplySink};
use super::relayed::MAX_DATAGRAM;
use super::server::Server;
use crate::datapath::port::Port;
use crate::datapath::sockets::{Joined, Service};
use crate::datapath::streams::{self, Framed, Outbox, Protocol, Received};
use crate::datapath::stun::{is_channel, is_stun, is_turn};

/// First byte of a TLS handshake (RFC 8446, section 5.1).
const TLS: u8 = 22;

/// Maximum connections for each allocation that is allowed. Some have no allocation yet, or none any more.
const CONNECTIONS_PER_ALLOCATION: usize = 2;

/// Time limit for a client without an allocation, and for one that reads nothing of what it gets.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest message: a datagram, and TURN's header.
const MAX_MESSAGE: usize = MAX_DATAGRAM + 128;

const STUN_HEADER: usize = 20;

/// A connection of a client, whose allocation ends with it.
pub(super) struct OfTurn<'a> {
    server: &'a Arc<Server>,
    client: Client,
}

impl Drop for OfTurn<'_> {
    fn drop(&mut self) {
        if let Some(allocation) = self.server.allocation_of(&self.client.id) {
            self.server.remove(&allocation);
        }
    }
}

impl Protocol for OfTurn<'_> {
    const TO_PROVE: Duration = IDLE_TIMEOUT;
    const TO_READ: Duration = IDLE_TIMEOUT;
    /// A single message: TLS makes a record of each write, and some clients read only the first message of a
    /// record.
    const MAX_WRITE: usize = 0;

    fn first(bytes: &[u8]) -> io::Result<Option<Framed>> {
        let Some(head) = bytes.first_chunk::<CHANNEL_HEADER>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (length, end) = if is_channel(bytes) {
            (CHANNEL_HEADER + length, CHANNEL_HEADER + length.next_multiple_of(4))
        } else if bytes.get(4..8).is_none_or(|_| is_stun(bytes)) {
            (STUN_HEADER + length, STUN_HEADER + length)
        } else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if end > MAX_MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((bytes.len() >= end).then_some(Framed { message: 0..length, end }))
    }

    fn receive(&self, message: &[u8]) -> Option<Received> {
        Server::receive(self.server, &self.client, message)
    }

    fn clock(&self) -> &Clock {
        &self.server.context.clock
    }

    fn ask_again_at(&self, _: Instant) -> Option<Instant> {
        self.server.allocation_of(&self.client.id).map(|_| self.clock().now() + IDLE_TIMEOUT)
    }
}

impl Server {
    /// Handles a datagram at a port of the TURN server or of a relay.
    fn receive_at(self: &Arc<Self>, port: &Arc<Port>, from: SocketAddr, datagram: &[u8]) {
        let id = ClientId { address: from, ingress: Ingress::Port(port.bound) };
        Server::receive(self, &Client { id, sink: ReplySink::Port(Arc::clone(port)) }, datagram);
    }

    /// Handles a datagram of TURN. False if it is another one, such as a STUN Binding.
    pub(crate) fn take(self: &Arc<Self>, port: &Arc<Port>, from: SocketAddr, datagram: &[u8]) -> bool {
        is_turn(datagram).then(|| self.receive_at(port, from, datagram)).is_some()
    }

    /// Serves a connection of which `read` was read already, and which somebody else has counted for its
    /// address. Ends at once if there are too many.
    pub(crate) async fn serve_counted(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite,
        read: BytesMut,
        from: SocketAddr,
        ingress: fn(u64) -> Ingress,
    ) {
        if let Some(_place) = self.connections.take_counted_place(self.max_connections()) {
            self.serve_stream(stream, read, from, ingress).await;
        }
    }

    /// Serves one connection until it ends. `read` has its first bytes.
    pub(super) async fn serve_stream(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite,
        read: BytesMut,
        address: SocketAddr,
        ingress: fn(u64) -> Ingress,
    ) {
        let outbox = Outbox::of::<OfTurn<'_>>();
        let ingress = ingress(self.last_connection.fetch_add(1, Ordering::Relaxed));
        let id = ClientId { address, ingress };
        let client = Client { id, sink: ReplySink::Connection(Arc::clone(&outbox)) };
        let connection = OfTurn { server: self, client };
        let halves = tokio::io::split(stream);
        let opened = self.context.clock.now();
        if let Err(error) = streams::serve(&connection, halves, &outbox, opened, read).await {
            log::debug!("the TURN connection of {address} has ended: {error}");
        }
    }

    /// Most connections, over TCP and TLS.
    fn max_connections(&self) -> usize {
        self.limits().allocations.saturating_mul(CONNECTIONS_PER_ALLOCATION)
    }
}

impl Service for Arc<Server> {
    fn receive(&self, port: &Arc<Port>, Joined { from, bytes, size }: Joined<'_>) {
        bytes.chunks(size).for_each(|datagram| self.receive_at(port, from, datagram));
    }

    fn record_full(&self, datagrams: u64) {
        self.traffic.dropped(Dropped::Full, datagrams);
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        let Some(_place) = self.connections.take_place(address, self.max_connections()) else { return };
        let mut first = [0];
        let Ok(Ok(1)) = timeout(IDLE_TIMEOUT, stream.peek(&mut first)).await else { return };
        if first != [TLS] {
            return self.serve_stream(stream, BytesMut::new(), address, Ingress::Tcp).await;
        }
        let Some(tls) = self.tls.get() else { return };
        match timeout(IDLE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve_stream(stream, BytesMut::new(), address, Ingress::Tls).await,
            Ok(Err(error)) => log::debug!("no TLS with the TURN client {address}: {error}"),
            Err(_) => {}
        }
    }
}
