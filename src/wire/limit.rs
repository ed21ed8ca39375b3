//! The limits that clients can run into.

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $label:literal, $flag:expr, $scope:ident;)*) => {
        /// A limit that clients can run into. Not in this list: timeouts, and what is too long by itself except
        /// messages, such as an id or the head of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Limit {
            $($(#[$doc])* $name,)*
        }

        impl Limit {
            /// All limits, in the order of their numbers: `Limit::ALL[limit as usize]` is `limit`.
            pub const ALL: &[Limit] = &[$(Limit::$name,)*];

            /// The name of the limit for programs, such as the label of a metric.
            pub fn label(self) -> &'static str {
                match self {
                    $(Limit::$name => $label,)*
                }
            }

            /// The flag that sets the limit, without its `--`.
            pub fn flag(self) -> Option<&'static str> {
                match self {
                    $(Limit::$name => $flag,)*
                }
            }

            /// Whether the limit counts per node or in the whole cluster.
            pub fn scope(self) -> Scope {
                match self {
                    $(Limit::$name => Scope::$scope,)*
                }
            }
        }
    };
}

limits! {
    /// Registered clients of a key.
    ConcurrentLimit: "concurrent_limit", Some("concurrent_limit"), Cluster;
    /// Connections of one address.
    ConnectionsPerAddress: "connections_per_address", Some("connections_per_address"), Node;
    /// Rate of new WebSockets and streams of one address; in a cluster also of lists of peers.
    OpensPerSecond: "opens_per_second", Some("opens_per_second_per_address"), Node;
    /// Clients that wait for one id while its holder is probed.
    WaitingForId: "waiting_for_id", None, Node;
    /// Rate of messages of one client.
    MessagesPerSecond: "messages_per_second", Some("messages_per_second"), Node;
    /// Bytes of one message.
    MaxMessageBytes: "max_message_bytes", Some("max_message_bytes"), Node;
    /// Bytes of unfinished messages of all connections.
    UnfinishedTotalBytes: "unfinished_total_bytes", Some("unfinished_total_bytes"), Node;
    /// Messages queued for one absent peer.
    QueueMessages: "queue_messages", Some("queue_messages"), Node;
    /// Bytes queued for one absent peer.
    QueueBytes: "queue_bytes", Some("queue_bytes"), Node;
    /// Bytes queued for all absent peers.
    QueueTotalBytes: "queue_total_bytes", Some("queue_total_bytes"), Node;
    /// Bytes in the outbox of one connected client.
    OutboxBytes: "outbox_bytes", None, Node;
    /// Rooms of a key.
    Rooms: "rooms", Some("rooms"), Node;
    /// Players of one room.
    RoomPlayers: "room_players", Some("room_players"), Cluster;
    /// Names that one client has in rooms.
    NamesPerClient: "names_per_client", None, Node;
    /// Rate of wrong room codes of one address.
    WrongRoomCodes: "wrong_room_codes", None, Node;
    /// Streams and POSTs that wait for one id with one token to be registered.
    WaitingPosts: "waiting_posts", None, Node;
    /// POSTs of one client at a time.
    PostsPerClient: "posts_per_client", None, Node;
    /// Keys that one address registers within 24 hours.
    SignupsPerDay: "signups_per_day", Some("registrations_per_day"), Cluster;
    /// Registered keys.
    SignupLimit: "signup_limit", Some("registration_limit"), Cluster;
    /// Rate of wrong admin tokens of one address.
    WrongAdminTokens: "wrong_admin_tokens", None, Node;
    /// Webhook requests of a key at a time.
    WebhookRequests: "webhook_requests", None, Node;
}

/// The extent of a limit: one node, or the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Each server counts by itself: its memory, its connections, its rates.
    Node,
    /// The nodes of a cluster count together; what is about keys, if they share their keys.
    Cluster,
}

impl Scope {
    /// Its name in docs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Scope::Node => "node",
            Scope::Cluster => "cluster",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_limit_has_a_label_and_a_number_of_its_own() {
        let labels: HashSet<_> = Limit::ALL.iter().map(|limit| limit.label()).collect();
        assert_eq!(labels.len(), Limit::ALL.len());
        for (number, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(*limit as usize, number);
            assert!(limit.label().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{limit:?}");
        }
    }
}
