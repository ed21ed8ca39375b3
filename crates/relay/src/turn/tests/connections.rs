//! TURN over connections.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use stun_types::message::{BINDING, Message, MessageWrite as _, MessageWriteVec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::{Instant, sleep, timeout};

use super::world::{Answer, World, next};
use crate::turn::client::Ingress::Tcp;
use crate::turn::connections::IDLE_TIMEOUT;

fn binding() -> Vec<u8> {
    Message::builder_request(BINDING, MessageWriteVec::new()).finish()
}

fn channel_data(number: u16, bytes: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
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
            world.clock.advance(Duration::from_secs(1));
        }
    };
    let begin = Instant::now();
    let ((), ()) = tokio::join!(world.server.serve_stream(stream, BytesMut::new(), address(), Tcp), ask);
    assert!(begin.elapsed() < IDLE_TIMEOUT + Duration::from_secs(2));
    assert!(world.totals().traffic.bindings >= 10);
}

#[tokio::test(start_paused = true)]
async fn an_allocation_keeps_its_connection_and_ends_with_it() {
    let world = World::new(|_| {});
    let (mut client, stream) = duplex(1 << 16);
    let shown = world.client("192.0.2.1:5000");
    let talk = async {
        client.write_all(&shown.allocate_request()).await.unwrap();
        for _ in 0..10 {
            sleep(IDLE_TIMEOUT).await;
            world.clock.advance(IDLE_TIMEOUT);
        }
        sleep(IDLE_TIMEOUT).await;
        assert_eq!(world.allocations(), 1);
        drop(client);
    };
    tokio::join!(world.server.serve_stream(stream, BytesMut::new(), address(), Tcp), talk);
    assert_eq!((world.allocations(), world.server.known()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_off_leaves_nothing_behind() {
    let world = World::new(|_| {});
    let (mut client, stream) = duplex(1 << 16);
    client.write_all(&world.client("192.0.2.1:5000").allocate_request()).await.unwrap();
    let serving = world.server.serve_stream(stream, BytesMut::new(), address(), Tcp);
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
        let relayed = Answer(answer[..length].to_vec()).relayed();
        let other = world.client("198.51.100.1:6000");
        let at = other.allocate().relayed();
        other.bind(0x4000, relayed);
        client.write_all(&own.permit_request(&[at])).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        for _ in 0..1000 {
            other.send_channel(0x4000, &[7; 1000]);
        }
        sleep(Duration::from_secs(1)).await;
        world.clock.advance(IDLE_TIMEOUT);
        client
    };
    let ((), _client) =
        tokio::join!(world.server.serve_stream(stream, BytesMut::new(), address(), Tcp), flood);
    let full = world.dropped("full");
    assert!((930..1000).contains(&full), "{full}");
}

/// A client over a connection sends a thousand datagrams to peers in turn, and checks the path to one more.
/// None of them reads. Returns the time that this takes.
async fn sends_to(peers: u16) -> Duration {
    let world = World::new(|limits| limits.bytes_per_second = 0);
    let (mut client, stream) = duplex(1 << 16);
    let own = world.client("192.0.2.1:5000");
    let receivers = 0x4000..0x4000 + peers;
    let checked = 0x4000 + peers;
    let sends = async {
        client.write_all(&own.allocate_request()).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = client.read(&mut answer).await.unwrap();
        let at = Answer(answer[..length].to_vec()).relayed();
        for channel in receivers.clone().chain([checked]) {
            let peer = world.client(&format!("198.51.100.1:{channel}"));
            let relayed = peer.allocate().relayed();
            peer.permit(&[at]);
            client.write_all(&own.bind_request_of(channel, relayed)).await.unwrap();
        }
        let began = Instant::now();
        for channel in receivers.cycle().take(1000) {
            client.write_all(&channel_data(channel, &[7; 1000])).await.unwrap();
            client.write_all(&channel_data(checked, &binding())).await.unwrap();
        }
        drop(client);
        began
    };
    let serve = world.server.serve_stream(stream, BytesMut::new(), address(), Tcp);
    let ((), began) = tokio::join!(serve, sends);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_slowed_by_the_only_peer_that_it_sends_to_and_by_none_of_several() {
    assert!(sends_to(1).await > Duration::from_secs(1));
    assert_eq!(sends_to(2).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_flood_without_an_allocation_ends_its_connection_and_leaves_others_of_its_address_their_budget() {
    let world = World::new(|_| {});
    let (mut client, stream) = duplex(1 << 16);
    let flood = async {
        let mut sent = 0;
        while client.write_all(&[0x40, 0, 0, 0]).await.is_ok() {
            sent += 1;
            assert!(sent < 100_000, "it is read on");
        }
    };
    tokio::join!(world.server.serve_stream(stream, BytesMut::new(), address(), Tcp), flood);
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
    tokio::join!(world.server.serve_stream(stream, BytesMut::new(), address(), Tcp), flood);
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
