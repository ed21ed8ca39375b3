//! A client of the broker: a WebSocket that has got OPEN.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::StatusCode;
use hyper::header::{HeaderValue, ORIGIN, USER_AGENT};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use uuid::Uuid;

use super::http::{AGENT, Server, Stream};

/// The timeout of each step: the handshake, OPEN, a message.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a message that is received.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

pub(super) struct Socket {
    pub(super) id: String,
    socket: WebSocketStream<Box<dyn Stream>>,
}

/// A message of the protocol.
#[derive(Deserialize)]
pub(super) struct Frame {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) src: Option<String>,
    pub(super) payload: Option<Box<RawValue>>,
}

/// Why there is no open client.
pub(super) enum NotOpen {
    /// There is no connection, or it broke.
    Broken(String),
    /// The handshake was answered over HTTP.
    Http { status: StatusCode, text: String, location: String },
    /// The server has refused the client, with this text.
    Refused(String),
    /// The handshake worked, and no message followed.
    Silent,
    /// There was no answer to the handshake.
    Unanswered,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a close frame, which comes from the server.
    Closed(String),
    /// Without one, as by a program between here and the server.
    Cut,
    /// There was no message in time.
    Timeout,
}

impl Socket {
    /// Opens a client with a random id.
    pub(super) async fn open(server: &Server) -> Result<Self, NotOpen> {
        let [id, token] = [(); 2].map(|()| Uuid::new_v4().to_string());
        let id = format!("doctor-{id}");
        let query = format!("key={}&id={id}&token={token}", server.target.encoded_key());
        let url = format!("ws://{}{}?{query}", server.host(), server.path("peerjs"));
        let broken = |error: &dyn std::error::Error| NotOpen::Broken(error.to_string());
        let mut request = url.into_client_request().map_err(|error| broken(&error))?;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(origin) = &server.origin {
            let origin = HeaderValue::from_str(origin).map_err(|error| broken(&error))?;
            request.headers_mut().insert(ORIGIN, origin);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let opening = async {
            let stream = server.connect().await.map_err(|error| broken(&error))?;
            client_async_with_config(request, stream, Some(config)).await.map_err(|error| match error {
                Error::Http(answer) => {
                    let header = answer.headers().get("location").and_then(|value| value.to_str().ok());
                    let location = header.unwrap_or_default().to_owned();
                    let text = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                    NotOpen::Http { status: answer.status(), text: text.into_owned(), location }
                }
                error => broken(&error),
            })
        };
        let (socket, _) = timeout(TIMEOUT, opening).await.unwrap_or(Err(NotOpen::Unanswered))?;
        let mut client = Socket { id, socket };
        match client.next().await {
            Ok(Frame { kind, .. }) if kind == "OPEN" => Ok(client),
            Ok(Frame { kind, payload, .. }) => {
                let text = payload.and_then(|payload| serde_json::from_str(payload.get()).ok());
                Err(NotOpen::Refused(text.map_or(kind, |ErrorText { msg }| msg)))
            }
            Err(Ending::Timeout) => Err(NotOpen::Silent),
            Err(Ending::Closed(why)) => Err(NotOpen::Refused(why)),
            Err(Ending::Cut) => Err(NotOpen::Broken("it ends without a close frame".to_owned())),
        }
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), Ending> {
        match timeout(TIMEOUT, self.socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ending::Cut),
            Err(_) => Err(Ending::Timeout),
        }
    }

    /// The next message, within the usual time.
    pub(super) async fn next(&mut self) -> Result<Frame, Ending> {
        timeout(TIMEOUT, self.read()).await.unwrap_or(Err(Ending::Timeout))
    }

    /// The next message, whenever it comes. Pings are answered meanwhile. Safe to cancel.
    pub(super) async fn read(&mut self) -> Result<Frame, Ending> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(frame) = serde_json::from_str(&text) {
                        return Ok(frame);
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map(|frame| format!("{} {}", frame.code, frame.reason));
                    return Err(Ending::Closed(
                        why.unwrap_or_else(|| "no reason".to_owned()).trim().to_owned(),
                    ));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Ending::Cut),
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        // The server notices the end in any case.
        let _ = timeout(TIMEOUT, self.socket.close(None)).await;
    }
}

/// The payload of ERROR and ID-TAKEN.
#[derive(Deserialize)]
struct ErrorText {
    msg: String,
}
