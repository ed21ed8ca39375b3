//! Clients of a relay, and the network between them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stun_types::attribute::{AttributeType, ErrorCode, RawAttribute, Username, XorMappedAddress};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageIntegrityCredentials, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec, ShortTermCredentials,
};

use crate::datapath::addresses::Addresses;
use crate::datapath::counters::TrafficCounters;
use crate::relay::calls::Calls;
use crate::relay::endpoint::{Endpoint, Outgoing, Transport};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{ApiKey, IceCredentials};
use peerbroker_media_api::{
    CallFailure, CallOutcome, CallRealm, CandidateNudge, Carried, KeyLimits, MediaContext, MediaHost,
    MediaLimits, Parties, Permit,
};
use peerbroker_system::threads::Threads;

/// A relay and all its sent datagrams.
pub(super) struct World {
    pub(super) calls: Arc<Calls>,
    pub(super) counters: Arc<TrafficCounters>,
    host: Arc<dyn MediaHost>,
    pub(super) clock: Clock,
    /// The host was told this of calls.
    pub(super) told: Arc<Mutex<Vec<String>>>,
    /// The limits of the key's own.
    pub(super) own: Arc<Mutex<KeyLimits>>,
    /// True if the key allows no other path than the relay.
    pub(super) only_relayed: Cell<bool>,
    /// Clients that were told to come.
    pub(super) nudged: Receiver<CandidateNudge>,
    key: ApiKey,
    /// The client that has left.
    pub(super) absent: RefCell<String>,
    sent: RefCell<HashMap<Endpoint, Vec<Vec<u8>>>>,
}

/// A host that remembers what it was told of calls.
struct Told(Arc<Mutex<Vec<String>>>, Arc<Mutex<KeyLimits>>);

impl MediaHost for Told {
    fn admit_connection(&self, _: IpAddr) -> Option<Permit> {
        None
    }

    fn call_relayed(&self, call: Parties<'_>) {
        self.tell(call, "relayed".to_owned());
    }

    fn relayed_call_ended(&self, call: Parties<'_>, Carried { over, duration, bytes }: Carried) {
        self.tell(call, format!("over after {duration:?} and {bytes} bytes over {over}"));
    }

    fn call_failed(&self, call: Parties<'_>, why: CallFailure) {
        self.tell(call, format!("failed: {why}"));
    }

    fn limits_of(&self, _: &str) -> KeyLimits {
        *self.1.lock().unwrap()
    }
}

impl Told {
    fn tell(&self, Parties { key, offerer, answerer, .. }: Parties<'_>, what: String) {
        self.0.lock().unwrap().push(format!("{}: {offerer} to {answerer} {what}", key.as_str()));
    }
}

/// A side of a call.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) at: Endpoint,
    pub(super) username: String,
    own: String,
    other: String,
    is_controlling: bool,
}

/// As in `1.1.1.1:1000`, `1.1.1.1:1000 over TCP` or `1.1.1.1:1000 over the broker's TCP`.
pub(super) fn addr(text: &str) -> Endpoint {
    let over = |text: &str, transport| Endpoint::new(text.parse().unwrap(), transport);
    match text.split_once(" over ") {
        Some((text, "TCP")) => over(text, Transport::Tcp),
        Some((text, "the broker's TCP")) => over(text, Transport::BrokerTcp),
        Some((_, other)) => panic!("{other}"),
        None => over(text, Transport::Udp),
    }
}

/// A password of a username fragment.
fn pwd(ufrag: &str) -> String {
    format!("{ufrag}{}", "0123456789abcdefghijkl")
}

fn credentials(pwd: &str) -> MessageIntegrityCredentials {
    ShortTermCredentials::new(pwd.to_owned()).into()
}

impl World {
    pub(super) fn new(limit: impl FnOnce(&mut MediaLimits)) -> Self {
        let mut limits = MediaLimits::default();
        limit(&mut limits);
        let clock = Clock::manual();
        // Times have a past.
        clock.advance(Duration::from_secs(1000));
        let ports = Addresses::of("198.51.100.1:3478");
        let (nudges, nudged) = std::sync::mpsc::sync_channel(8);
        let told = Arc::<Mutex<_>>::default();
        let own = Arc::<Mutex<_>>::default();
        let host: Arc<dyn MediaHost> = Arc::new(Told(Arc::clone(&told), Arc::clone(&own)));
        let context = MediaContext {
            host: Arc::clone(&host),
            limits: Arc::new(Arc::new(limits).into()),
            clock: clock.clone(),
            threads: Threads::default(),
        };
        let calls = Arc::new(Calls::new(context, ports, false, nudges));
        let counters = calls.add_thread();
        let key = ApiKey::parse("k").unwrap();
        let absent = RefCell::default();
        let sent = RefCell::default();
        let only_relayed = Cell::default();
        World { calls, counters, host, clock, told, own, only_relayed, nudged, key, absent, sent }
    }

    pub(super) fn host(&self) -> Arc<dyn MediaHost> {
        Arc::clone(&self.host)
    }

    pub(super) fn of_key(mut self, key: &str) -> Self {
        self.key = ApiKey::parse(key).unwrap();
        self
    }

    /// A call with an offer and an answer that has found no direct path.
    pub(super) fn call(&self, offerer: &str, answerer: &str) -> [Client; 2] {
        self.call_with(offerer, answerer, "1", [&format!("{offerer}ufrag"), &format!("{answerer}ufrag")])
    }

    pub(super) fn call_with(
        &self,
        offerer: &str,
        answerer: &str,
        connection: &str,
        ufrags: [&str; 2],
    ) -> [Client; 2] {
        let clients = self.begin(offerer, answerer, connection, ufrags);
        self.advance(Duration::from_secs(1));
        clients
    }

    /// A call that was just answered.
    pub(super) fn begin(
        &self,
        offerer: &str,
        answerer: &str,
        connection: &str,
        [offer, answer]: [&str; 2],
    ) -> [Client; 2] {
        assert!(
            self.offer(offerer, answerer, connection, offer)
                && self.answer(offerer, answerer, connection, answer)
        );
        Self::clients([offer, answer])
    }

    /// The two clients of a call.
    pub(super) fn clients([offer, answer]: [&str; 2]) -> [Client; 2] {
        let client = |at: &str, own: &str, other: &str, is_controlling| Client {
            at: addr(at),
            username: format!("{other}:{own}"),
            own: pwd(own),
            other: pwd(other),
            is_controlling,
        };
        [client("1.1.1.1:1000", offer, answer, true), client("2.2.2.2:1000", answer, offer, false)]
    }

    pub(super) fn offer(&self, offerer: &str, answerer: &str, connection: &str, ufrag: &str) -> bool {
        self.offer_from(None, offerer, answerer, connection, ufrag)
    }

    pub(super) fn offer_from(
        &self,
        address: Option<&str>,
        offerer: &str,
        answerer: &str,
        connection: &str,
        ufrag: &str,
    ) -> bool {
        let parties = self.parties(offerer, answerer, connection);
        let address = address.map(|address| address.parse().unwrap());
        self.calls.record_offer(parties, address, IceCredentials { ufrag, pwd: &pwd(ufrag) })
    }

    pub(super) fn answer(&self, offerer: &str, answerer: &str, connection: &str, ufrag: &str) -> bool {
        let parties = self.parties(offerer, answerer, connection);
        self.calls.begin(parties, IceCredentials { ufrag, pwd: &pwd(ufrag) }, false)
    }

    /// An answer that comes from another node.
    pub(super) fn answer_from_elsewhere(&self, offerer: &str, answerer: &str, ufrag: &str) -> bool {
        let parties = self.parties(offerer, answerer, "1");
        self.calls.begin(parties, IceCredentials { ufrag, pwd: &pwd(ufrag) }, true)
    }

    /// A call of a client at an address, if the relay accepts it.
    pub(super) fn begins(&self, address: Option<&str>, offerer: &str, connection: usize) -> bool {
        let ufrag = format!("{offerer}{connection}ufrag");
        let connection = connection.to_string();
        self.offer_from(address, offerer, "z", &connection, &ufrag)
            && self.answer(offerer, "z", &connection, &format!("z{ufrag}"))
    }

    pub(super) fn sweep(&self) {
        self.calls.sweep(|_, _, id| id != *self.absent.borrow());
    }

    /// The calls that have ended, by their outcomes.
    pub(super) fn ended(&self) -> Vec<(CallOutcome, u64)> {
        self.calls.totals().ended().filter(|(_, count)| *count > 0).collect()
    }

    fn parties<'a>(&'a self, offerer: &'a str, answerer: &'a str, connection: &'a str) -> Parties<'a> {
        let connection = Some(connection);
        let realm = CallRealm { number: 0, hears_of_calls: true };
        let only_relayed = self.only_relayed.get();
        Parties { key: &self.key, realm, offerer, answerer, connection, only_relayed }
    }

    /// Both clients check, prove their addresses, and have nothing left to read.
    pub(super) fn join(&self, one: &Client, other: &Client) {
        self.prove(one);
        self.prove(other);
        self.forget_received();
    }

    /// A client checks, and answers received checks.
    pub(super) fn prove(&self, client: &Client) {
        self.send(client.at, &client.check(false));
        for request in self.received(client.at) {
            self.send(client.at, &client.answer(&request));
        }
        self.forget_received();
    }

    /// A datagram reaches the relay.
    pub(super) fn send(&self, from: Endpoint, bytes: &[u8]) {
        if crate::datapath::stun::is_stun(bytes) {
            self.sent(self.calls.on_stun(&self.counters, from, bytes));
            return;
        }
        match self.calls.route(from, 1, bytes.len()) {
            Ok(to) => self.sent(vec![Outgoing { to, bytes: bytes.into(), is_own: false }]),
            Err(why) => self.counters.dropped(why, 1),
        }
    }

    /// Takes the datagrams that the relay has sent to an address since the last time.
    pub(super) fn received(&self, at: Endpoint) -> Vec<Vec<u8>> {
        self.sent.borrow_mut().remove(&at).unwrap_or_default()
    }

    pub(super) fn forget_received(&self) {
        self.sent.borrow_mut().clear();
    }

    /// Moves the clock, and does all timed work that is due.
    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.sent(self.calls.on_time());
    }

    fn sent(&self, datagrams: Vec<Outgoing<'_>>) {
        let mut sent = self.sent.borrow_mut();
        for Outgoing { to, bytes, .. } in datagrams {
            sent.entry(to).or_default().push(bytes.into_owned());
        }
    }
}

impl Client {
    /// The client at another address.
    pub(super) fn from(&self, at: &str) -> Client {
        Client { at: addr(at), ..self.clone() }
    }

    /// A check as browsers send it.
    pub(super) fn check(&self, nominate: bool) -> Vec<u8> {
        self.check_with(&self.other, nominate)
    }

    pub(super) fn check_with(&self, pwd: &str, nominate: bool) -> Vec<u8> {
        self.padded_check(pwd, nominate, 0)
    }

    /// A check that carries something.
    pub(super) fn big_check(&self) -> Vec<u8> {
        self.padded_check(&self.other, false, 400)
    }

    fn padded_check(&self, pwd: &str, nominate: bool, padding: usize) -> Vec<u8> {
        let mut check = Message::builder_request(BINDING, MessageWriteVec::new());
        check.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        let role = AttributeType::new(if self.is_controlling { 0x802A } else { 0x8029 });
        check.add_attribute(&RawAttribute::new(role, &[7; 8])).unwrap();
        check.add_attribute(&RawAttribute::new(AttributeType::new(0x0024), &[1; 4])).unwrap();
        if nominate {
            check.add_attribute(&RawAttribute::new(AttributeType::new(0x0025), &[])).unwrap();
        }
        if padding > 0 {
            check.add_attribute(&RawAttribute::new(AttributeType::new(0x8022), &vec![7; padding])).unwrap();
        }
        check.add_message_integrity(&credentials(pwd), IntegrityAlgorithm::Sha1).unwrap();
        check.add_fingerprint().unwrap();
        check.finish()
    }

    /// True if an answer, which has to be valid, withdraws consent.
    pub(super) fn is_revoked_by(&self, answer: &[u8]) -> bool {
        let answer = Message::from_bytes(answer).unwrap();
        answer.validate_integrity(&credentials(&self.other)).unwrap();
        answer.attribute::<ErrorCode>().is_ok_and(|error| error.code() == ErrorCode::FORBIDDEN)
    }

    /// The answer to a check, which has to be valid.
    pub(super) fn answer(&self, check: &[u8]) -> Vec<u8> {
        let check = Message::from_bytes(check).unwrap();
        check.validate_integrity(&credentials(&self.own)).unwrap();
        let mut answer = Message::builder_success(&check, MessageWriteVec::new());
        let mapped = XorMappedAddress::new(addr("198.51.100.1:3478").address(), check.transaction_id());
        answer.add_attribute(&mapped).unwrap();
        answer.add_message_integrity(&credentials(&self.own), IntegrityAlgorithm::Sha1).unwrap();
        answer.add_fingerprint().unwrap();
        answer.finish()
    }
}

/// A question for one's own address.
pub(super) fn binding() -> Vec<u8> {
    Message::builder_request(BINDING, MessageWriteVec::new()).finish()
}

/// The address in the answer to it.
pub(super) fn mapped(answer: &[u8]) -> SocketAddr {
    let answer = Message::from_bytes(answer).unwrap();
    answer.attribute::<XorMappedAddress>().unwrap().addr(answer.transaction_id())
}
