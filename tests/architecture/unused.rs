//! Words of the vocabulary that nothing says any more: no compiler tells what a protocol that was removed has left there.

use std::fmt::Debug;

use peerbroker_core::media_api::{CallFailure, Dropped, RelayedOver, TurnRefusal};
use peerbroker_core::vocabulary::{
    AppRefusal, CloseReason, ConnectionKind, Dialect, DropReason, HandshakeRefusal, Limit, MessageKind,
    NameKind, RealmKind, Refusal, RoomRefusal, RoomRight,
};

/// A variant of an enum that the crates share, as the code names it.
pub struct Word {
    pub name: String,
    /// The file of its table, which says all of them.
    pub table: String,
}

pub fn words() -> Vec<Word> {
    let words = [
        names("vocabulary/endings.rs", "AppRefusal", &AppRefusal::ALL),
        names("media_api.rs", "CallFailure", &CallFailure::ALL),
        names("vocabulary/endings.rs", "CloseReason", &CloseReason::ALL),
        names("vocabulary/connection.rs", "ConnectionKind", &ConnectionKind::ALL),
        names("vocabulary/protocol.rs", "Dialect", &Dialect::ALL),
        names("vocabulary/message.rs", "DropReason", &DropReason::ALL),
        names("media_api.rs", "Dropped", &Dropped::ALL),
        names("vocabulary/endings.rs", "HandshakeRefusal", &HandshakeRefusal::ALL),
        names("vocabulary/limit.rs", "Limit", &Limit::ALL),
        names("vocabulary/message.rs", "MessageKind", &MessageKind::ALL),
        names("vocabulary/protocol.rs", "NameKind", &NameKind::ALL),
        names("vocabulary/protocol.rs", "RealmKind", &RealmKind::ALL),
        names("vocabulary/endings.rs", "Refusal", &Refusal::ALL),
        names("media_api.rs", "RelayedOver", &RelayedOver::ALL),
        names("vocabulary/endings.rs", "RoomRefusal", &RoomRefusal::ALL),
        names("vocabulary/room_rights.rs", "RoomRight", &RoomRight::ALL),
        names("media_api.rs", "TurnRefusal", &TurnRefusal::ALL),
    ];
    words.into_iter().flatten().collect()
}

fn names(file: &str, of: &str, variants: &[impl Debug]) -> Vec<Word> {
    let word = |variant| {
        let text = format!("{variant:?}");
        let variant = text.split('(').next().unwrap_or_default();
        Word { name: format!("{of}::{variant}"), table: format!("crates/core/src/{file}") }
    };
    variants.iter().map(word).collect()
}
