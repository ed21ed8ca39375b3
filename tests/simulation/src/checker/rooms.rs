//! Promises of rooms: each member hears a list and exactly the changes after it, and in the end all see the
//! same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::{Span, is_by_itself, outages};
use crate::history::{Conn, History, Millis, What};
use crate::room_views::{RoomViews, View, without_one_order, without_one_state};
use crate::world::NODES;

/// A client on one connection, as far as it knows.
struct Member<'a> {
    span: &'a Span,
    views: RoomViews,
    /// The messages that it heard.
    heard: BTreeSet<u32>,
    /// The last one of each sender in each room.
    last: HashMap<(Conn, String), u32>,
    /// The rooms that it left, and when.
    left: Vec<(&'static str, Millis)>,
}

impl<'a> Member<'a> {
    fn new(span: &'a Span) -> Self {
        let views = RoomViews::new(span.id);
        let heard = BTreeSet::new();
        let last = HashMap::new();
        let left = Vec::new();
        Member { span, views, heard, last, left }
    }
}

impl Member<'_> {
    /// True if it has left a room, and has not joined it again.
    fn is_out_of(&self, room: &str) -> bool {
        self.left.iter().any(|(left, _)| *left == room) && !self.views.of_rooms.contains_key(room)
    }
}

/// A message to a room, or to one member.
struct Told {
    place: usize,
    at: Millis,
    by: Conn,
    room: &'static str,
    to: Option<&'static str>,
    /// The connections that have to hear it, if they stay and nothing fails.
    due: Vec<Conn>,
}

/// Time in which a message arrives, and in which a client that came is known to all.
const ARRIVAL: Millis = 3_000;

pub(super) fn check(history: &History, spans: &[Span], faults: &mut Vec<String>) {
    let mut members: BTreeMap<Conn, Member<'_>> =
        spans.iter().map(|span| (span.conn, Member::new(span))).collect();
    let mut told: HashMap<u32, Told> = HashMap::new();
    let mut receivers: BTreeMap<u32, Vec<Conn>> = BTreeMap::new();
    for (place, (at, what)) in history.events.iter().enumerate() {
        if let What::Told { conn, room, to, number } = what {
            let at = *at;
            let by = *conn;
            let to = *to;
            let due = Vec::new();
            told.insert(*number, Told { place, at, by, room, to, due });
        }
    }
    for (place, (at, what)) in history.events.iter().enumerate() {
        match what {
            What::Heard { conn, text } => {
                let Some(member) = members.get_mut(conn) else { continue };
                if let Err(wrong) = member.views.hear(text) {
                    faults.push(format!("{at}: connection {conn}: {wrong}"));
                }
                let frame: Value = serde_json::from_str(text).unwrap_or_default();
                let room = frame["room"].as_str().unwrap_or_default().to_owned();
                if frame["type"] == "ROOM-MESSAGE"
                    && let Some(number) = frame["payload"]["n"].as_u64().and_then(|n| u32::try_from(n).ok())
                    && let Some(message) = told.get(&number)
                {
                    receivers.entry(number).or_default().push(*conn);
                    if member.is_out_of(&room) {
                        faults.push(format!(
                            "{at}: connection {conn} hears {number} of a room that it has left"
                        ));
                    }
                    if message.to.is_some_and(|to| to != member.span.id) {
                        faults.push(format!(
                            "{at}: connection {conn} hears {number}, which is for another one"
                        ));
                    }
                    if !member.heard.insert(number) && !may_hear_twice(history, spans, member.span, place) {
                        faults.push(format!("{at}: connection {conn} hears {number} twice"));
                    }
                    let last = member.last.entry((message.by, room)).or_default();
                    if *last > number
                        && !(0..NODES).any(|node| is_by_itself(history, node, message.place, place))
                    {
                        faults.push(format!("{at}: connection {conn} hears {number} behind {last}"));
                    }
                    *last = number.max(*last);
                }
            }
            What::Set { conn, room, data } => {
                let Some(member) = members.get_mut(conn) else { continue };
                if data.is_none() {
                    member.left.push((room, *at));
                }
                match data {
                    Some(data) => drop(member.views.own_data.insert((*room).to_owned(), Some(data.clone()))),
                    None => drop(member.views.of_rooms.remove(*room)),
                }
            }
            What::Told { number, .. } => {
                if let Some(message) = told.get_mut(number) {
                    message.due = due(&members, message);
                }
            }
            _ => {}
        }
    }
    check_arrival(history, &members, &told, faults);
    if !history.events.iter().any(|(_, what)| matches!(what, What::Fault { .. })) {
        check_without_faults(&members, &receivers, faults);
    }
    check_order_of_nodes(history, &members, faults);
    members.retain(|_, member| member.span.ended == usize::MAX);
    check_views(history, &members, faults);
    check_games(history, &members, faults);
    check_last_messages(history, &members, &receivers, faults);
}

/// The connections that see the sender of a message in its room, and are seen by it.
fn due(members: &BTreeMap<Conn, Member<'_>>, message: &Told) -> Vec<Conn> {
    let view = |member: &Member<'_>| member.views.of_rooms.get(message.room).cloned();
    let Some((sender, seen)) = members.get(&message.by).and_then(|by| Some((by.span.id, view(by)?))) else {
        return Vec::new();
    };
    let is_due = |member: &Member<'_>| {
        let is_meant = message.to.is_none_or(|to| to == member.span.id);
        let sees = view(member).is_some_and(|view| view.contains_key(sender));
        let is_seen = seen.contains_key(member.span.id) && !may_be_a_stranger(members, member, message.at);
        is_meant && sees && is_seen && member.span.opened < message.place
    };
    let due = members.iter().filter(|(conn, member)| **conn != message.by && is_due(member));
    due.map(|(conn, _)| *conn).collect()
}

/// True if others may still see, by the id of a member, the stranger who had the id before. A message to that
/// one is for nobody else.
fn may_be_a_stranger(members: &BTreeMap<Conn, Member<'_>>, member: &Member<'_>, at: Millis) -> bool {
    let own = member.span;
    let of_id = || members.values().map(|other| other.span).filter(|other| other.id == own.id);
    let strangers = of_id().filter(|other| other.token != own.token && other.opened < own.opened);
    let Some(last) = strangers.map(|stranger| stranger.opened).max() else { return false };
    let came =
        of_id().filter(|other| other.token == own.token && other.opened > last).map(|other| other.from);
    came.min().is_some_and(|came| at < came + ARRIVAL)
}

/// Between two faults, each accepted message arrives at all that were in the room then and have stayed.
fn check_arrival(
    history: &History,
    members: &BTreeMap<Conn, Member<'_>>,
    told: &HashMap<u32, Told>,
    faults: &mut Vec<String>,
) {
    let outages: Vec<(Millis, Millis)> = (0..NODES).flat_map(|node| outages(history, node)).collect();
    for (number, message) in told {
        let until = message.at + ARRIVAL;
        if outages.iter().any(|(begin, end)| *begin <= until && message.at <= *end) {
            continue;
        }
        // If it has left and joined again, the sender may still know it from before.
        let since = message.at.saturating_sub(ARRIVAL);
        let has_stayed = |member: &Member<'_>| {
            let mut left = member.left.iter().filter(|(room, _)| *room == message.room);
            member.span.until > until && !left.any(|(_, at)| (since..until).contains(at))
        };
        let missing = message.due.iter().filter(|conn| {
            members.get(conn).is_some_and(|member| has_stayed(member) && !member.heard.contains(number))
        });
        let missing: Vec<_> = missing.collect();
        if !missing.is_empty() {
            let at = message.at;
            let by = message.by;
            faults.push(format!("{at}: message {number} of connection {by} did not come to {missing:?}"));
        }
    }
}

/// True if a client has moved to this connection from another node, and a node has been by itself since: the
/// old node may still hold its place in rooms, and forward to it.
fn may_hear_twice(history: &History, spans: &[Span], span: &Span, place: usize) -> bool {
    let mut earlier =
        spans.iter().filter(|old| old.id == span.id && old.node != span.node && old.opened < span.opened);
    earlier.any(|old| (0..NODES).any(|node| is_by_itself(history, node, old.ended.min(place), place)))
}

/// Where nothing has failed, a message comes once to each id.
fn check_without_faults(
    members: &BTreeMap<Conn, Member<'_>>,
    receivers: &BTreeMap<u32, Vec<Conn>>,
    faults: &mut Vec<String>,
) {
    for (number, conns) in receivers {
        let ids: BTreeSet<_> = conns.iter().filter_map(|conn| Some(members.get(conn)?.span.id)).collect();
        if ids.len() < conns.len() {
            faults.push(format!("message {number} came twice to one id: {conns:?}"));
        }
    }
}

/// A room has one order on each node, through every fault. Only a client that has come from another node, or
/// from the process before, may hear several senders in another one. Old data of an id may come back if it
/// has moved to a node that was by itself: that one gives its client those that it knows, and if it counts as
/// dead, the others fall back to those of the node before. The same happens to a client that moves while a
/// single failed call delays its latest data.
fn check_order_of_nodes(history: &History, members: &BTreeMap<Conn, Member<'_>>, faults: &mut Vec<String>) {
    let nodes: BTreeSet<usize> = members.values().map(|member| member.span.node).collect();
    let killed: Vec<(usize, usize)> = history
        .events
        .iter()
        .enumerate()
        .filter_map(|(place, (_, what))| match what {
            What::Fault { node: Some(node), what } if what == "killed" => Some((place, *node)),
            _ => None,
        })
        .collect();
    let has_moved = |span: &Span| {
        let former = members.values().map(|member| member.span);
        former.into_iter().filter(|old| old.id == span.id && old.opened < span.opened).any(|old| {
            let is_between = |(place, node): &(usize, usize)| {
                *node == old.node && (old.opened..span.opened).contains(place)
            };
            old.node != span.node || killed.iter().any(is_between)
        })
    };
    let spans = || members.values().map(|member| member.span);
    let has_chaos =
        history.events.iter().any(|(_, what)| matches!(what, What::Fault { what, .. } if what == "chaos"));
    let comes_back: BTreeSet<String> = spans()
        .filter(|span| {
            let mut earlier = spans()
                .filter(|old| old.id == span.id && old.node != span.node && old.opened < span.opened)
                .peekable();
            let has_moved = earlier.peek().is_some();
            has_moved && is_by_itself(history, span.node, span.opened, span.ended)
                || has_chaos && earlier.any(|old| has_set_data_just_before(history, old.conn, span.from))
        })
        .map(|span| update_of(span.id))
        .collect();
    let once = |frame: &str| !comes_back.iter().any(|update| frame.contains(update));
    for node in nodes {
        let of_node = members.values().filter(|member| member.span.node == node && !has_moved(member.span));
        let views = of_node.map(|member| &member.views);
        faults.extend(without_one_order(views, once).map(|what| format!("node {node}: {what}")));
    }
}

/// True if a connection has set data that other nodes may not know at a time, because a call has failed. The
/// answer to a join has the data of the client itself.
fn has_set_data_just_before(history: &History, conn: Conn, time: Millis) -> bool {
    history.events.iter().any(|(at, what)| {
        let is_set = match what {
            What::Set { conn: by, data: Some(_), .. } => *by == conn,
            What::Heard { conn: by, text } => *by == conn && text.contains("ROOM-MEMBERS"),
            _ => false,
        };
        is_set && *at <= time && time < at + ARRIVAL
    })
}

/// The part of a frame that says whose data it has.
fn update_of(id: &str) -> String {
    let quoted = Value::from(id);
    format!(r#""id":{quoted},"data""#)
}

/// In the end, the view of each member is the truth, on each node.
fn check_views(history: &History, members: &BTreeMap<Conn, Member<'_>>, faults: &mut Vec<String>) {
    let mut truth: BTreeMap<&str, View> = BTreeMap::new();
    for member in members.values() {
        for room in member.views.of_rooms.keys() {
            let data = member.views.own_data.get(room).cloned().flatten();
            truth.entry(room).or_default().insert(member.span.id.to_owned(), data);
        }
    }
    for (conn, member) in members {
        for (room, view) in &member.views.of_rooms {
            let mut expected = truth.get(&**room).cloned().unwrap_or_default();
            expected.remove(member.span.id);
            if *view != expected {
                faults.push(format!("connection {conn} sees {view:?} in {room}, and there are {expected:?}"));
            }
        }
    }
    for (node, known) in history.members.iter().enumerate() {
        for (room, ids) in known {
            let expected: Vec<String> =
                truth.get(room).into_iter().flatten().map(|(id, _)| id.clone()).collect();
            if *ids != expected {
                faults.push(format!("node {node} knows {ids:?} in {room}, and there are {expected:?}"));
            }
        }
    }
}

/// In the end, all members agree on seats and state, and one of those that wrote at once was the first.
fn check_games(history: &History, members: &BTreeMap<Conn, Member<'_>>, faults: &mut Vec<String>) {
    let rooms: BTreeSet<&String> = members.values().flat_map(|member| member.views.of_rooms.keys()).collect();
    for room in rooms {
        faults.extend(without_one_state(room, members.values().map(|member| &member.views)));
        let answer = format!(r#""room":"{room}","request":"race""#);
        let heard = history.events.iter().filter_map(|(_, what)| match what {
            What::Heard { text, .. } if text.contains(&answer) => Some(text.contains("ROOM-OK")),
            _ => None,
        });
        let answers: Vec<bool> = heard.collect();
        let winners = answers.iter().filter(|won| **won).count();
        if !answers.is_empty() && winners != 1 {
            faults.push(format!("{winners} of {} members of {room} were the first", answers.len()));
        }
    }
}

/// Messages of members that were sent after all had settled come to all other members.
fn check_last_messages(
    history: &History,
    members: &BTreeMap<Conn, Member<'_>>,
    receivers: &BTreeMap<u32, Vec<Conn>>,
    faults: &mut Vec<String>,
) {
    let settled = history.events.iter().skip_while(|(_, what)| !matches!(what, What::Settled));
    for (_, what) in settled {
        let What::Told { conn, room, to: None, number } = what else { continue };
        let in_room = members.iter().filter(|(_, member)| member.views.of_rooms.contains_key(*room));
        let expected: Vec<Conn> = in_room.map(|(other, _)| *other).filter(|other| other != conn).collect();
        let mut got = receivers.get(number).cloned().unwrap_or_default();
        got.sort_unstable();
        if got != expected {
            faults.push(format!("the last message {number} came to {got:?}, and should to {expected:?}"));
        }
    }
}
