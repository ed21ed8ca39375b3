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

/// Makes what a client at the root has of each protocol there, from a row for each: its dialect, its folder,
/// a client's part in it, and the state of the key that its clients share.
macro_rules! protocols_at_root {
    ($($Name:ident: $module:ident::$Part:ident $(of $state:ident)? $(if $built_in:meta)?;)+) => {
        /// A command of a client, in its dialect.
        #[derive(Debug)]
        pub enum Command<'a> {
            $(
                #[doc = concat!("One of `", stringify!($module), "`.")]
                $(#[cfg($built_in)])?
                $Name($module::Command<'a>),
            )+
            /// Other frames are ignored.
            Ignored,
        }

        impl Command<'_> {
            /// The dialect of the command, unless it does nothing.
            pub fn dialect(&self) -> Option<Dialect> {
                match self {
                    Command::Calls(calls::Command::Ignored) | Command::Ignored => None,
                    $($(#[cfg($built_in)])? Command::$Name(_) => Some(Dialect::$Name),)+
                }
            }
        }

        /// A command that waits for an answer.
        enum Pending {
            $($(#[cfg($built_in)])? $Name($module::Pending),)+
        }

        impl Pending {
            fn kept_bytes(&self) -> usize {
                match self {
                    $($(#[cfg($built_in)])? Pending::$Name(pending) => pending.kept_bytes(),)+
                }
            }
        }

        /// A client's parts in the protocols.
        #[derive(Default)]
        struct Parts {
            $($(#[cfg($built_in)])? $module: $module::$Part,)+
        }

        impl Parts {
            fn on_command<'t>(
                &mut self,
                command: Command<'t>,
                text: &'t str,
                guests: &Guests,
                context: &mut Context<'_, 't>,
            ) -> Option<Pending> {
                match command {
                    $($(#[cfg($built_in)])? Command::$Name(command) => self.$module
                        .on_command(command, text, $(&guests.$state,)? context)
                        .map(Pending::$Name),)+
                    Command::Ignored => None,
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
                    $($(#[cfg($built_in)])? Pending::$Name(pending) => self.$module
                        .on_answer(pending, answer, $(&guests.$state,)? context)
                        .map(Pending::$Name),)+
                }
            }
        }
    };
}

protocols_at_root! {
    RoomCodes: room_codes::Player of room_codes;
    Calls: calls::Caller of aliases;
    Topics: topics::Subscriber;
    Tracker: tracker::Announcer of swarms;
    Nostr: nostr::Listener if feature = "nostr";
}

/// Members that a protocol reads in, too.
const PARTS: [&str; 5] = ["data", "offer", "offers", "topics", "info_hash"];

/// Decodes one text frame.
pub fn decode(text: &str) -> Command<'_> {
    #[cfg(feature = "nostr")]
    if let Some(command) = nostr::decode(text) {
        return Command::Nostr(command);
    }
    let Some(mut frame) = Object::parse_with(text, &PARTS) else { return Command::Ignored };
    let Some(action) = frame.string("action") else {
        return topics::decode(&frame).map_or(Command::Ignored, Command::Topics);
    };
    // Calls are the last: with a remote id, any action is one of theirs.
    if let Some(command) = room_codes::decode(&action, &mut frame) {
        Command::RoomCodes(command)
    } else if let Some(command) = tracker::decode(&action, &frame) {
        Command::Tracker(command)
    } else {
        Command::Calls(calls::decode(&action, frame))
    }
}
