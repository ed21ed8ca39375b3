#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{ApiKey, labels};
use peerbroker_system::threads::Threads;

/// The limits of the relay and of the TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaLimits {
    /// Maximum calls that the relay knows at the same time, whether they need it or not.
    pub calls: usize,
    /// Maximum allocations of TURN at the same time. A connection of a browser has one for each URL and
    /// network interface. A further client replaces an unused one.
    pub allocations: usize,
    /// Bytes per second of one call, or of one allocation, both directions together; bursts of ten times
    /// that. 0 means no limit. Each datagram counts 60 bytes for its headers.
    pub bytes_per_second: u32,
}

impl MediaLimits {
    /// Maximum allocations of clients with one address, or in one /64 of IPv6; four times as many in a /48.
    /// By default enough for a school or an office behind one address.
    pub fn allocations_per_address(&self) -> usize {
        self.allocations.div_ceil(20)
    }
}

impl Default for MediaLimits {
    fn default() -> Self {
        // Video in both directions, 5 Mbit/s at most, has some 570 packets a second, and 140 more of sound
        // and reports: 625,000 bytes, and 43,000 for their headers. Files may use the rest.
        MediaLimits { calls: 20_000, allocations: 10_000, bytes_per_second: 1_250_000 }
    }
}

/// The current limits, shared by all clones. They can change while a server runs, so they are read each time,
/// and not held across an await.
pub type LiveLimits<T = MediaLimits> = Arc<ArcSwap<T>>;

/// Counts a connection of a client until it is dropped.
pub type Permit = Box<dyn Send + Sync>;

/// The questions of the media plane to whoever runs it. Never asked for each datagram. The defaults are for a
/// TURN server by itself.
pub trait MediaHost: Send + Sync {
    /// Counts a connection. `None` if its address has too many, or is banned.
    fn admit_connection(&self, _address: IpAddr) -> Option<Permit> {
        Some(Box::new(()))
    }

    /// Notes that a call goes through the relay for the first time.
    fn call_relayed(&self, _call: Parties<'_>) {}

    /// Notes that a relayed call is over.
    fn relayed_call_ended(&self, _call: Parties<'_>, _carried: Carried) {}

    /// Notes that a call has failed, as far as the relay can tell.
    fn call_failed(&self, _call: Parties<'_>, _why: CallFailure) {}

    /// The limits of a key's own.
    fn limits_of(&self, _key: &str) -> KeyLimits {
        KeyLimits::default()
    }

    /// True if a user of TURN, who has the limits of an API key, may use it from an address.
    fn may_use_turn(&self, _username: &str, _key: &str, _address: IpAddr) -> bool {
        true
    }

    /// True if clients of an API key are refused from an address.
    fn is_banned(&self, _key: &str, _address: IpAddr) -> bool {
        false
    }

    /// The key whose limits and rights a user of TURN has: a program that shares the secret may give users
    /// any name.
    fn turn_key(&self, user: &str) -> String {
        user.to_owned()
    }

    /// The password of a username of TURN. `None` if nobody has chosen a secret.
    fn turn_password(&self, _username: &str) -> Option<String> {
        None
    }

    /// The key and the password of a user of TURN whose password is fixed.
    fn turn_user(&self, _name: &str) -> Option<(String, String)> {
        None
    }

    /// Notes that a client of TURN was refused. Of a key only if the client has proved it. Called once a
    /// minute for each reason.
    fn turn_refused(&self, _why: TurnRefusal, _key: &str, _address: IpAddr) {}
}

/// The parts of a broker that a relay and a TURN server use.
#[derive(Clone)]
pub struct MediaContext {
    /// Answers what they ask.
    pub host: Arc<dyn MediaHost>,
    /// Their limits.
    pub limits: LiveLimits,
    /// The broker's time.
    pub clock: Clock,
    /// The broker's threads.
    pub threads: Threads,
}

labels! {
    /// The reason why a relay or a TURN server has dropped a datagram.
    pub enum Dropped {
        /// A datagram of no call that the relay knows, one that is neither STUN nor TURN, or one whose client
        /// has no allocation.
        Unknown = "unknown",
        /// Its integrity does not hold.
        Forged = "forged",
        /// Its address may not be used: a private one, for example, or one too many.
        Address = "address",
        /// Its sender has proved nothing, and sends too much.
        Unverified = "unverified",
        /// The client of TURN has not permitted the peer, or has no such channel.
        Permission = "permission",
        /// Its recipient is not there, may not be reached, or has not agreed lately.
        NoRoute = "no_route",
        /// A limit of bytes per second.
        TooMuch = "too_much",
        /// A socket or a connection had no room.
        Full = "full",
    }
}

/// The datagrams of a relay or a TURN server since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams that it relayed: what clients sent each other, checks of ICE included. Not its own checks
    /// and answers.
    pub packets: u64,
    /// Their bytes, without TURN's own.
    pub bytes: u64,
    /// STUN requests of clients for their own address that it answered.
    pub bindings: u64,
    /// Datagrams that it dropped, by reason.
    pub dropped: [u64; Dropped::ALL.len()],
}

impl Traffic {
    /// Datagrams that it dropped for some of the reasons, by their labels.
    fn dropped_as<const N: usize>(&self, reasons: [Dropped; N]) -> [(&'static str, u64); N] {
        reasons.map(|why| (why.label(), self.dropped.get(why as usize).copied().unwrap_or_default()))
    }
}

/// The addresses of a relay: those that it binds, and those that clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// The addresses to bind: at most one of IPv4 and one of IPv6. An unspecified one stands for all
    /// addresses of this machine. One of them needs a `public` one of its family; clients may be told that of
    /// the other family later.
    pub listen: Vec<SocketAddr>,
    /// The addresses that clients are told instead, as for a machine behind a NAT that leads its ports here.
    /// Several of one family are for several networks without a way out.
    pub public: Vec<IpAddr>,
    /// True to take TCP connections at the same addresses as well, for networks without UDP. The broker's
    /// port takes them too.
    pub tcp: bool,
    /// The other TCP port that clients are told. `None` is that of the broker, if clients can reach it; 0
    /// tells them none.
    pub tcp_port: Option<u16>,
    /// True if clients may have private addresses and those of this machine, as in a local network. Over TCP
    /// they always may, as a proxy may stand in front.
    pub private: bool,
}

/// At no address yet.
impl Default for RelayConfig {
    fn default() -> Self {
        let listen = Vec::new();
        let public = Vec::new();
        RelayConfig { listen, public, tcp: true, tcp_port: None, private: false }
    }
}

impl RelayConfig {
    /// The port of STUN and TURN (RFC 8489).
    pub const DEFAULT_PORT: u16 = 3478;
}

labels! {
    /// The transports over which the two clients of a relayed call reached the relay.
    pub enum RelayedOver {
        /// Both over UDP.
        Udp = "udp",
        /// Both over TCP.
        Tcp = "tcp",
        /// A client over UDP and one over TCP, or a client over both in turn.
        Mixed = "mixed",
    }
}

labels! {
    /// The reason why a call failed, as far as a relay can tell.
    pub enum CallFailure {
        /// The callee waited at the relay, and the caller never came.
        CallerAbsent = "caller_absent",
        /// The caller waited at the relay, and the callee never came.
        CalleeAbsent = "callee_absent",
        /// Neither came, and the key allows no other path.
        BothAbsent = "both_absent",
        /// A client that never came has only sent checks from an address that may not be used: a private one.
        Address = "address",
        /// A limit of the relay, and the key allows no other path.
        Limit = "limit",
    }
}

/// The outcome of a call, as far as a relay can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallOutcome {
    /// No answer came before the relay forgot the offer.
    Unanswered,
    /// The relay carried nothing, although both clients were at it.
    Direct,
    /// Direct, failed or given up: the clients did not come to the relay, or left it too soon to tell.
    Unknown,
    /// The relay carried it.
    Relayed(RelayedOver),
    /// The clients did not find each other.
    Failed(CallFailure),
}

impl CallOutcome {
    /// All of them.
    pub fn all() -> impl Iterator<Item = CallOutcome> {
        let relayed = RelayedOver::ALL.into_iter().map(CallOutcome::Relayed);
        let failed = CallFailure::ALL.into_iter().map(CallOutcome::Failed);
        let others = [CallOutcome::Unanswered, CallOutcome::Direct, CallOutcome::Unknown];
        others.into_iter().chain(relayed).chain(failed)
    }

    /// The name in metrics, and that of the transports or of the reason; empty if there is none.
    pub fn labels(self) -> (&'static str, &'static str) {
        match self {
            CallOutcome::Unanswered => ("unanswered", ""),
            CallOutcome::Direct => ("direct", ""),
            CallOutcome::Unknown => ("unknown", ""),
            CallOutcome::Relayed(over) => ("relayed", over.label()),
            CallOutcome::Failed(why) => ("failed", why.label()),
        }
    }
}

/// The part of a call that a relay has carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The transports of its clients.
    pub over: RelayedOver,
    /// From its first datagram until its clients were last heard.
    pub duration: Duration,
    /// Bytes of both directions.
    pub bytes: u64,
}

/// The limits of one key, each of which replaces those of the server: for its calls through the relay, and
/// for its allocations of TURN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Maximum calls, and maximum allocations.
    pub calls: Option<usize>,
    /// Bytes per second of one call or allocation; 0 means no limit.
    pub bytes_per_second: Option<u32>,
    /// Bytes per second of all calls, and of all allocations; 0 means no limit.
    pub key_bytes_per_second: Option<u32>,
}

/// The totals of a relay since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayTotals {
    /// Calls that it knows now.
    pub calls: usize,
    /// Offers of calls, with those of an ICE restart.
    pub asked: u64,
    /// Calls that were offered a way through it.
    pub offered: u64,
    /// Calls whose two clients both came to it.
    pub joined: u64,
    /// Calls that it carried something for.
    pub carried: u64,
    /// Calls that it refused because of a limit.
    pub refused: u64,
    /// Unused calls that it ended to make room for others.
    pub displaced: u64,
    /// Calls that it has forgotten, by those outcomes that there were.
    pub ended: BTreeMap<CallOutcome, u64>,
    /// Its datagrams.
    pub traffic: Traffic,
}

impl RelayTotals {
    /// Calls that it has forgotten, by outcome: all outcomes.
    pub fn ended(&self) -> impl Iterator<Item = (CallOutcome, u64)> {
        CallOutcome::all().map(|outcome| (outcome, self.ended.get(&outcome).copied().unwrap_or_default()))
    }

    /// Datagrams that it dropped, by reason.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        use Dropped::{Address, Forged, Full, NoRoute, TooMuch, Unknown};
        self.traffic.dropped_as([Unknown, Forged, Address, NoRoute, TooMuch, Full]).into_iter()
    }
}

/// The realm of clients that call each other, as far as their calls depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallRealm {
    /// Its number.
    pub number: u8,
    /// True if its clients can be told what becomes of a call.
    pub hears_of_calls: bool,
}

/// The two clients of a call.
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    /// The key of both.
    pub key: &'a ApiKey,
    /// The realm of both.
    pub realm: CallRealm,
    /// The client that calls.
    pub offerer: &'a str,
    /// The client that is called. Empty in an offer that any client may answer, with its connection.
    pub answerer: &'a str,
    /// Distinguishes several calls of the same two clients.
    pub connection: Option<&'a str>,
    /// True if their key allows no other path than the relay.
    pub only_relayed: bool,
}

/// A client has to be told a new candidate: the other one checks this path, and waits for it.
#[derive(Debug, PartialEq, Eq)]
pub struct CandidateNudge {
    /// The key of both.
    pub key: ApiKey,
    /// The client that has to come.
    pub whom: Box<str>,
    /// The client that waits.
    pub other: Box<str>,
    /// The id of their connection, as JSON text.
    pub connection: Box<str>,
    /// The number of times that the client was told, this time included.
    pub times: u8,
}

/// Two clients that have no call any more: their relayed calls end, and they have no others.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct EndedCalls {
    /// The key of both.
    pub key: ApiKey,
    /// Their ids, sorted.
    pub clients: [Box<str>; 2],
}

/// The addresses of a TURN server: those that it binds, and those that clients are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnConfig {
    /// The addresses to bind for UDP and TCP, as [`RelayConfig::listen`].
    pub listen: Vec<SocketAddr>,
    /// The addresses that clients are told instead, as [`RelayConfig::public`].
    pub public: Vec<IpAddr>,
    /// True if it answers STUN only, over UDP: pages then learn their address from it, and nothing is
    /// relayed.
    pub only_stun: bool,
    /// The realm of all credentials: `turn`, unless the operator has a name for it. It is in the answers to
    /// unverified sources, so that one of more than [`MAX_REALM`](Self::MAX_REALM) bytes gets no challenge.
    pub realm: Option<String>,
    /// The ports of relayed addresses. Without them these addresses are virtual, and clients reach only each
    /// other.
    pub ports: Option<RangeInclusive<u16>>,
    /// The peers of clients beside public addresses, and those of these that are none. Only matters with
    /// [`ports`](Self::ports). A network opens private addresses; this machine, except the ports of this
    /// server, link-local and multicast addresses are open only where a rule names one alone.
    pub peers: Vec<PeerRule>,
}

/// A network whose addresses are peers of TURN, or are not. Of several, the smallest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRule {
    /// The network; an address is the network of it alone.
    pub network: IpNet,
    /// True if clients may reach it.
    pub allows: bool,
}

impl TurnConfig {
    /// Longest realm, in bytes.
    pub const MAX_REALM: usize = 32;

    /// The port of TURN over TLS (RFC 8656), for all of TURN. It must not be the relay's: Chromium takes all
    /// packets from a page's ICE server for answers of that server.
    pub const DEFAULT_PORT: u16 = 5349;

    /// The port of the TURN server beside a relay: the relay's port plus the difference of their defaults, so
    /// that several servers of one machine need only different ports for their relays.
    pub fn port_beside(relay: u16) -> u16 {
        const APART: u16 = TurnConfig::DEFAULT_PORT - RelayConfig::DEFAULT_PORT;
        match relay {
            0 => 0,
            relay => relay.checked_add(APART).unwrap_or(relay.saturating_sub(APART)),
        }
    }
}

labels! {
    /// The reason why a client's request was refused.
    pub enum TurnRefusal {
        /// A wrong username or password.
        Credentials = "credentials",
        /// The credentials have expired.
        Expired = "expired",
        /// There is no such API key, or it may not use TURN.
        Key = "key",
        /// The key has too many allocations.
        KeyQuota = "key_quota",
        /// The client's address has too many allocations.
        AddressQuota = "address_quota",
        /// There are too many allocations, permissions or channels.
        Capacity = "capacity",
        /// The peer may not be reached.
        Peer = "peer",
        /// A request that no client should send.
        Request = "request",
    }
}

/// An allocation of TURN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationReport {
    /// The address that peers see. No other allocation has it.
    pub relayed: SocketAddr,
    /// The address of its client.
    pub client: SocketAddr,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
    /// The username of its credentials.
    pub username: String,
    /// The key whose limits it has.
    pub key: String,
    /// The time at which it was made, in seconds since 1970.
    pub since: u64,
    /// Bytes that it has relayed, in both directions.
    pub bytes: u64,
}

/// The totals of a TURN server since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnTotals {
    /// Allocations that it has now.
    pub allocations: usize,
    /// Allocations that it has given.
    pub allocated: u64,
    /// Unused allocations that it ended to make room for others.
    pub displaced: u64,
    /// Requests that it refused, by reason.
    pub refused: [u64; TurnRefusal::ALL.len()],
    /// Its datagrams.
    pub traffic: Traffic,
}

impl TurnTotals {
    /// Requests that it refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        TurnRefusal::ALL.map(TurnRefusal::label).into_iter().zip(self.refused)
    }

    /// Datagrams that it dropped, by reason.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        use Dropped::{Full, NoRoute, Permission, TooMuch, Unknown, Unverified};
        self.traffic.dropped_as([Unknown, Unverified, Permission, NoRoute, TooMuch, Full]).into_iter()
    }
}

/// The URLs of a TURN server that clients are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnUrls {
    /// `stun:` URLs.
    pub stun: Vec<String>,
    /// `turn:` URLs, over UDP and over TCP. Empty if it answers STUN only.
    pub turn: Vec<String>,
    /// The port for `turns:` URLs over TCP. They need the host name of a certificate. The broker's own port
    /// also works, if it has TLS.
    pub tls_port: Option<u16>,
}
