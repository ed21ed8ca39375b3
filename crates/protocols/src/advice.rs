//! The words of a protocol, for advice about the mistakes of its clients. Each protocol has its own in its
//! folder.

use peerbroker_core::vocabulary::Foreign;

/// The words of a protocol, for advice.
#[derive(Debug)]
pub struct Advice {
    /// The programs and pages that speak it.
    pub clients: &'static [&'static str],
    /// The place in a message that names its command.
    pub named_by: NamedBy,
    /// The names of commands, in lists.
    pub commands: &'static [&'static [&'static str]],
    /// The advice for a message with one of these names that has no effect.
    pub lacks: fn(command: Foreign<'_>, text: &str) -> String,
    /// The meaning of other names, if they have one.
    pub other_commands: &'static str,
    /// The advice for its commands at the root, if apps that do not speak it may have the same ones.
    pub elsewhere: &'static str,
    /// The advice for a WebSocket below the address of the protocol.
    pub below: &'static str,
}

impl Advice {
    /// The names of all its commands.
    pub fn commands(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.commands.iter().copied().flatten().copied()
    }

    /// True if a name is one of a command.
    pub fn has(&self, command: &str) -> bool {
        self.commands().any(|known| known == command)
    }
}

/// The place in a message that names its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The member of an object that has this name.
    Member(&'static str),
    /// The first element of a list.
    FirstOfList,
    /// The name of the only member of an object.
    OnlyMember,
}

/// The advice for apps that speak no protocol of this broker.
pub(super) const OWN_APP: &str = "An app of your own has rooms.js, or `subscribe` and `publish` here";
