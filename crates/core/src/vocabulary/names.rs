//! Peer ids, API keys and tokens: valid by their type.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::foreign::Foreign;
use crate::address::Network;

/// The error of a text that cannot be an id, a token or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// An empty text.
    #[error("it is empty")]
    Empty,
    /// A text with more bytes than allowed.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// A text with a control character, which could forge a log line or control a terminal.
    #[error("it has control characters")]
    ControlCharacter,
}

/// The first character of names that no client can have, because [`check`] takes no control characters: of
/// the token of a verified subject, of the sender of messages to rooms, and of the room of those that watch
/// an id.
const MARK: char = '\u{1}';

fn check(text: &str, max: usize) -> Result<&str, InvalidName> {
    if text.is_empty() {
        Err(InvalidName::Empty)
    } else if text.len() > max {
        Err(InvalidName::TooLong(max))
    } else if text.chars().any(char::is_control) {
        Err(InvalidName::ControlCharacter)
    } else {
        Ok(text)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($inner);

        impl $name {
            /// Most bytes of the text.
            pub const MAX_BYTES: usize = $max;

            /// Accepts text of 1 to [`Self::MAX_BYTES`] bytes without control characters.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                check(text, Self::MAX_BYTES).map(|text| Self(text.into()))
            }

            /// The text.
            #[inline]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! shown {
    ($name:ident) => {
        // There is no `Display`: strangers choose these texts.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&Foreign::new(&self.0), f)
            }
        }
    };
}

name!(
    /// The id of a peer. Compared byte by byte.
    PeerId, Arc<str>, 512
);
shown!(PeerId);

impl PeerId {
    /// The sender of messages of the app's server. No client can have this id: it is empty.
    pub fn server() -> Self {
        PeerId("".into())
    }

    /// The sender of this client's messages to rooms; the app's server stays itself. No client can have this
    /// id: [`parse`](Self::parse) takes no control characters. So these messages wait and expire apart from
    /// those about connections, and the client gets no EXPIRE for them, which PeerJS takes for a failed
    /// connection.
    pub fn in_rooms(&self) -> Self {
        if self.is_client() { PeerId(format!("{MARK}{}", self.as_str()).into()) } else { self.clone() }
    }

    /// The client whose messages to rooms have this sender.
    pub fn outside_rooms(&self) -> Self {
        self.0.strip_prefix(MARK).map_or_else(|| self.clone(), |id| PeerId(id.into()))
    }

    /// The id of the client, without the mark of its messages to rooms. Empty for the app's server.
    pub fn of_client(&self) -> &str {
        self.0.strip_prefix(MARK).unwrap_or(&self.0)
    }

    /// False for [`server`](Self::server) and [`in_rooms`](Self::in_rooms).
    pub fn is_client(&self) -> bool {
        !self.0.is_empty() && !self.0.starts_with(MARK)
    }

    /// The sender of a message that another node has forwarded.
    pub fn of_sender(text: &str) -> Result<Self, InvalidName> {
        match text.strip_prefix(MARK) {
            Some(id) => PeerId::parse(id).map(|id| id.in_rooms()),
            None if text.is_empty() => Ok(PeerId::server()),
            None => PeerId::parse(text),
        }
    }
}

/// Most bytes of a topic. Apps make them of names of documents, which may be longer than those of rooms.
const MAX_TOPIC_BYTES: usize = 256;

/// Most bytes of a name that has no other limit here: its protocol has one, or it is that of a group, made of
/// a client's and more.
const MAX_MEASURED_BYTES: usize = 512;

/// The room of the clients of one network. Names that begin with it and `:` or `/` are such rooms, too. The
/// server adds the network to all of them, behind the last `/`, so no client names the room of another one.
pub const NEAR: &str = "~near";

/// Fewest digits of a PIN.
const PIN_DIGITS: usize = 4;

/// The rest of the name of a room that is near.
pub(super) fn near(name: &str) -> Option<&str> {
    name.strip_prefix(NEAR).filter(|rest| rest.is_empty() || rest.starts_with([':', '/']))
}

name!(
    /// The name of a room. Compared byte by byte.
    RoomName, Arc<str>, 64
);
shown!(RoomName);

impl RoomName {
    /// The room of an id and those that watch it. No client can name it: [`parse`](Self::parse) takes no
    /// control characters.
    pub fn of_watched(id: &str) -> Self {
        RoomName(format!("{MARK}{id}").into())
    }

    /// The id, if it is the room of those that watch it.
    pub fn watched(&self) -> Option<PeerId> {
        PeerId::parse(self.0.strip_prefix(MARK)?).ok()
    }

    /// The room of a topic.
    pub fn of_topic(topic: &str) -> Result<Self, InvalidName> {
        check(topic, MAX_TOPIC_BYTES).map(|topic| RoomName(topic.into()))
    }

    /// The room of a name whose length its protocol limits, or that the server has made of a client's.
    pub fn measured(name: &str) -> Result<Self, InvalidName> {
        check(name, MAX_MEASURED_BYTES).map(|name| RoomName(name.into()))
    }

    /// True for a room of the clients of one network, and for the server's name of one.
    pub fn is_near(&self) -> bool {
        near(&self.0).is_some()
    }

    /// True if clients enter it with the part of the name that they agree on, such as a PIN.
    pub fn has_pin(&self) -> bool {
        near(&self.0).is_some_and(|rest| !rest.is_empty())
    }

    /// True if that part is a PIN of at least four digits, or begins with one.
    pub fn has_digits(&self) -> bool {
        let pin = near(&self.0).and_then(|rest| rest.strip_prefix(':')?.split(':').next());
        pin.is_some_and(|pin| pin.len() >= PIN_DIGITS && pin.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// The server's name of a room that [is near](Self::is_near), for the clients of one network.
    pub fn in_network(&self, network: Network) -> Self {
        RoomName(format!("{}/{network}", self.as_str()).into())
    }

    /// False for the server's name of a room that is near another network.
    pub fn is_open_to(&self, network: Option<Network>) -> bool {
        let of_network = near(&self.0).and_then(|_| self.0.rsplit_once('/'));
        of_network.is_none_or(|(_, of)| network.is_some_and(|network| network.to_string() == of))
    }

    /// The name that its members know, of the server's name of a room that is near: no client learns an
    /// address from it.
    pub fn known(name: &str) -> &str {
        let cut = near(name).and_then(|_| name.rsplit_once('/'));
        cut.map_or(name, |(known, _)| known)
    }

    /// A name from another node.
    pub fn of_node(text: &str) -> Result<Self, InvalidName> {
        match text.strip_prefix(MARK) {
            Some(id) => PeerId::parse(id).map(|id| RoomName::of_watched(id.as_str())),
            None => RoomName::measured(text),
        }
    }
}

name!(
    /// The key of a realm.
    ApiKey, Arc<str>, 128
);
shown!(ApiKey);

name!(
    /// The token with which a client proves that it owns an id. Never shown, not even by `Debug`.
    Token, Box<str>, 4096
);

impl Token {
    /// The token of a verified subject, the same on every server. No client can send it:
    /// [`parse`](Self::parse) takes no control characters. An id and its mark are shorter than
    /// [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn of_subject(subject: &PeerId) -> Self {
        Token(format!("{MARK}{}", subject.as_str()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_subject(id: &str) -> Token {
        Token::of_subject(&PeerId::parse(id).unwrap())
    }

    #[test]
    fn a_subject_has_one_token_within_the_bound_and_no_other_subject_has_it() {
        assert_eq!(of_subject("alice"), of_subject("alice"));
        let long = "x".repeat(PeerId::MAX_BYTES);
        for other in ["bob", "Alice", "alice ", long.as_str()] {
            assert_ne!(of_subject("alice"), of_subject(other));
        }
        assert!(of_subject(&long).as_str().len() <= Token::MAX_BYTES);
    }

    #[test]
    fn a_pin_has_four_digits() {
        let is_pin = |name| RoomName::parse(name).unwrap().has_digits();
        for name in ["~near:4821", "~near:00000", "~near:4821:call"] {
            assert!(is_pin(name), "{name}");
        }
        for name in [
            "~near",
            "~near:",
            "~near:482",
            "~near:call",
            "~near:4821x",
            "~near:٤٨٢١",
            "~nearby:4821",
            "4821",
        ] {
            assert!(!is_pin(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_client_names_the_room_of_another_network(
            name in "~near[:/a-f0-9.]{0,20}|~near/(lan|203\\.0\\.113\\.5)|\\PC{1,20}", v4: u32,
        ) {
            let network = Network::V4(v4.into());
            let Ok(name) = RoomName::parse(&name) else { return Ok(()) };
            if name.is_near() {
                let there = name.in_network(network);
                prop_assert_eq!(RoomName::known(there.as_str()), name.as_str());
                prop_assert_ne!(&there, &name.in_network(Network::Lan));
                prop_assert_eq!(RoomName::of_node(there.as_str()), Ok(there));
            } else {
                // It is taken as it is, so it must be nobody's.
                prop_assert_eq!(near(name.as_str()), None);
                prop_assert_eq!(RoomName::known(name.as_str()), name.as_str());
            }
        }

        #[test]
        fn no_text_is_taken_for_the_token_of_a_subject(id in "\\PC{1,40}", text in "\\p{Any}{0,40}") {
            let owner = of_subject(&id);
            prop_assert!(Token::parse(owner.as_str()).is_err());
            for text in [text.as_str(), id.as_str()] {
                prop_assert_ne!(Token::parse(text).ok(), Some(owner.clone()));
            }
        }
    }
}
