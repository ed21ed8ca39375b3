//! A client with one connection at a time, opened again when it breaks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::connection::{Call, Connection, Target, check_redis, plain, shown};
use super::error::BadRedis;
use peerbroker_cluster::Unavailable;
use peerbroker_config::RedisAddress;

#[derive(Clone)]
struct Open {
    connection: Connection,
    /// Set by the crate when the connection has ended.
    cut: Arc<AtomicBool>,
}

/// A client of a server or cluster: it connects when it is used, and again after its connection broke.
pub trait RedisClient {
    /// Runs calls as one batch: on one server in this order, in a cluster those about one key. With a
    /// [server](Self::server), on this one only.
    fn run_on(
        &self,
        server: Option<u64>,
        calls: Vec<Call>,
    ) -> impl Future<Output = Result<Vec<Value>, Unavailable>>;

    /// Runs a call that blocks for up to `wait`. No other call may use this client.
    fn block(&self, call: Call, wait: Duration) -> impl Future<Output = Result<Value, Unavailable>>;

    /// Changes with each connection.
    fn made(&self) -> u64;

    /// Changes when a connection leads to another process than the one before: the server was restarted or
    /// replaced. It may lack earlier writes.
    fn server(&self) -> u64;

    /// The policy by which the server may delete entries, until it is taken.
    fn take_eviction(&self) -> Option<String> {
        None
    }

    /// True if the server may have other databases than the one that is used.
    fn has_databases(&self) -> bool {
        false
    }

    /// A number that was never used.
    fn new_number(&self) -> u64 {
        rand::random()
    }

    /// Runs calls as one batch.
    fn run(&self, calls: Vec<Call>) -> impl Future<Output = Result<Vec<Value>, Unavailable>> {
        self.run_on(None, calls)
    }

    /// Runs one call.
    fn ask(&self, call: Call) -> impl Future<Output = Result<Value, Unavailable>> {
        async move { Ok(self.run(vec![call]).await?.pop().unwrap_or(Value::Nil)) }
    }
}

/// A connection to a server, one at a time. A call on a broken one fails, and the next call connects again.
pub struct ReconnectingConnection {
    /// Held while a call connects; the others wait for it, each within its time limit.
    address: Mutex<RedisAddress>,
    open: RefCell<Option<Open>>,
    /// The number of connections that were made.
    made: Cell<u64>,
    /// If wanted, the processes to which the last connection led, and the number of times that they changed.
    identity: Option<Identity>,
    timeout: Duration,
    /// The URL, as people may see it.
    url: String,
}

#[derive(Default)]
struct Identity {
    /// Of all masters: they change after a restart or a failover. Empty if the server does not report them.
    run_ids: RefCell<BTreeSet<String>>,
    changes: Cell<u64>,
    /// The policy by which a server with a limit of memory deletes entries.
    eviction: RefCell<Option<String>>,
}

impl ReconnectingConnection {
    /// Does not connect yet. `timeout` is the limit of each call, connecting included.
    pub(super) fn new(address: &RedisAddress, timeout: Duration) -> Result<Self, BadRedis> {
        check_redis(address)?;
        let url = shown(&address.url);
        let address = Mutex::new(address.clone());
        Ok(ReconnectingConnection {
            address,
            open: RefCell::new(None),
            made: Cell::new(0),
            identity: None,
            timeout,
            url,
        })
    }

    /// Notices when a connection leads to another server than the one before.
    pub(super) fn identified(self) -> Self {
        ReconnectingConnection { identity: Some(Identity::default()), ..self }
    }

    async fn connection(&self) -> RedisResult<Open> {
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let address = self.address.lock().await;
        // Another call may have connected since.
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let cut = Arc::new(AtomicBool::new(false));
        let target = Target::of(&address);
        let mut target = target.map_err(|error| (ErrorKind::InvalidClientConfig, "", error.to_string()))?;
        let mut connection = target.connect(Arc::clone(&cut)).await?;
        if let Some(identity) = &self.identity {
            let infos = connection.infos().await?;
            let run_ids = infos.iter().filter_map(|info| field(info, "run_id:"));
            let run_ids: BTreeSet<String> = run_ids.map(str::to_owned).collect();
            // A server that does not say is another one each time.
            if run_ids.is_empty() || *identity.run_ids.borrow() != run_ids {
                identity.changes.update(|changes| changes + 1);
            }
            identity.run_ids.replace(run_ids);
            identity.eviction.replace(infos.iter().find_map(|info| eviction(info)));
        }
        self.made.update(|made| made + 1);
        let open = Open { connection, cut };
        self.open.replace(Some(open.clone()));
        Ok(open)
    }

    fn current(&self) -> Option<Open> {
        let mut open = self.open.borrow_mut();
        open.take_if(|open| open.cut.load(Ordering::Relaxed));
        open.clone()
    }

    fn silent(&self) -> Unavailable {
        let is_tls = ["rediss", "valkeys"].iter().any(|scheme| self.url.starts_with(scheme));
        let advice = if is_tls { ". Does it speak TLS at this port?" } else { "" };
        Unavailable::NoAnswer(format!("no answer of Redis at {} within {:?}{advice}", self.url, self.timeout))
    }

    /// The error for people.
    fn explained(&self, error: &RedisError) -> Unavailable {
        let url = &self.url;
        let mut text = plain(error);
        if text.contains(PROTECTED) {
            // A page of ways out follows, some of them unsafe.
            text.truncate(text.find(". ").unwrap_or(text.len()));
        }
        let refused =
            |why: &str| Unavailable::LoginRefused(format!("Redis at {url} refused the login ({why}"));
        // The crate wraps errors of servers into others.
        if text.contains("NOAUTH") {
            return refused(
                "NOAUTH): it wants a password. Put it into the URL, as in redis://:password@host:port",
            );
        }
        if text.contains("WRONGPASS") {
            return refused(
                "WRONGPASS): check the user and the password in the URL, as in redis://user:password@host:port",
            );
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return refused(&format!("{text}): check the user and the password in the URL"));
        }
        let advice = match advice(&text) {
            "" if error.is_connection_refusal() => UNREACHED,
            advice => advice,
        };
        Unavailable::NoAnswer(format!("Redis at {url}: {text}{advice}"))
    }
}

const UNREACHED: &str = ". Check that it runs, and its host and port in the URL";

/// Part of the error of a Redis that takes no connections of other machines.
const PROTECTED: &str = "in protected mode";

/// The way out of an error with this text.
fn advice(text: &str) -> &'static str {
    let has = |part| text.contains(part);
    if has("Connection refused") {
        UNREACHED
    } else if has("failed to lookup address") {
        ". Check its host in the URL"
    } else if has("cluster support disabled") {
        ". It is a single server: write redis:// in place of redis-cluster://"
    } else if has(PROTECTED) {
        ". Give Redis a password, as with `requirepass`, and put it into the URL"
    } else if has("OOM") {
        ". Redis is full: raise its `maxmemory`"
    } else if has("NOPERM") || has("executing the script can't run") {
        ". Its user lacks a permission: give it the `user` line of docs/CLUSTER.md"
    } else if has("Incompatible type") {
        ". Is it a Redis? Check its host and port in the URL"
    } else {
        ""
    }
}

impl RedisClient for ReconnectingConnection {
    async fn run_on(&self, server: Option<u64>, calls: Vec<Call>) -> Result<Vec<Value>, Unavailable> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        // A connection leads to one process, but one to a cluster replaces broken ones: calls in flight then
        // count as lost.
        let check = |open: &Open| match server {
            Some(server) if self.server() != server || open.cut.load(Ordering::Relaxed) => {
                Err(RedisError::from((ErrorKind::Extension, "the server is another one than before")))
            }
            _ => Ok(()),
        };
        let mut used = None;
        let work = async {
            let open = used.insert(self.connection().await?);
            check(open)?;
            let answers = open.connection.run(calls).await?;
            check(open).map(|()| answers)
        };
        let (broken, error) = match timeout(self.timeout, work).await {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => (is_broken(&error), self.explained(&error)),
            Err(_) => (true, self.silent()),
        };
        if broken && let Some(used) = used {
            self.open.borrow_mut().take_if(|open| Arc::ptr_eq(&open.cut, &used.cut));
        }
        Err(error)
    }

    async fn block(&self, call: Call, wait: Duration) -> Result<Value, Unavailable> {
        let explained = |error: RedisError| self.explained(&error);
        let connected = timeout(self.timeout, self.connection()).await;
        connected.map_err(|_| self.silent())?.map_err(explained)?;
        let Some(mut open) = self.open.take() else {
            return Err(Unavailable::NoAnswer("another call uses the connection".to_owned()));
        };
        // Taken out during the call: if this future is dropped, the connection ends, and no later call waits
        // behind this one.
        let answers = timeout(self.timeout.saturating_add(wait), open.connection.run(vec![call])).await;
        let mut answers = answers.map_err(|_| self.silent())?.map_err(explained)?;
        self.open.replace(Some(open));
        Ok(answers.pop().unwrap_or(Value::Nil))
    }

    fn made(&self) -> u64 {
        self.made.get()
    }

    fn server(&self) -> u64 {
        self.identity.as_ref().map_or(0, |identity| identity.changes.get())
    }

    fn has_databases(&self) -> bool {
        matches!(self.current(), Some(Open { connection: Connection::One(_), .. }))
    }

    fn take_eviction(&self) -> Option<String> {
        self.identity.as_ref()?.eviction.take()
    }
}

/// A field in the text in which a server describes itself.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name))
}

/// `None` if the server keeps all entries, or does not report it.
fn eviction(info: &str) -> Option<String> {
    let policy = field(info, "maxmemory_policy:")?;
    (field(info, "maxmemory:")? != "0" && policy != "noeviction").then(|| policy.to_owned())
}

/// True if the connection can serve no other call. Most refusals of a server concern one call; but a server
/// that may not write is now a replica, and the master is elsewhere.
fn is_broken(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown),
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_redis_has_a_way_out() {
        for (text, way_out) in [
            ("ERR This instance has cluster support disabled", "write redis:// in place of redis-cluster://"),
            (r#""OOM": command not allowed when used memory > 'maxmemory'"#, "raise its `maxmemory`"),
            ("Incompatible type error at 1", "Is it a Redis?"),
            ("Connection refused (os error 111)", "Check that it runs"),
        ] {
            assert!(advice(text).contains(way_out), "{text}");
        }
        assert_eq!(advice("timed out"), "");
    }
}
