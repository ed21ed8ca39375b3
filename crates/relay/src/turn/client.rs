//! Clients, and the ways back to them.

use std::net::SocketAddr;
use std::sync::Arc;

use peerbroker_media_api::Dropped;

use crate::datapath::burst;
use crate::datapath::port::Port;
use crate::datapath::streams::{Outbox, Queued};

/// Bytes in front of those of a peer: the number of the channel, and a length.
pub(super) const CHANNEL_HEADER: usize = 4;

/// The point at which a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ingress {
    /// At a UDP port of ours.
    Port(SocketAddr),
    /// Over the connection of TCP with this number, which is never reused.
    Tcp(u64),
    /// Over that of TLS.
    Tls(u64),
}

/// The identity of a client (RFC 8656, section 2.2: the 5-tuple).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientId {
    pub(super) address: SocketAddr,
    pub(super) ingress: Ingress,
}

/// A path for bytes to a client.
#[derive(Clone)]
pub(super) enum ReplySink {
    Port(Arc<Port>),
    Connection(Arc<Outbox>),
}

/// A client, and the way back to it.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) sink: ReplySink,
}

impl Client {
    /// Sends a STUN message to the client. Never waits.
    pub(super) fn send(&self, message: &[u8]) -> Result<Queued, Dropped> {
        match &self.sink {
            ReplySink::Port(port) => self.send_at(port, [message, &[]]),
            ReplySink::Connection(outbox) => Ok(outbox.send(&[message])),
        }
    }

    /// Sends the bytes of a peer as ChannelData to the client. Never waits.
    pub(super) fn send_channel_data(&self, number: u16, bytes: &[u8]) -> Result<Queued, Dropped> {
        // No datagram is longer than this.
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let [a, b] = number.to_be_bytes();
        let [c, d] = length.to_be_bytes();
        let header: [u8; CHANNEL_HEADER] = [a, b, c, d];
        match &self.sink {
            ReplySink::Port(port) => self.send_at(port, [&header, bytes]),
            ReplySink::Connection(outbox) => {
                // It is padded on connections (RFC 8656, section 12.5).
                let padding = bytes.len().next_multiple_of(4) - bytes.len();
                Ok(outbox.send(&[&header, bytes, [0; 3].get(..padding).unwrap_or_default()]))
            }
        }
    }

    fn send_at(&self, port: &Arc<Port>, parts: [&[u8]; 2]) -> Result<Queued, Dropped> {
        burst::send(port, self.id.address, parts).then(Queued::default).ok_or(Dropped::Full)
    }
}
