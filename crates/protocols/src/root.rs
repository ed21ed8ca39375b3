//! The WebSocket at the root of a server accepts several dialects. The action or the type of a frame selects
//! one.

mod guest;
mod guests;

use super::client::{Answer, Context};
use super::json::Object;
#[cfg(feature = "nostr")]
use super::nostr;
use super::{calls, room_codes, topics, tracker};
pub use guest::Guest;
pub use guests::Guests;
use peerbroker_core::vocabulary::Dialect;

/// Makes what a client at the root has of each protocol there, from a row for each: its dialect, commands,
/// a client's part in it, and the state of the key that its clients share.
macro_rules! protocols_at_root {
    ($($Name:ident: $Command:ident for $mod:ident::$Part:ident $(of $state:ident)? $(if $cfg:meta)?;)+) => {
        /// A command of a client, in its dialect.
        #[derive(Debug)]
        pub enum RootCommand<'a> {
            $(
                #[doc = concat!("One of `", stringify!($mod), "`.")]
                $(#[cfg($cfg)])?
                $Name($mod::$Command<'a>),
            )+
            /// Other frames are ignored.
            Ignored,
        }

        impl RootCommand<'_> {
            /// The dialect of the command, unless it does nothing.
            pub fn dialect(&self) -> Option<Dialect> {
                match self {
                    RootCommand::Calls(calls::CallCommand::Ignored) | RootCommand::Ignored => None,
                    $($(#[cfg($cfg)])? RootCommand::$Name(_) => Some(Dialect::$Name),)+
                }
            }
        }

        /// A command that waits for an answer.
        enum Pending {
            $($(#[cfg($cfg)])? $Name($mod::Pending),)+
        }

        impl Pending {
            fn kept_bytes(&self) -> usize {
                match self {
                    $($(#[cfg($cfg)])? Pending::$Name(pending) => pending.kept_bytes(),)+
                }
            }
        }

        /// A client's parts in the protocols.
        #[derive(Default)]
        struct Parts {
            $($(#[cfg($cfg)])? $mod: $mod::$Part,)+
        }

        impl Parts {
            fn on_command<'t>(
                &mut self,
                command: RootCommand<'t>,
                text: &'t str,
                guests: &Guests,
                context: &mut Context<'_, 't>,
            ) -> Option<Pending> {
                match command {
                    $($(#[cfg($cfg)])? RootCommand::$Name(command) => self.$mod
                        .on_command(command, text, $(&guests.$state,)? context)
                        .map(Pending::$Name),)+
                    RootCommand::Ignored => None,
                }
            }

            fn on_answer(
                &mut self,
                pending: Pending,
                answer: Answer,
                guests: &Guests,
                context: &mut Context<'_, '_>,
            ) -> Option<Pending> {
                match pending {
                    $($(#[cfg($cfg)])? Pending::$Name(pending) => self.$mod
                        .on_answer(pending, answer, $(&guests.$state,)? context)
                        .map(Pending::$Name),)+
                }
            }
        }
    };
}

protocols_at_root! {
    RoomCodes: RoomCodeCommand for room_codes::Player of room_codes;
    Calls: CallCommand for calls::Caller of aliases;
    Topics: TopicCommand for topics::Subscriber;
    Tracker: TrackerCommand for tracker::Announcer of swarms;
    Nostr: NostrCommand for nostr::Listener if feature = "nostr";
}

/// Members that a protocol reads in, too.
const PARTS: [&str; 5] = ["data", "offer", "offers", "topics", "info_hash"];

/// Decodes one text frame.
pub fn decode(text: &str) -> RootCommand<'_> {
    #[cfg(feature = "nostr")]
    if let Some(command) = nostr::decode(text) {
        return RootCommand::Nostr(command);
    }
    let Some(mut frame) = Object::parse_with(text, &PARTS) else { return RootCommand::Ignored };
    let Some(action) = frame.string("action") else {
        return topics::decode(&frame).map_or(RootCommand::Ignored, RootCommand::Topics);
    };
    // Calls are the last: with a remote id, any action is one of theirs.
    if let Some(command) = room_codes::decode(&action, &mut frame) {
        RootCommand::RoomCodes(command)
    } else if let Some(command) = tracker::decode(&action, &frame) {
        RootCommand::Tracker(command)
    } else {
        RootCommand::Calls(calls::decode(&action, frame))
    }
}
