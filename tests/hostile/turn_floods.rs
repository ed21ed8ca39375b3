//! Floods of small messages to the TURN server and to the relay, and hoarders of allocations. Others must not
//! wait for them.

use std::io::{ErrorKind, Read as _, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use stun_types::message::{BINDING, Message, MessageWrite as _, MessageWriteVec};
use testkit::tls::trust;

use crate::harness::Target;
use crate::http_client::connect;
use crate::program::Program;
use crate::raw_client::RawClient;
use crate::turn::{Pair, at_once, attacker, turn_of};
use crate::turn_client::{Datagrams, SECRET, TurnClient, USERNAME, tcp};

/// Duration of each flood.
const FLOOD: Duration = Duration::from_millis(1500);
/// Longest wait of a bystander. Calm, it is a millisecond; a busy machine has other work.
const MOST: Duration = Duration::from_millis(500);
/// ChannelData of no length.
const EMPTY: &[u8] = &[0x40, 0, 0, 0];

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// A connection from an attacker's address.
fn connect_from(own: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((own, 0)).into()).expect("an address");
    socket.connect(&to.into()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    stream
}

/// Ends the threads of a flood, also if a bystander panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends `bytes` without end over `count` connections, each opened again when it ends. Meanwhile `serve` is
/// asked again and again; it must never wait.
fn flood<W: Write>(
    what: &str,
    count: usize,
    open: impl Fn(usize) -> W + Sync,
    bytes: &[u8],
    mut serve: impl FnMut(),
) {
    let done = AtomicBool::new(false);
    let joined = bytes.repeat((64 << 10) / bytes.len());
    let longest = thread::scope(|scope| {
        for number in 0..count {
            let open = &open;
            let joined = &joined;
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let mut stream = open(number);
                    let mut at = 0;
                    while !done.load(Ordering::SeqCst) {
                        match stream.write(&joined[at..]) {
                            Ok(count) => at = (at + count) % joined.len(),
                            // It is not read, which is fine.
                            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                            Err(_) => break,
                        }
                    }
                }
            });
        }
        let _end = End(&done);
        let end = Instant::now() + FLOOD;
        let mut longest = Duration::ZERO;
        while Instant::now() < end && longest < MOST {
            let began = Instant::now();
            serve();
            longest = longest.max(began.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
        longest
    });
    println!("    {what}: others waited for up to {longest:?}");
    assert!(longest < MOST, "{what}: others waited for {longest:?}");
}

fn binding() -> Vec<u8> {
    Message::builder_request(BINDING, MessageWriteVec::new()).finish()
}

pub fn framed(datagram: &[u8]) -> Vec<u8> {
    [&u16::try_from(datagram.len()).expect("a short one").to_be_bytes()[..], datagram].concat()
}

pub fn empty_messages(target: &mut Target) {
    let turn = turn_of(target);
    let mut pair = Pair::open(turn);
    let mut serve = || {
        pair.talk();
        drop(TurnClient::allocate(tcp(turn)));
    };
    flood("strangers at TURN", 4, |number| connect_from(attacker(number), turn), EMPTY, &mut serve);
    // Each has an allocation of its own, and an address whose budget is not used up.
    let client = |number| {
        let stream = connect_from(attacker(number + 4), turn);
        drop(TurnClient::allocate(at_once(stream.try_clone().expect("a connection"))));
        stream
    };
    flood("clients at TURN", 4, client, EMPTY, serve);
}

pub fn empty_frames(_: &mut Target) {
    let relay = free_address();
    let program = Program::start(&["--relay", &relay.to_string(), "--relay_private"]);
    // One frame of STUN first, so that the relay takes it for a client of a call.
    let open = |to: SocketAddr| {
        move |number| {
            let mut stream = connect_from(attacker(number), to);
            let _ = stream.write_all(&framed(&binding()));
            stream
        }
    };
    let ask = |to: SocketAddr| {
        let mut stream = connect(to);
        stream.write_all(&framed(&binding())).expect("a connection");
        stream.read_exact(&mut [0; 34]).expect("an answer of STUN");
    };
    flood("empty frames at the relay", 8, open(relay), &[0, 0], || ask(relay));
    flood("tiny frames at the relay", 8, open(relay), &[0, 1, 0x80], || ask(relay));
    flood("STUN at the relay", 8, open(relay), &framed(&binding()), || ask(relay));
    // The broker's port, with clients of HTTP.
    let broker = program.address;
    let serve = || {
        ask(broker);
        let mut client = RawClient::over(connect(broker), "client");
        client.send_raw("GET /peerjs/id HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.expect_response().status, 200);
    };
    flood("STUN at the broker", 8, open(broker), &framed(&binding()), serve);
    flood("nonsense at the broker", 8, |number| connect_from(attacker(number), broker), &[0], serve);
}

pub fn empty_messages_in_tls(_: &mut Target) {
    let turn = free_address().to_string();
    let key = format!("{TLS}/ec-pkcs8.key");
    let cert = format!("{TLS}/ec-chain.pem");
    let flags = ["--turn", &turn, "--turn_secret", SECRET, "--sslkey", &key, "--sslcert", &cert];
    let program = Program::start(&flags);
    let https = program.address;
    let trust = trust();
    let tls = |stream| {
        let session = ClientConnection::new(Arc::clone(&trust), "localhost".try_into().expect("a name"));
        StreamOwned::new(session.expect("a session"), stream)
    };
    let open = |name: &str| {
        let mut client = RawClient::connect_tls(https, name, Arc::clone(&trust));
        client.send_raw(RawClient::handshake(&format!("/peerjs?key=peerjs&id={name}&token=t")));
        client.expect_accepted();
        client.expect_open();
        client
    };
    let mut a = open("a");
    let mut b = open("b");
    let serve = || {
        a.send(r#"{"type":"OFFER","dst":"b","payload":1}"#);
        b.expect(r#"{"type":"OFFER","src":"a","dst":"b","payload":1}"#);
        open("newcomer").expect_closed_by_us(Some(1000));
    };
    flood("TURN inside TLS", 4, |number| tls(connect_from(attacker(number), https)), EMPTY, serve);
}

pub fn tiny_datagrams(target: &mut Target) {
    let turn = turn_of(target);
    let open = |number| {
        let socket = UdpSocket::bind((attacker(number), 0)).expect("a socket");
        socket.connect(turn).expect("an address");
        (TurnClient::allocate(Datagrams::over(socket.try_clone().expect("a socket"))), socket)
    };
    let [(mut one, _), (mut other, heard)] = [0, 1].map(open);
    assert!(one.bind(other.relayed) && other.bind(one.relayed), "channels");
    heard.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let [(mut sender, flooder), (mut sink, _)] = [2, 3].map(open);
    assert!(sender.bind(sink.relayed) && sink.bind(sender.relayed), "channels");
    let before = packets(target);
    let done = AtomicBool::new(false);
    let (sent, lost, rounds) = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut sent = 0_u64;
            while !done.load(Ordering::SeqCst) {
                sent += u64::from(flooder.send(&[0x40, 1, 0, 1, 7]).is_ok());
            }
            sent
        });
        let over = End(&done);
        let end = Instant::now() + FLOOD;
        let mut lost = 0;
        let mut rounds = 0_u32;
        while Instant::now() < end {
            rounds += 1;
            one.send(&rounds.to_be_bytes());
            let mut datagram = [0; 8];
            // Not one that was late.
            while heard.recv(&mut datagram).is_ok() && datagram[4..] != rounds.to_be_bytes() {}
            lost += u32::from(datagram[4..] != rounds.to_be_bytes());
        }
        drop(over);
        (flood.join().expect("a flood"), lost, rounds)
    });
    let passed = packets(target) - before;
    println!("    {sent} datagrams of one byte: {passed} passed; another pair lost {lost} of {rounds}");
    // A burst of ten seconds, and the flood: 125,000 bytes per second, and 65 for each.
    assert!(passed < 125_000 * 15 / 65 + u64::from(rounds), "{passed} of {sent} passed");
    // The kernel drops what a thread has no time to read, on a busy machine some of everybody's.
    assert!(lost * 2 <= rounds, "another pair lost {lost} of {rounds}");
}

fn packets(target: &Target) -> u64 {
    target.api.get("/api/stats").json["turn"]["packets"].as_u64().expect("a number")
}

pub fn hoarded_allocations(target: &mut Target) {
    let turn = turn_of(target);
    let mut pair = Pair::open(turn);
    let mut hoard = Vec::new();
    for number in 0..2000 {
        let line = Box::new(Datagrams::from(attacker(number % 20), turn));
        hoard.extend(TurnClient::allocate_as(USERNAME, line));
        if number % 100 == 0 {
            pair.talk();
        }
    }
    assert_eq!(hoard.len(), 1998, "all but those of the pair");
    // Each newcomer gets one, over UDP and over TCP, and the hoarders get hardly any back: only where another
    // thread held one that was to go, so that a second one went as well.
    let mut newcomers = Vec::new();
    let mut regained = 0;
    for number in 20..60 {
        newcomers.push(TurnClient::allocate(Datagrams::from(attacker(number), turn)));
        newcomers.push(TurnClient::allocate(at_once(connect_from(attacker(number + 40), turn))));
        let line = Datagrams::from(attacker(number % 20), turn);
        regained += usize::from(TurnClient::allocate_as(USERNAME, Box::new(line)).is_ok());
    }
    assert!(regained <= 4, "hoarders got {regained} of 40 back");
    pair.talk();
    let reclaimed = &target.api.get("/api/stats").json["turn"]["reclaimed"];
    assert!(reclaimed.as_u64().is_some_and(|count| count >= 80), "{reclaimed}");
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    free.expect("a free port")
}
