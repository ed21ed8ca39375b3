//! What scripts answer.

use redis::{FromRedisValue, Value};

use super::super::backplane::{Granted, Member, Owner, Unavailable};
use crate::wire::{ConnId, Link, NodeId};

/// As scripts have it: `node:connection`.
pub(super) fn owner_text(owner: Owner) -> String {
    format!("{}:{}", owner.node, owner.connection.get())
}

pub(super) fn link_text(link: Link) -> &'static str {
    match link {
        Link::Socket => "socket",
        Link::Stream => "stream",
    }
}

fn node_of(text: &str) -> Option<NodeId> {
    u64::from_str_radix(text, 16).ok().map(NodeId::new)
}

fn owner_of(text: &str) -> Option<Owner> {
    let (node, connection) = text.split_once(':')?;
    Some(Owner { node: node_of(node)?, connection: ConnId::new(connection.parse().ok()?) })
}

/// Kinds of a newer version count as WebSockets: a stream never takes one over.
fn link_of(text: &str) -> Link {
    if text == "stream" { Link::Stream } else { Link::Socket }
}

/// The answer of a script about a record.
pub(super) enum Record {
    Granted {
        granted: Granted,
        /// It was this connection's before, or a connection with the same token lost it.
        takeover: bool,
    },
    Taken(Owner),
    Elsewhere(Owner),
    Lost(Owner),
}

pub(super) fn record(answer: Value) -> Result<Record, Unavailable> {
    let parts: Vec<String> = from(answer)?;
    parse_record(&parts).ok_or_else(|| unexpected(&parts))
}

fn parse_record(parts: &[String]) -> Option<Record> {
    let [status, rest @ ..] = parts else { return None };
    let owner = || rest.first().and_then(|owner| owner_of(owner));
    Some(match status.as_str() {
        "taken" => Record::Taken(owner()?),
        "elsewhere" => Record::Elsewhere(owner()?),
        "lost" => Record::Lost(owner()?),
        status @ ("granted" | "own") => {
            let [fence, replaced, link, former, marks @ ..] = rest else { return None };
            let replaced = match replaced.as_str() {
                "" => None,
                owner => Some((owner_of(owner)?, link_of(link))),
            };
            let waiting = marks.iter().step_by(2).map(|node| node_of(node)).collect::<Option<Vec<_>>>()?;
            let former = former.split(' ').filter(|owner| !owner.is_empty()).map(owner_of);
            let former = former.collect::<Option<Vec<_>>>()?;
            let takeover = replaced.is_some() || status == "own";
            let granted = Granted { fence: fence.parse().ok()?, replaced, former, waiting };
            Record::Granted { granted, takeover }
        }
        _ => return None,
    })
}

/// The nodes that have all clients that a key may have; `None` if one more was counted.
pub(super) fn full(answer: Value) -> Result<Option<Vec<NodeId>>, Unavailable> {
    if let Value::Int(_) = answer {
        return Ok(None);
    }
    let nodes: Vec<String> = from(answer)?;
    let parsed: Option<Vec<NodeId>> = nodes.iter().map(|node| node_of(node)).collect();
    parsed.map(Some).ok_or_else(|| unexpected(&nodes))
}

/// The owner, if there is one.
pub(super) fn located(answer: Value) -> Result<Option<Owner>, Unavailable> {
    let owner: Option<String> = from(answer)?;
    owner.map(|owner| owner_of(&owner).ok_or_else(|| unexpected(&[owner]))).transpose()
}

/// All nodes; `None` if the node that asks has no lease.
pub(super) fn members(answer: Value) -> Result<Option<(u64, Vec<Member>)>, Unavailable> {
    let Some(parts) = from::<Option<Vec<String>>>(answer)? else { return Ok(None) };
    let [now, all @ ..] = parts.as_slice() else { return Err(unexpected(&parts)) };
    let now = now.parse().map_err(|_| unexpected(&parts))?;
    let member = |parts: &[String]| match parts {
        [node, name, alive] => Some(Member { node: node_of(node)?, name: name.clone(), alive: alive == "1" }),
        _ => None,
    };
    let members: Option<Vec<Member>> = all.chunks(3).map(member).collect();
    let mut members = members.ok_or_else(|| unexpected(&parts))?;
    members.sort_by_key(|member| member.node);
    Ok(Some((now, members)))
}

pub(super) fn from<T: FromRedisValue>(answer: Value) -> Result<T, Unavailable> {
    redis::from_redis_value(answer).map_err(|error| Unavailable(error.to_string()))
}

fn unexpected(answer: &[String]) -> Unavailable {
    Unavailable(format!("unexpected answer {answer:?}"))
}
