//! Attacks on the TURN server. Meanwhile two of its clients talk, over TCP: what UDP loses proves nothing.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use stun_types::message::{Message, MessageWriteExt as _};
use turn_types::attribute::Lifetime;
use turn_types::message::REFRESH;

use crate::flow::{connect_with_small_segments, ended};
use crate::harness::Target;
use crate::http_client::connect;
use crate::program::Program;
use crate::turn_client::{self, Datagrams, SECRET, Stream, TurnClient, USERNAME, allocate_request, tcp};

/// Time in which the server must give something up.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The address of the TURN server, as pages learn it.
pub fn turn_of(target: &Target) -> SocketAddr {
    turn_client::turn_of(&target.program)
}

/// An address of an attacker: limits are per address.
pub fn attacker(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, 0, u8::try_from(number % 200 + 1).expect("below 200"))
}

/// Sends as fast as the server reads.
pub fn at_once<S>(stream: S) -> Stream<S> {
    Stream { stream, piece: usize::MAX }
}

/// Allocations, as the operator sees them.
fn allocations(target: &Target) -> u64 {
    let statistics = target.api.get("/api/stats").json;
    statistics["turn"]["allocations"].as_u64().expect("a number")
}

/// Two clients that are served whatever others do.
pub struct Pair {
    one: TurnClient,
    other: TurnClient,
    said: u32,
}

impl Pair {
    pub fn open(turn: SocketAddr) -> Self {
        let [mut one, mut other] = [(); 2].map(|()| TurnClient::allocate(tcp(turn)));
        assert!(one.bind(other.relayed) && other.bind(one.relayed), "channels");
        Pair { one, other, said: 0 }
    }

    /// Each hears the other, and nobody else.
    pub fn talk(&mut self) {
        self.said += 1;
        let words = self.said.to_be_bytes();
        self.one.send(&words);
        assert_eq!(self.other.receive(), words);
        self.other.send(&words);
        assert_eq!(self.one.receive(), words);
    }
}

// Issue 1999 and pull request 2002 of coturn, which kept a nonce for each stranger.
pub fn strangers(target: &mut Target) {
    let turn = turn_of(target);
    let mut pair = Pair::open(turn);
    let ports: Vec<UdpSocket> = (0..2000)
        .map(|number| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
            // The answers are for nobody, and must not fill the memory of this machine.
            socket.set_recv_buffer_size(2048).expect("a buffer");
            socket.bind(&SocketAddr::from((attacker(number), 0)).into()).expect("a port");
            socket.into()
        })
        .collect();
    let request = allocate_request();
    for _ in 0..100 {
        for port in &ports {
            // The kernel drops what is too fast.
            let _ = port.send_to(&request, turn);
        }
        pair.talk();
        drop(TurnClient::allocate(tcp(turn)));
    }
    TurnClient::allocate(Datagrams::to(turn));
}

pub fn all_allocations(target: &mut Target) {
    let turn = turn_of(target);
    let mut pair = Pair::open(turn);
    let mut taken = Vec::new();
    for number in 0..4000 {
        let line = || Box::new(Datagrams::from(attacker(number), turn));
        match TurnClient::allocate_as(USERNAME, line()) {
            Ok(client) => taken.push(client),
            Err(code) => assert_eq!(code, 508, "Insufficient Capacity"),
        }
        let wrong = TurnClient::allocate_with("another-secret-of-some-length", USERNAME, line());
        assert_eq!(wrong.err(), Some(401));
        if number % 100 == 0 {
            pair.talk();
        }
    }
    assert_eq!(taken.len(), 1998, "all but those of the pair");
    let line = Datagrams::from(attacker(0), turn);
    assert_eq!(TurnClient::allocate_as(USERNAME, Box::new(line)).err(), Some(508));
    let answer = taken.pop().expect("a client").ask(REFRESH, |request| {
        request.add_attribute(&Lifetime::new(0)).expect("an attribute");
    });
    assert!(Message::from_bytes(&answer).expect("an answer").is_response());
    pair.talk();
    TurnClient::allocate(tcp(turn));
}

pub fn slow_readers(target: &mut Target) {
    let turn = turn_of(target);
    let mut pair = Pair::open(turn);
    let mut sender = TurnClient::allocate(at_once(connect(turn)));
    let mut slow = Vec::new();
    for number in 0..20 {
        let stream = connect_with_small_segments(turn);
        let mut client = TurnClient::allocate(at_once(stream.try_clone().expect("a connection")));
        assert!(client.bind(sender.relayed), "a channel");
        assert!(sender.bind_at(0x4002 + number, client.relayed), "a channel");
        for _ in 0..5000 {
            sender.send_at(0x4002 + number, &[7; 1000]);
        }
        pair.talk();
        slow.push((stream, client));
    }
    let deadline = Instant::now() + TIMEOUT;
    while allocations(target) > 3 {
        assert!(Instant::now() < deadline, "those who do not read keep their connections");
        pair.talk();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(slow.iter().all(|(stream, _)| ended(stream, deadline)), "their connections end");
}

pub fn garbage(target: &mut Target) {
    let plain = turn_of(target);
    // With a certificate, the port takes TLS as well.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let turn = free.expect("a free port");
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
    let key = format!("{tls}/ec-pkcs8.key");
    let cert = format!("{tls}/ec-chain.pem");
    let flags = ["--turn", &turn.to_string(), "--turn_secret", SECRET, "--sslkey", &key, "--sslcert", &cert];
    let _program = Program::start(&flags);
    // Both at once: what is not closed at once has ten seconds.
    thread::scope(|scope| {
        scope.spawn(|| send_garbage(plain, 2000));
        send_garbage(turn, 500);
    });
}

fn send_garbage(turn: SocketAddr, count: usize) {
    let mut pair = Pair::open(turn);
    let request = allocate_request();
    let mut random = 1_u32;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random
    };
    let connections: Vec<TcpStream> = (0..count)
        .map(|number| {
            let mut bytes = match number % 4 {
                0 => request.clone(),
                // A handshake of TLS, a channel, and anything.
                1 => vec![0x16, 3, 1, 0, 200],
                2 => vec![0x40, 1, 0, 200],
                _ => Vec::new(),
            };
            bytes.resize(64, 0);
            for _ in 0..8 {
                let at = next() as usize % bytes.len();
                bytes[at] = next() as u8;
            }
            let mut stream = tcp(turn).stream;
            stream.write_all(&bytes).expect("a connection that is open");
            if number % 100 == 0 {
                pair.talk();
            }
            stream
        })
        .collect();
    let deadline = Instant::now() + TIMEOUT;
    assert!(connections.iter().all(|stream| ended(stream, deadline)), "all of them end");
    pair.talk();
}
