//! A pipe through whatever is in front of the server, for pages that WebRTC cannot connect.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::join;
use uuid::Uuid;

use super::http::Server;
use super::report::Finding;
use super::socket::{Ending, Socket};

/// The largest message of a pipe.
const RECORD: usize = 64 << 10;

/// Close codes of a server that has no pipes for this client, or no place for one now (docs/PROTOCOL.md).
const REFUSED: [&str; 2] = ["4014", "1013"];

/// Sends the largest message from one end of a pipe to the other.
pub(super) async fn exchange(server: &Server) -> Finding {
    let pipe = random();
    let opened = join!(open(server, &pipe), open(server, &pipe));
    let (mut one, mut other) = match opened {
        (Ok(one), Ok(other)) => (one, other),
        _ => {
            let path = &server.target.path;
            return warning!("no pipe opens below {path}pipe/" =>
                "Pages without WebRTC need one: have the proxy in front lead {path}pipe/ to the broker too, with the headers of the \
                 upgrade as for {}.", server.target.socket_path());
        }
    };
    // Bytes of which no proxy can guess the next.
    let record: Vec<u8> = (0..RECORD as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let passing = async {
        for end in [&mut one, &mut other] {
            super::peers::arrival(end, "OPEN").await?;
        }
        one.send_bytes(record.clone()).await?;
        other.next_bytes().await
    };
    let finding = match passing.await {
        Ok(arrived) if arrived == record => {
            ok!("a pipe opens: data goes over the server where WebRTC cannot")
        }
        Ok(_) => failed!("what goes through a pipe arrives changed" =>
            "Something between the clients and the server changes messages: look for a proxy that rewrites or filters."),
        Err(Ending::Closed(why)) if why == "4014 Pipes are off" => {
            skipped!("pipes are off (--pipes, or `peerbroker keys set` with --pipes)")
        }
        Err(Ending::Closed(why)) if REFUSED.iter().any(|code| why.starts_with(code)) => {
            warning!("the server refuses a pipe ({why})" =>
                "Look at the limits of pipes (docs/LIMITS.md), and at the log of the server.")
        }
        Err(Ending::Closed(why)) => {
            failed!("the server closes a pipe ({why})" => "Look at the log of the server.")
        }
        Err(Ending::Timeout) => failed!("the two ends of a pipe do not meet, or nothing comes through it" =>
            "If several servers are behind this address, each must reach the others at its --node_url (docs/CLUSTER.md). A proxy may also \
             hold large messages of WebSockets up."),
        Err(Ending::Cut) => failed!("a pipe breaks" =>
            "A proxy or a firewall in front breaks WebSockets, or limits their messages: allow 64 KB there."),
    };
    one.close().await;
    other.close().await;
    finding
}

async fn open(server: &Server, pipe: &str) -> Result<Socket, Finding> {
    let end = random();
    let path = format!("{}pipe/{pipe}?key={}&end={end}", server.target.path, server.target.encoded_key());
    Socket::connect(server, end, &path).await
}

/// 128 random bits.
fn random() -> String {
    URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())
}
