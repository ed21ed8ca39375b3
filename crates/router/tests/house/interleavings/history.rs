//! Properties of every history, independent of the model.

use std::collections::{BTreeMap, BTreeSet};

use super::world::World;
use crate::model::ConnNo;
use crate::socket::Heard;

impl World {
    /// Properties of every history, independent of the model.
    pub(super) fn check_history(&self) {
        let log = self.log.lock().unwrap();
        let messages = &self.model().messages;
        let mut latest: BTreeMap<(Option<ConnNo>, &str, &str), usize> = BTreeMap::new();
        let mut delivered = BTreeSet::new();
        for (conn, heard) in log.iter() {
            let Heard::Text(text) = heard else { continue };
            let Ok(no) = text.trim_end_matches('-').parse::<usize>() else { continue };
            let message = &messages[no];
            assert_eq!(message.text, *text, "a message arrives as it was sent");
            assert_eq!(message.to, self.model().conns[*conn].id, "message {no} is for its recipient only");
            assert!(delivered.insert(no), "message {no} arrives twice");
            // In order on each connection, and for important messages also across connections.
            for scope in [Some(Some(*conn)), message.kept.then_some(None)].into_iter().flatten() {
                let before = latest.insert((scope, &message.from, &message.to), no);
                assert!(before < Some(no), "message {no} arrives behind {before:?}");
            }
        }
        for (conn, (socket, _)) in self.conns.iter().enumerate() {
            let heard = socket.heard();
            let open = Heard::Text("OPEN".to_owned());
            assert!(heard.get(1).is_none_or(|first| *first == open), "{conn} hears OPEN first");
            assert!(heard.iter().filter(|heard| **heard == open).count() <= 1, "{conn} hears OPEN once");
            let closed = heard.iter().position(|heard| matches!(heard, Heard::Close(_)));
            assert!(closed.is_none_or(|at| at + 1 == heard.len()), "{conn} hears nothing behind its close");
        }
        // Each message is either delivered or expired.
        let mut expired = BTreeSet::new();
        for expiry in &self.model().expiries {
            for no in &expiry.messages {
                assert!(expired.insert(*no), "message {no} expires twice");
            }
        }
        assert_eq!(self.model().waiting().count(), 0);
        for (no, message) in messages.iter().enumerate() {
            let delivered = delivered.contains(&no);
            let expired = expired.contains(&no);
            assert!(!(delivered && expired), "message {no} was delivered and expired");
            assert!(delivered || expired || !message.kept, "message {no} was lost");
        }
        // Clients that were connected and read all the time got all notices of expiry.
        for conn in (0..self.conns.len()).filter(|conn| !self.troubled.contains(conn)) {
            let told = self.model().expiries.iter().filter(|expiry| expiry.told == Some(conn)).count();
            let heard = self.conns[conn].0.texts().iter().filter(|text| text.starts_with("EXPIRE")).count();
            // Notices for a predecessor may have arrived too.
            assert!(heard >= told, "{conn} heard of {heard} conversations that expired, not of {told}");
        }
    }
}
