//! Whether something between here and the server cuts connections that are silent.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::finding::Finding;
use super::http::Server;
use super::socket::{Ending, Socket};

/// What PeerJS sends, and how often.
const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;
const BEAT: Duration = Duration::from_secs(5);

/// When and how a connection ended.
struct Cut {
    after: Duration,
    how: Ending,
}

/// Keeps two clients open: one that is silent except for its answers to pings, like a page whose timers the browser
/// throttles, and one with the heartbeats of PeerJS.
pub(super) async fn idle(server: &Server, seconds: u64) -> Finding {
    let (Ok(silent), Ok(beating)) = (Socket::open(server).await, Socket::open(server).await) else {
        return Finding::failed("idle", "the two WebSockets for it do not open", "Run the doctor again.");
    };
    let time = Duration::from_secs(seconds);
    let (silent, beating) = tokio::join!(watch(silent, time, false), watch(beating, time, true));
    match (silent, beating) {
        (None, None) => {
            Finding::ok("idle", format!("connections stay open for {seconds} s, a silent one too"))
        }
        (Some(silent), None) => match &silent.how {
            Ending::Closed(why) => Finding::warning(
                "idle",
                format!("the server closes a silent client after {} ({why})", silent.shown()),
                "PeerJS 1.0 and later send a heartbeat every 5 s. Browsers throttle it in pages that nobody sees, which then lose their \
                 connection.",
            ),
            _ => Finding::warning(
                "idle",
                format!("something in front of the server cuts silent connections after {}", silent.shown()),
                format!(
                    "{} Heartbeats of PeerJS keep connections open, but browsers throttle them in pages that nobody sees.",
                    raise(silent.after)
                ),
            ),
        },
        (_, Some(beating)) => match &beating.how {
            Ending::Closed(why) => Finding::failed(
                "idle",
                format!("the server closes a client after {} ({why})", beating.shown()),
                "Look at the log of the server.",
            ),
            _ => Finding::failed(
                "idle",
                format!("something in front of the server cuts connections after {}", beating.shown()),
                raise(beating.after),
            ),
        },
    }
}

fn raise(after: Duration) -> String {
    format!(
        "Raise its timeout for silent connections, now {} s, to two minutes (nginx: proxy_read_timeout 120s; HAProxy: timeout tunnel; \
         the idle timeout of a load balancer).",
        after.as_secs()
    )
}

/// Waits until the connection ends, or the time is up.
async fn watch(mut socket: Socket, time: Duration, beats: bool) -> Option<Cut> {
    let started = Instant::now();
    let talk = async {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                frame = socket.read() => if let Err(how) = frame {
                    return how;
                },
                _ = beat.tick(), if beats => if let Err(how) = socket.send(HEARTBEAT.to_owned()).await {
                    return how;
                },
            }
        }
    };
    let how = timeout(time, talk).await.ok();
    let cut = how.map(|how| Cut { after: started.elapsed(), how });
    if cut.is_none() {
        socket.close().await;
    }
    cut
}

impl Cut {
    fn shown(&self) -> String {
        format!("{} s", self.after.as_secs())
    }
}
