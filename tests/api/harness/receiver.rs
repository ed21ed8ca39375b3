//! An endpoint of webhooks. It verifies every request with the published library.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver as Channel, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use peerbroker::WebhookTotals;
use peerbroker_keys::{Webhook, WebhookSecret};
use serde_json::Value;

use super::TestServer;
use super::http_client::TIMEOUT;

pub const SECRET: &str = "whsec_c2VjcmV0LW9mLXdlYmhvb2tzLWluLXRlc3Rz";

/// The answer of the endpoint.
#[derive(Clone, Debug)]
pub enum Says {
    /// A status line, and further header lines with their line breaks.
    Answer(&'static str, String),
    /// 200 with this body.
    Body(Vec<u8>),
    /// 200 with the payload of a message of a client.
    Echo,
    /// Nothing, until it says something else.
    Nothing,
}

/// A request that was verified.
#[derive(Clone, Debug)]
pub struct Told {
    pub id: String,
    pub event: Value,
    pub text: String,
    pub headers: BTreeMap<String, String>,
}

pub struct Receiver {
    pub address: SocketAddr,
    says: Arc<(Mutex<Says>, Condvar)>,
    told: Mutex<Channel<Told>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new((Mutex::new(ok()), Condvar::new()));
        let (tell, told) = mpsc::channel();
        let shared = Arc::clone(&says);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let says = Arc::clone(&shared);
                let tell = tell.clone();
                thread::spawn(move || serve(connection.unwrap(), &says, &tell));
            }
        });
        Receiver { address, says, told: Mutex::new(told) }
    }

    pub fn says(&self, says: Says) {
        *self.says.0.lock().unwrap() = says;
        self.says.1.notify_all();
    }

    pub fn answers(&self, status: &'static str) {
        self.says(Says::Answer(status, String::new()));
    }

    pub fn webhook(&self) -> Webhook {
        self.webhook_at(&format!("http://{}/hook", self.address))
    }

    pub fn webhook_at(&self, url: &str) -> Webhook {
        let secrets = vec![WebhookSecret::parse(SECRET).unwrap()];
        Webhook { url: url.to_owned(), secrets, ..Webhook::default() }
    }

    /// The next request, whatever was answered.
    pub fn next(&self) -> Told {
        self.told.lock().unwrap().recv_timeout(TIMEOUT).expect("a request")
    }

    /// The next request about a client: its type and the client's id.
    pub fn next_of_peer(&self) -> (String, String) {
        loop {
            let Told { event, .. } = self.next();
            if let Some(id) = event["data"]["id"].as_str() {
                return (event["type"].as_str().unwrap().to_owned(), id.to_owned());
            }
        }
    }

    /// The requests that have come.
    pub fn all(&self) -> Vec<Told> {
        self.told.lock().unwrap().try_iter().collect()
    }
}

impl TestServer {
    pub fn webhooks(&self) -> WebhookTotals {
        self.broker.webhook_totals()
    }
}

pub fn ok() -> Says {
    Says::Answer("204 No Content", String::new())
}

fn serve(connection: TcpStream, says: &(Mutex<Says>, Condvar), tell: &Sender<Told>) {
    let mut writer = connection.try_clone().unwrap();
    let mut reader = BufReader::new(connection);
    // Ends when the server closes the connection.
    while let Some(told) = request(&mut reader) {
        let _ = tell.send(told.clone());
        let (lock, changed) = says;
        let says = changed.wait_while(lock.lock().unwrap(), |says| matches!(says, Says::Nothing)).unwrap();
        let (head, body) = match says.clone() {
            Says::Answer(status, headers) => (format!("{status}\r\n{headers}"), Vec::new()),
            Says::Body(body) => ("200 OK\r\n".to_owned(), body),
            Says::Echo => ("200 OK\r\n".to_owned(), told.event["data"]["payload"].to_string().into_bytes()),
            Says::Nothing => unreachable!(),
        };
        drop(says);
        let head = format!("HTTP/1.1 {head}content-length: {}\r\n\r\n", body.len());
        if writer.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Told> {
    let mut headers = http::HeaderMap::new();
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    assert!(line.starts_with("POST "), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        let name: http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let header = |name: &str| headers.get(name).expect(name).to_str().unwrap();
    let mut body = vec![0; header("content-length").parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    library.verify(&body, &headers).expect("a signature that the published library accepts");
    assert_eq!(header("content-type"), "application/json");
    let text = String::from_utf8(body).unwrap();
    let id = header("webhook-id").to_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Some(Told { id, event: serde_json::from_str(&text).unwrap(), text, headers: headers.collect() })
}
