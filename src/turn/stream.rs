//! TURN over a connection: TCP, or TLS on it (RFC 8656, section 3.1).

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::relayed::MAX_DATAGRAM;
use super::server::Server;
use super::way::{Client, ClientId, Way};
use crate::relay::Pace;

/// How long a client may be without an allocation, and how long it may read nothing of what it gets.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that wait for a client. More is dropped, as a network does.
const MAX_WAITING: usize = 64 << 10;

/// Longest message: a datagram, and what TURN adds to it.
const MAX_MESSAGE: usize = MAX_DATAGRAM + 128;

const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;

/// What waits for the client of a connection.
#[derive(Default)]
struct Outbox {
    waiting: Mutex<Vec<u8>>,
    filled: Notify,
}

impl Way for Outbox {
    fn send(&self, _: SocketAddr, bytes: &[u8]) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let padded = bytes.len().next_multiple_of(4);
        if waiting.len() + padded > MAX_WAITING {
            return false;
        }
        waiting.extend_from_slice(bytes);
        // ChannelData is padded on connections (RFC 8656, section 12.5); STUN messages have such lengths anyway.
        let end = waiting.len() + padded - bytes.len();
        waiting.resize(end, 0);
        drop(waiting);
        self.filled.notify_one();
        true
    }
}

impl Outbox {
    /// What waits, as soon as something does.
    async fn take(&self) -> Vec<u8> {
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if !waiting.is_empty() {
                return waiting;
            }
            self.filled.notified().await;
        }
    }
}

/// Ends the allocation of a client when its connection ends, however it ends.
struct Leaving<'a>(&'a Server, ClientId);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave(&self.1);
    }
}

/// Serves one connection until it ends. `read` was read of it before.
pub(super) async fn serve<T>(server: Arc<Server>, stream: T, read: BytesMut, address: SocketAddr)
where
    T: AsyncRead + AsyncWrite,
{
    let outbox = Arc::new(Outbox::default());
    let id = ClientId { address, entrance: server.entrance() };
    let client = Client { id, way: Arc::clone(&outbox) as Arc<dyn Way> };
    let _leaving = Leaving(&server, id);
    let (reader, writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        ended = receive(&server, &client, read, reader) => ended,
        ended = write(&outbox, writer) => ended,
    };
    if let Err(error) = ended {
        log::debug!("the TURN connection of {address} has ended: {error}");
    }
}

async fn receive(
    server: &Arc<Server>,
    client: &Client,
    mut buffer: BytesMut,
    reader: impl AsyncRead,
) -> io::Result<()> {
    let mut reader = std::pin::pin!(reader);
    let mut look = Instant::now() + PATIENCE;
    let mut pace = Pace::new();
    loop {
        while let Some((length, padded)) = next(&buffer)? {
            let message = buffer.get(..length).unwrap_or_default();
            let sender = server.receive(client, message).ok_or(io::ErrorKind::QuotaExceeded)?;
            buffer.advance(padded);
            pace.charge(length, sender).await.map_err(|_| io::ErrorKind::QuotaExceeded)?;
        }
        tokio::select! {
            count = reader.read_buf(&mut buffer) => if count? == 0 {
                return Ok(());
            },
            () = sleep_until(look) => {
                if server.allocation_of(&client.id).is_none() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                look = Instant::now() + PATIENCE;
            }
        }
    }
}

/// The length of the first message, and with its padding; `None` until all of it is there.
fn next(buffer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(head) = buffer.first_chunk::<CHANNEL_HEADER>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let (length, padded) = if Server::is_channel(buffer) {
        (CHANNEL_HEADER + length, CHANNEL_HEADER + length.next_multiple_of(4))
    } else if buffer.get(4..8).is_none_or(|_| Server::is_stun(buffer)) {
        (STUN_HEADER + length, STUN_HEADER + length)
    } else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    if padded > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((buffer.len() >= padded).then_some((length, padded)))
}

async fn write(outbox: &Outbox, writer: impl AsyncWrite) -> io::Result<()> {
    let mut writer = std::pin::pin!(writer);
    loop {
        let mut waiting = &outbox.take().await[..];
        while let Some((_, length)) = next(waiting)? {
            // Each by itself: TLS makes a record of it, and some clients look at the first message of a record only.
            let (mut message, rest) = waiting.split_at_checked(length).unwrap_or((waiting, &[]));
            while !message.is_empty() {
                let count = timeout(PATIENCE, writer.write(message)).await??;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                message = message.get(count..).unwrap_or_default();
            }
            waiting = rest;
        }
        timeout(PATIENCE, writer.flush()).await??;
    }
}

#[cfg(test)]
mod tests {
    use stun_types::message::{BINDING, MessageWrite as _, MessageWriteVec};
    use tokio::io::duplex;
    use tokio::time::sleep;

    use super::super::tests::World;
    use super::*;

    fn binding() -> Vec<u8> {
        stun_types::message::Message::builder_request(BINDING, MessageWriteVec::new()).finish()
    }

    fn address() -> SocketAddr {
        ([192, 0, 2, 1], 5000).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_an_allocation_ends_whatever_it_asks() {
        let world = World::new(|_| {});
        let (mut client, stream) = duplex(1 << 16);
        let ask = async {
            while client.write_all(&binding()).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let begin = Instant::now();
        let ((), ()) =
            tokio::join!(serve(Arc::clone(&world.server), stream, BytesMut::new(), address()), ask);
        assert!(begin.elapsed() < PATIENCE + Duration::from_secs(2));
        assert!(world.totals().bindings >= 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_allocation_keeps_its_connection_and_ends_with_it() {
        let world = World::new(|_| {});
        let (mut client, stream) = duplex(1 << 16);
        let shown = world.client("192.0.2.1:5000");
        let talk = async {
            client.write_all(&shown.allocate_request()).await.unwrap();
            sleep(10 * PATIENCE).await;
            assert_eq!(world.allocations(), 1);
            drop(client);
        };
        tokio::join!(serve(Arc::clone(&world.server), stream, BytesMut::new(), address()), talk);
        assert_eq!((world.allocations(), world.server.known()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_cut_off_leaves_nothing_behind() {
        let world = World::new(|_| {});
        let (mut client, stream) = duplex(1 << 16);
        client.write_all(&world.client("192.0.2.1:5000").allocate_request()).await.unwrap();
        let serving = serve(Arc::clone(&world.server), stream, BytesMut::new(), address());
        assert!(timeout(Duration::from_secs(1), serving).await.is_err());
        assert_eq!(world.server.known(), 0, "its future is dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_loses_datagrams_and_then_its_connection() {
        let world = World::new(|limits| limits.bytes_per_second = 0);
        let (mut client, stream) = duplex(1024);
        let own = world.client("192.0.2.1:5000");
        let flood = async {
            client.write_all(&own.allocate_request()).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            let mut answer = vec![0; 1024];
            let length = client.read(&mut answer).await.unwrap();
            let relayed = super::super::tests::Answer(answer[..length].to_vec()).relayed();
            let other = world.client("198.51.100.1:6000");
            let at = other.allocate().relayed();
            other.bind(0x4000, relayed);
            client.write_all(&own.permit_request(&[at])).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            for _ in 0..1000 {
                other.send_channel(0x4000, &[7; 1000]);
            }
            client
        };
        let ((), _client) =
            tokio::join!(serve(Arc::clone(&world.server), stream, BytesMut::new(), address()), flood);
        let full = world.dropped("full");
        assert!((930..1000).contains(&full), "{full}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_without_an_allocation_ends_its_connection_and_leaves_others_of_its_address_their_budget()
    {
        let world = World::new(|_| {});
        let (mut client, stream) = duplex(1 << 16);
        let flood = async {
            let mut sent = 0;
            while client.write_all(&[0x40, 0, 0, 0]).await.is_ok() {
                sent += 1;
                assert!(sent < 100_000, "it is read on");
            }
        };
        tokio::join!(serve(Arc::clone(&world.server), stream, BytesMut::new(), address()), flood);
        assert_eq!(world.dropped("unknown"), 101);
        assert_eq!(world.client("192.0.2.1:5001").allocate().code(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_above_its_rate_is_read_later() {
        let world = World::new(|limits| limits.bytes_per_second = 6400);
        let (mut client, stream) = duplex(64);
        let own = world.client("192.0.2.1:5000");
        let began = Instant::now();
        let flood = async {
            client.write_all(&own.allocate_request()).await.unwrap();
            for _ in 0..2000 {
                client.write_all(&[0x40, 0, 0, 0]).await.unwrap();
            }
            drop(client);
        };
        tokio::join!(serve(Arc::clone(&world.server), stream, BytesMut::new(), address()), flood);
        // 64 each, and the burst has ten seconds.
        assert!((9..=11).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[test]
    fn messages_are_found_in_what_comes() {
        let binding = binding();
        assert_eq!(next(&[]).unwrap(), None);
        assert_eq!(next(&binding[..19]).unwrap(), None);
        assert_eq!(next(&binding).unwrap(), Some((20, 20)));
        assert_eq!(next(&[0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0]).unwrap(), None, "the padding is missing");
        assert_eq!(next(&[0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]).unwrap(), Some((9, 12)));
        for nonsense in
            [&b"GET / HTTP/1.1"[..], &[0, 1, 0, 0, 1, 2, 3, 4], &[0x40, 0, 0xFF, 0xFF], &[0, 1, 0xFF, 0xFF]]
        {
            assert!(next(nonsense).is_err(), "{nonsense:?}");
        }
    }
}
