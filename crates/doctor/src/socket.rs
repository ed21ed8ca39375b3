//! A client of the broker: a WebSocket that has got OPEN.

use std::fmt::Display;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use uuid::Uuid;

use super::http::{Server, Stream, header};
use super::report::Finding;
use super::target::{AGENT, TIMEOUT};

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

/// The end of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a close frame, which comes from the server.
    Closed(String),
    /// Without one, as by a program between here and the server.
    Cut,
    /// There was no message in time.
    Timeout,
}

impl Ending {
    fn closed(frame: Option<CloseFrame>) -> Self {
        let why = frame.map_or("no reason".to_owned(), |frame| format!("{} {}", frame.code, frame.reason));
        Ending::Closed(why.trim().to_owned())
    }
}

impl Socket {
    /// Opens a client with a random id.
    pub(super) async fn open(server: &Server) -> Result<Self, Finding> {
        let [id, token] = [(); 2].map(|()| Uuid::new_v4().to_string());
        let id = format!("doctor-{id}");
        let query = format!("key={}&id={id}&token={token}", server.target.encoded_key());
        let mut client =
            Self::connect(server, id, &format!("{}?{query}", server.target.socket_path())).await?;
        let text = match client.next().await {
            Ok(Frame { kind, .. }) if kind == "OPEN" => return Ok(client),
            Ok(Frame { kind, payload, .. }) => {
                let text = payload.and_then(|payload| serde_json::from_str(payload.get()).ok());
                text.map_or(kind, |ErrorText { msg }| msg)
            }
            Err(Ending::Closed(why)) => why,
            Err(Ending::Cut) => return Err(broken("it ends without a close frame")),
            Err(Ending::Timeout) => {
                return Err(failed!("the WebSocket opens, but the server's first message does not arrive" =>
                    "A proxy in front seems to buffer: it must pass the bytes of a WebSocket on at once (nginx: proxy_buffering off, \
                     and Upgrade headers as in docs/DEPLOY.md)."));
            }
        };
        Err(failed!("the server refuses the client: {text}" => "{}", after_refusal(&text)))
    }

    /// Opens a WebSocket at a path with its query.
    pub(super) async fn connect(server: &Server, id: String, path: &str) -> Result<Self, Finding> {
        let host = server.target.authority(server.secure);
        let url = format!("ws://{host}{path}").parse().map_err(broken)?;
        let mut request = ClientRequestBuilder::new(url).with_header("User-Agent", AGENT);
        if let Some(origin) = &server.origin {
            request = request.with_header("Origin", origin);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let opening = async {
            let stream = server.connect().await.map_err(broken)?;
            client_async_with_config(request, stream, Some(config)).await.map_err(|error| match error {
                Error::Http(answer) => answered(server, &answer),
                error => broken(error),
            })
        };
        let unanswered = |_| {
            failed!("there is no answer to the handshake of a WebSocket" =>
                "Plain requests are answered, so a proxy or a firewall in front holds WebSockets up: allow them there.")
        };
        let (socket, _) = timeout(TIMEOUT, opening).await.map_err(unanswered)??;
        Ok(Socket { id, socket })
    }

    /// Sends a binary message.
    pub(super) async fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<(), Ending> {
        let sent = timeout(TIMEOUT, self.socket.send(Message::binary(bytes))).await;
        sent.map_err(|_| Ending::Timeout)?.map_err(|_| Ending::Cut)
    }

    /// The next binary message, within the usual time.
    pub(super) async fn next_bytes(&mut self) -> Result<Vec<u8>, Ending> {
        let reading = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Ok(bytes.into()),
                    Some(Ok(Message::Close(frame))) => return Err(Ending::closed(frame)),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(Ending::Cut),
                }
            }
        };
        timeout(TIMEOUT, reading).await.unwrap_or(Err(Ending::Timeout))
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), Ending> {
        let sent = timeout(TIMEOUT, self.socket.send(Message::text(text))).await;
        sent.map_err(|_| Ending::Timeout)?.map_err(|_| Ending::Cut)
    }

    /// The next message, within the usual time.
    pub(super) async fn next(&mut self) -> Result<Frame, Ending> {
        timeout(TIMEOUT, self.read()).await.unwrap_or(Err(Ending::Timeout))
    }

    /// The next message. Pings are answered while it waits. Safe to cancel.
    pub(super) async fn read(&mut self) -> Result<Frame, Ending> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(frame) = serde_json::from_str(&text) {
                        return Ok(frame);
                    }
                }
                Some(Ok(Message::Close(frame))) => return Err(Ending::closed(frame)),
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

fn broken(error: impl Display) -> Finding {
    failed!("no WebSocket opens ({error})" =>
        "Plain requests are answered, so a proxy or a firewall in front breaks WebSockets: allow them there.")
}

/// The finding for a handshake that is answered over HTTP.
fn answered(server: &Server, answer: &Response<Option<Vec<u8>>>) -> Finding {
    let path = server.target.socket_path();
    let status = answer.status();
    let found = format!("the handshake of a WebSocket at {path} is answered with {}", status.as_u16());
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            let text = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            failed!("{found}: {}", text.trim() =>
                "Wait for a minute and try again. If all clients get it, the broker sees them all as one address: it lacks --proxied, \
                 or the proxy does not set X-Forwarded-For (docs/PROXY.md).")
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            failed!("{found}" =>
            "The proxy in front passes WebSockets to another place than plain requests: lead both to the broker.")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed!("{found}" =>
            "A proxy in front protects this path. Leave it open: PeerJS sends no password."),
        status if status.is_redirection() => failed!("{found}, to {}", header(answer, "location") =>
            "WebSockets do not follow redirects: use that address in clients. nginx redirects to a location with a / at its end: write it \
             without."),
        _ => failed!("{found}: the headers of the upgrade do not arrive" =>
            "Have the proxy in front pass Upgrade and Connection. nginx: proxy_http_version 1.1; proxy_set_header Upgrade \
             $http_upgrade; proxy_set_header Connection upgrade; in every location that leads to the broker. Apache: \
             mod_proxy_wstunnel, or upgrade=websocket."),
    }
}

/// Advice after a refusal. The texts are those of peerjs-server and of the broker.
fn after_refusal(text: &str) -> &'static str {
    if text.contains("Invalid key") {
        "Give the key of your client with --key. The server knows it from its flag --key, or from `peerbroker keys`."
    } else if text.contains("origin") {
        "The key is for pages of certain origins: run the doctor with --origin and the address of your page."
    } else if text.contains("Invalid token") {
        "The key requires verified identities, which the doctor has none of: examine a key without them (docs/KEYS.md)."
    } else if text.contains("concurrent user limit") {
        "The key has as many clients as it may: raise --concurrent_limit, or that of the key."
    } else if text.contains("Wrong path") {
        "Use this path in clients, or start the broker with another --path."
    } else if text.contains("not available") {
        "The server cannot reach the store of its keys, the Redis of its cluster, or the webhook of the key: look at its log."
    } else {
        "Look at the log of the server."
    }
}

/// The payload of ERROR and ID-TAKEN.
#[derive(Deserialize)]
struct ErrorText {
    msg: String,
}
