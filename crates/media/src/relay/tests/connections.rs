//! Connections of clients without UDP, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dashmap::DashMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, advance, timeout};

use super::world::{Client, World};
use crate::datapath::streams::Connections;
use crate::relay::service::{Service, Streams};

/// A player has made an offer, and its host, without an answer yet, has a connection.
fn offered() -> (World, Client, DuplexStream) {
    let world = World::new(|_| {});
    world.offer("player", "host", "1", "pufrag");
    let [_, host] = World::clients(["pufrag", "hufrag"]);
    let host = host.from("tcp:1.1.1.1:1000");
    let stream = connect(&world, &host);
    (world, host, stream)
}

/// Opens a client's connection.
fn connect(world: &World, client: &Client) -> DuplexStream {
    let (near, far) = tokio::io::duplex(4096);
    let streams = Streams { connections: Connections::new(world.host()), outboxes: DashMap::new() };
    let service = Service {
        ports: Arc::from([]),
        streams: Arc::new(streams),
        calls: Arc::clone(&world.calls),
        turn: None,
        counters: Arc::clone(&world.counters),
    };
    let from = client.at.address();
    tokio::spawn(async move {
        service.serve_call(tokio::io::split(far), from, Instant::now(), BytesMut::new()).await;
    });
    near
}

fn framed(check: &[u8]) -> Vec<u8> {
    [&(check.len() as u16).to_be_bytes()[..], check].concat()
}

/// A client checks once a second, as browsers do. True if it is still connected afterwards.
async fn checks(world: &World, stream: &mut DuplexStream, client: &Client, seconds: u64) -> bool {
    for _ in 0..seconds {
        if stream.write_all(&framed(&client.check(false))).await.is_err() {
            return false;
        }
        world.advance(Duration::from_secs(1));
        advance(Duration::from_secs(1)).await;
    }
    timeout(Duration::from_millis(1), stream.read(&mut [0; 512])).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_late_keeps_the_connection_on_which_it_checks() {
    let (world, host, mut stream) = offered();
    assert!(checks(&world, &mut stream, &host, 30).await);
    world.answer("player", "host", "1", "hufrag");
    // Firefox sends no second check over TCP.
    world.advance(Duration::from_secs(2));
    let [challenge] = &world.received(host.at)[..] else { panic!("no challenge") };
    stream.write_all(&framed(&host.answer(challenge))).await.unwrap();
    advance(Duration::from_secs(10)).await;
    assert!(world.calls.is_client(host.at));
}

#[tokio::test(start_paused = true)]
async fn a_check_without_a_waiting_offer_or_its_password_keeps_no_connection() {
    let world = World::new(|_| {});
    world.offer("player", "host", "1", "pufrag");
    for username in [["pufrag", "other"], ["nobody", "hufrag"]] {
        let [_, client] = World::clients(username);
        let client = client.from("tcp:1.1.1.1:1000");
        let mut stream = connect(&world, &client);
        let check = framed(&client.check_with("not the password", false));
        stream.write_all(&check).await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(6), stream.read_to_end(&mut rest)).await;
        assert!(matches!(ended, Ok(Ok(0))), "{username:?}: {ended:?} {rest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_proves_itself_loses_its_connection_when_the_offer_is_gone() {
    let (world, host, mut stream) = offered();
    assert!(checks(&world, &mut stream, &host, 100).await);
    world.advance(Duration::from_secs(30));
    world.sweep();
    assert!(!checks(&world, &mut stream, &host, 20).await);
}
