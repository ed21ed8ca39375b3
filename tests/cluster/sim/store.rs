//! The content of the store, and every change of it. Knows no time but the one that it is given, in microseconds.

use std::collections::{BTreeMap, VecDeque};

use peerbroker::cluster::{
    Claim, ClaimOutcome, Entity, Granted, InboxEntry, KnownNode, Locate, Name, Owner, Position,
    RegisterOutcome, Registration, Renewal, TokenDigest,
};
use peerbroker::wire::{ApiKey, Link, NodeId};

pub type Micros = u64;

/// Time that owners which have lost a name are known after its release.
const FORMER: Micros = 60_000_000;

const HOUR: Micros = 3_600_000_000;

/// For how long changes can be undone.
const UNDO: Micros = 60_000_000;

/// The lowest fence of a claim. Connections that were opened without the backplane have a lower one.
const CLAIMED: u64 = 1 << 42;

#[derive(Clone)]
pub struct Held {
    pub owner: Owner,
    pub token: TokenDigest,
    pub link: Link,
    pub fence: u64,
    pub since: u64,
    pub late: bool,
}

#[derive(Clone, Default)]
struct Record {
    held: Option<Held>,
    /// Owners that have lost the name to another.
    former: Vec<Owner>,
    /// When each expires.
    marks: BTreeMap<NodeId, Micros>,
    expires: Micros,
}

#[derive(Clone)]
struct Lease {
    name: String,
    end: Micros,
    left: bool,
}

/// The state of something before a change.
enum Undo {
    Record(Name, Option<Record>),
    Clients(ApiKey, BTreeMap<NodeId, usize>),
    Lease(NodeId, Option<Lease>),
    Inbox(NodeId, Option<VecDeque<(u64, Vec<u8>)>>),
    Append(NodeId, u64),
}

pub struct Store {
    records: BTreeMap<Name, Record>,
    clients: BTreeMap<ApiKey, BTreeMap<NodeId, usize>>,
    leases: BTreeMap<NodeId, Lease>,
    inboxes: BTreeMap<NodeId, VecDeque<(u64, Vec<u8>)>>,
    /// The number of the last batch. Never used again, also not after a failover.
    appended: u64,
    done: VecDeque<(Micros, Undo)>,
    max_inbox: usize,
}

impl Store {
    pub fn new(max_inbox: usize) -> Self {
        Store {
            records: BTreeMap::new(),
            clients: BTreeMap::new(),
            leases: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            appended: 0,
            done: VecDeque::new(),
            max_inbox,
        }
    }

    pub fn wipe(&mut self) {
        let appended = self.appended;
        *self = Store { appended, ..Store::new(self.max_inbox) };
    }

    /// As if nothing had been written since then.
    pub fn roll_back(&mut self, to: Micros) {
        while self.done.back().is_some_and(|(at, _)| *at > to) {
            match self.done.pop_back().map(|(_, undo)| undo) {
                Some(Undo::Record(name, Some(record))) => drop(self.records.insert(name, record)),
                Some(Undo::Record(name, None)) => drop(self.records.remove(&name)),
                Some(Undo::Clients(key, nodes)) => drop(self.clients.insert(key, nodes)),
                Some(Undo::Lease(node, Some(lease))) => drop(self.leases.insert(node, lease)),
                Some(Undo::Lease(node, None)) => drop(self.leases.remove(&node)),
                Some(Undo::Inbox(node, Some(inbox))) => drop(self.inboxes.insert(node, inbox)),
                Some(Undo::Inbox(node, None)) => drop(self.inboxes.remove(&node)),
                Some(Undo::Append(node, number)) => self.remove_batch(node, number),
                None => return,
            }
        }
    }

    /// As if no batch had been appended since then.
    pub fn lose_appends(&mut self, since: Micros) {
        let lost: Vec<(NodeId, u64)> = self
            .done
            .iter()
            .filter(|(at, _)| *at > since)
            .filter_map(
                |(_, undo)| if let Undo::Append(node, number) = undo { Some((*node, *number)) } else { None },
            )
            .collect();
        for (node, number) in lost {
            self.remove_batch(node, number);
        }
    }

    fn remove_batch(&mut self, node: NodeId, number: u64) {
        if let Some(inbox) = self.inboxes.get_mut(&node) {
            inbox.retain(|(there, _)| *there != number);
        }
    }

    fn note(&mut self, now: Micros, undo: Undo) {
        while self.done.front().is_some_and(|(at, _)| *at + UNDO < now) {
            self.done.pop_front();
        }
        self.done.push_back((now, undo));
    }

    pub fn join(&mut self, now: Micros, node: NodeId, name: &str, lease: Micros) -> bool {
        if self.leases.get(&node).is_some_and(|lease| lease.end <= now) {
            return false;
        }
        self.note(now, Undo::Lease(node, self.leases.get(&node).cloned()));
        self.leases.insert(node, Lease { name: name.to_owned(), end: now + lease, left: false });
        if !self.inboxes.contains_key(&node) {
            self.note(now, Undo::Inbox(node, None));
            self.inboxes.insert(node, VecDeque::new());
        }
        true
    }

    pub fn renew(&mut self, now: Micros, node: NodeId, lease: Micros) -> Renewal {
        self.leases.retain(|_, lease| lease.end + HOUR >= now);
        // The inbox of a dead node goes a while after its lease.
        let leases = &self.leases;
        self.inboxes.retain(|node, _| leases.get(node).is_some_and(|held| held.end + 2 * lease >= now));
        match self.leases.get_mut(&node) {
            Some(held) if held.end > now && self.inboxes.contains_key(&node) => {
                let before = held.clone();
                held.end = now + lease;
                self.note(now, Undo::Lease(node, Some(before)));
            }
            _ => return Renewal::Lost,
        }
        let member = |(node, lease): (&NodeId, &Lease)| KnownNode {
            node: *node,
            name: lease.name.clone(),
            alive: lease.end > now,
            place: String::new(),
            left: lease.left,
        };
        Renewal::Renewed(self.leases.iter().map(member).collect())
    }

    pub fn leave(&mut self, now: Micros, node: NodeId) {
        if let Some(lease) = self.leases.get_mut(&node) {
            let before = lease.clone();
            lease.end = lease.end.min(now);
            lease.left = true;
            self.note(now, Undo::Lease(node, Some(before)));
        }
        if let Some(inbox) = self.inboxes.remove(&node) {
            self.note(now, Undo::Inbox(node, Some(inbox)));
        }
    }

    fn record(&self, now: Micros, name: &Name) -> Record {
        self.records.get(name).filter(|record| record.expires > now).cloned().unwrap_or_default()
    }

    fn write(&mut self, now: Micros, name: &Name, record: Record) {
        let old = if record.held.is_none() && record.marks.is_empty() && record.former.is_empty() {
            self.records.remove(name)
        } else {
            self.records.insert(name.clone(), record)
        };
        self.note(now, Undo::Record(name.clone(), old));
    }

    /// Writes an owner, and gives the marks.
    fn own(
        &mut self,
        now: Micros,
        name: &Name,
        held: Held,
        replaced: Option<(Owner, Link)>,
        is_granted: bool,
    ) -> Granted {
        let record = self.record(now, name);
        let waiting =
            record.marks.iter().filter(|(_, expiry)| **expiry > now).map(|(node, _)| *node).collect();
        let fence = held.fence;
        let marks = record.marks.into_iter().filter(|(_, expiry)| *expiry > now).collect();
        let mut former = record.former;
        if let Some(displaced) = record.held.filter(|old| is_granted && old.owner != held.owner) {
            former.insert(0, displaced.owner);
            former.truncate(4);
        }
        self.write(
            now,
            name,
            Record { held: Some(held), former: former.clone(), marks, expires: now + HOUR },
        );
        Granted { fence, replaced, former, waiting }
    }

    pub fn claim(&mut self, now: Micros, claim: &Claim) -> ClaimOutcome {
        let record = self.record(now, &claim.name);
        let next_fence = now.max(record.held.as_ref().map_or(0, |held| held.fence + 1));
        let mut held = record.held.filter(|held| Some(held.owner) != claim.known_dead);
        let mine = Held {
            owner: claim.owner,
            token: claim.token,
            link: claim.link,
            fence: next_fence,
            since: now / 1000,
            late: false,
        };
        if let Some(own) = held.take_if(|held| held.owner == claim.owner) {
            let granted = self.own(
                now,
                &claim.name,
                Held { link: claim.link, token: claim.token, late: false, ..own },
                None,
                false,
            );
            self.take_claim(now, claim, None);
            return ClaimOutcome::Granted(granted);
        }
        match held {
            Some(held) if held.token != claim.token => ClaimOutcome::Taken(held.owner),
            Some(held) if claim.link == Link::Stream && held.link == Link::Socket => {
                ClaimOutcome::Elsewhere(held.owner)
            }
            Some(held) => {
                self.take_claim(now, claim, None);
                ClaimOutcome::Granted(self.own(now, &claim.name, mine, Some((held.owner, held.link)), true))
            }
            None => match self.take_claim(now, claim, claim.limit) {
                Some(nodes) => ClaimOutcome::Full(nodes),
                None => ClaimOutcome::Granted(self.own(now, &claim.name, mine, None, true)),
            },
        }
    }

    /// Counts a client if it counts, and the limit allows it. If not: the nodes that have all others.
    fn take_claim(&mut self, now: Micros, claim: &Claim, limit: Option<usize>) -> Option<Vec<NodeId>> {
        claim.limit?;
        let nodes = self.clients.get(&claim.name.key).cloned().unwrap_or_default();
        if limit.is_some_and(|limit| nodes.values().sum::<usize>() >= limit) {
            return Some(nodes.into_keys().collect());
        }
        let own = nodes.get(&claim.owner.node).copied().unwrap_or(0);
        self.count(now, &claim.name.key, claim.owner.node, own + 1);
        None
    }

    pub fn count(&mut self, now: Micros, key: &ApiKey, node: NodeId, clients: usize) {
        let nodes = self.clients.entry(key.clone()).or_default();
        let before = nodes.clone();
        if clients == 0 {
            nodes.remove(&node);
        } else {
            nodes.insert(node, clients);
        }
        self.note(now, Undo::Clients(key.clone(), before));
    }

    pub fn register(&mut self, now: Micros, one: &Registration) -> RegisterOutcome {
        let record = self.record(now, &one.name);
        let old = record.held.as_ref().map_or(0, |held| held.fence);
        let mut fence = if one.fence == 0 { CLAIMED.saturating_sub(one.since).max(1) } else { one.fence };
        let held = record.held.filter(|held| Some(held.owner) != one.known_dead);
        let former = one.former.map(|node| Owner { node, ..one.owner });
        let mine = |fence| Held {
            owner: one.owner,
            token: one.token,
            link: one.link,
            fence,
            since: one.since,
            late: one.late,
        };
        let is_displaced = record.former.iter().any(|owner| *owner == one.owner || Some(*owner) == former);
        let mut replaced = None;
        let mut is_older = false;
        if let Some(held) = held {
            if held.owner == one.owner || Some(held.owner) == former {
                return RegisterOutcome::Kept(self.own(now, &one.name, mine(fence.max(old)), None, false));
            }
            let are_kept = fence.min(old) >= CLAIMED && !one.late && !held.late;
            let wins = if held.token != one.token && is_displaced {
                false
            } else if held.token != one.token && are_kept {
                is_older = fence < old;
                is_older
            } else if held.token != one.token {
                fence > old
            } else if fence.min(old) >= CLAIMED {
                fence >= old
            } else {
                one.since >= held.since
            };
            if !wins {
                return RegisterOutcome::Lost(held.owner);
            }
            replaced = Some((held.owner, held.link));
        }
        if fence <= old && !is_older {
            fence = now.max(old + 1);
        }
        RegisterOutcome::Kept(self.own(now, &one.name, mine(fence), replaced, true))
    }

    pub fn release(&mut self, now: Micros, name: &Name, owner: Owner) {
        let mut record = self.record(now, name);
        if record.held.as_ref().is_some_and(|held| held.owner == owner) {
            record.marks.retain(|_, expiry| *expiry > now);
            let former = if record.former.is_empty() { 0 } else { now + FORMER };
            let expires = record.marks.values().copied().max().unwrap_or(0).max(former);
            self.write(now, name, Record { held: None, expires, ..record });
        }
        if let Entity::Peer(_) = name.entity
            && let Some(clients) =
                self.clients.get(&name.key).and_then(|nodes| nodes.get(&owner.node)).copied()
        {
            self.count(now, &name.key, owner.node, clients.saturating_sub(1));
        }
    }

    pub fn locate(&mut self, now: Micros, one: &Locate) -> Option<Owner> {
        let mut record = self.record(now, &one.name);
        if let Some(held) = record.held.as_ref().filter(|held| Some(held.owner) != one.known_dead) {
            return Some(held.owner);
        }
        let mark = one.mark.as_micros() as Micros;
        if mark > 0 {
            let expiry = record.marks.entry(one.asker).or_default();
            *expiry = (*expiry).max(now + mark);
            record.expires = record.expires.max(now + mark);
            self.write(now, &one.name, record);
        }
        None
    }

    pub fn append(&mut self, now: Micros, node: NodeId, batch: &[u8]) -> bool {
        let Some(inbox) = self.inboxes.get_mut(&node) else { return false };
        self.appended += 1;
        inbox.push_back((self.appended, batch.to_vec()));
        while inbox.len() > self.max_inbox {
            inbox.pop_front();
        }
        self.note(now, Undo::Append(node, self.appended));
        true
    }

    pub fn read(&self, node: NodeId, after: &Position) -> Vec<InboxEntry> {
        let after = after.0.parse().unwrap_or(0);
        let behind = self.inboxes.get(&node).into_iter().flatten().filter(|(number, _)| *number > after);
        behind
            .map(|(number, batch)| InboxEntry {
                position: Position(number.to_string()),
                batch: batch.clone(),
            })
            .collect()
    }

    pub fn has_behind(&self, node: NodeId, after: &Position) -> bool {
        let after = after.0.parse().unwrap_or(0);
        self.inboxes.get(&node).and_then(VecDeque::back).is_some_and(|(number, _)| *number > after)
    }

    pub fn trim(&mut self, node: NodeId, until: &Position) {
        let until = until.0.parse().unwrap_or(0);
        if let Some(inbox) = self.inboxes.get_mut(&node) {
            inbox.retain(|(number, _)| *number > until);
        }
    }

    pub fn owners(&self, now: Micros) -> Vec<(Name, Held)> {
        let held = |(name, record): (&Name, &Record)| {
            record.held.clone().filter(|_| record.expires > now).map(|held| (name.clone(), held))
        };
        self.records.iter().filter_map(held).collect()
    }

    /// The number of batches appended so far.
    pub fn appended(&self) -> u64 {
        self.appended
    }
}
