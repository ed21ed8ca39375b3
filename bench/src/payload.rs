//! Messages of PeerJS clients.

/// The size of a whole offer message, without candidates.
pub const OFFER_BYTES: usize = 2048;

pub const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;

pub const ROOM_JOIN: &str = r#"{"type":"ROOM-JOIN","room":"bench"}"#;

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
    let room = bytes.saturating_sub(around);
    let sdp = SDP.repeat(room / SDP.len()) + &"x".repeat(room % SDP.len());
    envelope(kind, from, to, &sdp)
}

/// A message of about `bytes` bytes to all members of the room of [`ROOM_JOIN`].
pub fn room_message(bytes: usize) -> String {
    let (begin, end) = (r#"{"type":"ROOM-SEND","room":"bench","payload":""#, r#""}"#);
    format!("{begin}{}{end}", "x".repeat(bytes.saturating_sub(begin.len() + end.len())))
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
