//! The limits that clients can run into.

use super::tables::{labels, table};

/// A row of the table of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRow {
    /// The name for programs, such as the label of a metric.
    pub label: &'static str,
    /// The flag that sets the limit, without its `--`.
    pub flag: Option<&'static str>,
    /// The extent of the limit: each node, or the whole cluster.
    pub scope: Scope,
}

table! {
    /// A limit that clients can reach. This list leaves out timeouts, and values that are too long (except
    /// messages), such as an id or the head of a request.
    #[derive(Hash, PartialOrd, Ord)]
    Limit.row: LimitRow(label, flag, scope);
    /// Registered clients of a key.
    ConcurrentLimit: "concurrent_limit", Some("concurrent_limit"), Scope::Cluster;
    /// Connections of one address.
    ConnectionsPerAddress: "connections_per_address", Some("connections_per_address"), Scope::Node;
    /// Rate of new WebSockets and streams of one address; in a cluster also of lists of peers.
    OpensPerSecond: "opens_per_second", Some("connections_per_address"), Scope::Node;
    /// Clients that wait for one id while its holder is probed.
    WaitingForId: "waiting_for_id", None, Scope::Node;
    /// Rate of messages of one client.
    MessagesPerSecond: "messages_per_second", Some("messages_per_second"), Scope::Node;
    /// Bytes of one message.
    MaxMessageBytes: "max_message_bytes", Some("max_message_bytes"), Scope::Node;
    /// Bytes of unfinished and waiting messages of all connections.
    UnfinishedTotalBytes: "unfinished_total_bytes", None, Scope::Node;
    /// Messages queued for one absent peer.
    QueueMessages: "queue_messages", None, Scope::Node;
    /// Bytes queued for one absent peer.
    QueueBytes: "queue_bytes", None, Scope::Node;
    /// Bytes queued for all absent peers.
    QueueTotalBytes: "queue_total_bytes", None, Scope::Node;
    /// Bytes in the outbox of one connected client.
    OutboxBytes: "outbox_bytes", None, Scope::Node;
    /// Rooms in which one client is.
    RoomsPerClient: "rooms_per_client", None, Scope::Node;
    /// Rooms in which all clients of a key are, without some of each.
    KeyRooms: "key_rooms", None, Scope::Node;
    /// Bytes of the filters of Nostr of all clients of a key, without some of each.
    KeyFilterBytes: "key_filter_bytes", None, Scope::Node;
    /// Ids that one client watches.
    WatchedIds: "watched_ids", None, Scope::Node;
    /// Ids that all clients of a key watch.
    KeyWatchedIds: "key_watched_ids", None, Scope::Node;
    /// Members of one room.
    RoomMembers: "room_members", Some("room_members"), Scope::Cluster;
    /// Bytes of the list of a room's members.
    RoomListBytes: "room_list_bytes", None, Scope::Cluster;
    /// Bytes of the state of a room.
    RoomState: "room_state", None, Scope::Cluster;
    /// Bytes of the states of all rooms of a key.
    KeyState: "key_state", None, Scope::Node;
    /// Rate of the frames that one member causes for the others of its rooms.
    RoomDeliveries: "room_deliveries", Some("room_deliveries_per_second"), Scope::Node;
    /// Rate of the frames that all members of a key cause for the others of their rooms.
    RoomKeyDeliveries: "room_key_deliveries", Some("room_deliveries_per_second"), Scope::Node;
    /// Bytes of messages that wait for another node.
    LinkBytes: "link_bytes", None, Scope::Node;
    /// Room codes of a key.
    RoomCodes: "room_codes", None, Scope::Node;
    /// Players of one room code.
    RoomCodePlayers: "room_code_players", None, Scope::Cluster;
    /// Names that one client has with room codes.
    NamesPerClient: "names_per_client", None, Scope::Node;
    /// Rate of wrong room codes of one address.
    WrongRoomCodes: "wrong_room_codes", None, Scope::Node;
    /// Swarms of the tracker in which one client is.
    SwarmsPerClient: "swarms_per_client", None, Scope::Node;
    /// The memberships in swarms of all clients of a key.
    KeySwarmMemberships: "key_swarm_memberships", None, Scope::Node;
    /// Pipes of all keys.
    Pipes: "pipes", Some("pipes"), Scope::Node;
    /// Pipes of a key.
    PipesPerKey: "pipes_per_key", Some("pipes"), Scope::Node;
    /// Ends of pipes of one address.
    PipesPerAddress: "pipes_per_address", Some("pipes"), Scope::Node;
    /// Rate of the bytes of one pipe, both directions together.
    PipeBytes: "pipe_bytes", Some("pipe_total_bytes_per_second"), Scope::Node;
    /// Rate of the bytes of all pipes of a key.
    PipeKeyBytes: "pipe_key_bytes", Some("pipe_total_bytes_per_second"), Scope::Node;
    /// Rate of the bytes of all pipes.
    PipeTotalBytes: "pipe_total_bytes", Some("pipe_total_bytes_per_second"), Scope::Node;
    /// Streams and POSTs that wait for one id with one token to be registered.
    WaitingPosts: "waiting_posts", None, Scope::Node;
    /// POSTs of one client at a time.
    PostsPerClient: "posts_per_client", None, Scope::Node;
    /// Rate of reports about connections of one address.
    CallReports: "call_reports", None, Scope::Node;
    /// Keys that one address registers within 24 hours.
    SignupsPerDay: "signups_per_day", Some("registrations_per_day"), Scope::Cluster;
    /// Registered keys.
    SignupLimit: "signup_limit", None, Scope::Cluster;
    /// Rate of wrong admin tokens of one address.
    WrongAdminTokens: "wrong_admin_tokens", None, Scope::Node;
    /// Messages of clients that wait for the app.
    AppMessages: "app_messages", None, Scope::Node;
    /// Webhook requests of a key at a time.
    WebhookRequests: "webhook_requests", None, Scope::Node;
}

labels! {
    /// The extent of a limit: one node, or the whole cluster.
    pub enum Scope {
        /// Each server counts separately: its memory, its connections, its rates.
        Node = "node",
        /// The nodes of a cluster count together; for keys, only if they share their keys.
        Cluster = "cluster",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_limit_has_a_label_and_a_number_of_its_own() {
        let labels: HashSet<_> = Limit::ALL.iter().map(|limit| limit.row().label).collect();
        assert_eq!(labels.len(), Limit::ALL.len());
        for (number, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(*limit as usize, number);
            assert!(
                limit.row().label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{limit:?}"
            );
        }
    }
}
