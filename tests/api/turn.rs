//! TURN over real sockets: at its own port, at the relay's, and at the broker's HTTPS port. `src/turn/tests` has its rules.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use peerbroker::config::{RelayConfig, TurnConfig, TurnSecret};
use peerbroker::{BoundRelay, BoundTurn, Listen, PeerBroker};
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use stun_types::attribute::{AttributeStaticType as _, ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageIntegrityCredentials,
    MessageWrite as _, MessageWriteExt as _, MessageWriteVec, Method,
};
use turn_types::attribute::{ChannelNumber, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND};

use crate::harness::http_client::connect;
use crate::harness::{RawClient, TestServer};
use crate::tls::{listen as tls_listen, trust};

const PATIENCE: Duration = Duration::from_secs(10);
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn turn(only_stun: bool, change: impl FnOnce(&mut TurnConfig)) -> BoundTurn {
    let mut config = TurnConfig {
        listen: vec![(LOCALHOST, 0).into()],
        public: Vec::new(),
        only_stun,
        ports: None,
        private: false,
        loopback: true,
    };
    change(&mut config);
    BoundTurn::bind(config).unwrap()
}

fn with(turn: BoundTurn, relay: Option<BoundRelay>, listen: Listen) -> TestServer {
    let secret = TurnSecret::parse(SECRET).unwrap();
    let builder = PeerBroker::builder().turn(turn);
    let builder = match relay {
        Some(relay) => builder.relay(relay),
        None => builder,
    };
    TestServer::start_built_on(builder, listen, |config| config.ice.turn_secret = Some(secret))
}

/// A way to a server.
trait Line {
    fn send(&mut self, bytes: &[u8]);
    fn receive(&mut self) -> Vec<u8>;
}

struct Datagrams(UdpSocket);

impl Datagrams {
    fn to(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Datagrams(socket)
    }
}

impl Line for Datagrams {
    fn send(&mut self, bytes: &[u8]) {
        self.0.send(bytes).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let length = self.0.recv(&mut buffer).expect("a datagram");
        buffer[..length].to_vec()
    }
}

/// TCP, or TLS on it.
struct Stream<S>(S);

impl<S: Read + Write> Line for Stream<S> {
    fn send(&mut self, bytes: &[u8]) {
        // In pieces, as a network may bring it.
        for piece in bytes.chunks(7) {
            self.0.write_all(piece).unwrap();
            self.0.flush().unwrap();
        }
        self.0.write_all(&vec![0; bytes.len().next_multiple_of(4) - bytes.len()]).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut message = vec![0; 4];
        self.0.read_exact(&mut message).expect("a message");
        let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
        let rest = if message[0] >= 0x40 { length.next_multiple_of(4) } else { length + 16 };
        message.resize(4 + rest, 0);
        self.0.read_exact(&mut message[4..]).expect("all of it");
        if message[0] >= 0x40 {
            message.truncate(4 + length);
        }
        message
    }
}

fn tcp(server: SocketAddr) -> Stream<TcpStream> {
    Stream(connect(server))
}

fn tls(server: SocketAddr) -> Stream<StreamOwned<ClientConnection, TcpStream>> {
    let session = ClientConnection::new(trust(), "localhost".try_into().unwrap()).unwrap();
    Stream(StreamOwned::new(session, connect(server)))
}

/// A client with an allocation.
struct Client {
    line: Box<dyn Line>,
    username: String,
    nonce: String,
    relayed: SocketAddr,
}

impl Client {
    fn allocate(line: Box<dyn Line>) -> Self {
        Self::allocate_as("86400:peerjs", line)
    }

    fn allocate_as(username: &str, mut line: Box<dyn Line>) -> Self {
        let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
        request.add_attribute(&RequestedTransport::new(17)).unwrap();
        line.send(&request.finish());
        let challenge = line.receive();
        let challenge = Message::from_bytes(&challenge).unwrap();
        assert_eq!(challenge.attribute::<ErrorCode>().unwrap().code(), 401);
        let nonce = challenge.attribute::<Nonce>().unwrap().nonce().to_owned();
        let username = username.to_owned();
        let mut client = Client { line, username, nonce, relayed: (LOCALHOST, 0).into() };
        let answer = client.ask(ALLOCATE, |request| {
            request.add_attribute(&RequestedTransport::new(17)).unwrap();
        });
        let answer = Message::from_bytes(&answer).unwrap();
        client.relayed = answer.attribute::<XorRelayedAddress>().unwrap().addr(answer.transaction_id());
        client
    }

    fn ask(&mut self, method: Method, add: impl FnOnce(&mut MessageWriteVec)) -> Vec<u8> {
        let mut request = Message::builder_request(method, MessageWriteVec::new());
        add(&mut request);
        request.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        request.add_attribute(&Realm::new("turn").unwrap()).unwrap();
        request.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
        let password = TurnSecret::parse(SECRET).unwrap().credential(&self.username);
        let credentials = LongTermKeyCredentials::new(self.username.clone(), password, "turn".to_owned());
        let credentials = MessageIntegrityCredentials::from(credentials);
        request.add_message_integrity(&credentials, IntegrityAlgorithm::Sha1).unwrap();
        self.line.send(&request.finish());
        let answer = self.line.receive();
        Message::from_bytes(&answer)
            .unwrap()
            .validate_integrity(&credentials)
            .expect("a proof of the server");
        answer
    }

    /// Binds the channel 0x4001 to a peer.
    fn bind(&mut self, peer: SocketAddr) -> bool {
        let answer = self.ask(CHANNEL_BIND, |request| {
            let transaction = request.transaction_id();
            request.add_attribute(&ChannelNumber::new(0x4001)).unwrap();
            request.add_attribute(&XorPeerAddress::new(peer, transaction)).unwrap();
        });
        !Message::from_bytes(&answer).unwrap().has_attribute(ErrorCode::TYPE)
    }

    fn send(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap();
        self.line.send(&[&[0x40, 1][..], &length.to_be_bytes(), bytes].concat());
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut data = self.line.receive();
        assert_eq!(data[..2], [0x40, 1]);
        data.split_off(4)
    }
}

/// From the addresses of TURN and of HTTPS to a line.
type Way = fn(SocketAddr, SocketAddr) -> Box<dyn Line>;

/// Both can say something to each other, of each length.
fn talk(one: &mut Client, other: &mut Client) {
    assert!(one.bind(other.relayed) && other.bind(one.relayed));
    for length in [1, 2, 3, 4, 1000, 1199, 1200] {
        one.send(&vec![7; length]);
        assert_eq!(other.receive(), vec![7; length]);
        other.send(&vec![8; length]);
        assert_eq!(one.receive(), vec![8; length]);
    }
}

#[test]
fn clients_meet_over_udp_tcp_tls_and_https() {
    let turn = turn(false, |_| {});
    let at = turn.addresses()[0];
    let server = with(turn, None, tls_listen("ec-pkcs8.key", "ec-chain.pem"));
    let ways: [Way; 4] = [
        |turn, _| Box::new(Datagrams::to(turn)),
        |turn, _| Box::new(tcp(turn)),
        |turn, _| Box::new(tls(turn)),
        |_, https| Box::new(tls(https)),
    ];
    let mut clients: Vec<_> = ways.iter().map(|way| Client::allocate(way(at, server.address))).collect();
    while let Some(mut one) = clients.pop() {
        for other in &mut clients {
            talk(&mut one, other);
            // A channel of another peer would be in the way.
            one = Client::allocate(Box::new(Datagrams::to(at)));
            *other = Client::allocate(Box::new(tls(server.address)));
        }
    }
    // The port is one of HTTPS still.
    let mut http = RawClient::connect_tls(server.address, "http", trust());
    http.send_raw("GET /peerjs/id HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(http.expect_response().status, 200);
    let urls = server.turn_urls().unwrap();
    assert_eq!(urls.stun, [format!("stun:{at}")]);
    assert_eq!(urls.turn, [format!("turn:{at}?transport=udp"), format!("turn:{at}?transport=tcp")]);
    assert_eq!(urls.tls_port, Some(at.port()));
}

#[test]
fn the_relays_port_takes_turn_as_well() {
    let listen = vec![(LOCALHOST, 0).into()];
    let relay =
        BoundRelay::bind(RelayConfig { listen, public: Vec::new(), tcp: true, private: true }).unwrap();
    let (turn, at_relay) = (turn(false, |_| {}), relay.addresses()[0]);
    let at_turn = turn.addresses()[0];
    let _server = with(turn, Some(relay), Listen::default());
    let mut one = Client::allocate(Box::new(Datagrams::to(at_relay)));
    talk(&mut one, &mut Client::allocate(Box::new(Datagrams::to(at_turn))));
    // And STUN, as before.
    let mut line = Datagrams::to(at_relay);
    line.send(&Message::builder_request(BINDING, MessageWriteVec::new()).finish());
    assert!(Message::from_bytes(&line.receive()).unwrap().is_response());
}

#[test]
fn clients_are_told_this_server_first_and_may_use_it_with_the_credentials_that_they_are_told() {
    let turn = turn(false, |_| {});
    let at = turn.addresses()[0];
    let server = with(turn, None, Listen::default());
    let answer = server.get("/peerjs/ice");
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let [stun, relay] = [0, 1].map(|entry| &told["iceServers"][entry]);
    assert_eq!(stun, &json!({"urls": [format!("stun:{at}")]}));
    assert_eq!(
        relay["urls"],
        json!([format!("turn:{at}?transport=udp"), format!("turn:{at}?transport=tcp")])
    );
    let username = relay["username"].as_str().unwrap();
    assert_eq!(relay["credential"], TurnSecret::parse(SECRET).unwrap().credential(username));
    let [mut one, mut other] = [(); 2].map(|()| Client::allocate_as(username, Box::new(Datagrams::to(at))));
    talk(&mut one, &mut other);
}

#[test]
fn a_stun_server_has_no_turn() {
    let turn = turn(true, |_| {});
    let at = turn.addresses()[0];
    assert!(turn.urls().turn.is_empty());
    let _server = with(turn, None, Listen::default());
    let mut line = Datagrams::to(at);
    line.send(&Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish());
    line.send(&Message::builder_request(BINDING, MessageWriteVec::new()).finish());
    assert!(Message::from_bytes(&line.receive()).unwrap().has_method(BINDING), "the first is not answered");
    assert!(TcpStream::connect(at).is_err());
}

#[test]
fn real_addresses_reach_peers_outside_and_only_permitted_ones_reach_the_client() {
    let turn = turn(false, |config| config.ports = Some(41_000..=41_999));
    let at = turn.addresses()[0];
    let _server = with(turn, None, Listen::default());
    let mut client = Client::allocate(Box::new(Datagrams::to(at)));
    let [peer, other] = [(); 2].map(|()| UdpSocket::bind((LOCALHOST, 0)).unwrap());
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(client.bind(peer.local_addr().unwrap()));
    client.send(b"question");
    let mut buffer = [0; 100];
    let (length, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"question"[..], client.relayed));
    // The other peer has the same address, and another port: that is permitted, but has no channel.
    peer.send_to(b"answer", client.relayed).unwrap();
    assert_eq!(client.receive(), b"answer");
    other.send_to(b"from another port", client.relayed).unwrap();
    let data = client.line.receive();
    assert!(Message::from_bytes(&data).unwrap().has_attribute(XorPeerAddress::TYPE));
    assert!(!client.bind(at), "not the server itself");
}

#[test]
fn connections_with_nonsense_end() {
    let turn = turn(false, |_| {});
    let at = turn.addresses()[0];
    let _server = with(turn, None, Listen::default());
    for nonsense in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x80; 64],
        &[0, 3, 0xFF, 0xFF, 0x21, 0x12, 0xA4, 0x42],
        &[0x16; 64],
    ] {
        let mut stream = tcp(at).0;
        stream.write_all(nonsense).unwrap();
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "{nonsense:?}");
    }
    // Others are served.
    talk(&mut Client::allocate(Box::new(tcp(at))), &mut Client::allocate(Box::new(tcp(at))));
}
