//! The fate of each message.

use std::collections::HashMap;

use super::world::{OwnEnd, World};
use crate::harness::Seen;
use crate::harness::client::Stamp;

/// A message that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub at: Stamp,
    pub conn: usize,
}

/// All that arrived, by message, and all EXPIREs, by sender's id and lost recipient.
pub struct Fates {
    pub arrivals: HashMap<usize, Vec<Arrival>>,
    pub expired: HashMap<(String, String), Vec<Arrival>>,
    /// Payloads that nobody sent.
    pub strange: Vec<String>,
}

impl Fates {
    pub fn of(world: &World) -> Self {
        let mut fates = Fates { arrivals: HashMap::new(), expired: HashMap::new(), strange: Vec::new() };
        for (conn, of) in world.conns.iter().enumerate() {
            for (at, seen) in of.client.seen() {
                let arrival = Arrival { at, conn };
                match seen {
                    Seen::Message { from, payload, kind } => {
                        let place = payload.strip_prefix('m').and_then(|number| number.parse().ok());
                        let sent =
                            place.and_then(|place: usize| world.sent.get(place).map(|sent| (place, sent)));
                        let fits = sent.filter(|(_, sent)| {
                            sent.to == of.client.id
                                && sent.kind == kind
                                && world.conns[sent.from].client.id == from
                        });
                        match fits {
                            Some((place, _)) => fates.arrivals.entry(place).or_default().push(arrival),
                            None => fates.strange.push(format!("#{conn} got {payload:?} from {from}")),
                        }
                    }
                    Seen::Expire(lost) => {
                        fates.expired.entry((of.client.id.clone(), lost)).or_default().push(arrival);
                    }
                    _ => {}
                }
            }
        }
        fates.expired.values_mut().for_each(|all| all.sort_by_key(|one| one.at));
        fates
    }

    pub fn is_delivered(&self, message: usize) -> bool {
        self.arrivals.contains_key(&message)
    }

    /// Messages that wait, of senders that are still here, that neither arrived nor expired, without an excuse.
    pub fn missing(&self, world: &World) -> Vec<usize> {
        let is_missing = |message: &usize| {
            let sent = &world.sent[*message];
            let sender = &world.conns[sent.from];
            let pair = (sender.client.id.clone(), sent.to.clone());
            let is_told = |one: &Arrival| one.at > sent.at;
            sent.kind != "LEAVE"
                && sender.is_open()
                && !self.is_delivered(*message)
                && !self.expired.get(&pair).is_some_and(|all| all.iter().any(is_told))
                && !may_be_lost(world, *message)
        };
        (0..world.sent.len()).filter(is_missing).collect()
    }
}

/// The round in which something happened.
pub fn round_of(world: &World, at: Stamp) -> &super::world::Round {
    world.rounds.iter().rfind(|round| round.from <= at).expect("a round")
}

/// True if a recipient's connection broke in such a way that what the kernel had is lost.
fn may_be_lost(world: &World, message: usize) -> bool {
    let sent = &world.sent[message];
    let round = round_of(world, sent.at);
    world.conns.iter().filter(|conn| conn.client.id == sent.to).any(|conn| {
        let broke = |end: OwnEnd| end != OwnEnd::Close;
        let own = conn.own_end.is_some_and(|(at, end)| broke(end) && at >= round.from);
        own || (round.harmed[conn.node] && conn.over().is_none_or(|at| at >= round.from))
    })
}

/// True if the fate of a message may be unknown to the sender's node, so that EXPIRE is told in doubt.
pub fn is_in_doubt(world: &World, from: &str, to: &str, at: Stamp) -> bool {
    let round = round_of(world, at);
    let on_harmed_node = world
        .conns
        .iter()
        .filter(|conn| [from, to].contains(&conn.client.id.as_str()))
        .any(|conn| round.harmed[conn.node] && conn.over().is_none_or(|at| at >= round.from));
    // It opened without Redis on the sender's node, which could not ask what another node had done. Two clients may read what one
    // node wrote in the other order, so that it had begun is enough.
    let opened_without_redis = world
        .conns
        .iter()
        .filter(|conn| conn.client.id == to && conn.client.begun < at)
        .any(|conn| conn.opened().is_some_and(|opened| round.is_disturbed(opened)));
    round.emptied || on_harmed_node || opened_without_redis
}
