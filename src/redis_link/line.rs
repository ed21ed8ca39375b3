//! One connection at a time, made anew when it breaks.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::address::{BadRedis, RedisAddress};
use super::connection::{Call, Connection};
use super::target::Target;

/// The server did not answer, or not in time. Whether it did what it was asked is not known.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAnswer(pub(crate) String);

struct Open {
    number: u64,
    connection: Connection,
    /// Set by the crate when the connection has ended.
    cut: Arc<AtomicBool>,
}

/// The way to a server: one connection at a time. A call on a broken one fails, and the next call connects anew.
pub(crate) struct Line {
    /// Locked while a call connects; the others wait for it, each within its bound.
    address: Mutex<RedisAddress>,
    open: RefCell<Option<Open>>,
    /// How many connections there were.
    made: Cell<u64>,
    timeout: Duration,
}

impl Line {
    /// Does not connect yet. `timeout` is the bound of each call, connecting included.
    pub(crate) fn new(address: &RedisAddress, timeout: Duration) -> Result<Self, BadRedis> {
        address.check()?;
        let address = Mutex::new(address.clone());
        Ok(Line { address, open: RefCell::new(None), made: Cell::new(0), timeout })
    }

    /// Changes with each connection.
    pub(crate) fn made(&self) -> u64 {
        self.made.get()
    }

    /// Runs calls as one batch, see [`Connection::run`].
    pub(crate) async fn run(&self, calls: Vec<Call>) -> Result<Vec<Value>, NoAnswer> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let used = Cell::new(None);
        let work = async {
            let (number, mut connection) = self.connection().await?;
            used.set(Some(number));
            connection.run(calls).await
        };
        let (broken, error) = match timeout(self.timeout, work).await {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => (is_broken(&error), NoAnswer(error.to_string())),
            Err(_) => (true, self.silent()),
        };
        if broken && used.get().is_some() {
            self.open.borrow_mut().take_if(|open| Some(open.number) == used.get());
        }
        Err(error)
    }

    /// Runs a call that blocks for up to `wait`. Nobody else may use this line.
    pub(crate) async fn block(&self, call: Call, wait: Duration) -> Result<Vec<Value>, NoAnswer> {
        let work = async {
            self.connection().await?;
            Ok(self.open.take())
        };
        let open = timeout(self.timeout, work).await.map_err(|_| self.silent())?;
        let open: RedisResult<Option<Open>> = open;
        let Some(mut open) = open.map_err(|error| NoAnswer(error.to_string()))? else {
            return Err(NoAnswer("another call uses the connection".to_owned()));
        };
        // Taken out meanwhile: if this future is dropped, the connection ends, and no later call waits behind this one.
        let answers = timeout(self.timeout.saturating_add(wait), open.connection.run(vec![call])).await;
        let answers = answers.map_err(|_| self.silent())?.map_err(|error| NoAnswer(error.to_string()))?;
        self.open.replace(Some(open));
        Ok(answers)
    }

    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let address = self.address.lock().await;
        // Another call may have connected meanwhile.
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let cut = Arc::new(AtomicBool::new(false));
        let target = Target::of(&address);
        let mut target = target.map_err(|error| (ErrorKind::InvalidClientConfig, "", error.to_string()))?;
        let connection = target.connect(Arc::clone(&cut)).await?;
        let number = self.made.get() + 1;
        self.made.set(number);
        self.open.replace(Some(Open { number, connection: connection.clone(), cut }));
        Ok((number, connection))
    }

    fn current(&self) -> Option<(u64, Connection)> {
        let mut open = self.open.borrow_mut();
        open.take_if(|open| open.cut.load(Ordering::Relaxed));
        open.as_ref().map(|open| (open.number, open.connection.clone()))
    }

    fn silent(&self) -> NoAnswer {
        NoAnswer(format!("no answer within {:?}", self.timeout))
    }
}

/// Whether the connection can serve no other call. Most refusals of a server are about one call; but a server that may not
/// write is a replica by now, and the master is elsewhere.
fn is_broken(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown),
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => false,
        _ => true,
    }
}
