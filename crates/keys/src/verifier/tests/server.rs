//! A small web server that sends prepared answers and records requests.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// The reply to a request.
pub(super) enum Reply {
    Bytes(Vec<u8>),
    /// Sends nothing, and keeps the connection open.
    Silence,
}

pub(super) struct Asked {
    pub(super) head: String,
    pub(super) body: Value,
}

pub(super) struct Server {
    pub(super) url: String,
    asked: Receiver<Asked>,
}

impl Server {
    /// Starts a server that answers every request with `reply`.
    pub(super) fn new(reply: impl Fn(&Value) -> Reply + Send + 'static) -> Self {
        Server::start(None, reply)
    }

    pub(super) fn with_tls(tls: ServerConfig, reply: impl Fn(&Value) -> Reply + Send + 'static) -> Self {
        Server::start(Some(Arc::new(tls)), reply)
    }

    fn start(tls: Option<Arc<ServerConfig>>, reply: impl Fn(&Value) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/hook?secret=1", listener.local_addr().unwrap());
        let (note, asked) = channel();
        // The thread ends with the process: it cannot know that no client will come.
        thread::spawn(move || {
            let mut silent: Vec<Box<dyn Stream>> = Vec::new();
            for tcp in listener.incoming() {
                let mut stream: Box<dyn Stream> = match &tls {
                    None => Box::new(tcp.unwrap()),
                    Some(tls) => {
                        let session = ServerConnection::new(Arc::clone(tls)).unwrap();
                        Box::new(StreamOwned::new(session, tcp.unwrap()))
                    }
                };
                // A client that does not trust the certificate sends no request.
                let Some(asked) = read(&mut stream) else { continue };
                let reply = reply(&asked.body);
                let _ = note.send(asked);
                match reply {
                    // The client may close before the whole reply is sent.
                    Reply::Bytes(bytes) => drop(stream.write_all(&bytes).and_then(|()| stream.flush())),
                    Reply::Silence => silent.push(stream),
                }
            }
        });
        Server { url, asked }
    }

    /// The requests since the last call.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for StreamOwned<ServerConnection, TcpStream> {}

fn read(stream: &mut impl Read) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { head, body: serde_json::from_slice(&body).unwrap() })
}

/// A reply with this status and body.
pub(super) fn answer(status: &str, body: &str) -> Reply {
    let len = body.len();
    Reply::Bytes(format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n{body}").into_bytes())
}
