//! A pipe and its two ends.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;

use super::Pipes;
use super::line::{Line, Written};
use crate::key_state::Pause;
use crate::names::Hold;
use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{AddressPrefix, CloseReason, ConnId, EndId, Frame, Limit, NORMAL, PipeId};
use peerbroker_events::Count;
use peerbroker_limits::{EndPermit, OwnShare, Place};
use peerbroker_router::{Disconnect, Outbox};

/// Time for which an end may be alone or away, and for which it may read nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Two ends, whose bytes go to each other unread.
pub(super) struct Pipe {
    pub(super) id: PipeId,
    state: Mutex<PipeState>,
    rate: RateLimit,
    /// The bytes of both directions.
    bytes: AtomicU64,
    pub(super) since_unix: u64,
    /// Among those of its key, and of all.
    _places: [Place<AddressPrefix>; 2],
}

/// The state of a pipe.
#[derive(Default)]
struct PipeState {
    ends: [Option<AttachedEnd>; 2],
    /// The number of times that both ends were there.
    turn: u32,
    /// The reason for a connection that comes too late, once the pipe is over.
    over: Option<CloseReason>,
    /// Of its name among all nodes.
    hold: Option<Hold>,
}

struct AttachedEnd {
    id: EndId,
    address: Option<IpAddr>,
    /// Its connection, while it has one.
    line: Option<Arc<Line>>,
    /// The time at which it came, or lost its connection.
    since: Instant,
    _permit: EndPermit,
}

/// An end that wants to connect.
pub struct Attach {
    /// The pipe.
    pub pipe: PipeId,
    /// The end.
    pub end: EndId,
    /// Its address.
    pub address: Option<IpAddr>,
}

/// The next step of an end.
pub enum PipeTurn {
    /// The end's connection is over.
    Over(Disconnect),
    /// The end waits until it is woken: what it has sent is not written yet.
    Wait,
    /// The end reads, and nobody hears it: what comes is dropped.
    Alone,
    /// The end reads for this connection of the other end.
    Pass(ConnId),
}

/// A connection's hold on its end of a pipe. Dropping it tells the other end that the connection is lost, and
/// may come back.
pub struct PipeEnd {
    pipes: Arc<Pipes>,
    pipe: Arc<Pipe>,
    line: Arc<Line>,
    /// Debts of ended pipes of its address.
    former: Arc<RateLimit>,
    /// Of the bytes of its key, and of all.
    shares: [OwnShare; 2],
}

/// A pipe, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeReport {
    /// The beginning of its id: the whole id lets anybody be its end.
    pub name: String,
    /// The addresses of its ends, as far as they have come.
    pub addresses: Vec<Option<IpAddr>>,
    /// True if both ends are connected.
    pub is_open: bool,
    /// True if an end does not take what the other has sent.
    pub is_stalled: bool,
    /// Bytes of both directions.
    pub bytes: u64,
    /// The time at which it began, in seconds since 1970.
    pub since_unix: u64,
}

impl PipeState {
    fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.ends.iter().flatten().filter_map(|end| end.line.as_ref())
    }

    fn is_open(&self) -> bool {
        self.lines().count() == self.ends.len()
    }

    fn other(&self, line: &Arc<Line>) -> Option<&Arc<Line>> {
        self.lines().find(|other| !Arc::ptr_eq(other, line))
    }

    fn end_of(&mut self, line: &Arc<Line>) -> Option<&mut Option<AttachedEnd>> {
        self.ends.iter_mut().find(|end| {
            end.as_ref().and_then(|end| end.line.as_ref()).is_some_and(|known| Arc::ptr_eq(known, line))
        })
    }
}

impl Pipe {
    pub(super) fn new(id: PipeId, places: [Place<AddressPrefix>; 2], since_unix: u64) -> Arc<Self> {
        Arc::new(Pipe {
            id,
            state: Mutex::default(),
            rate: RateLimit::default(),
            bytes: AtomicU64::default(),
            since_unix,
            _places: places,
        })
    }

    /// Finds the place of an end, or makes one with `permit`. `None` if two others have the pipe.
    pub(super) fn place(
        &self,
        attach: &Attach,
        permit: impl FnOnce() -> Result<EndPermit, Limit>,
        now: Instant,
    ) -> Result<Option<usize>, Limit> {
        let ends = &mut self.state.lock().ends;
        let find =
            |wanted: Option<EndId>| ends.iter().position(|end| end.as_ref().map(|end| end.id) == wanted);
        if let Some(known) = find(Some(attach.end)) {
            return Ok(Some(known));
        }
        let Some(free) = find(None) else { return Ok(None) };
        let permit = permit()?;
        if let Some(place) = ends.get_mut(free) {
            *place = Some(AttachedEnd {
                id: attach.end,
                address: attach.address,
                line: None,
                since: now,
                _permit: permit,
            });
        }
        Ok(Some(free))
    }

    /// Connects the end of a place. An earlier connection of it is closed.
    pub(super) fn connect(
        self: &Arc<Self>,
        place: usize,
        pipes: &Arc<Pipes>,
        address: Option<IpAddr>,
        outbox: Outbox,
        now: Instant,
    ) -> PipeEnd {
        let line = Arc::new(Line::new(pipes.router.next_connection(), outbox, now));
        let mut state = self.state.lock();
        if let Some(reason) = state.over {
            // It ended between the reservation and now, so nobody would sweep this connection.
            line.dismiss(reason);
        }
        if let Some(Some(end)) = state.ends.get_mut(place) {
            if let Some(former) = end.line.replace(Arc::clone(&line)) {
                former.dismiss(CloseReason::Replaced);
            }
            end.address = address;
            end.since = now;
        }
        if state.is_open() {
            if state.turn == 0 {
                pipes.router.events().counters().add(Count::PipesOpened, 1);
            }
            state.turn = state.turn.wrapping_add(1);
            let opened = format!(r#"{{"type":"OPEN","turn":{}}}"#, state.turn);
            // From now on, their messages are passed on.
            state.lines().for_each(|line| line.tell(&opened, now));
        }
        drop(state);
        let address = AddressPrefix::of_remote(address);
        let former = pipes.former.of(address);
        self.rate.inherit(&former);
        let shares = [pipes.rate.share(address), pipes.totals.rate.share((pipes.key.clone(), address))];
        PipeEnd { pipes: Arc::clone(pipes), pipe: Arc::clone(self), line, former, shares }
    }

    /// Keeps the hold on the pipe's name for as long as the pipe is there.
    pub(super) fn hold(&self, hold: Hold) {
        self.state.lock().hold = Some(hold);
    }

    /// True if both of its ends have places.
    pub(super) fn is_shared(&self) -> bool {
        self.state.lock().ends.iter().all(Option::is_some)
    }

    /// True if one of its ends has an address that fits.
    pub(super) fn has_end(&self, fits: &dyn Fn(Option<IpAddr>) -> bool) -> bool {
        self.state.lock().ends.iter().flatten().any(|end| fits(end.address))
    }

    /// Ends the connections of both ends, and gives the pipe's name back. A connection that comes later hears
    /// that the other end has left.
    pub(super) fn end(&self, reason: &dyn Fn(Option<IpAddr>) -> CloseReason) {
        self.end_with(CloseReason::PipeLeft, reason);
    }

    /// The pipe is on another node. Connections that have come here meanwhile end, and come back.
    pub(super) fn move_away(&self) {
        self.end_with(CloseReason::PipeBroken, &|_| CloseReason::PipeBroken);
    }

    fn end_with(&self, late: CloseReason, reason: &dyn Fn(Option<IpAddr>) -> CloseReason) {
        let mut state = self.state.lock();
        state.over = Some(late);
        for end in state.ends.iter().flatten() {
            if let Some(line) = &end.line {
                line.dismiss(reason(end.address));
            }
        }
        let hold = state.hold.take();
        drop(state);
        // It locks others.
        drop(hold);
    }

    /// The reason why the pipe is over at `now`, if it is. Closes connections from which nothing comes.
    pub(super) fn sweep(&self, now: Instant, idle_timeout: Duration) -> Option<CloseReason> {
        let state = self.state.lock();
        let is_over = |since: Instant| now.saturating_since(since) >= PATIENCE;
        let mut known = state.ends.iter().flatten().peekable();
        known.peek()?;
        let away = known.clone().filter(|end| end.line.is_none()).map(|end| end.since).min();
        if away.is_some_and(is_over) {
            return Some(CloseReason::PipeLeft);
        }
        if state.ends.iter().any(Option::is_none) && known.all(|end| is_over(end.since)) {
            return Some(CloseReason::PipeAlone);
        }
        if state.lines().any(|line| line.full_since().is_some_and(is_over)) {
            return Some(CloseReason::PipeStalled);
        }
        for line in state.lines() {
            // Nothing is read from an end for which the other has no room.
            let is_read = state.other(line).is_none_or(|other| other.full_since().is_none());
            if is_read && now.saturating_since(line.heard()) >= idle_timeout {
                line.dismiss(CloseReason::PipeBroken);
            }
        }
        None
    }

    pub(super) fn report(&self) -> PipeReport {
        let state = self.state.lock();
        PipeReport {
            name: self.id.to_string().chars().take(SHOWN_CHARS).collect(),
            addresses: state.ends.iter().flatten().map(|end| end.address).collect(),
            is_open: state.is_open(),
            is_stalled: state.lines().any(|line| line.full_since().is_some()),
            bytes: self.bytes.load(Ordering::Relaxed),
            since_unix: self.since_unix,
        }
    }
}

/// A frame costs as much as so many bytes, besides its own.
const FRAME_BYTES: usize = 64;

/// Characters of an id that operators see.
const SHOWN_CHARS: usize = 6;

impl PipeEnd {
    /// Writes with `send` what waits for this connection, and says what it may do.
    pub fn turn(
        &self,
        cx: &mut Context<'_>,
        send: impl FnOnce(&mut Context<'_>, &mut Outbox) -> Poll<io::Result<()>>,
    ) -> PipeTurn {
        match self.line.write(cx, send) {
            Written::Dismissed(reason) => return PipeTurn::Over(Disconnect::ByServer(reason)),
            Written::Broken => return PipeTurn::Over(Disconnect::Gone),
            Written::All(true) => {
                if let Some(other) = self.other() {
                    other.wake();
                }
            }
            Written::All(false) | Written::Some => {}
        }
        match self.other() {
            None => PipeTurn::Alone,
            Some(other) if !other.has_room() => PipeTurn::Wait,
            Some(other) => PipeTurn::Pass(other.number),
        }
    }

    fn other(&self) -> Option<Arc<Line>> {
        self.pipe.state.lock().other(&self.line).cloned()
    }

    /// Counts the bytes of a read, and its frames. Returns the pause if the pipe, its key or all pipes are
    /// above a rate: more is read after that.
    pub fn charge(&self, bytes: usize, frames: usize, now: Instant) -> Option<Pause> {
        let router = &self.pipes.router;
        if frames > 0 {
            self.line.hear(now);
            self.pipe.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            router.events().counters().add(Count::PipeBytes, bytes as u64);
        }
        let limits = router.live_config().load().pipes;
        let count = u32::try_from(bytes + frames * FRAME_BYTES).unwrap_or(u32::MAX);
        let own = limits.bytes_per_second();
        let of_key = limits.key_bytes_per_second();
        let of_all = limits.total_bytes_per_second;
        let [in_key, in_all] = &self.shares;
        let times = [
            (self.pipe.rate.charge(count, own, now), own, Limit::PipeBytes),
            (self.pipes.rate.charge(in_key, count, of_key, now), of_key, Limit::PipeKeyBytes),
            (self.pipes.totals.rate.charge(in_all, count, of_all, now), of_all, Limit::PipeTotalBytes),
        ];
        Pause::longest(times.map(|(time, per_second, limit)| Pause { time, limit, per_second }))
    }

    /// Sends frames that were made of what this end has read to a connection of the other one, at once as far
    /// as its socket takes them. `is_within_message` if a message at their end is not whole. If one of the
    /// two connections is not that of its end any more, they are dropped.
    pub fn pass(&self, to: ConnId, frames: Vec<u8>, is_within_message: bool, now: Instant) {
        // Under the lock: nothing may come between the parts of a message.
        let mut state = self.pipe.state.lock();
        if state.end_of(&self.line).is_some()
            && let Some(other) = state.other(&self.line).filter(|other| other.number == to)
        {
            other.pass(Frame::raw(frames), is_within_message, now);
        }
    }

    /// Answers the latest ping, unless something waits for the connection.
    pub fn answer_ping(&self, payload: &[u8]) {
        self.line.push_if_idle(Frame::pong(payload));
    }

    /// The end of this connection. If its client has left for good, the pipe is over.
    pub fn leave(&self, end: Disconnect) {
        let is_for_good = match end {
            Disconnect::Closed(code) => code == Some(NORMAL),
            Disconnect::ByServer(reason) => !reason.ending().retry,
            Disconnect::Gone => false,
        };
        if is_for_good && !matches!(end, Disconnect::ByServer(CloseReason::Replaced)) {
            self.pipes.end(&self.pipe, CloseReason::PipeLeft);
        }
        self.lose();
    }

    /// Adds the close frame of a connection that has [left](Self::leave).
    pub fn push_last(&self, close: Frame) {
        self.line.push_last(close);
    }

    /// Does something with the outbox of a connection that has [left](Self::leave).
    pub fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> R {
        self.line.with_outbox(act)
    }

    /// The connection is not that of its end any more.
    fn lose(&self) {
        let now = self.pipes.router.clock().now();
        let mut state = self.pipe.state.lock();
        let Some(Some(end)) = state.end_of(&self.line) else { return };
        end.line = None;
        end.since = now;
        if let Some(other) = state.lines().next().filter(|_| state.over.is_none()) {
            // From now on, its messages are dropped.
            other.tell(r#"{"type":"WAITING"}"#, now);
        }
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.lose();
        self.former.inherit(&self.pipe.rate);
        // With the writer, which ends a plain connection. The other end may still have the line.
        self.line.end();
    }
}
