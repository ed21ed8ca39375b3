//! One side of a call: its addresses, and what each of them has proved.

use crate::relay::counters::Dropped;
use crate::relay::endpoint::{Endpoint, Outgoing, Transport};
use crate::relay::stun::{self, Role, Transaction};
use crate::wire::IceCredentials;

/// Most addresses of a side.
const MAX_ADDRESSES: usize = 8;

/// Milliseconds without a word after which another address of a side takes over. Clients check a way that they use every
/// 2.5 s (Chromium) or 5 s (Firefox).
const SILENT: u64 = 8_000;

/// Milliseconds after which a client that has not checked its way wants nothing more (RFC 7675).
pub(in crate::relay) const CONSENT: u64 = 30_000;

/// Milliseconds since its last word in which an address need not be checked.
const LATELY: u64 = 5_000;

/// Least milliseconds between two such calls of one client, and how often it is called at most.
const WAKE_AGAIN: u64 = 3_000;
const MAX_WAKES: u8 = 8;

/// A side.
pub(super) struct Side {
    /// Its username fragment and password, one behind the other.
    credentials: Box<str>,
    ufrag_len: u16,
    pub(super) role: Option<Role>,
    pub(super) addresses: Vec<Address>,
    /// Its last check, which waits for an address of the other side.
    pub(super) held: Option<Box<(Endpoint, Box<[u8]>)>>,
    /// When it checked first since the other side was heard.
    pub(super) asking: u64,
    /// How often it was told to come, and when last.
    pub(super) wakes: u8,
    pub(super) woken: u64,
}

/// An address of a side.
pub(super) struct Address {
    pub(super) at: Endpoint,
    /// Whether its client has chosen it.
    is_current: bool,
    /// The transaction of our check, until it is answered.
    pub(super) challenge: Option<Transaction>,
    /// Bytes of the check that came from there and was not answered by one of ours.
    pub(super) unanswered: u16,
    pub(super) heard: u64,
    pub(super) consented: u64,
}

impl Side {
    pub(super) fn new(credentials: IceCredentials<'_>) -> Self {
        Side {
            credentials: [credentials.ufrag, credentials.pwd].concat().into(),
            // At most 256 bytes.
            ufrag_len: u16::try_from(credentials.ufrag.len()).unwrap_or_default(),
            role: None,
            addresses: Vec::new(),
            held: None,
            asking: NEVER,
            wakes: 0,
            woken: 0,
        }
    }

    pub(super) fn ufrag(&self) -> &str {
        self.credentials.get(..self.ufrag_len.into()).unwrap_or_default()
    }

    pub(super) fn pwd(&self) -> &str {
        self.credentials.get(self.ufrag_len.into()..).unwrap_or_default()
    }

    /// Notes a check. Gives the time of the first since the other side was heard.
    pub(super) fn note_asking(&mut self, now: u64) -> u64 {
        self.asking = self.asking.min(now);
        self.asking
    }

    /// The side that decides has chosen an address.
    pub(super) fn choose(&mut self, at: Endpoint) {
        self.addresses.iter_mut().for_each(|address| address.is_current = address.at == at);
    }

    /// Notes that a check came from an address. Gives the address that it takes the place of.
    pub(super) fn note(&mut self, from: Endpoint, now: u64) -> Result<Option<Endpoint>, Dropped> {
        if let Some(address) = self.addresses.iter_mut().find(|address| address.at == from) {
            address.heard = now;
            return Ok(None);
        }
        let mut replaced = None;
        if self.addresses.len() >= MAX_ADDRESSES {
            let silent = self.addresses.iter().position(|address| !address.agrees(now));
            replaced = Some(self.addresses.swap_remove(silent.ok_or(Dropped::Address)?).at);
        }
        // Most sides have one.
        self.addresses.reserve_exact(1);
        self.addresses.push(Address {
            at: from,
            is_current: false,
            challenge: None,
            unanswered: 0,
            heard: now,
            consented: NEVER,
        });
        Ok(replaced)
    }

    /// Keeps a check until it can go on, in place of an earlier one.
    pub(super) fn hold(&mut self, from: Endpoint, check: &[u8]) {
        self.held = Some(Box::new((from, check.into())));
    }

    /// The address that datagrams for this side go to.
    pub(super) fn way(&self, now: u64) -> Option<Endpoint> {
        let agreed = || self.addresses.iter().filter(|address| address.agrees(now));
        let current = agreed().find(|address| address.is_current);
        let speaks = |address: &&Address| address.speaks(now);
        let latest = || agreed().max_by_key(|address| address.heard);
        current.filter(speaks).or_else(latest).map(|address| address.at)
    }

    /// Whether an address may prove itself, in a call of that age. TCP is for clients that do not come over UDP.
    pub(super) fn is_turn_of(&self, at: Endpoint, age: u64, now: u64) -> bool {
        let has_better = at.transport == Transport::Tcp && self.has_udp(|address| address.speaks(now));
        age >= at.transport.head_start() && !has_better
    }

    /// The addresses that have to be checked now.
    pub(super) fn due(&self, age: u64, now: u64) -> impl Iterator<Item = Endpoint> {
        let needs_tcp = !self.has_udp(|address| address.agrees(now));
        let is_kept = move |address: &Address| needs_tcp || address.at.transport == Transport::Udp;
        let due = self.addresses.iter().filter(move |address| match address.is_proved() {
            false => self.is_turn_of(address.at, age, now),
            true => address.agrees(now) && !address.agrees_lately(now) && is_kept(address),
        });
        due.map(|address| address.at)
    }

    fn has_udp(&self, is_fine: impl Fn(&Address) -> bool) -> bool {
        let is_udp = |address: &&Address| address.at.transport == Transport::Udp && address.is_proved();
        self.addresses.iter().filter(is_udp).any(is_fine)
    }

    /// Our check of an address.
    pub(super) fn challenge(
        &mut self,
        at: Endpoint,
        number: u32,
        username: &str,
    ) -> Option<Outgoing<'static>> {
        let address = self.addresses.iter_mut().find(|address| address.at == at)?;
        let pwd = self.credentials.get(self.ufrag_len.into()..).unwrap_or_default();
        address.challenged(number, username, pwd, self.role)
    }

    /// Notes that it is told to come. Gives how often it was, unless that was just now, or often enough.
    pub(super) fn wake(&mut self, now: u64) -> Option<u8> {
        let is_time = self.wakes == 0 || now.saturating_sub(self.woken) >= WAKE_AGAIN;
        let may = is_time && self.wakes < MAX_WAKES;
        may.then(|| {
            self.wakes += 1;
            self.woken = now;
            self.wakes
        })
    }
}

/// The time of what has not happened.
pub(super) const NEVER: u64 = u64::MAX;

impl Address {
    /// Our check of this address. Before the address is proved, not longer than what came from there.
    fn challenged(
        &mut self,
        number: u32,
        username: &str,
        pwd: &str,
        its_role: Option<Role>,
    ) -> Option<Outgoing<'static>> {
        let transaction = *self.challenge.get_or_insert_with(|| challenge(number));
        let our_role = match its_role {
            Some(Role::Controlled) => Role::Controlling,
            _ => Role::Controlled,
        };
        let came = usize::from(std::mem::take(&mut self.unanswered));
        let most = if self.is_proved() { usize::MAX } else { came };
        let check = stun::check(transaction, username, pwd, our_role).filter(|check| check.len() <= most)?;
        Some(Outgoing { to: self.at, bytes: check.into() })
    }

    pub(super) fn is_proved(&self) -> bool {
        self.consented != NEVER
    }

    fn speaks(&self, now: u64) -> bool {
        now.saturating_sub(self.heard) <= SILENT
    }

    fn agrees_lately(&self, now: u64) -> bool {
        now.saturating_sub(self.consented) < LATELY
    }

    /// Whether its client wants to receive there.
    pub(super) fn agrees(&self, now: u64) -> bool {
        self.is_proved() && now.saturating_sub(self.consented) <= CONSENT
    }
}

/// A transaction that nobody can guess, with the number of its call.
fn challenge(number: u32) -> Transaction {
    let mut transaction: Transaction = rand::random();
    for (byte, of_number) in transaction.iter_mut().zip(number.to_be_bytes()) {
        *byte = of_number;
    }
    transaction
}

/// The call whose number stands in a transaction.
pub(in crate::relay) fn number_in(transaction: &Transaction) -> u32 {
    let [a, b, c, d, ..] = *transaction;
    u32::from_be_bytes([a, b, c, d])
}
