//! A client of a TURN server, over UDP, TCP or TLS.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use serde_json::Value;
use stun_types::attribute::{AttributeStaticType as _, ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageIntegrityCredentials, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec, Method,
};
use turn_types::attribute::{ChannelNumber, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND};

use super::http_client::{TIMEOUT, connect};
use super::program::Program;

const CHANNEL: u16 = 0x4001;
/// The secret of the servers under test.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// A username that is valid for as long as a test needs it.
pub const USERNAME: &str = "9999999999:peerjs";

/// The address of the TURN server of a program, as pages learn it.
pub fn turn_of(program: &Program) -> SocketAddr {
    let told: Value = serde_json::from_slice(&program.get("/peerjs/ice").body).expect("JSON");
    let url = told["iceServers"][0]["urls"][0].as_str().expect("a URL");
    url.trim_start_matches("stun:").parse().expect("an address")
}

/// A way to a server.
pub trait Line: Send {
    fn send(&mut self, bytes: &[u8]);
    fn receive(&mut self) -> Vec<u8>;
}

pub struct Datagrams(UdpSocket);

impl Datagrams {
    pub fn to(server: SocketAddr) -> Self {
        Self::from(Ipv4Addr::LOCALHOST, server)
    }

    pub fn from(own: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((own, 0)).unwrap();
        socket.connect(server).unwrap();
        Self::over(socket)
    }

    pub fn over(connected: UdpSocket) -> Self {
        connected.set_read_timeout(Some(TIMEOUT)).unwrap();
        Datagrams(connected)
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
pub struct Stream<S> {
    pub stream: S,
    /// Bytes that are sent at once, at most.
    pub piece: usize,
}

impl<S: Read + Write + Send> Line for Stream<S> {
    fn send(&mut self, bytes: &[u8]) {
        // ChannelData is padded here.
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        for piece in padded.chunks(self.piece) {
            self.stream.write_all(piece).unwrap();
            self.stream.flush().unwrap();
        }
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut message = vec![0; 4];
        self.stream.read_exact(&mut message).expect("a message");
        let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
        let rest = if message[0] >= 0x40 { length.next_multiple_of(4) } else { length + 16 };
        message.resize(4 + rest, 0);
        self.stream.read_exact(&mut message[4..]).expect("all of it");
        if message[0] >= 0x40 {
            message.truncate(4 + length);
        }
        message
    }
}

/// Sends in pieces, as a network may bring it.
pub fn in_pieces<S>(stream: S) -> Stream<S> {
    Stream { stream, piece: 7 }
}

pub fn tcp(server: SocketAddr) -> Stream<TcpStream> {
    in_pieces(connect(server))
}

/// A client with an allocation.
pub struct TurnClient {
    pub line: Box<dyn Line>,
    username: String,
    realm: String,
    credentials: MessageIntegrityCredentials,
    nonce: String,
    pub relayed: SocketAddr,
}

impl TurnClient {
    pub fn allocate(line: impl Line + 'static) -> Self {
        Self::allocate_as(USERNAME, Box::new(line)).expect("an allocation")
    }

    /// The code of an error if there is no allocation.
    pub fn allocate_as(username: &str, line: Box<dyn Line>) -> Result<Self, u16> {
        Self::allocate_with(SECRET, username, line)
    }

    pub fn allocate_with(secret: &str, username: &str, line: Box<dyn Line>) -> Result<Self, u16> {
        Self::allocate_by(username, password(secret, username), line)
    }

    pub fn allocate_by(username: &str, password: String, mut line: Box<dyn Line>) -> Result<Self, u16> {
        line.send(&allocate_request());
        let challenge = line.receive();
        let challenge = Message::from_bytes(&challenge).unwrap();
        assert_eq!(challenge.attribute::<ErrorCode>().unwrap().code(), 401);
        let nonce = challenge.attribute::<Nonce>().unwrap().nonce().to_owned();
        let username = username.to_owned();
        let realm = challenge.attribute::<Realm>().unwrap().realm().to_owned();
        let credentials = LongTermKeyCredentials::new(username.clone(), password, realm.clone()).into();
        let relayed = (Ipv4Addr::LOCALHOST, 0).into();
        let mut client = TurnClient { line, username, realm, credentials, nonce, relayed };
        let answer = client.ask(ALLOCATE, |request| {
            request.add_attribute(&RequestedTransport::new(17)).unwrap();
        });
        let answer = Message::from_bytes(&answer).unwrap();
        if let Ok(error) = answer.attribute::<ErrorCode>() {
            return Err(error.code());
        }
        client.relayed = answer.attribute::<XorRelayedAddress>().unwrap().addr(answer.transaction_id());
        Ok(client)
    }

    pub fn ask(&mut self, method: Method, add: impl FnOnce(&mut MessageWriteVec)) -> Vec<u8> {
        let mut request = Message::builder_request(method, MessageWriteVec::new());
        add(&mut request);
        request.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        request.add_attribute(&Realm::new(&self.realm).unwrap()).unwrap();
        request.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
        request.add_message_integrity(&self.credentials, IntegrityAlgorithm::Sha1).unwrap();
        self.line.send(&request.finish());
        let answer = self.line.receive();
        let message = Message::from_bytes(&answer).unwrap();
        // A client that is not believed cannot believe the answer.
        if !message.attribute::<ErrorCode>().is_ok_and(|error| error.code() == 401) {
            message.validate_integrity(&self.credentials).expect("a proof of the server");
        }
        answer
    }

    /// Binds the channel 0x4001 to a peer.
    pub fn bind(&mut self, peer: SocketAddr) -> bool {
        self.bind_at(CHANNEL, peer)
    }

    pub fn bind_at(&mut self, number: u16, peer: SocketAddr) -> bool {
        let answer = self.ask(CHANNEL_BIND, |request| {
            let transaction = request.transaction_id();
            request.add_attribute(&ChannelNumber::new(number)).unwrap();
            request.add_attribute(&XorPeerAddress::new(peer, transaction)).unwrap();
        });
        !Message::from_bytes(&answer).unwrap().has_attribute(ErrorCode::TYPE)
    }

    /// Sends in the channel 0x4001.
    pub fn send(&mut self, bytes: &[u8]) {
        self.send_at(CHANNEL, bytes);
    }

    pub fn send_at(&mut self, number: u16, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap();
        self.line.send(&[&number.to_be_bytes()[..], &length.to_be_bytes(), bytes].concat());
    }

    /// The next data in the channel 0x4001.
    pub fn receive(&mut self) -> Vec<u8> {
        let mut data = self.line.receive();
        assert_eq!(data[..2], CHANNEL.to_be_bytes());
        data.split_off(4)
    }
}

/// The password of a username, as web servers make it from the secret (draft-uberti-behave-turn-rest-00,
/// section 2.2).
fn password(secret: &str, username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}

/// Asks for an allocation, without credentials.
pub fn allocate_request() -> Vec<u8> {
    let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
    request.add_attribute(&RequestedTransport::new(17)).unwrap();
    request.finish()
}
