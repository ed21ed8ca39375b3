//! A small HTTP/1.1 client. It can send any bytes, and reads responses one by one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Longest time that a test waits for anything before it fails.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header. Several values of one name are joined as in HTTP.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(there, _)| there.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// Removes the head from the front of `bytes`.
    pub fn take_head(bytes: &mut Vec<u8>) -> Option<Response> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head: Vec<u8> = bytes.drain(..end + 4).collect();
        let head = String::from_utf8(head[..end].to_vec()).expect("a head of text");
        let mut lines = head.split("\r\n");
        let mut status_line = lines.next().unwrap().splitn(3, ' ');
        let version = status_line.next().unwrap().to_owned();
        let status = status_line.next().and_then(|status| status.parse().ok()).expect("a status");
        let reason = status_line.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| line.split_once(':').unwrap_or_else(|| panic!("a header: {line:?}")))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Some(Response { version, status, reason, headers, body: Vec::new() })
    }
}

/// A connection for requests.
pub struct HttpConnection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl HttpConnection {
    pub fn open(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    /// Uses an existing connection.
    pub fn over(stream: TcpStream) -> Self {
        HttpConnection { stream, received: Vec::new() }
    }

    /// Shuts the sending direction down.
    pub fn shutdown_write(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have responded and closed before it has read everything.
        if let Err(error) = self.stream.write_all(bytes.as_ref()) {
            assert!(is_reset(error.kind()), "cannot send: {error}");
        }
    }

    pub fn request(&mut self, method: &str, target: &str, headers: &str) -> Response {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: server.test\r\n{headers}\r\n"));
        self.response(method == "HEAD")
    }

    /// Reads the head of a response, and leaves its body.
    pub fn head(&mut self) -> Response {
        loop {
            if let Some(response) = Response::take_head(&mut self.received) {
                return response;
            }
            assert!(self.read("the head of an answer"), "the connection ended before an answer");
        }
    }

    /// Reads one chunk of a body; `None` is the last one, which is empty.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = loop {
            if let Some(end) = self.received.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                break usize::from_str_radix(std::str::from_utf8(&line[..end]).unwrap(), 16).expect("a size");
            }
            assert!(self.read("a chunk"), "the connection ended without a last chunk");
        };
        while self.received.len() < size + 2 {
            assert!(self.read("the rest of a chunk"), "the connection ended within a chunk");
        }
        let chunk: Vec<u8> = self.received.drain(..size + 2).collect();
        assert!(chunk.ends_with(b"\r\n"), "a chunk ends with its line");
        (size > 0).then(|| chunk[..size].to_vec())
    }

    /// Reads one response. A response to HEAD has no body.
    pub fn response(&mut self, to_head: bool) -> Response {
        let mut response = self.head();
        let bodyless = to_head || matches!(response.status, 100..200 | 204 | 304);
        let length = match response.header("content-length") {
            _ if bodyless => 0,
            Some(length) => length.parse().expect("a length"),
            None => {
                assert!(response.header("transfer-encoding").is_none(), "chunked: {response:?}");
                while self.read("the rest of an answer") {}
                self.received.len()
            }
        };
        while self.received.len() < length {
            assert!(self.read("a body"), "the connection ended within a body");
        }
        response.body = self.received.drain(..length).collect();
        response
    }

    /// Waits until the server has ended the connection, without further data.
    pub fn expect_end(&mut self) {
        while self.read("the end of the connection") {}
        assert_eq!(String::from_utf8_lossy(&self.received), "", "nothing before the end");
    }

    /// Waits until the server has ended the connection, whatever it sends before.
    pub fn read_to_end(&mut self) {
        while self.read("the end of the connection") {}
    }

    fn read(&mut self, wanted: &str) -> bool {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if is_reset(error.kind()) => false,
            Err(error) => panic!("waited for {wanted}: {error}"),
        }
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    prepared(TcpStream::connect(address).expect("a connection"))
}

/// Connects with small system buffers.
pub fn connect_with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(&address.into()).expect("a connection");
    prepared(socket.into())
}

fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}
