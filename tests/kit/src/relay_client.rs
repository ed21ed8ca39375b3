//! Clients of a relay: what they say about a call, and their side of it over UDP and TCP.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeType, ErrorCode, RawAttribute, Username};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageIntegrityCredentials, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec, ShortTermCredentials,
};

use crate::http_client::TIMEOUT;

/// Time after which a client sends again what may be lost.
const AGAIN: Duration = Duration::from_millis(100);

/// Lines of a description, as JSON text without quotes.
pub fn sdp(ufrag: &str, more: &[&str]) -> String {
    let pwd = pwd(ufrag);
    let lines = [
        "v=0",
        "m=application 9 UDP/DTLS/SCTP x",
        &format!("a=ice-ufrag:{ufrag}"),
        &format!("a=ice-pwd:{pwd}"),
    ];
    lines.iter().chain(more).map(|line| format!("{line}\\r\\n")).collect()
}

pub fn pwd(ufrag: &str) -> String {
    format!("{ufrag}0123456789abcdefghijkl")
}

pub fn payload(kind: &str, ufrag: &str, more: &[&str]) -> String {
    format!(
        r#"{{"sdp":{{"type":"{kind}","sdp":"{}"}},"type":"data","connectionId":"dc_1"}}"#,
        sdp(ufrag, more)
    )
}

/// The lines of the relay's candidates, with what ends a line between them.
pub fn candidate(relay: SocketAddr) -> String {
    let ip = relay.ip();
    let port = relay.port();
    let udp = format!("a=candidate:1 1 udp 255 {ip} {port} typ host");
    format!(r"{udp}\r\na=candidate:2 1 tcp 127 {ip} {port} typ host tcptype passive")
}

fn credentials(pwd: &str) -> MessageIntegrityCredentials {
    ShortTermCredentials::new(pwd.to_owned()).into()
}

/// The address of the relay in a message with its candidate.
pub fn relay_in(told: &str) -> SocketAddr {
    let words: Vec<&str> = told.split_once("typ host").expect("a candidate").0.split(' ').collect();
    let [.., ip, port, _] = words[..] else { panic!("{told}") };
    SocketAddr::new(ip.parse().expect("an address"), port.parse().expect("a port"))
}

/// A client's socket.
pub struct Side {
    pub socket: UdpSocket,
    own: &'static str,
    other: &'static str,
}

impl Side {
    pub fn new(relay: SocketAddr, own: &'static str, other: &'static str) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        socket.connect(relay).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Side { socket, own, other }
    }

    pub fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).expect("a datagram");
        buffer[..length].to_vec()
    }

    /// Checks, and proves its address. Like browsers, it ignores checks with another password: under load,
    /// one may come late, for the call of an earlier socket with this port.
    pub fn prove(&self) {
        self.check();
        let check = loop {
            let datagram = self.receive();
            if Message::from_bytes(&datagram).is_ok_and(|check| self.is_for_own_password(&check)) {
                break datagram;
            }
        };
        self.answer(&check);
    }

    fn is_for_own_password(&self, check: &Message<'_>) -> bool {
        check.validate_integrity(&credentials(&pwd(self.own))).is_ok()
    }

    /// Checks, and waits until that has come.
    pub fn check_in_vain(&self) {
        self.check();
        self.socket.send(&Message::builder_request(BINDING, MessageWriteVec::new()).finish()).unwrap();
        assert!(Message::from_bytes(&self.receive()).unwrap().is_response());
    }

    pub fn check(&self) {
        self.socket.send(&self.new_check()).unwrap();
    }

    pub fn new_check(&self) -> Vec<u8> {
        let mut check = Message::builder_request(BINDING, MessageWriteVec::new());
        check.add_attribute(&Username::new(&format!("{}:{}", self.other, self.own)).unwrap()).unwrap();
        for (attribute, value) in [(0x802A, &[7; 8][..]), (0x0024, &[1; 4][..])] {
            check.add_attribute(&RawAttribute::new(AttributeType::new(attribute), value)).unwrap();
        }
        check.add_message_integrity(&credentials(&pwd(self.other)), IntegrityAlgorithm::Sha1).unwrap();
        check.add_fingerprint().unwrap();
        check.finish()
    }

    pub fn answer(&self, check: &[u8]) {
        self.socket.send(&self.answer_to(check)).unwrap();
    }

    pub fn answer_to(&self, check: &[u8]) -> Vec<u8> {
        let check = Message::from_bytes(check).unwrap();
        assert!(self.is_for_own_password(&check));
        let mut answer = Message::builder_success(&check, MessageWriteVec::new());
        answer.add_message_integrity(&credentials(&pwd(self.own)), IntegrityAlgorithm::Sha1).unwrap();
        answer.add_fingerprint().unwrap();
        answer.finish()
    }

    /// Sends until the other side gets it: the relay may not have handled a proof yet.
    pub fn talk_to(&self, other: &Side) {
        const MEDIA: &[u8] = b"\x80media";
        other.until(|| self.socket.send(MEDIA), |datagram| datagram == MEDIA);
    }

    /// Receives until this datagram comes, and skips others of the other side.
    pub fn receive_until(&self, datagram: &[u8]) {
        while self.receive() != datagram {}
    }

    /// Both sides check each other, as browsers do all the time.
    pub fn exchange_checks(&self, other: &Side) {
        for (asker, asked) in [(self, other), (other, self)] {
            let check = asker.new_check();
            asked.until(|| asker.socket.send(&check), |datagram| datagram == check);
            let answer = asked.answer_to(&check);
            asker.until(|| asked.socket.send(&answer), |datagram| datagram == answer);
        }
    }

    /// Checks until the relay answers that the call has ended.
    pub fn expect_revoked(&self) {
        self.until(|| self.socket.send(&self.new_check()), |datagram| self.is_revoked_by(datagram));
    }

    /// True if a datagram withdraws consent, and has the other side's signature.
    pub fn is_revoked_by(&self, datagram: &[u8]) -> bool {
        let Ok(answer) = Message::from_bytes(datagram) else { return false };
        answer.attribute::<ErrorCode>().is_ok_and(|error| error.code() == ErrorCode::FORBIDDEN)
            && answer.validate_integrity(&credentials(&pwd(self.other))).is_ok()
    }

    /// Calls `send` again and again until a datagram comes that `is_it`.
    fn until(&self, send: impl Fn() -> std::io::Result<usize>, is_it: impl Fn(&[u8]) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        self.socket.set_read_timeout(Some(AGAIN)).unwrap();
        let mut buffer = [0; 2048];
        'again: loop {
            assert!(Instant::now() < deadline, "the datagram has not come");
            send().expect("a datagram is sent");
            while let Ok(length) = self.socket.recv(&mut buffer) {
                if is_it(&buffer[..length]) {
                    break 'again;
                }
            }
        }
        self.socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    }
}

/// A client's connection, with a frame for each datagram.
pub struct Line(pub TcpStream);

impl Line {
    pub fn open(relay: SocketAddr) -> Self {
        let stream = TcpStream::connect(relay).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Line(stream)
    }

    pub fn send(&mut self, datagram: &[u8]) {
        let length = u16::try_from(datagram.len()).unwrap();
        self.0.write_all(&[&length.to_be_bytes(), datagram].concat()).unwrap();
    }

    pub fn receive(&mut self) -> Vec<u8> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).expect("a frame");
        let mut frame = vec![0; u16::from_be_bytes(length).into()];
        self.0.read_exact(&mut frame).unwrap();
        frame
    }

    /// Proves the address of a side, which comes over this connection.
    pub fn prove(&mut self, side: &Side) {
        self.send(&side.new_check());
        let check = self.receive();
        self.send(&side.answer_to(&check));
    }

    pub fn expect_end(&mut self) {
        let end = self.0.read(&mut [0; 100]);
        assert!(!matches!(end, Ok(1..)), "{end:?}");
        let waited_in_vain = end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(!waited_in_vain, "the connection is open");
    }
}
