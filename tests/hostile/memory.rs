//! Attacks that fill memory, which the server must return afterwards.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::flow::{connect_with_small_segments, push};
use crate::guests::join;
use crate::harness::{Target, accepted, with_address};
use crate::ids::message;
use crate::raw_client::RawClient;
use crate::wire::{self, MASKED, opcode};

const SECOND: Duration = Duration::from_secs(1);

pub fn unfinished_messages(target: &mut Target) {
    // Slightly below the message limit.
    const LEN: usize = (1 << 20) - 1024;
    let mut fragment = wire::frame(opcode::TEXT, &[b'x'; LEN]);
    let mut begun = wire::header(opcode::CONTINUATION, MASKED, LEN as u64);
    begun.resize(begun.len() + LEN - 1, b'x');
    fragment.extend(begun);
    let mut unfinished = wire::header(opcode::TEXT, MASKED, LEN as u64);
    unfinished.resize(unfinished.len() + LEN - 1, b'x');

    let connections: Vec<TcpStream> = (0..600)
        .map(|n| {
            let stream = target.connect();
            let from = if n < 300 { "198.51.100.1" } else { "198.51.100.2" };
            accepted(stream.try_clone().expect("a connection"), from, &format!("unfinished-{n}"), "t");
            push(&stream, if n % 2 == 0 { &fragment } else { &unfinished }, Instant::now() + SECOND);
            stream
        })
        .collect();
    drop(connections);
}

/// Players join the room of a host that was lost: their offers wait for it.
pub fn waiting_offers(target: &mut Target) {
    const PLAYERS: usize = 600;
    let guest = |stream: TcpStream, from: &str| {
        let mut guest = RawClient::over(stream, "guest");
        guest.send_raw(with_address(&RawClient::handshake("/"), from));
        guest.expect_accepted();
        guest
    };
    let mut host = guest(target.connect(), "203.0.113.20");
    let room = host.create_room();
    host.reset();
    let offer = join(&room, "anna", &format!(r#"{{"sdp":"{}"}}"#, "x".repeat(950_000)));
    let offer = wire::text(&offer);
    let players: Vec<TcpStream> = (0..PLAYERS)
        .map(|n| {
            let stream = target.connect();
            guest(stream.try_clone().expect("a connection"), &format!("198.51.100.{}", n % 2));
            push(&stream, &offer, Instant::now() + SECOND);
            stream
        })
        .collect();
    drop(players);
}

pub fn flood_for_an_absent_peer(target: &mut Target) {
    let stream = target.connect();
    let mut client = accepted(stream.try_clone().expect("a connection"), "198.51.100.1", "flooder", "t");
    client.expect_open();
    let message = message("absent", 16 << 10);
    let mut left = 200_000_000 / message.len();
    let batch = 64;
    let messages = message.repeat(batch);
    std::thread::scope(|scope| {
        scope.spawn(|| while client.next_frame("an expiry").is_some() {});
        while left > 0 {
            assert_eq!(push(&stream, &messages, Instant::now() + 10 * SECOND), messages.len(), "it is read");
            left = left.saturating_sub(batch);
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
}

pub fn unread_outboxes(target: &mut Target) {
    let peers: Vec<_> = (0..200)
        .map(|n| {
            let stream = connect_with_small_segments(target.address);
            accepted(stream, "198.51.100.2", &format!("unread-{n}"), "t")
        })
        .collect();
    // In turn, so that the memory of different peers is interleaved.
    let round: Vec<u8> = (0..200).flat_map(|n| message(&format!("unread-{n}"), 15 << 10)).collect();
    let stream = target.connect();
    let mut client = accepted(stream.try_clone().expect("a connection"), "198.51.100.1", "flooder", "t");
    client.expect_open();
    let deadline = Instant::now() + 4 * SECOND;
    for _ in 0..60 {
        push(&stream, &round, deadline);
    }
    drop(peers);
}

pub fn messages_to_a_silent_app(target: &mut Target) {
    const MESSAGES: usize = 40;
    /// Of all keys: docs/LIMITS.md.
    const MAX_WAITING: usize = 512;
    // It accepts and answers nothing.
    let app = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", app.local_addr().expect("its address"));
    let webhook =
        json!({"url": url, "secrets": ["whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"], "messages": true});
    let message = format!(r#"{{"type":"SERVER-MESSAGE","payload":"{}"}}"#, "x".repeat(60 << 10));
    let mut clients = Vec::new();
    let mut refused = 0;
    for key in 0..9 {
        let added = target.api.post("/api/keys", &json!({"key": format!("app-{key}"), "webhook": webhook}));
        assert_eq!(added.status, 201, "a key whose app is silent");
        for id in 0..5 {
            let mut client = RawClient::over(target.connect(), &format!("{key}/{id}"));
            let path = format!("/peerjs?key=app-{key}&id={id}&token=t");
            // Each from another address, because one leaves half of a key's places to others.
            let source = format!("\r\nX-Forwarded-For: 198.51.100.{id}\r\n\r\n");
            client.send_raw(RawClient::handshake(&path).replacen("\r\n\r\n", &source, 1));
            client.expect_accepted();
            client.expect_open();
            (0..MESSAGES).for_each(|_| client.send(&message));
            refused += refusals(&mut client, id);
            clients.push((client, id));
        }
    }
    // Those whose messages gave way to another client's or key's hear of it later.
    refused += clients.iter_mut().map(|(client, id)| refusals(client, *id)).sum::<usize>();
    assert_eq!(refused, MESSAGES * clients.len() - MAX_WAITING);
}

/// The number of refusals that a client has got. A message to itself comes behind them.
fn refusals(client: &mut RawClient, id: usize) -> usize {
    client.send(format!(r#"{{"type":"OFFER","dst":"{id}","payload":{{}}}}"#));
    let texts = std::iter::repeat_with(|| client.expect_text()).take_while(|text| !text.contains("OFFER"));
    texts.inspect(|text| assert!(text.contains("too_many_messages"), "{text}")).count()
}
