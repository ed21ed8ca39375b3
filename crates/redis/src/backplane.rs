//! The backplane on Redis or Valkey.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use redis::{FromRedisValue, Value};
use tokio::time::Instant;

use super::connection::{Call, Script, shown};
use super::error::BadRedis;
use super::reconnecting::{ReconnectingConnection, RedisClient};
use super::{PREFIX, TIMEOUT};
use peerbroker_cluster::{
    Backplane, Claim, ClaimOutcome, Entity, Granted, InboxEntry, KnownNode, Locate, Name, NodeCard, Owner,
    Position, RegisterOutcome, Registration, Renewal, Unavailable,
};
use peerbroker_config::{RedisAddress, SharedSettings};
use peerbroker_core::vocabulary::{ApiKey, ConnId, ConnectionKind, NodeId, expected};

/// The lowest fence of a claim. Claims have the time in microseconds, which is far above; connections that
/// were opened without the backplane have a lower fence, and of two of those the older one the higher fence.
const CLAIMED: u64 = 1 << 42;

/// Most batches that one read returns.
const MAX_READ: usize = 256;

/// The answer to `XREAD`: streams by their keys, entries by their ids, fields by their names. The type of the
/// redis crate copies all batches.
type Streams = Vec<HashMap<String, Vec<HashMap<String, HashMap<Vec<u8>, Value>>>>>;

/// The entry that every inbox begins with, to exist at all.
const FIRST_ENTRY: &str = "0-1";

/// The scripts, by their content. Each touches one key, so they work in a cluster.
macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {
        $(static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("backplane/", $file))),+)));)*
    };
}

scripts! {
    CLAIM = "record.lua" "claim.lua";
    REGISTER = "record.lua" "register.lua";
    RELEASE = "record.lua" "release.lua";
    LOCATE = "record.lua" "locate.lua";
    CLIENTS = "clients.lua";
    LEASE = "lease.lua";
    ELSEWHERE = "elsewhere.lua";
    INBOX = "inbox.lua";
}

/// The settings of a connection to Redis.
#[derive(Clone)]
pub struct RedisSettings {
    /// Its address.
    pub redis: RedisAddress,
    /// Nodes with the same prefix, on the same server, are one broker. All their keys begin with it and a
    /// colon.
    pub prefix: String,
    /// The time limit of each call, connecting included. A read may take that much longer than its wait.
    pub timeout: Duration,
    /// About as many unread batches stay in the inbox of a node that does not read. The oldest are lost then.
    pub max_inbox: usize,
}

impl RedisSettings {
    /// The default settings for a Redis.
    pub fn new(redis: impl Into<RedisAddress>) -> Self {
        let prefix = PREFIX.to_owned();
        RedisSettings { redis: redis.into(), prefix, timeout: TIMEOUT, max_inbox: 10_000 }
    }
}

/// The backplane on Redis from version 7, or Valkey.
///
/// Connects when it is used, and again after a connection broke: the call that notices fails. Two
/// connections: one for all commands, and one on which a [`read`](Backplane::read) blocks.
///
/// Records, and counts of clients, are forgotten an hour after the last call that wrote them. So a node
/// registers its connections and its counts more often than that.
pub struct RedisBackplane<C = ReconnectingConnection> {
    settings: RedisSettings,
    /// The server's time, in milliseconds since 1970, and when it was read.
    time: Cell<Option<(u64, Instant)>>,
    commands: C,
    reader: C,
}

impl RedisBackplane {
    /// Checks the address, and does not connect yet.
    pub fn new(settings: &RedisSettings) -> Result<Self, BadRedis> {
        let connection = || ReconnectingConnection::new(&settings.redis, settings.timeout);
        Ok(Self::over(settings, connection()?.identified(), connection()?))
    }
}

impl<C: RedisClient> RedisBackplane<C> {
    /// On two clients of one server: `commands` for all calls but those that block.
    pub fn over(settings: &RedisSettings, commands: C, reader: C) -> Self {
        RedisBackplane { settings: settings.clone(), time: Cell::new(None), commands, reader }
    }

    /// No two names have the same key: parts with arbitrary characters stand at the end, or behind their
    /// length. In the empty braces no text can be a hash tag, so no client chooses the server that keeps its
    /// record.
    fn record(&self, script: &'static Script, name: &Name) -> Call {
        let entity = name.entity.label();
        let key = name.key.as_str();
        Call::script(
            script,
            format!("{}:{entity}{{}}:{}:{key}:{}", self.settings.prefix, key.len(), name.name),
        )
    }

    /// All nodes; `None` if the node that asks has no lease. Notes the server's time. Broken entries are in
    /// the answer once, and dropped.
    fn members(&self, answer: Value) -> Result<Option<Vec<KnownNode>>, Unavailable> {
        if answer == Value::Nil {
            return Ok(None);
        }
        let member = |parts: &[String]| match parts {
            [node, name, place, shared, state] => Some(KnownNode {
                node: node_of(node)?,
                name: name.clone(),
                place: place.clone(),
                // An older node has none.
                shared: serde_json::from_str(shared).unwrap_or_default(),
                alive: state == "1",
                left: state == "left",
            }),
            _ => None,
        };
        parsed(answer, |parts| {
            let (now, all) = parts.split_first()?;
            let (broken, all): (Vec<_>, Vec<_>) =
                all.chunks(5).partition(|parts| parts.last().is_some_and(|state| state == "broken"));
            for name in broken.iter().filter_map(|parts| parts.first()) {
                log::warn!("dropped an entry of the table of nodes in Redis that cannot be read: {name:?}");
            }
            let mut members: Vec<KnownNode> = all.into_iter().map(member).collect::<Option<_>>()?;
            members.sort_by_key(|member| member.node);
            self.time.set(Some((now.parse().ok()?, Instant::now())));
            Some(members)
        })
        .map(Some)
    }

    fn release_call(&self, name: &Name, owner: Owner) -> Call {
        self.record(&RELEASE, name).arg(owner_text(owner))
    }

    fn clients(&self, key: &ApiKey, node: NodeId, what: &str) -> Call {
        let key = format!("{}:clients{{}}:{}", self.settings.prefix, key.as_str());
        Call::script(&CLIENTS, key).arg(node.to_string()).arg(what)
    }

    fn lease(&self, node: NodeId, what: &str, lease: Duration) -> Call {
        let key = format!("{}:nodes", self.settings.prefix);
        Call::script(&LEASE, key).arg(node.to_string()).arg(what).arg(millis(lease))
    }

    /// A node that is alone may have another database in its URL than the others. A server without an answer
    /// does not matter.
    async fn warn_of_nodes_elsewhere(&self, node: NodeId) {
        let ask = Call::script(&ELSEWHERE, format!("{}:nodes", self.settings.prefix)).arg(node.to_string());
        let Ok(answer) = self.commands.ask(ask).await else { return };
        let answer: Vec<String> = redis::from_redis_value(answer).unwrap_or_default();
        let Some((own, others)) = answer.split_first() else { return };
        let mut others = others.iter().filter_map(|other| other.split_once(' '));
        let Some((database, name)) = others.next() else { return };
        // Another node may have joined since.
        if database == own || others.any(|(database, _)| database == own) {
            return;
        }
        log::warn!(
            "this node is alone in database {own} of its Redis, and the node {} is in database {database}: if both are of one \
             cluster, give them the same --redis",
            name.escape_debug()
        );
    }

    fn keep_inbox(&self, node: NodeId, what: &str, lease: Duration) -> Call {
        Call::script(&INBOX, self.inbox(node)).arg(what).arg(millis(lease.saturating_mul(3)))
    }

    fn inbox(&self, node: NodeId) -> String {
        format!("{}:inbox:{node}", self.settings.prefix)
    }
}

fn settings_text(shared: &SharedSettings) -> String {
    expected(serde_json::to_string(shared), "settings of a cluster")
}

/// At least one, because to Redis 0 means "at once" or "for ever".
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 40)
}

impl<C: RedisClient + 'static> Backplane for RedisBackplane<C> {
    const STORE_CHANGED: &str =
        "Redis was restarted, or another server has taken its place, or its user may not use INFO";

    fn new_node(&self) -> NodeId {
        NodeId::new(self.commands.new_number())
    }

    async fn join(&self, node: NodeId, card: &NodeCard, lease: Duration) -> Result<(), Unavailable> {
        self.commands.ask(self.keep_inbox(node, "join", lease)).await?;
        // Not in one batch: the other nodes must not see a member without an inbox, because that one is dead
        // to them. If only this script has to be loaded, or the keys are on two servers, the second call is
        // carried out first.
        let join = self.lease(node, "join", lease).arg(settings_text(&card.shared));
        let answer = self.commands.ask(join.arg(&card.name).arg(&card.place)).await?;
        if let Some(policy) = self.commands.take_eviction() {
            log::warn!(
                "Redis deletes entries when its memory is full (maxmemory-policy {policy}), and may so forget who owns an id: set \
                 maxmemory-policy noeviction"
            );
        }
        let is_first = self.time.get().is_none();
        let members = self.members(answer)?;
        let members =
            members.ok_or_else(|| Unavailable::NoAnswer(format!("the lease of {node} has ended")))?;
        let is_alone = !members.iter().any(|member| member.alive && member.node != node);
        if is_first && self.commands.has_databases() {
            if is_alone {
                self.warn_of_nodes_elsewhere(node).await;
            } else {
                log::info!(
                    "the nodes at {} are one broker: give another cluster another database, as in redis://host/1",
                    shown(&self.settings.redis.url)
                );
            }
        }
        Ok(())
    }

    async fn renew(
        &self,
        node: NodeId,
        shared: &SharedSettings,
        lease: Duration,
    ) -> Result<Renewal, Unavailable> {
        let inbox = self.keep_inbox(node, "renew", lease);
        let renew = self.lease(node, "renew", lease).arg(settings_text(shared));
        let answers = self.commands.run(vec![renew, inbox]).await?;
        let mut answers = answers.into_iter();
        let members = self.members(answers.next().unwrap_or(Value::Nil))?;
        // A node without an inbox is dead to the others.
        let has_inbox = answers.next() == Some(Value::Int(1));
        Ok(members.filter(|_| has_inbox).map_or(Renewal::Lost, Renewal::Renewed))
    }

    async fn leave(&self, node: NodeId) -> Result<(), Unavailable> {
        let lease = self.lease(node, "leave", Duration::ZERO);
        self.commands.run(vec![lease, Call::command("DEL", self.inbox(node))]).await.map(drop)
    }

    async fn claim(&self, store: u64, claims: Vec<Claim>) -> Result<Vec<ClaimOutcome>, Unavailable> {
        let mut calls = Vec::with_capacity(claims.len() * 2);
        // The time limit of calls that are made now, by the server's clock.
        let deadline = |(time, said): (u64, Instant)| time + millis(said.elapsed() + self.settings.timeout);
        let deadline = self.time.get().map(|known| deadline(known).to_string()).unwrap_or_default();
        for claim in &claims {
            if let Some(limit) = claim.limit {
                calls.push(self.clients(&claim.name.key, claim.owner.node, "add").arg(limit));
            }
            let record = self.record(&CLAIM, &claim.name).arg(owner_text(claim.owner)).arg(&claim.token[..]);
            let known_dead = claim.known_dead.map(owner_text).unwrap_or_default();
            calls.push(record.arg(claim.kind.label()).arg(known_dead).arg(&deadline));
        }
        let mut answers = self.commands.run_on(Some(store), calls).await?.into_iter();
        let mut next =
            || answers.next().ok_or_else(|| Unavailable::NoAnswer("an answer is missing".to_owned()));

        // Record and number are two keys, so each was changed independently of the other.
        let mut outcomes = Vec::with_capacity(claims.len());
        let mut amends = Vec::new();
        for claim in &claims {
            let full = if claim.limit.is_some() { full(next()?)? } else { None };
            let counted = claim.limit.is_some() && full.is_none();
            let clients = |what: &str| self.clients(&claim.name.key, claim.owner.node, what);
            let (mut outcome, takeover) = record(next()?)?;
            match (&outcome, full) {
                (ClaimOutcome::Granted(_), Some(nodes)) if !takeover => {
                    amends.push(self.release_call(&claim.name, claim.owner));
                    outcome = ClaimOutcome::Full(nodes);
                }
                (ClaimOutcome::Granted(_), Some(_)) => amends.push(clients("add").arg("")),
                (ClaimOutcome::Granted(_), None) => {}
                _ if counted => amends.push(clients("drop")),
                _ => {}
            }
            outcomes.push(outcome);
        }
        self.commands.run_on(Some(store), amends).await?;
        Ok(outcomes)
    }

    async fn register(&self, all: Vec<Registration>) -> Result<Vec<RegisterOutcome>, Unavailable> {
        let call = |one: &Registration| {
            let former = one.former.map(|node| owner_text(Owner { node, ..one.owner }));
            let fence =
                if one.fence == 0 { CLAIMED.saturating_sub(one.since.as_millis()).max(1) } else { one.fence };
            self.record(&REGISTER, &one.name)
                .arg(owner_text(one.owner))
                .arg(&one.token[..])
                .arg(one.kind.label())
                .arg(one.known_dead.map(owner_text).unwrap_or_default())
                .arg(fence)
                .arg(one.since.as_millis())
                .arg(former.unwrap_or_default())
                .arg(CLAIMED)
                .arg(if one.late { "1" } else { "" })
        };
        let answers = self.commands.run(all.iter().map(call).collect()).await?;
        let outcome = |answer| match record(answer)?.0 {
            ClaimOutcome::Granted(granted) => Ok(RegisterOutcome::Kept(granted)),
            ClaimOutcome::Taken(owner) | ClaimOutcome::Elsewhere(owner) => Ok(RegisterOutcome::Lost(owner)),
            ClaimOutcome::Full(_) => Err(Unavailable::NoAnswer("unexpected answer".to_owned())),
        };
        answers.into_iter().map(outcome).collect()
    }

    async fn release(&self, all: Vec<(Name, Owner)>) -> Result<(), Unavailable> {
        let mut calls = Vec::with_capacity(all.len() * 2);
        for (name, owner) in &all {
            calls.push(self.release_call(name, *owner));
            if let Entity::Peer(_) = name.entity {
                calls.push(self.clients(&name.key, owner.node, "drop"));
            }
        }
        self.commands.run(calls).await.map(drop)
    }

    async fn count(&self, key: &ApiKey, node: NodeId, clients: usize) -> Result<(), Unavailable> {
        self.commands.ask(self.clients(key, node, "set").arg(clients)).await.map(drop)
    }

    async fn locate(&self, all: Vec<Locate>) -> Result<Vec<Option<Owner>>, Unavailable> {
        let call = |one: &Locate| {
            self.record(&LOCATE, &one.name)
                .arg(one.asker.to_string())
                .arg(one.known_dead.map(owner_text).unwrap_or_default())
                .arg(if one.mark.is_zero() { 0 } else { millis(one.mark) })
        };
        let answers = self.commands.run(all.iter().map(call).collect()).await?;
        answers.into_iter().map(located).collect()
    }

    async fn append(&self, all: &[(NodeId, Vec<u8>)]) -> Result<Vec<bool>, Unavailable> {
        let call = |(node, batch): &(NodeId, Vec<u8>)| {
            let add = Call::command("XADD", self.inbox(*node)).arg("NOMKSTREAM");
            add.arg("MAXLEN").arg("~").arg(self.settings.max_inbox).arg("*").arg("b").arg(&batch[..])
        };
        let answers = self.commands.run(all.iter().map(call).collect()).await?;
        Ok(answers.into_iter().map(|answer| answer != Value::Nil).collect())
    }

    async fn read(
        &self,
        inbox: NodeId,
        after: &Position,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, Unavailable> {
        let key = self.inbox(inbox);
        let after = if after.0.is_empty() { FIRST_ENTRY } else { &after.0 };
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(MAX_READ);
        if !wait.is_zero() {
            command.arg("BLOCK").arg(millis(wait));
        }
        command.arg("STREAMS").arg(&key).arg(after);
        let read: Option<Streams> = from(self.reader.block(Call::raw(command, key), wait).await?)?;
        let entries = read.into_iter().flatten().flat_map(HashMap::into_values).flatten().flatten();
        // An entry of another kind is passed on without bytes, because its position counts.
        let entry = |(id, mut fields): (String, HashMap<Vec<u8>, Value>)| InboxEntry {
            batch: match fields.remove(&b"b"[..]) {
                Some(Value::BulkString(batch)) => batch,
                _ => Vec::new(),
            },
            position: Position(id),
        };
        Ok(entries.map(entry).collect())
    }

    async fn trim(&self, inbox: NodeId, until: &Position) -> Result<(), Unavailable> {
        let next = until.0.split_once('-').and_then(|(time, number)| {
            Some(format!("{time}-{}", number.parse::<u64>().ok()?.saturating_add(1)))
        });
        // The default position has nothing before it.
        let Some(next) = next else { return Ok(()) };
        let trim = Call::command("XTRIM", self.inbox(inbox)).arg("MINID").arg(next);
        self.commands.ask(trim).await.map(drop)
    }

    fn generation(&self) -> u64 {
        self.commands.made()
    }

    fn store(&self) -> u64 {
        self.commands.server()
    }
}

/// As scripts have it: `node:connection`.
fn owner_text(owner: Owner) -> String {
    format!("{}:{}", owner.node, owner.connection.get())
}

fn node_of(text: &str) -> Option<NodeId> {
    u64::from_str_radix(text, 16).ok().map(NodeId::new)
}

fn owner_of(text: &str) -> Option<Owner> {
    let (node, connection) = text.split_once(':')?;
    Some(Owner { node: node_of(node)?, connection: ConnId::new(connection.parse().ok()?) })
}

/// Kinds of a newer version count as WebSockets: a stream never takes one over.
fn connection_kind_of(text: &str) -> ConnectionKind {
    if text == ConnectionKind::Stream.label() { ConnectionKind::Stream } else { ConnectionKind::Socket }
}

/// The answer of a script about a record. True if this connection had it before, or a connection with the
/// same token lost it.
fn record(answer: Value) -> Result<(ClaimOutcome, bool), Unavailable> {
    parsed(answer, |parts| {
        let (status, parts) = parts.split_first()?;
        Some(match (status.as_str(), parts) {
            ("elsewhere", [owner]) => (ClaimOutcome::Elsewhere(owner_of(owner)?), false),
            ("taken" | "lost", [owner]) => (ClaimOutcome::Taken(owner_of(owner)?), false),
            ("granted" | "own", [fence, replaced, kind, former, marks @ ..]) => {
                let replaced = match replaced.as_str() {
                    "" => None,
                    owner => Some((owner_of(owner)?, connection_kind_of(kind))),
                };
                let former = former.split_whitespace().filter_map(owner_of).collect();
                let waiting = marks.iter().step_by(2).filter_map(|node| node_of(node)).collect();
                let takeover = replaced.is_some() || status == "own";
                let granted = Granted { fence: fence.parse().ok()?, replaced, former, waiting };
                (ClaimOutcome::Granted(granted), takeover)
            }
            _ => return None,
        })
    })
}

/// The nodes that have all clients that a key may have; `None` if one more was counted.
fn full(answer: Value) -> Result<Option<Vec<NodeId>>, Unavailable> {
    if let Value::Int(_) = answer {
        return Ok(None);
    }
    parsed(answer, |nodes| nodes.iter().map(|node| node_of(node)).collect()).map(Some)
}

/// The owner, if there is one.
fn located(answer: Value) -> Result<Option<Owner>, Unavailable> {
    let owner: Option<String> = from(answer)?;
    owner.map(|owner| owner_of(&owner).ok_or_else(|| unexpected(&[owner]))).transpose()
}

fn parsed<T>(answer: Value, parse: impl FnOnce(&[String]) -> Option<T>) -> Result<T, Unavailable> {
    // Names of nodes are for people: their other bytes do not matter.
    let parts: Vec<Vec<u8>> = from(answer)?;
    let parts: Vec<String> = parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    parse(&parts).ok_or_else(|| unexpected(&parts))
}

fn from<T: FromRedisValue>(answer: Value) -> Result<T, Unavailable> {
    redis::from_redis_value(answer).map_err(|error| Unavailable::NoAnswer(error.to_string()))
}

fn unexpected(answer: &[String]) -> Unavailable {
    Unavailable::NoAnswer(format!("unexpected answer {answer:?}"))
}
