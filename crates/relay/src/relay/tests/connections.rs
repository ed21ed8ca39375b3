//! Connections of clients without UDP, in virtual time.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use dashmap::DashMap;
use peerbroker_core::clock::Clock;
use peerbroker_media_api::{LiveLimits, MediaContext, MediaHost, Permit, RelayConfig};
use peerbroker_system::threads::Threads;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{advance, timeout};

use super::world::{Client, World, binding};
use crate::datapath::streams::Connections;
use crate::relay::service::{Service, Streams};
use crate::relay::{BoundRelay, Relay};

/// A player has made an offer, and its host, without an answer yet, has a connection.
fn offered() -> (World, Client, DuplexStream) {
    let world = World::new(|_| {});
    world.offer("player", "host", "1", "pufrag");
    let [_, host] = World::clients(["pufrag", "hufrag"]);
    let host = host.from("1.1.1.1:1000 over TCP");
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
    let from = client.at;
    let opened = world.clock.now();
    tokio::spawn(async move {
        service.serve_call(tokio::io::split(far), from, opened, BytesMut::new()).await;
    });
    near
}

fn framed(check: &[u8]) -> Vec<u8> {
    [&(check.len() as u16).to_be_bytes()[..], check].concat()
}

/// Time passes, for timers too, after tasks have run.
async fn pass(world: &World, time: Duration) {
    advance(Duration::from_millis(1)).await;
    world.clock.advance(time);
    advance(time).await;
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
    pass(&world, Duration::from_secs(10)).await;
    assert!(world.calls.is_client(host.at));
    // Time in which this process does not run.
    world.clock.add_gap(Duration::from_secs(3600));
    advance(Duration::from_secs(3600)).await;
    assert!(world.calls.is_client(host.at));
    pass(&world, Duration::from_secs(3600)).await;
    assert!(!world.calls.is_client(host.at));
}

#[test]
fn connections_to_both_ports_from_one_address_are_two_clients() {
    let world = World::new(|_| {});
    let [one, other] = world.begin("a", "b", "1", ["aufrag", "bufrag"]);
    let [third, fourth] = world.begin("c", "d", "1", ["cufrag", "dufrag"]);
    world.advance(Duration::from_secs(2));
    let one = one.from("1.1.1.1:1000 over TCP");
    let third = third.from("1.1.1.1:1000 over the broker's TCP");
    let fourth = fourth.from("2.2.2.2:2000");
    world.join(&one, &other);
    world.join(&third, &fourth);
    world.send(other.at, b"\x80one");
    world.send(fourth.at, b"\x80other");
    assert_eq!(
        (world.received(one.at), world.received(third.at)),
        (vec![b"\x80one".to_vec()], vec![b"\x80other".to_vec()])
    );
    // One of them ends, and the other stays.
    world.calls.leave(one.at);
    assert!(!world.calls.is_client(one.at) && world.calls.is_client(third.at));
}

/// A relay whose host counts the connections that it admits, up to a number.
fn relay(most: usize) -> (Relay, Arc<AtomicUsize>) {
    struct Counting(Arc<AtomicUsize>, usize);

    impl MediaHost for Counting {
        fn admit_connection(&self, _: IpAddr) -> Option<Permit> {
            (self.0.fetch_add(1, Ordering::SeqCst) < self.1).then(|| Box::new(()) as Permit)
        }
    }

    let asked = Arc::<AtomicUsize>::default();
    let host = Arc::new(Counting(Arc::clone(&asked), most));
    let context = MediaContext {
        host,
        limits: LiveLimits::default(),
        clock: Clock::manual(),
        threads: Threads::default(),
    };
    let config = RelayConfig {
        listen: vec![([127, 0, 0, 1], 0).into()],
        public: Vec::new(),
        tcp: true,
        tcp_port: None,
        private: true,
    };
    let (relay, _) = BoundRelay::bind(config).unwrap().start(context, None).unwrap();
    (relay, asked)
}

#[tokio::test]
async fn connections_of_the_broker_count_like_those_of_the_relay() {
    let (relay, asked) = relay(1);
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = broker.local_addr().unwrap();
    let question = framed(&binding());
    let mut served = JoinSet::new();
    let mut ask = async || {
        let mut client = TcpStream::connect(at).await.unwrap();
        let (stream, _) = broker.accept().await.unwrap();
        // The broker has read a byte, and the rest comes later.
        served.spawn(relay.serve(stream, &question[..1]));
        client.write_all(&question[1..]).await.unwrap();
        let mut length = [0; 2];
        client.read_exact(&mut length).await.map(|_| client)
    };
    let first = ask().await;
    assert!(first.is_ok(), "{first:?}");
    assert!(ask().await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_check_without_a_waiting_offer_or_its_password_keeps_no_connection() {
    let world = World::new(|_| {});
    world.offer("player", "host", "1", "pufrag");
    for username in [["pufrag", "other"], ["nobody", "hufrag"]] {
        let [_, client] = World::clients(username);
        let client = client.from("1.1.1.1:1000 over TCP");
        let mut stream = connect(&world, &client);
        let check = framed(&client.check_with("not the password", false));
        stream.write_all(&check).await.unwrap();
        pass(&world, Duration::from_secs(5)).await;
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
