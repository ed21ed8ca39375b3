//! The operator's API, as programs call it.

use std::net::SocketAddr;

use serde_json::Value;

use super::http_client::{HttpConnection, Response};

/// A caller of the API, with its headers.
#[derive(Clone)]
pub struct Api {
    pub address: SocketAddr,
    /// Complete header lines, each with its line break.
    pub headers: String,
}

/// A response of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub response: Response,
    /// `null` if there is no body; a body that is no JSON is a string.
    pub json: Value,
}

impl Api {
    pub fn with_token(mut self, token: &str) -> Self {
        self.headers = format!("Authorization: Bearer {token}\r\n");
        self
    }

    pub fn with_header(mut self, line: &str) -> Self {
        self.headers = format!("{line}\r\n");
        self
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None)
    }

    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        match body {
            Some(body) => self.send(method, path, "application/json", &body.to_string()),
            None => self.send(method, path, "", ""),
        }
    }

    /// Begins to read server-sent events.
    pub fn stream(&self, path: &str) -> Stream {
        let mut connection = HttpConnection::open(self.address);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", self.headers));
        Stream { head: connection.head(), connection, text: String::new() }
    }

    /// The same with any body.
    pub fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let host = if self.headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let headers = &self.headers;
        let length = body.len();
        let mut connection = HttpConnection::open(self.address);
        connection.send(format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}{kind}Content-Length: {length}\r\n\r\n{body}"
        ));
        let response = connection.response(false);
        let is_text = response.header("content-type").is_some_and(|kind| !kind.contains("json"));
        let json = match &*response.body {
            [] => Value::Null,
            _ if is_text => Value::from(response.text()),
            body => serde_json::from_slice(body).expect("an answer of JSON"),
        };
        Answer { status: response.status, response, json }
    }
}

/// A stream of server-sent events.
pub struct Stream {
    pub head: Response,
    connection: HttpConnection,
    text: String,
}

impl Stream {
    /// The next message: its name and its JSON.
    pub fn expect_message(&mut self) -> (String, Value) {
        let end = loop {
            if let Some(end) = self.text.find("\n\n") {
                break end;
            }
            let chunk = self.connection.chunk().expect("a message");
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        };
        let message: String = self.text.drain(..end + 2).collect();
        let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        (field("event: ").to_owned(), serde_json::from_str(field("data: ")).expect("JSON"))
    }

    /// Waits until the server has ended it.
    pub fn expect_end(&mut self) {
        self.connection.read_to_end();
    }
}

impl Answer {
    /// Expects a problem as in RFC 9457, and returns its detail.
    pub fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{self:?}");
        let kind = self.response.header("content-type");
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.json["status"], status, "{self:?}");
        assert!(self.json["title"].is_string() && self.json["type"] == "about:blank", "{self:?}");
        self.json["detail"].as_str().expect("a detail")
    }
}
