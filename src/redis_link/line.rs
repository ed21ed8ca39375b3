//! One connection at a time, opened again when it breaks.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::connection::{Call, Connection, Target};
use super::{BadRedis, LOGIN_REFUSED};
use crate::config::RedisAddress;

/// The server did not answer, or not in time. The call may have been executed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAnswer(pub(crate) String);

#[derive(Clone)]
struct Open {
    number: u64,
    connection: Connection,
    /// Set by the crate when the connection has ended.
    cut: Arc<AtomicBool>,
}

/// A connection to a server, one at a time. A call on a broken one fails, and the next call connects again.
pub(crate) struct Line {
    /// Held while a call connects; the others wait for it, each within its time limit.
    address: Mutex<RedisAddress>,
    open: RefCell<Option<Open>>,
    /// The number of connections that were made.
    made: Cell<u64>,
    /// If wanted, the processes to which the last connection led, and the number of times that they changed.
    identity: Option<Identity>,
    timeout: Duration,
}

#[derive(Default)]
struct Identity {
    /// Empty if the server does not say.
    run_ids: RefCell<Vec<String>>,
    changes: Cell<u64>,
    /// See [`Connection::eviction`].
    eviction: RefCell<Option<String>>,
}

impl Line {
    /// Does not connect yet. `timeout` is the limit of each call, connecting included.
    pub(crate) fn new(address: &RedisAddress, timeout: Duration) -> Result<Self, BadRedis> {
        address.check()?;
        let address = Mutex::new(address.clone());
        Ok(Line { address, open: RefCell::new(None), made: Cell::new(0), identity: None, timeout })
    }

    /// Notices when a connection leads to another server than the one before.
    pub(crate) fn identified(self) -> Self {
        Line { identity: Some(Identity::default()), ..self }
    }

    /// Changes when a connection leads to another process than the one before: the server was restarted or replaced. It may
    /// lack earlier writes.
    pub(crate) fn server(&self) -> u64 {
        self.identity.as_ref().map_or(0, |identity| identity.changes.get())
    }

    /// The policy by which the server may delete entries, until it is taken.
    pub(crate) fn take_eviction(&self) -> Option<String> {
        self.identity.as_ref()?.eviction.take()
    }

    /// Changes with each connection.
    pub(crate) fn made(&self) -> u64 {
        self.made.get()
    }

    /// Runs calls as one batch, see [`Connection::run`].
    pub(crate) async fn run(&self, calls: Vec<Call>) -> Result<Vec<Value>, NoAnswer> {
        self.run_if(calls, |_| true).await
    }

    /// The same, on this [server](Self::server) only.
    pub(crate) async fn run_on(&self, server: u64, calls: Vec<Call>) -> Result<Vec<Value>, NoAnswer> {
        // A connection leads to one process, but one to a cluster replaces broken ones: calls in flight then count as lost.
        self.run_if(calls, |open| self.server() == server && !open.cut.load(Ordering::Relaxed)).await
    }

    async fn run_if(
        &self,
        calls: Vec<Call>,
        is_wanted: impl Fn(&Open) -> bool,
    ) -> Result<Vec<Value>, NoAnswer> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let used = Cell::new(None);
        let other = || RedisError::from((ErrorKind::Extension, "the server is another one than before"));
        let work = async {
            let mut open = self.connection().await?;
            used.set(Some(open.number));
            if !is_wanted(&open) {
                return Err(other());
            }
            let answers = open.connection.run(calls).await?;
            if is_wanted(&open) { Ok(answers) } else { Err(other()) }
        };
        let (broken, error) = match timeout(self.timeout, work).await {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => (is_broken(&error), error.into()),
            Err(_) => (true, self.silent()),
        };
        if broken {
            self.open.borrow_mut().take_if(|open| Some(open.number) == used.get());
        }
        Err(error)
    }

    /// Runs a call that blocks for up to `wait`. No other call may use this line.
    pub(crate) async fn block(&self, call: Call, wait: Duration) -> Result<Vec<Value>, NoAnswer> {
        timeout(self.timeout, self.connection()).await.map_err(|_| self.silent())??;
        let Some(mut open) = self.open.take() else {
            return Err(NoAnswer("another call uses the connection".to_owned()));
        };
        // Taken out during the call: if this future is dropped, the connection ends, and no later call waits behind this one.
        let answers = timeout(self.timeout.saturating_add(wait), open.connection.run(vec![call])).await;
        let answers = answers.map_err(|_| self.silent())??;
        self.open.replace(Some(open));
        Ok(answers)
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
            let run_ids = connection.run_ids().await?;
            // A server that does not say is another one each time.
            if run_ids.is_empty() || *identity.run_ids.borrow() != run_ids {
                identity.changes.update(|changes| changes + 1);
            }
            identity.run_ids.replace(run_ids);
            identity.eviction.replace(connection.eviction().await?);
        }
        let number = self.made.get() + 1;
        self.made.set(number);
        let open = Open { number, connection, cut };
        self.open.replace(Some(open.clone()));
        Ok(open)
    }

    fn current(&self) -> Option<Open> {
        let mut open = self.open.borrow_mut();
        open.take_if(|open| open.cut.load(Ordering::Relaxed));
        open.clone()
    }

    fn silent(&self) -> NoAnswer {
        NoAnswer(format!("no answer within {:?}", self.timeout))
    }
}

/// The error for people.
impl From<RedisError> for NoAnswer {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        let said = ["WRONGPASS", "NOAUTH"].into_iter().find_map(|code| text.get(text.find(code)?..));
        NoAnswer(match said {
            Some(said) => format!("{LOGIN_REFUSED} ({})", said.trim_end_matches('.')),
            None if error.kind() == ErrorKind::AuthenticationFailed => format!("{LOGIN_REFUSED} ({text})"),
            None => text,
        })
    }
}

/// True if the connection can serve no other call. Most refusals of a server concern one call; but a server that may not
/// write is now a replica, and the master is elsewhere.
fn is_broken(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown),
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => false,
        _ => true,
    }
}
