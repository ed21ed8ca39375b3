//! Reports of clients about their connections to each other. They are claims: nothing proves them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use peerbroker_core::vocabulary::{PeerId, labels};

labels! {
    /// The way of the data of a connection that opened.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ReportedWay {
        /// From browser to browser.
        Direct = "direct",
        /// Through the relay of a broker.
        Relay = "relay",
        /// Through a TURN server.
        Turn = "turn",
        /// Over a broker, by a pipe.
        Pipe = "pipe",
        /// The browser does not say.
        Unknown = "unknown",
    }
}

labels! {
    /// The guess of a client why a connection did not open.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ReportedReason {
        /// No STUN or TURN server answered, so the network blocks UDP.
        NoUdp = "no_udp",
        /// The two networks need a relay, and neither end had one.
        NoRelay = "no_relay",
        /// The other peer is absent, or left.
        PeerGone = "peer_gone",
        /// The other peer did not answer.
        Unanswered = "unanswered",
        /// The browser may not use a camera or microphone.
        Permission = "permission",
        /// The two browsers have no codec in common, or one did not take the description of the other.
        Codec = "codec",
        /// The page closed the connection, or was closed, before it could open.
        Left = "left",
        /// None of these.
        Unknown = "unknown",
    }
}

labels! {
    /// The kind of a connection of PeerJS.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ReportedKind {
        /// A data connection.
        Data = "data",
        /// A call.
        Media = "media",
    }
}

impl ReportedKind {
    /// The kind of the connection that an offer is for: as PeerJS says it, or as its description shows.
    pub fn of_offer(text: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Offer {
            payload: OfPeerJs,
        }
        #[derive(Deserialize)]
        struct OfPeerJs {
            r#type: ReportedKind,
        }
        let has = |part: &str| memchr::memmem::find(text, part.as_bytes()).is_some();
        let has_line = has("m=audio") || has("m=video");
        let is_call = |offer: Offer| offer.payload.r#type == ReportedKind::Media;
        // Most offers are for data, and need not be parsed.
        let is_media = (has_line || has("media")) && serde_json::from_slice(text).map_or(has_line, is_call);
        if is_media { ReportedKind::Media } else { ReportedKind::Data }
    }
}

labels! {
    /// A state of ICE (W3C WebRTC, `RTCIceConnectionState`).
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[allow(missing_docs)]
    pub enum ReportedState {
        New = "new",
        Checking = "checking",
        Connected = "connected",
        Completed = "completed",
        Disconnected = "disconnected",
        Failed = "failed",
        Closed = "closed",
    }
}

labels! {
    /// A kind of candidate that an end had.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ReportedCandidate {
        /// An address of the device.
        Host = "host",
        /// The public address that STUN told.
        Srflx = "srflx",
        /// An address that a check has shown.
        Prflx = "prflx",
        /// An address of a TURN server.
        Relay = "relay",
        /// An address of the relay of a broker.
        Server = "server",
        /// An address of any of these kinds, for TCP.
        Tcp = "tcp",
    }
}

/// Most bytes of the id of a connection.
const MAX_CONNECTION_BYTES: usize = 64;

/// Most states of a report.
const MAX_STATES: usize = 8;

/// The outcome of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reported {
    /// The connection opened, and its data went this way.
    Opened(ReportedWay),
    /// The connection did not open.
    Failed(ReportedReason),
}

impl Reported {
    /// The number of all outcomes.
    pub const COUNT: usize = ReportedWay::ALL.len() + ReportedReason::ALL.len();

    /// All outcomes, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Reported> {
        let failed = ReportedReason::ALL.into_iter().map(Reported::Failed);
        ReportedWay::ALL.into_iter().map(Reported::Opened).chain(failed)
    }

    /// Its outcome, and the way or the reason.
    pub fn labels(self) -> (&'static str, &'static str) {
        match self {
            Reported::Opened(way) => ("opened", way.label()),
            Reported::Failed(reason) => ("failed", reason.label()),
        }
    }

    /// Its number among all of them.
    pub fn index(self) -> usize {
        match self {
            Reported::Opened(way) => way as usize,
            Reported::Failed(reason) => ReportedWay::ALL.len() + reason as usize,
        }
    }
}

/// The report of one end of a connection. It has no addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionReport {
    /// The id of the end that reports.
    pub id: PeerId,
    /// The id of the other end.
    pub peer: PeerId,
    /// The id of the connection, which both ends know.
    pub connection: Option<Box<str>>,
    /// Its outcome.
    pub outcome: Reported,
    /// The rest.
    pub details: ReportDetails,
}

/// The part of a report that is told as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportDetails {
    /// The kind of the connection.
    pub kind: ReportedKind,
    /// True if the end that reports has opened the connection.
    pub caller: bool,
    /// Milliseconds until it opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_ms: Option<u32>,
    /// Milliseconds for which it was open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The last round trip, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<u32>,
    /// The share of packets that were lost on the way to this end, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f32>,
    /// Bytes that this end has sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u64>,
    /// Bytes that it has received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<u64>,
    /// The states of ICE that it went through; at most eight.
    #[serde(default)]
    pub states: Vec<ReportedState>,
    /// The kinds of its own candidates.
    #[serde(default)]
    pub local: Vec<ReportedCandidate>,
    /// The kinds of the candidates of the other end.
    #[serde(default)]
    pub remote: Vec<ReportedCandidate>,
}

/// A report as it comes. serde cannot flatten a struct that refuses unknown fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Received {
    id: String,
    peer: String,
    connection: Option<String>,
    way: Option<ReportedWay>,
    reason: Option<ReportedReason>,
    kind: ReportedKind,
    caller: bool,
    open_ms: Option<u32>,
    duration_ms: Option<u64>,
    rtt_ms: Option<u32>,
    loss: Option<f32>,
    sent_bytes: Option<u64>,
    received_bytes: Option<u64>,
    #[serde(default)]
    states: Vec<ReportedState>,
    #[serde(default)]
    local: Vec<ReportedCandidate>,
    #[serde(default)]
    remote: Vec<ReportedCandidate>,
}

impl ConnectionReport {
    /// Reads a report. `None` if it has another form, another word, or too much of something.
    pub fn read(json: &[u8]) -> Option<Self> {
        let received: Received = serde_json::from_slice(json).ok()?;
        let outcome = match (received.way, received.reason) {
            (Some(way), None) => Reported::Opened(way),
            (None, Some(reason)) => Reported::Failed(reason),
            _ => return None,
        };
        let is_id = |id: &String| id.len() <= MAX_CONNECTION_BYTES && !id.chars().any(char::is_control);
        let has_few = |kinds: &[_]| kinds.len() <= ReportedCandidate::ALL.len();
        let is_fine = received.connection.as_ref().is_none_or(is_id)
            && received.loss.is_none_or(|loss| (0.0..=1.0).contains(&loss))
            && received.states.len() <= MAX_STATES
            && has_few(&received.local)
            && has_few(&received.remote);
        is_fine.then_some(())?;
        Some(ConnectionReport {
            id: PeerId::parse(&received.id).ok()?,
            peer: PeerId::parse(&received.peer).ok()?,
            connection: received.connection.map(String::into_boxed_str),
            outcome,
            details: ReportDetails {
                kind: received.kind,
                caller: received.caller,
                open_ms: received.open_ms,
                duration_ms: received.duration_ms,
                rtt_ms: received.rtt_ms,
                loss: received.loss,
                sent_bytes: received.sent_bytes,
                received_bytes: received.received_bytes,
                states: received.states,
                local: received.local,
                remote: received.remote,
            },
        })
    }

    /// True if both reports are of one connection, by its two ends.
    pub fn is_of_other_end(&self, other: &Self) -> bool {
        self.connection.is_some()
            && self.connection == other.connection
            && self.id == other.peer
            && self.peer == other.id
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(change: impl FnOnce(&mut Value)) -> Option<ConnectionReport> {
        let mut report = json!({
            "id": "alice", "peer": "bob", "connection": "dc_1", "way": "direct", "kind": "data", "caller": true,
            "open_ms": 180, "duration_ms": 2000, "rtt_ms": 3, "loss": 0.5, "sent_bytes": 10, "received_bytes": 20,
            "states": ["checking", "connected"], "local": ["host", "srflx"], "remote": ["host", "server"],
        });
        change(&mut report);
        ConnectionReport::read(report.to_string().as_bytes())
    }

    #[test]
    fn a_report_has_a_way_or_a_reason_and_words_that_are_known() {
        let report = read(|_| {}).unwrap();
        assert_eq!(report.outcome, Reported::Opened(ReportedWay::Direct));
        assert_eq!((report.details.open_ms, report.details.loss), (Some(180), Some(0.5)));
        for (field, value) in [
            ("way", json!("tunnel")),
            ("way", json!(null)),
            ("reason", json!("no_udp")),
            ("states", json!(vec!["checking"; 9])),
            ("states", json!(["dead"])),
            ("local", json!(vec!["host"; 7])),
            ("local", json!(["192.0.2.1"])),
            ("loss", json!(1.5)),
            ("loss", json!(-0.1)),
            ("open_ms", json!(-1)),
            ("id", json!("")),
            ("connection", json!("x".repeat(65))),
            ("connection", json!("a\nb")),
            ("address", json!("192.0.2.1")),
            ("caller", json!(null)),
        ] {
            assert_eq!(read(|report| report[field] = value.clone()), None, "{field} {value}");
        }
        for json in ["", "null", "{}", "[]", "\"way\""] {
            assert_eq!(ConnectionReport::read(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn outcomes_are_numbered_in_their_order_with_labels_of_their_own() {
        let all: Vec<_> = Reported::all().collect();
        assert!(all.iter().map(|reported| reported.index()).eq(0..Reported::COUNT));
        let labels: std::collections::HashSet<_> = all.iter().map(|reported| reported.labels()).collect();
        assert_eq!(labels.len(), Reported::COUNT);
    }

    #[test]
    fn the_ends_of_a_connection_name_each_other_and_it() {
        let report = |id: &str, peer: &str, connection: Value| {
            let [id, peer] = [id, peer].map(Value::from);
            read(|report| (report["id"], report["peer"], report["connection"]) = (id, peer, connection))
                .unwrap()
        };
        let alice = report("alice", "bob", json!("dc_1"));
        assert!(alice.is_of_other_end(&report("bob", "alice", json!("dc_1"))));
        for other in
            [report("bob", "alice", json!("dc_2")), report("bob", "alice", json!(null)), alice.clone()]
        {
            assert!(!alice.is_of_other_end(&other), "{other:?}");
        }
        let nameless = report("alice", "bob", json!(null));
        assert!(!nameless.is_of_other_end(&report("bob", "alice", json!(null))));
    }
}
