//! A small blocking WebSocket client that can send any bytes. By itself it answers only pings, and those only
//! while it waits for a close frame.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::http_client::{Response, TIMEOUT, connect, is_reset};
use super::wire::{self, FIN, Frame, opcode};

/// The key of RFC 6455, section 1.3, and the answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub struct RawClient {
    /// The name of the client in failures.
    pub name: String,
    /// True if it shuts its own direction down before it waits for the server's end.
    pub ends_its_side: bool,
    stream: Box<dyn Stream>,
    socket: socket2::Socket,
    received: Vec<u8>,
}

impl RawClient {
    /// Connects and sends nothing yet.
    pub fn connect(address: SocketAddr, name: &str) -> Self {
        Self::over(connect(address), name)
    }

    /// Uses an existing connection.
    pub fn over(tcp: TcpStream, name: &str) -> Self {
        let stream = Box::new(tcp.try_clone().unwrap());
        Self::new(name, stream, tcp.into())
    }

    /// Connects to a Unix socket.
    #[cfg(unix)]
    pub fn connect_unix(path: &std::path::Path, name: &str) -> Self {
        let unix = std::os::unix::net::UnixStream::connect(path).unwrap();
        unix.set_read_timeout(Some(TIMEOUT)).unwrap();
        let stream = Box::new(unix.try_clone().unwrap());
        Self::new(name, stream, unix.into())
    }

    fn new(name: &str, stream: Box<dyn Stream>, socket: socket2::Socket) -> Self {
        RawClient { name: name.to_owned(), ends_its_side: false, stream, socket, received: Vec::new() }
    }

    /// Connects with TLS to a server that calls itself localhost.
    pub fn connect_tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Self {
        Self::connect_tls_to("localhost", address, name, config)
    }

    /// Connects with TLS to a server that calls itself `host`.
    pub fn connect_tls_to(host: &str, address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Self {
        let tcp = connect(address);
        let tls = ClientConnection::new(config, host.to_owned().try_into().unwrap()).unwrap();
        let stream = Box::new(StreamOwned::new(tls, tcp.try_clone().unwrap()));
        Self::new(name, stream, tcp.into())
    }

    /// The bytes of an ordinary handshake.
    pub fn handshake(target: &str) -> String {
        format!(
            "GET {target} HTTP/1.1\r\nHost: server.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )
    }

    pub fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
        // Sending to a server that has already closed is not an error.
        if let Err(error) = sent {
            assert!(is_reset(error.kind()), "{}: cannot send: {error}", self.name);
        }
    }

    pub fn send(&mut self, text: impl AsRef<str>) {
        self.send_raw(wire::text(text.as_ref()));
    }

    pub fn send_binary(&mut self, payload: &[u8]) {
        self.send_raw(wire::frame(FIN | opcode::BINARY, payload));
    }

    pub fn ping(&mut self, payload: &[u8]) {
        self.send_raw(wire::frame(FIN | opcode::PING, payload));
    }

    pub fn pong(&mut self, payload: &[u8]) {
        self.send_raw(wire::frame(FIN | opcode::PONG, payload));
    }

    pub fn close(&mut self, code: Option<u16>) {
        self.send_raw(wire::close(code, b""));
    }

    /// Shuts the sending direction down.
    pub fn shutdown_write(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Sends as many of these bytes as the socket takes now, and returns their number.
    pub fn send_what_fits(&mut self, bytes: &[u8]) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty())
            && let Ok(count) = self.stream.write(rest)
        {
            sent += count;
        }
        self.socket.set_nonblocking(false).unwrap();
        sent
    }

    /// True if something has come that was not looked at.
    pub fn has_input(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let seen = self.socket.peek(&mut [std::mem::MaybeUninit::uninit(); 1]);
        self.socket.set_nonblocking(false).unwrap();
        !self.received.is_empty() || seen.is_ok()
    }

    /// Breaks the connection with a reset.
    pub fn reset(self) {
        self.socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        // Closing with a linger of zero sends a reset.
    }

    /// Waits until the server has ended the connection, and ignores its data.
    pub fn expect_cut_off(&mut self) {
        while self.read("the end of the connection") {}
    }

    /// Reads the response to the handshake, with its body if it is a refusal.
    pub fn expect_response(&mut self) -> Response {
        let mut response = loop {
            if let Some(response) = Response::take_head(&mut self.received) {
                break response;
            }
            assert!(self.read("the answer to a handshake"), "{}: no answer to a handshake", self.name);
        };
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.received.len() < length && self.read("the body of a refusal") {}
        response.body = self.received.drain(..length.min(self.received.len())).collect();
        response
    }

    pub fn expect_accepted(&mut self) -> Response {
        let response = self.expect_response();
        assert_eq!(response.status, 101, "{}: {response:?}", self.name);
        assert_eq!(response.header("sec-websocket-accept").as_deref(), Some(ACCEPT));
        response
    }

    /// The next frame of any kind; `None` at the end of the connection.
    pub fn next_frame(&mut self, wanted: &str) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.received) {
                return Some(frame);
            }
            if !self.read(wanted) {
                return None;
            }
        }
    }

    /// Expects this frame next. A close frame may come behind pings: the clock decides if one was due before.
    pub fn expect_frame(&mut self, opcode: u8, wanted: &str) -> Vec<u8> {
        let name = self.name.clone();
        let frame = loop {
            let frame = self.next_frame(wanted);
            let frame =
                frame.unwrap_or_else(|| panic!("{name}: the end of the connection instead of {wanted}"));
            if opcode != opcode::CLOSE || frame.opcode() != opcode::PING {
                break frame;
            }
            self.pong(&frame.payload);
        };
        let shown = String::from_utf8_lossy(&frame.payload);
        assert_eq!(frame.first, FIN | opcode, "{name}: {shown:?} ({:#x}) instead of {wanted}", frame.first);
        frame.payload
    }

    pub fn expect_text(&mut self) -> String {
        let payload = self.expect_frame(opcode::TEXT, "a text frame");
        String::from_utf8(payload).expect("UTF-8")
    }

    /// Expects exactly this text next.
    pub fn expect(&mut self, text: impl AsRef<str>) {
        let payload = self.expect_frame(opcode::TEXT, text.as_ref());
        assert_eq!(String::from_utf8_lossy(&payload), text.as_ref(), "{}", self.name);
    }

    pub fn expect_open(&mut self) {
        self.expect(r#"{"type":"OPEN"}"#);
    }

    pub fn expect_ping(&mut self) -> Vec<u8> {
        self.expect_frame(opcode::PING, "a ping")
    }

    pub fn expect_pong(&mut self) -> Vec<u8> {
        self.expect_frame(opcode::PONG, "a pong")
    }

    /// Expects a close frame next and returns its code.
    pub fn expect_close(&mut self) -> Option<u16> {
        let payload = self.expect_frame(opcode::CLOSE, "a close frame");
        payload.get(..2).map(|code| u16::from_be_bytes(code.try_into().unwrap()))
    }

    /// Expects the end of the connection next.
    pub fn expect_end(&mut self) {
        if self.ends_its_side {
            let _ = self.socket.shutdown(Shutdown::Write);
        }
        let frame = self.next_frame("the end of the connection");
        assert_eq!(frame, None, "{}: the end of the connection", self.name);
        assert_eq!(self.received, b"", "{}: no half frame", self.name);
    }

    /// Expects a close frame with this code, answers it, and expects the end.
    pub fn expect_closed_with(&mut self, code: Option<u16>) {
        assert_eq!(self.expect_close(), code, "{}: the close code", self.name);
        self.close(code);
        self.expect_end();
    }

    /// Sends a close frame, expects the same code back, and the end.
    pub fn expect_closed_by_us(&mut self, code: Option<u16>) {
        self.close(code);
        assert_eq!(self.expect_close(), code, "{}: the close code", self.name);
        self.expect_end();
    }

    /// Proves that the server has handled all messages of this client and has sent it nothing else:
    /// a message to itself is the next thing that arrives. `id` is its own.
    pub fn expect_nothing(&mut self, id: &str) {
        static MARKERS: AtomicUsize = AtomicUsize::new(0);
        let marker = MARKERS.fetch_add(1, Ordering::Relaxed);
        let id = serde_json::Value::from(id);
        self.send(format!(r#"{{"type":"CANDIDATE","dst":{id},"payload":"marker {marker}"}}"#));
        self.expect(format!(r#"{{"type":"CANDIDATE","src":{id},"dst":{id},"payload":"marker {marker}"}}"#));
    }

    fn read(&mut self, wanted: &str) -> bool {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if is_reset(error.kind()) || error.kind() == std::io::ErrorKind::UnexpectedEof => {
                false
            }
            Err(error) => panic!("{}: waited for {wanted}: {error}", self.name),
        }
    }

    /// Expects one text frame, an empty close frame, and the end.
    pub fn expect_refused(&mut self, text: impl AsRef<str>) {
        self.expect(text);
        self.expect_closed_with(None);
    }

    /// Says something as a client of room codes, and expects its refusal, with this close code.
    pub fn expect_guest_refused(&mut self, text: impl AsRef<str>, code: u16) {
        self.send(r#"{"action":"createRoom"}"#);
        self.expect(text);
        self.expect_closed_with(Some(code));
    }
}
