//! All that happened so far, and what the script can do.

use crate::harness::client::Stamp;
use crate::harness::node::Node;
use crate::harness::{Client, Cluster, Seen};

/// The kinds of messages that the script sends. The last one does not wait.
pub const KINDS: [&str; 4] = ["OFFER", "ANSWER", "CANDIDATE", "LEAVE"];

pub struct World {
    pub cluster: Cluster,
    pub conns: Vec<Conn>,
    /// Each message has its place here as its payload.
    pub sent: Vec<Sent>,
    pub rounds: Vec<Round>,
    /// The actions of the script.
    pub notes: Vec<(Stamp, String)>,
    outages: [usize; 3],
    lost_leases: [usize; 3],
}

/// A connection, or an attempt.
pub struct Conn {
    pub client: Client,
    pub node: usize,
    pub own_end: Option<(Stamp, OwnEnd)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnEnd {
    /// Cleanly: it goes on reading until the server has closed, too.
    Close,
    Reset,
    /// It reads nothing any more.
    Freeze,
}

pub struct Sent {
    /// The sender's connection.
    pub from: usize,
    pub to: String,
    pub kind: &'static str,
    pub at: Stamp,
    /// A later message of the sender to itself. When it arrives, its node has handled this one.
    pub marker: Option<usize>,
}

/// Actions and faults, and then a time in which all heals.
pub struct Round {
    pub from: Stamp,
    /// When the first fault began.
    pub disturbed: Option<Stamp>,
    /// When all was healed.
    pub to: Option<Stamp>,
    /// Nodes that died, or whose lease ended.
    pub harmed: [bool; 3],
    /// Nodes that were stopped with a signal.
    pub stopped: [bool; 3],
    /// Nodes that were paused.
    pub slept: [bool; 3],
    /// There was another fault than a pause, or another node was by itself.
    pub failed: bool,
    /// Redis lost its data.
    pub emptied: bool,
}

impl World {
    pub fn new(cluster: Cluster) -> Self {
        World {
            cluster,
            conns: Vec::new(),
            sent: Vec::new(),
            rounds: Vec::new(),
            notes: Vec::new(),
            outages: [0; 3],
            lost_leases: [0; 3],
        }
    }

    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push((Stamp::now(), what.into()));
    }

    pub fn begin_round(&mut self) {
        self.note(format!("round {}", self.rounds.len()));
        let from = Stamp::now();
        let is_back = self.cluster.nodes.iter().all(Node::is_back);
        self.rounds.push(Round {
            from,
            disturbed: (!is_back).then_some(from),
            to: None,
            harmed: [false; 3],
            stopped: [false; 3],
            slept: [false; 3],
            failed: !is_back,
            emptied: false,
        });
    }

    pub fn round(&mut self) -> &mut Round {
        self.rounds.last_mut().expect("a round")
    }

    /// A fault begins.
    pub fn disturb(&mut self, what: impl Into<String>) {
        self.record_outages();
        self.note(what);
        let now = Stamp::now();
        self.round().disturbed.get_or_insert(now);
    }

    /// Opens a connection, and does not wait for the answer. Its place.
    pub fn open(&mut self, node: usize, id: &str, token: &str) -> Option<usize> {
        let at = &self.cluster.nodes[node];
        if !at.is_running() {
            return None;
        }
        let client = Client::connect(at.address, id, token);
        self.conns.push(Conn { client, node, own_end: None });
        let place = self.conns.len() - 1;
        self.note(format!("#{place} opens {id} with token {token} on node {node}"));
        Some(place)
    }

    /// The newest connection of an id that is open.
    pub fn open_conn(&self, id: &str) -> Option<usize> {
        self.conns.iter().rposition(|conn| conn.client.id == id && conn.is_open())
    }

    /// Sends messages, and one to the sender itself.
    pub fn send(&mut self, from: usize, to: &str, kinds: &[&'static str]) {
        let first = self.sent.len();
        let marker = first + kinds.len();
        for kind in kinds {
            self.send_one(from, to, kind, Some(marker));
        }
        let own = self.conns[from].client.id.clone();
        self.send_one(from, &own, "OFFER", None);
        self.note(format!("#{from} sends m{first} to m{} to {to}: {}", marker - 1, kinds.join(" ")));
    }

    /// Sends one message. Its place.
    pub fn send_one(&mut self, from: usize, to: &str, kind: &'static str, marker: Option<usize>) -> usize {
        let place = self.sent.len();
        let at = Stamp::now();
        self.conns[from].client.send(kind, to, &format!("m{place}"));
        self.sent.push(Sent { from, to: to.to_owned(), kind, at, marker });
        place
    }

    pub fn end(&mut self, conn: usize, how: OwnEnd) {
        let Conn { client, own_end, .. } = &mut self.conns[conn];
        match how {
            OwnEnd::Close => client.close(),
            OwnEnd::Reset => client.reset(),
            OwnEnd::Freeze => client.freeze(),
        }
        *own_end = Some((Stamp::now(), how));
        self.note(format!("#{conn} ends: {how:?}"));
    }

    /// Nodes that were by themselves are known from their logs. On a busy machine that needs no fault of the script: before the
    /// first one, all of the round counts as disturbed.
    pub fn record_outages(&mut self) {
        for node in 0..3 {
            let outages = self.cluster.nodes[node].outages();
            let lost = self.cluster.nodes[node].lost_leases();
            if outages > self.outages[node] {
                self.outages[node] = outages;
                self.note(format!("node {node} was by itself in this round"));
                let slept = self.round().slept[node];
                self.round().failed |= !slept;
                let from = self.round().from;
                self.round().disturbed.get_or_insert(from);
            }
            if lost > self.lost_leases[node] {
                self.lost_leases[node] = lost;
                self.note(format!("the lease of node {node} has ended"));
                self.round().harmed[node] = true;
            }
        }
    }
}

impl Conn {
    pub fn is_open(&self) -> bool {
        self.own_end.is_none() && self.client.is_open()
    }

    /// When its client saw that it has its id.
    pub fn opened(&self) -> Option<Stamp> {
        self.client.find(|(at, seen)| (*seen == Seen::Open).then_some(*at))
    }

    /// When the server ended it.
    pub fn ended(&self) -> Option<(Stamp, Seen)> {
        let is_end = |seen: &Seen| matches!(seen, Seen::Closed(_) | Seen::End);
        self.client.find(|(at, seen)| is_end(seen).then(|| (*at, seen.clone())))
    }

    /// When it ended, on either side.
    pub fn over(&self) -> Option<Stamp> {
        let server = self.ended().map(|(at, _)| at);
        let own = self.own_end.map(|(at, _)| at);
        server.into_iter().chain(own).min()
    }

    pub fn has_answer(&self) -> bool {
        self.client
            .find(|(_, seen)| {
                matches!(seen, Seen::Open | Seen::Refused(_) | Seen::Closed(_) | Seen::End).then_some(())
            })
            .is_some()
    }
}

impl Round {
    pub fn is_disturbed(&self, at: Stamp) -> bool {
        self.disturbed.is_some_and(|from| from <= at)
    }

    /// True if a node was paused, and nothing else happened.
    pub fn only_slept(&self, node: usize) -> bool {
        self.slept[node] && !self.failed
    }
}
