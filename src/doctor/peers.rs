//! Two clients that send each other messages, as two pages that call each other.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use serde_json::json;
use serde_json::value::RawValue;

use super::finding::Finding;
use super::http::Server;
use super::socket::{Ending, Frame, NotOpen, Socket};

/// A longer way there and back gets a warning: a call needs several of them.
const SLOW: Duration = Duration::from_millis(500);
/// Most other messages that are skipped while one is expected.
const MAX_OTHERS: usize = 16;

/// Opens a client.
pub(super) async fn open(server: &Server) -> (Finding, Option<Socket>) {
    match Socket::open(server).await {
        Ok(socket) => {
            (Finding::ok("websocket", "a WebSocket opens, and the server admits a client"), Some(socket))
        }
        Err(why) => (explained(server, why), None),
    }
}

fn explained(server: &Server, why: NotOpen) -> Finding {
    let failed = |found: String, advice: &str| Finding::failed("websocket", found, advice);
    match why {
        NotOpen::Refused(text) => {
            failed(format!("the server refuses the client: {text}"), after_refusal(&text))
        }
        NotOpen::Silent => failed(
            "the WebSocket opens, but the server's first message does not arrive".to_owned(),
            "A proxy in front seems to buffer: it must pass the bytes of a WebSocket on at once (nginx: proxy_buffering off, and Upgrade \
             headers as in docs/DEPLOY.md).",
        ),
        NotOpen::Unanswered => failed(
            "there is no answer to the handshake of a WebSocket".to_owned(),
            "Plain requests are answered, so a proxy or a firewall in front holds WebSockets up: allow them there.",
        ),
        NotOpen::Broken(error) => failed(
            format!("no WebSocket opens ({error})"),
            "Plain requests are answered, so a proxy or a firewall in front breaks WebSockets: allow them there.",
        ),
        NotOpen::Http { status, text, location } => {
            let path = server.path("peerjs");
            let found =
                format!("the handshake of a WebSocket at {path} is answered with {}", status.as_u16());
            match status {
                StatusCode::TOO_MANY_REQUESTS => failed(
                    format!("{found}: {}", text.trim()),
                    "Wait for a minute and try again. If all clients get it, the broker sees them all as one address: it lacks --proxied, or \
                     the proxy does not set X-Forwarded-For (docs/PROXY.md).",
                ),
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                    failed(
                        found,
                        "The proxy in front passes WebSockets to another place than plain requests: lead both to the broker.",
                    )
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed(
                    found,
                    "A proxy in front protects this path. Leave it open: PeerJS sends no password.",
                ),
                status if status.is_redirection() => failed(
                    format!("{found}, to {location}"),
                    "WebSockets do not follow redirects: use that address in clients.",
                ),
                _ => failed(
                    format!("{found}: the headers of the upgrade do not arrive"),
                    "Have the proxy in front pass Upgrade and Connection. nginx: proxy_http_version 1.1; proxy_set_header Upgrade \
                     $http_upgrade; proxy_set_header Connection upgrade; in every location that leads to the broker. Apache: \
                     mod_proxy_wstunnel, or upgrade=websocket.",
                ),
            }
        }
    }
}

/// What to do about a refusal. The texts are those of peerjs-server and of the broker.
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
        "The node cannot reach the Redis of its cluster: look at its log (docs/CLUSTER.md)."
    } else {
        "Look at the log of the server."
    }
}

/// Sends an offer, its answer and a goodbye between two clients.
pub(super) async fn exchange(one: &mut Socket, other: &mut Socket) -> Finding {
    // What servers must not change: not ASCII, escapes, the order of members.
    let payload = json!({ "type": "doctor", "connectionId": "dc_doctor", "text": "ü€😀 \" \\ \r\n <>&", "number": 1.5, "none": null });
    let Ok(payload) = RawValue::from_string(payload.to_string()) else {
        return Finding::skipped("peers", "the message cannot be made");
    };
    let started = Instant::now();
    let there = pass(one, other, "OFFER", Some(&payload)).await;
    let back = match there {
        Ok(()) => pass(other, one, "ANSWER", Some(&payload)).await,
        failed => failed,
    };
    let took = started.elapsed();
    let ended = match back {
        Ok(()) => pass(one, other, "LEAVE", None).await,
        failed => failed,
    };
    if let Err(finding) = ended {
        return finding;
    }
    let found = format!("two peers reach each other, there and back in {} ms", took.as_millis());
    if took > SLOW {
        Finding::warning(
            "peers",
            found,
            "Calls begin slowly. Look at the load of the server, at the network, and at the distance between server and clients.",
        )
    } else {
        Finding::ok("peers", found)
    }
}

/// Sends a message, and expects it at the other side as it was.
async fn pass(
    from: &mut Socket,
    to: &mut Socket,
    kind: &str,
    payload: Option<&RawValue>,
) -> Result<(), Finding> {
    let failed = |found: String, advice: &str| Err(Finding::failed("peers", found, advice));
    let message = match payload {
        Some(payload) => json!({ "type": kind, "dst": to.id, "payload": payload }),
        None => json!({ "type": kind, "dst": to.id }),
    };
    let sent = from.send(message.to_string()).await;
    let arrived = match sent {
        Ok(()) => arrival(to, kind).await,
        Err(ending) => Err(ending),
    };
    match arrived {
        Ok(Frame { src, payload: arrived, .. }) => {
            let is_same =
                payload.is_none_or(|sent| arrived.is_some_and(|arrived| arrived.get() == sent.get()));
            if is_same && src.as_ref() == Some(&from.id) {
                return Ok(());
            }
            failed(
                format!("{kind} arrives, but changed"),
                "Something between the clients and the server changes messages: look for a proxy that rewrites or filters.",
            )
        }
        Err(Ending::Timeout) => failed(
            format!("{kind} does not arrive at the other peer"),
            "If several servers are behind this address, they must be a cluster (docs/CLUSTER.md): here each seems to know its own \
             clients only. A single server: run the doctor again, and look at its log.",
        ),
        Err(Ending::Closed(why)) => failed(
            format!("the server closes a client that sends {kind} ({why})"),
            "Look at the log of the server.",
        ),
        Err(Ending::Cut) => failed(
            format!("a connection breaks while {kind} is under way"),
            "A proxy or a firewall in front breaks WebSockets: allow them there.",
        ),
    }
}

async fn arrival(to: &mut Socket, kind: &str) -> Result<Frame, Ending> {
    for _ in 0..MAX_OTHERS {
        let frame = to.next().await?;
        if frame.kind == kind {
            return Ok(frame);
        }
    }
    Err(Ending::Timeout)
}
