//! Servers of a few lines that make one mistake.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Answers the first bytes of each connection with what `answer` makes of them, and hangs up after a
/// handshake of a WebSocket only when the client does. Nobody waits for its threads: they end with the
/// process.
pub fn serve(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap_or_default();
            let answer = answer(&buffer[..length]);
            let _ = stream.write_all(&answer);
            if answer.starts_with(b"HTTP/1.1 101") {
                thread::spawn(move || stream.read(&mut [0; 1]));
            }
        }
    });
    address
}

/// The proof that a request for a WebSocket was read (RFC 6455, section 4.2.2); `None` for other requests.
pub fn accept(request: &[u8]) -> Option<String> {
    let request = String::from_utf8_lossy(request);
    let mut lines = request.lines().filter_map(|line| line.split_once(": "));
    let (_, key) = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?;
    let digest =
        digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    Some(BASE64_STANDARD.encode(digest))
}

/// An answer over HTTP with more headers.
pub fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}
