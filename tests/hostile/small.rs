//! Attacks that need only a few requests.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{ADMIN_TOKEN, Target};
use crate::http_client::{HttpConnection, Response};
use crate::program::Program;
use crate::raw_client::RawClient;
use crate::wire::{self, FIN, opcode};

const ATTACKER: &str = "198.51.100.1";
const VICTIM: &str = "203.0.113.10";

/// Sends a handshake with further headers. Each header is a complete line.
fn begin(target: &Target, path: &str, headers: &str) -> RawClient {
    let mut client = RawClient::over(target.connect(), path);
    client.send_raw(RawClient::handshake(path).replacen("\r\n\r\n", &format!("\r\n{headers}\r\n"), 1));
    client
}

/// Opens a WebSocket, with an address from the proxy.
fn open(target: &Target, path: &str, from: &str) -> RawClient {
    let mut client = begin(target, path, &format!("X-Forwarded-For: {from}\r\n"));
    client.expect_accepted();
    client
}

/// Sends a request with its own `Host` and further headers.
fn request(target: &Target, line: &str, headers: &str, body: &str) -> Response {
    let mut http = HttpConnection::over(target.connect());
    http.send(format!("{line} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()));
    http.response(false)
}

pub fn long_origins(target: &mut Target) {
    // The pattern fits the long origins too, so only their length is wrong.
    let key = json!({"key": "web", "origins": ["https://*.example.org"]});
    assert_eq!(target.api.post("/api/keys", &key).status, 201, "the key");
    let from = |origin: &str, id: &str| {
        let headers = format!("X-Forwarded-For: {ATTACKER}\r\nOrigin: {origin}\r\n");
        begin(target, &format!("/peerjs?key=web&id={id}&token=t"), &headers)
    };
    for length in [400, 100_000] {
        let rest = length - "https://.example.org".len();
        let mut attacker = from(&format!("https://{}.example.org", "a".repeat(rest)), "attacker");
        attacker.expect_accepted();
        attacker.expect(r#"{"type":"ERROR","payload":{"msg":"This origin may not use the key"}}"#);
        attacker.expect_closed_with(None);
        let mut client = from("https://game.example.org", "client");
        client.expect_accepted();
        client.expect_open();
        client.expect_closed_by_us(Some(1000));
    }
}

pub fn pages_of_other_sites(target: &mut Target) {
    let add = |site: &str, key: &str| {
        let line = format!("Sec-Fetch-Site: {site}\r\nAuthorization: Bearer {ADMIN_TOKEN}");
        target.api.clone().with_header(&line).post("/api/keys", &json!({"key": key})).status
    };
    let stored = |key: &str| target.api.get(&format!("/api/keys/{key}")).status;
    assert_eq!(add("cross-site", "theirs"), 403, "a page of another site");
    assert_eq!(stored("theirs"), 404, "its key");
    assert_eq!(add("same-origin", "ours"), 201, "a page of the operator");
    assert_eq!(stored("ours"), 200, "its key");
}

pub fn removed_directory(target: &mut Target) {
    let data_dir = target.directory.arg("removed");
    let mut program = Program::start(&["--ops_port", "0", "--data_dir", &data_dir]);
    let (api, _) = program.expect_api();
    let add = |key: &str| api.post("/api/keys", &json!({"key": key})).status;
    assert_eq!(add("before"), 201, "a key in a directory that exists");
    std::fs::remove_dir_all(&data_dir).expect("the directory");
    for key in ["after", "later"] {
        assert_eq!(add(key), 500, "{key}, a key that nothing can keep");
    }
    program.client("still-served");
}

/// Fills in the form that registers a key, behind a proxy that speaks HTTPS with its clients.
fn register(target: &Target, origin: &str, hosts: &str, addresses: &str) -> u16 {
    let headers = format!(
        "Host: broker.internal\r\nX-Forwarded-Proto: https\r\nOrigin: {origin}\r\n{hosts}\
         X-Forwarded-For: {addresses}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    let body = "name=My+game&origin=https%3A%2F%2Fgame.example";
    request(target, "POST /broker/register", &headers, body).status
}

pub fn forged_hosts(target: &mut Target) {
    const EVIL: &str = "https://evil.example";
    const REAL: &str = "https://real.example";
    const HOST: &str = "X-Forwarded-Host: real.example\r\n";
    for hosts in [
        "X-Forwarded-Host: evil.example, real.example\r\n",
        "X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: real.example\r\n",
    ] {
        assert_eq!(register(target, EVIL, hosts, ATTACKER), 403, "{hosts:?}");
    }
    assert_eq!(register(target, REAL, HOST, VICTIM), 303, "a page of this server");
    // The proxy appends the true address to what the client has claimed.
    let claimed = |n: u8| register(target, REAL, HOST, &format!("192.0.2.{n}, {ATTACKER}"));
    let statuses: Vec<u16> = (1..=12).map(claimed).collect();
    let made = statuses.iter().filter(|status| **status == 303).count();
    assert_eq!(made, 5, "keys that one address has registered: {statuses:?}");
    assert_eq!(register(target, REAL, HOST, VICTIM), 303, "another address");
}

/// Asks to join a room as simple-peer apps do.
fn join(room: &str, username: &str) -> String {
    let offer = r#"{"type":"offer","sdp":"v=0"}"#;
    format!(r#"{{"action":"joinRoom","room":"{room}","username":"{username}","offer":{offer}}}"#)
}

pub fn guessed_room_codes(target: &mut Target) {
    let mut host = open(target, "/", VICTIM);
    host.send(r#"{"action":"createRoom"}"#);
    let confirmed = host.expect_text();
    let room = confirmed.split('"').rev().nth(1).expect("the code of a room");
    let letter = |n: usize| char::from(b'A' + (n % 26) as u8);
    let codes = (0..).map(|n| format!("QX{}{}", letter(n / 26), letter(n)));
    let wrong: Vec<String> = codes.filter(|code| code != room).take(200).collect();
    // All codes are sent at once: the address gets a new guess every 200 ms.
    let guesses = wrong.iter().map(String::as_str).chain([room]);
    let frames: Vec<u8> = guesses.flat_map(|code| wire::text(&join(code, "attacker"))).collect();
    let mut attacker = open(target, "/", ATTACKER);
    attacker.send_raw(frames);
    for _ in 0..=wrong.len() {
        attacker.expect(r#"{"type":"error","val":"wrong room"}"#);
    }
    // The pong is the next frame, so the host got no offer.
    host.ping(b"quiet");
    assert_eq!(host.expect_pong(), b"quiet");
    let mut player = open(target, "/", "203.0.113.11");
    player.send(join(room, "anna"));
    let offered = host.expect_text();
    assert!(offered.contains(r#""clientUsername":"anna""#), "the host is told: {offered}");
}

pub fn echoed_hosts(target: &mut Target) {
    let forwarded = format!("X-Forwarded-Host: evil.example\r\nX-Forwarded-For: {ATTACKER}\r\n");
    let headers = format!("Host: evil.example\r\n{forwarded}");
    let get = request(target, "GET /nothing", &headers, "");
    let upgrade = begin(target, "/nothing", &forwarded).expect_response();
    for answer in [get, upgrade] {
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"), "{answer:?}");
    }
    assert_eq!(request(target, "GET /healthz", &headers, "").status, 200, "a path that exists");
}

pub fn leaving_in_a_pause(target: &mut Target) {
    // At one message per second, the 64 KiB of pings cost more than the longest pause of 60 s.
    let key = json!({"key": "slow", "messages_per_second": 1});
    assert_eq!(target.api.post("/api/keys", &key).status, 201, "the key");
    let listed = |id: &str| {
        let peers = target.api.get("/api/keys/slow/peers").json;
        peers["peers"].as_array().expect("peers").iter().any(|peer| peer["id"] == id)
    };
    let ping = wire::frame(FIN | opcode::PING, b"x");
    let pings = ping.repeat((64 << 10) / ping.len());
    let ways: [fn(RawClient); 2] = [drop, RawClient::reset];
    for (id, leave) in ["closed", "reset"].into_iter().zip(ways) {
        let path = |token: &str| format!("/peerjs?key=slow&id={id}&token={token}");
        let mut client = open(target, &path("first"), ATTACKER);
        client.expect_open();
        client.send_raw(&pings);
        // The burst is 10 messages. The server answered the others on credit, and pauses.
        (0..100).for_each(|_| drop(client.expect_pong()));
        assert!(listed(id), "{id} is connected");
        leave(client);
        let deadline = Instant::now() + Duration::from_secs(2);
        while listed(id) {
            assert!(Instant::now() < deadline, "{id} is listed 2 s after its client has left");
            thread::sleep(Duration::from_millis(10));
        }
        let mut next = open(target, &path("another"), VICTIM);
        next.expect_open();
    }
}
