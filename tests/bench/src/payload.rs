//! Messages of clients: of PeerJS, y-webrtc and WebTorrent.

/// The size of a whole offer message, without candidates.
pub const OFFER_BYTES: usize = 2048;

pub const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;

pub const ROOM_JOIN: &str = r#"{"type":"ROOM-JOIN","room":"bench"}"#;

/// The subscription and the ping of a client of y-webrtc.
pub const SUBSCRIBE: &str = r#"{"type":"subscribe","topics":["bench"]}"#;
pub const PING: &str = r#"{"type":"ping"}"#;

const SDP: &str = "v=0\\r\\no=- 4611731400430051336 2 IN IP4 127.0.0.1\\r\\ns=-\\r\\nt=0 0\\r\\n\
    a=group:BUNDLE 0\\r\\na=extmap-allow-mixed\\r\\na=msid-semantic: WMS\\r\\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\\r\\nc=IN IP4 0.0.0.0\\r\\na=ice-ufrag:4ZcD\\r\\n\
    a=ice-pwd:2/1muCWoOi3uLifh0NuRHlYu\\r\\na=ice-options:trickle\\r\\na=fingerprint:sha-256 \
    75:74:5A:A6:A4:E5:52:F4:A7:67:4C:01:C7:EE:91:3F:21:3D:A2:E3:53:7B:6F:30:86:F2:30:AA:65:FB:04:24\\r\\n\
    a=setup:actpass\\r\\na=mid:0\\r\\na=sctp-port:5000\\r\\na=max-message-size:262144\\r\\n";

/// An OFFER (from an even peer) or an ANSWER (from an odd one) of about `bytes` bytes.
pub fn signal(from: usize, to: &str, bytes: usize) -> String {
    let kind = if from.is_multiple_of(2) { "OFFER" } else { "ANSWER" };
    let around = envelope(kind, from, to, "").len();
    envelope(kind, from, to, &sdp(bytes.saturating_sub(around)))
}

fn sdp(bytes: usize) -> String {
    SDP.repeat(bytes / SDP.len()) + &"x".repeat(bytes % SDP.len())
}

/// A message of about `bytes` bytes to all members of the room of [`ROOM_JOIN`].
pub fn room_message(bytes: usize) -> String {
    let begin = r#"{"type":"ROOM-SEND","room":"bench","payload":""#;
    let end = r#""}"#;
    format!("{begin}{}{end}", "x".repeat(bytes.saturating_sub(begin.len() + end.len())))
}

/// A publication of `bytes` bytes to the topic of [`SUBSCRIBE`]: a signal of y-webrtc, which a password has
/// encrypted.
pub fn publication(bytes: usize) -> String {
    let begin = r#"{"type":"publish","topic":"bench","data":""#;
    let end = r#""}"#;
    let base64 = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).cycle();
    let data: String = base64.take(bytes.saturating_sub(begin.len() + end.len())).collect();
    format!("{begin}{data}{end}")
}

/// An announce of a client of WebTorrent with so many offers, which have `bytes` bytes of SDP each.
pub fn announce(peer: usize, swarm: usize, offers: usize, bytes: usize) -> String {
    let sdp = sdp(bytes);
    let offer = |number| {
        format!(r#"{{"offer":{{"type":"offer","sdp":"{sdp}"}},"offer_id":{}}}"#, twenty_bytes(number))
    };
    let offers: Vec<String> = (0..offers).map(offer).collect();
    let numwant = offers.len();
    let swarm = twenty_bytes(swarm);
    let offers = offers.join(",");
    format!(
        "{{\"numwant\":{numwant},\"uploaded\":0,\"downloaded\":0,\"left\":1000,\"action\":\"announce\",\
         \"info_hash\":{swarm},\"peer_id\":\"-WW0208-{peer:012}\",\"offers\":[{offers}]}}"
    )
}

/// As WebTorrent's clients write them: a character for each.
fn twenty_bytes(number: usize) -> String {
    let text: String = (0..20).map(|at| char::from((31 * number + 89 * at) as u8)).collect();
    serde_json::to_string(&text).expect("a string is JSON")
}

// Members in the client's order: `dst` is the last.
fn envelope(kind: &str, from: usize, to: &str, sdp: &str) -> String {
    let lower = kind.to_lowercase();
    format!(
        "{{\"type\":\"{kind}\",\"payload\":{{\"sdp\":{{\"type\":\"{lower}\",\"sdp\":\"{sdp}\"}},\
         \"type\":\"data\",\"connectionId\":\"dc_{from}\",\"label\":\"dc_{from}\",\"reliable\":false,\
         \"serialization\":\"binary\"}},\"dst\":\"{to}\"}}"
    )
}
