//! A pipe's end: a line that comes back when it is lost, with every record once and in order.

use std::collections::VecDeque;
use std::future;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use crate::close_codes;
use crate::line::{Heard, Line};
use crate::records::{Broken, Frame, Kind, Receiver, Record, Sender};
use crate::seal::Keys;
use crate::socket::DialError;

/// The time for which an end may be away.
const AWAY: Duration = Duration::from_secs(30);
/// An acknowledgement may wait.
const ACKNOWLEDGE: Duration = Duration::from_millis(100);
const ACKNOWLEDGE_BYTES: usize = 64 << 10;
/// An idle pipe is tried after this time, and its answer may take that one.
const TRY: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);
/// Nothing has come of both ends. The broker, which waits 30 s for the other one, says what it waits for.
const SILENCE: Duration = Duration::from_secs(40);
/// Most frames that wait for a socket when another answer is due: an end that does not read gets none.
const MAX_WAITING: usize = 64;
/// Most bytes of records that this end keeps: the other one may have a window of 1 MiB under way.
const MAX_KEPT: usize = 2 << 20;

/// The reason why a connection was lost. Each says what to do, where something can be done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The other end went away without a word, for 30 s.
    #[error("the other end has left, or was away for too long")]
    Left,
    /// The other end never came.
    #[error(
        "the other end did not come to the broker: both must use the same broker and key, and a page its \
         peerjs.js or webrtc.js"
    )]
    Alone,
    /// The broker gave the data up.
    #[error("one of the two ends read nothing for 30 s, so the broker gave their data up")]
    Stalled,
    /// The broker carries no data for this peer, with its reason.
    #[error(
        "the broker does not carry the data of this peer: {0}. Its operator reads in its log what to change"
    )]
    Refused(String),
    /// Another close code and its text.
    #[error("the broker closed the connection: {1} ({0})")]
    Closed(u16, String),
    /// No broker for 30 s.
    #[error("the broker took no data for 30 s: {0}")]
    Unreachable(String),
    /// The other end has broken a rule.
    #[error("the other end broke a rule of pipes: {0}")]
    Broken(String),
    /// A message of the other end cannot be read.
    #[error("a message of the other end cannot be read: {0}")]
    Unreadable(String),
}

impl From<Broken> for Lost {
    fn from(broken: Broken) -> Self {
        Lost::Broken(broken.to_string())
    }
}

/// News of a pipe.
#[derive(Debug)]
pub(crate) enum Event {
    /// Both ends are there, for the first time.
    Opened,
    /// There may be room for more, or nothing new at all.
    Room,
    Record(Record),
}

/// A text of the broker.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    turn: u32,
}

pub(crate) struct Pipe {
    line: Line,
    sender: Sender,
    receiver: Receiver,
    /// Records that nobody has taken. They are acknowledged when somebody does, which slows the sender down.
    inbox: VecDeque<Record>,
    inbox_bytes: usize,
    /// The number of records that were taken.
    taken: u64,
    unacknowledged: usize,
    acknowledge_at: Option<Instant>,
    /// The number of the broker's latest OPEN.
    turn: Option<u32>,
    /// True from the other end's NEXT of this turn. What comes before was sent to a socket that is gone.
    is_synced: bool,
    has_opened: bool,
    lost_at: Instant,
    /// When the socket is tried or, if `is_tried`, given up.
    alive_at: Instant,
    is_tried: bool,
    /// The reason for the end, which is told behind the records that came.
    ended: Option<Lost>,
}

impl Pipe {
    pub(crate) fn new(line: Line, keys: Keys) -> Self {
        let now = Instant::now();
        Pipe {
            line,
            sender: Sender::new(keys.send),
            receiver: Receiver::new(keys.receive),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            taken: 0,
            unacknowledged: 0,
            acknowledge_at: None,
            turn: None,
            is_synced: false,
            has_opened: false,
            lost_at: now,
            alive_at: now + SILENCE,
            is_tried: true,
            ended: None,
        }
    }

    /// True if a record may be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.sender.has_room()
    }

    /// The number of records that the other end may not have.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.sender.unacknowledged().len()
    }

    /// Sends a record, or keeps it until both ends are there.
    pub(crate) fn send(&mut self, kind: Kind, channel: u16, payload: &[u8]) {
        if let Some(frame) = self.sender.seal(kind, channel, payload)
            && self.is_synced
        {
            self.line.send(frame);
        }
    }

    /// News; of records only if `wants_records`. Safe to cancel.
    pub(crate) async fn next(&mut self, wants_records: bool) -> Result<Event, Lost> {
        if wants_records && let Some(record) = self.inbox.pop_front() {
            self.take(&record);
            return Ok(Event::Record(record));
        }
        if let Some(lost) = &self.ended {
            return if self.inbox.is_empty() { Err(lost.clone()) } else { future::pending().await };
        }
        let due = async {
            match self.acknowledge_at {
                Some(at) => sleep_until(at).await,
                None => future::pending().await,
            }
        };
        select! {
            heard = self.line.next() => Ok(self.hear(heard).unwrap_or_else(|lost| {
                self.ended = Some(lost);
                Event::Room
            })),
            () = due => {
                self.say_next(false);
                Ok(Event::Room)
            }
            () = sleep_until(self.alive_at) => {
                self.time_is_up();
                Ok(Event::Room)
            }
        }
    }

    fn take(&mut self, record: &Record) {
        let size = record.payload.len();
        self.inbox_bytes -= size;
        self.taken += 1;
        self.unacknowledged += size;
        if self.unacknowledged >= ACKNOWLEDGE_BYTES {
            self.say_next(false);
        } else if self.acknowledge_at.is_none() {
            self.acknowledge_at = Some(Instant::now() + ACKNOWLEDGE);
        }
    }

    fn say_next(&mut self, is_ping: bool) {
        self.unacknowledged = 0;
        self.acknowledge_at = None;
        if let Some(turn) = self.turn {
            self.line.send(Frame::next(turn, self.taken, is_ping));
        }
    }

    fn hear(&mut self, heard: Heard) -> Result<Event, Lost> {
        if self.is_synced {
            self.watch(TRY, false);
        }
        match heard {
            Heard::Opened => self.watch(SILENCE, true),
            Heard::Alive => {}
            Heard::Text(text) => match serde_json::from_str(&text) {
                Ok(told) => self.hear_broker(&told),
                Err(_) => return Err(Lost::Broken("the broker says no JSON".to_owned())),
            },
            Heard::Bytes(bytes) => return self.hear_other(bytes),
            Heard::Closed(code, reason) if close_codes::PASSING.contains(&code) => {
                self.lose(Duration::ZERO, || reason)?;
            }
            Heard::Closed(code, reason) => return Err(ending(code, reason)),
            Heard::Refused(error) if error.is_final() => return Err(Lost::Unreachable(error.to_string())),
            Heard::Refused(error) => self.lose(error.wait(), || DialError::to_string(&error))?,
        }
        Ok(Event::Room)
    }

    fn hear_broker(&mut self, Told { kind, turn }: &Told) {
        self.unsync();
        self.watch(SILENCE, true);
        if kind == "OPEN" {
            self.turn = Some(*turn);
            self.say_next(false);
        }
    }

    fn hear_other(&mut self, bytes: Bytes) -> Result<Event, Lost> {
        match Frame::read(bytes)? {
            Frame::Record(frame) if self.is_synced => {
                let record = self.receiver.open(frame)?;
                self.inbox_bytes += record.payload.len();
                // An empty record costs, too.
                if self.inbox_bytes + self.inbox.len() * size_of::<Record>() > MAX_KEPT {
                    return Err(Lost::Broken(format!("more than {MAX_KEPT} bytes are under way")));
                }
                self.inbox.push_back(record);
            }
            Frame::Next { turn, next, is_ping } if Some(turn) == self.turn => {
                self.sender.acknowledge(next)?;
                if is_ping && self.line.waiting() < MAX_WAITING {
                    self.say_next(false);
                }
                if !self.is_synced {
                    return Ok(self.sync());
                }
            }
            Frame::Record(_) | Frame::Next { .. } => {}
        }
        Ok(Event::Room)
    }

    fn sync(&mut self) -> Event {
        self.is_synced = true;
        self.line.succeeded();
        self.watch(TRY, false);
        for frame in self.sender.unacknowledged() {
            self.line.send(frame.clone());
        }
        if std::mem::replace(&mut self.has_opened, true) { Event::Room } else { Event::Opened }
    }

    /// Forgets the records that nobody has taken: the other end repeats them.
    fn unsync(&mut self) {
        self.turn = None;
        self.inbox.clear();
        self.inbox_bytes = 0;
        self.receiver.next = self.taken;
        if std::mem::replace(&mut self.is_synced, false) {
            self.lost_at = Instant::now();
        }
    }

    fn watch(&mut self, time: Duration, is_tried: bool) {
        self.alive_at = Instant::now() + time;
        self.is_tried = is_tried;
    }

    /// A socket whose network is gone says nothing. The other end answers a ping even in a page whose timers
    /// sleep.
    fn time_is_up(&mut self) {
        if self.is_tried {
            self.unsync();
            self.line.redial(Duration::ZERO);
            self.watch(SILENCE, true);
        } else {
            self.say_next(true);
            self.watch(ANSWER, true);
        }
    }

    fn lose(&mut self, wait: Duration, why: impl FnOnce() -> String) -> Result<(), Lost> {
        self.unsync();
        if self.lost_at.elapsed() + wait > AWAY {
            return Err(Lost::Unreachable(why()));
        }
        self.line.redial(wait);
        self.watch(SILENCE, true);
        Ok(())
    }

    /// Leaves for good, once what waits for the socket has gone or the time is up.
    pub(crate) async fn close(mut self, time: Duration) {
        self.say_next(false);
        // The broker notices the end in any case.
        let _ = timeout(time, self.line.close()).await;
    }
}

fn ending(code: u16, reason: String) -> Lost {
    match code {
        close_codes::ALONE => Lost::Alone,
        close_codes::LEFT => Lost::Left,
        close_codes::STALLED => Lost::Stalled,
        close_codes::REFUSED => Lost::Refused(reason),
        code => Lost::Closed(code, reason),
    }
}
