//! Two clients that exchange messages, as two pages do for a call.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::http::Server;
use super::report::Finding;
use super::socket::{Ending, Frame, Socket};

/// A slower round trip gets a warning: a call needs several of them.
const SLOW_MILLIS: u128 = 500;
/// Most other messages that are skipped while one is expected.
const MAX_OTHERS: usize = 16;

/// PeerJS sends this message every [`BEAT`].
const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;
const BEAT: Duration = Duration::from_secs(5);

/// Sends an offer, its answer and a goodbye between two clients.
pub(super) async fn exchange(one: &mut Socket, other: &mut Socket) -> Result<Finding, Finding> {
    // Parts that servers must not change: non-ASCII characters, escapes, the order of members.
    let payload = json!({ "type": "doctor", "connectionId": "dc_doctor", "text": "ü€😀 \" \\ \r\n <>&", "number": 1.5, "none": null });
    let started = Instant::now();
    pass(one, other, "OFFER", Some(&payload)).await?;
    pass(other, one, "ANSWER", Some(&payload)).await?;
    let took = started.elapsed();
    pass(one, other, "LEAVE", None).await?;
    let took = took.as_millis();
    if took <= SLOW_MILLIS {
        return Ok(ok!("two peers reach each other, there and back in {took} ms"));
    }
    Ok(warning!("two peers reach each other, there and back in {took} ms" =>
        "Calls begin slowly. Look at the load of the server, at the network, and at the distance between server and clients."))
}

/// Sends a message, and expects it unchanged at the other side.
async fn pass(
    from: &mut Socket,
    to: &mut Socket,
    kind: &str,
    payload: Option<&Value>,
) -> Result<(), Finding> {
    let message = match payload {
        Some(payload) => json!({ "type": kind, "dst": to.id, "payload": payload }),
        None => json!({ "type": kind, "dst": to.id }),
    };
    let passing = async {
        from.send(message.to_string()).await?;
        arrival(to, kind).await
    };
    Err(match passing.await {
        Ok(Frame { src, payload: arrived, .. }) => {
            let sent = payload.map(Value::to_string);
            let is_same = sent.is_none_or(|sent| arrived.is_some_and(|arrived| arrived.get() == sent));
            if is_same && src.as_ref() == Some(&from.id) {
                return Ok(());
            }
            failed!("{kind} arrives, but changed" =>
                "Something between the clients and the server changes messages: look for a proxy that rewrites or filters.")
        }
        Err(Ending::Timeout) => failed!("{kind} does not arrive at the other peer" =>
            "If several servers are behind this address, they must be a cluster (docs/CLUSTER.md): here each seems to know its own \
             clients only. A single server: run the doctor again, and look at its log."),
        Err(Ending::Closed(why)) => failed!("the server closes a client that sends {kind} ({why})" =>
            "Look at the log of the server."),
        Err(Ending::Cut) => failed!("a connection breaks while {kind} is under way" =>
            "A proxy or a firewall in front breaks WebSockets: allow them there."),
    })
}

/// The next message of a kind.
pub(super) async fn arrival(to: &mut Socket, kind: &str) -> Result<Frame, Ending> {
    for _ in 0..MAX_OTHERS {
        let frame = to.next().await?;
        if frame.kind == kind {
            return Ok(frame);
        }
    }
    Err(Ending::Timeout)
}

/// Checks if something between here and the server cuts silent connections. Keeps two clients open: one that
/// is silent except for its answers to pings, like a page whose timers the browser throttles, and one with
/// the heartbeats of PeerJS.
pub(super) async fn idle(server: &Server, seconds: u64) -> Finding {
    let (Ok(silent), Ok(beating)) = (Socket::open(server).await, Socket::open(server).await) else {
        return failed!("the two WebSockets for it do not open" => "Run the doctor again.");
    };
    let time = Duration::from_secs(seconds);
    let endings = tokio::join!(watch(silent, time, false), watch(beating, time, true));
    let after = match &endings {
        (_, Some((after, _))) | (Some((after, _)), None) => *after,
        (None, None) => return ok!("connections stay open for {seconds} s, a silent one too"),
    };
    let raise = format!(
        "Raise its timeout for silent connections, now {after} s, to two minutes (nginx: proxy_read_timeout 120s; HAProxy: timeout \
         tunnel; the idle timeout of a load balancer)."
    );
    match endings {
        (Some((_, Ending::Closed(why))), None) => {
            warning!("the server closes a silent client after {after} s ({why})" =>
            "PeerJS 1.0 and later send a heartbeat every 5 s. Browsers throttle it in pages that nobody sees, which then lose their \
             connection.")
        }
        (_, None) => warning!("something in front of the server cuts silent connections after {after} s" =>
            "{raise} Heartbeats of PeerJS keep connections open, but browsers throttle them in pages that nobody sees."),
        (_, Some((_, Ending::Closed(why)))) => {
            failed!("the server closes a client after {after} s ({why})" =>
            "Look at the log of the server.")
        }
        _ => failed!("something in front of the server cuts connections after {after} s" => "{raise}"),
    }
}

/// Waits until the connection ends, or the time is up. Returns after how many seconds it was cut, and how.
async fn watch(mut socket: Socket, time: Duration, beats: bool) -> Option<(u64, Ending)> {
    let started = Instant::now();
    let talk = async {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let talked = tokio::select! {
                frame = socket.read() => frame.map(drop),
                _ = beat.tick(), if beats => socket.send(HEARTBEAT.to_owned()).await,
            };
            if let Err(ending) = talked {
                return ending;
            }
        }
    };
    if let Ok(ending) = timeout(time, talk).await {
        return Some((started.elapsed().as_secs(), ending));
    }
    socket.close().await;
    None
}
