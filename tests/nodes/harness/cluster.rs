//! Nodes that share a Redis.

use super::client::{Client, REACH, Seen};
use super::node::Node;
use super::redis::Redis;
use super::{becomes, until};
use crate::directory::Directory;

/// Times that make tests short. A client of a busy machine may need a while to answer a probe.
const FLAGS: &[(&str, &str)] =
    &[("--cluster_lease", "2000"), ("--expire_timeout", "1500"), ("--reclaim_timeout", "0")];

pub struct Cluster {
    pub nodes: Vec<Node>,
    pub redis: Redis,
    _dir: Directory,
}

/// The answer to a client that asks for an id.
pub enum Answer {
    Open(Client),
    Refused(String),
    /// The connection ended without a word.
    Nothing,
}

impl Answer {
    pub fn refusal(&self) -> &str {
        match self {
            Answer::Open(client) => panic!("{} got its id", client.id),
            Answer::Refused(why) => why,
            Answer::Nothing => "",
        }
    }
}

impl Cluster {
    /// Three nodes that are up.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with further flags, or others.
    pub async fn start_with(flags: &[(&str, &str)]) -> Self {
        let dir = Directory::new();
        let redis = Redis::start(dir.at("redis")).await;
        let unchanged = FLAGS.iter().filter(|(name, _)| flags.iter().all(|(other, _)| other != name));
        let flags: Vec<&str> = unchanged.chain(flags).flat_map(|(name, value)| [*name, *value]).collect();
        let mut nodes = Vec::new();
        for number in 0..3 {
            let name = format!("node{number}");
            let flags = [&["--node_name", &name], &flags[..]].concat();
            nodes.push(Node::start(dir.at(&name), redis.socket(), &flags).await);
        }
        let cluster = Cluster { nodes, redis, _dir: dir };
        for node in &cluster.nodes {
            node.logs(" joined (").await;
        }
        cluster
    }

    /// Asks for an id, and waits for the answer.
    pub async fn ask(&self, node: usize, id: &str, token: &str) -> Answer {
        let client = Client::connect(self.nodes[node].address, id, token);
        match client.next().await {
            Seen::Open => Answer::Open(client),
            Seen::Refused(why) => Answer::Refused(why),
            Seen::Closed(_) | Seen::End => Answer::Nothing,
            other => panic!("{id} sees {other:?} before it is open"),
        }
    }

    /// A client that has its id.
    pub async fn open(&self, node: usize, id: &str, token: &str) -> Client {
        match self.ask(node, id, token).await {
            Answer::Open(client) => client,
            Answer::Refused(why) => panic!("{id} on node {node}: {why}\n{}", self.nodes[node].log()),
            Answer::Nothing => panic!("{id} on node {node}: no answer\n{}", self.nodes[node].log()),
        }
    }

    /// Asks for an id until it is given.
    pub async fn open_at_last(&self, node: usize, id: &str, token: &str) -> Client {
        let mut got = None;
        until(&format!("the id {id}"), async || {
            if let Answer::Open(client) = self.ask(node, id, token).await {
                got = Some(client);
            }
            got.is_some()
        })
        .await;
        got.expect("a client")
    }

    /// Waits until a message goes from one client to the other: sends one again and again, because each may
    /// expire.
    pub async fn reaches(&self, from: &Client, to: &Client) -> bool {
        thread_local!(static NUMBER: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        let mut sent: Vec<String> = Vec::new();
        let mut last = None;
        becomes(super::TIMEOUT, async || {
            let expired = from.seen().iter().filter(|seen| **seen == Seen::Expire(to.id.clone())).count();
            if last != Some(expired) {
                last = Some(expired);
                let text = format!("{REACH}{}", NUMBER.replace(NUMBER.get() + 1));
                from.offer(&to.id, &text);
                sent.push(text);
            }
            let is_sent = |seen: &Seen| match seen {
                Seen::Message { payload, .. } if sent.contains(payload) => Some(()),
                _ => None,
            };
            to.find(is_sent).is_some()
        })
        .await
    }
}
