//! The report of a seed that failed, for people: its faults, its events, and the logs of its nodes.

use std::fmt::Write as _;

use super::world::World;
use crate::harness::Seen;
use crate::harness::client::Stamp;

/// Lines of a node's log.
const LOG: usize = 40;

pub fn history(world: &World, why: &[String]) -> String {
    let mut lines: Vec<(Stamp, String)> = world.notes.clone();
    for (place, conn) in world.conns.iter().enumerate() {
        let id = &conn.client.id;
        for (at, seen) in conn.client.seen() {
            let what = match seen {
                Seen::Open => "OPEN".to_owned(),
                Seen::Refused(why) => format!("refused: {why}"),
                Seen::Message { from, payload, .. } if from == *id => format!("{payload} (itself)"),
                Seen::Message { from, payload, .. } => format!("{payload} from {from}"),
                Seen::Expire(lost) => format!("EXPIRE of {lost}"),
                Seen::Closed(code) => format!("closed {code:?}"),
                Seen::Members(_) | Seen::Joined(_) | Seen::Left(_) | Seen::Assigned(_) => {
                    unreachable!("nobody joins a room")
                }
                Seen::End => "end".to_owned(),
            };
            lines.push((at, format!("            #{place} {id}@{}: {what}", conn.node)));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let start = lines.first().map(|(at, _)| at.at);
    // The faults first, and then the round in which they were found, because reports of failures are cut at the end.
    let mut text: String = why.iter().map(|why| format!("WRONG: {why}\n")).collect();
    let begun = world.rounds.last().map(|round| round.from);
    let (before, last): (Vec<_>, Vec<_>) = lines.iter().partition(|(at, _)| Some(*at) < begun);
    for (at, what) in last.into_iter().chain(before) {
        let since = start.map_or(0.0, |start| (at.at - start).as_secs_f64());
        let _ = writeln!(text, "{since:8.3} {what}");
    }
    for (number, node) in world.cluster.nodes.iter().enumerate() {
        let log = node.log();
        let all: Vec<&str> = log.lines().collect();
        let _ = writeln!(text, "--- log of node {number}");
        all.iter().skip(all.len().saturating_sub(LOG)).for_each(|line| text += &format!("{line}\n"));
    }
    text
}
