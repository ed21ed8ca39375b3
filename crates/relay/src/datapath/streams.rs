//! Messages on connections, over TCP or TLS: one loop reads, one writes, and both never wait for another
//! connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use parking_lot::Mutex;
use peerbroker_core::clock::{self, Clock};
use peerbroker_core::vocabulary::expected;
use peerbroker_media_api::{MediaHost, Permit};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::pace::{Pace, Sender};
use super::shares::Share;

/// The most bytes of one read, which a client over its rate limit can leave in memory.
const READ: usize = 1 << 14;

/// Bytes that wait for a client. For more, the oldest messages are dropped.
const MAX_WAITING: usize = 64 << 10;

/// With more bytes than these, an outbox has messages of connections wait for room.
const CROWDED: usize = MAX_WAITING / 2;

/// Most time for which one message waits.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_millis(100);

/// Waits in vain after which senders no longer wait for an outbox, until its client reads. So a client that
/// reads nothing delays its senders by two seconds at most: they may have other recipients.
const MAX_VAIN_WAITS: u32 = 17;

/// Time after which a client that has sent to another recipient waits for a crowded one. A client with
/// several recipients does not wait: the slowest one would slow all of them.
const ALONE: Duration = Duration::from_secs(1);

thread_local! {
    /// The buffer for reading, shared so that a waiting connection needs none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// Counts connections: all of a server, and those of each address.
pub(crate) struct Connections {
    host: Arc<dyn MediaHost>,
    open: Share,
}

impl Connections {
    pub(crate) fn new(host: Arc<dyn MediaHost>) -> Self {
        Connections { host, open: Share::default() }
    }

    /// A place for a connection, unless there are `max` or its address has too many. The drop gives it back.
    pub(crate) fn take_place(&self, from: SocketAddr, max: usize) -> Option<(Share, Permit)> {
        Some((self.take_counted_place(max)?, self.host.admit_connection(from.ip())?))
    }

    /// A place for a connection that somebody else has counted for its address, unless there are `max`.
    pub(crate) fn take_counted_place(&self, max: usize) -> Option<Share> {
        let place = self.open.clone();
        (place.count() <= max).then_some(place)
    }
}

/// The outbox that a message has crowded, if it has.
pub(crate) type Crowded = Option<Arc<Outbox>>;

/// A message that waits for its recipient.
#[derive(Default)]
pub(crate) struct Queued {
    pub(crate) crowded: Crowded,
    /// Older ones that made room for it.
    pub(crate) dropped: usize,
}

/// The bytes that wait for the client of a connection.
pub(crate) struct Outbox {
    pub(crate) waiting: Mutex<BytesMut>,
    end_of_first: fn(&[u8]) -> usize,
    filled: Notify,
    emptied: Notify,
    /// Waits in vain since its client has read something.
    vain_waits: AtomicU32,
}

impl Outbox {
    /// An outbox for messages of a protocol.
    pub(crate) fn of<P: Protocol>() -> Arc<Self> {
        Arc::new(Outbox {
            waiting: Mutex::default(),
            end_of_first: P::end_of_first,
            filled: Notify::new(),
            emptied: Notify::new(),
            vain_waits: AtomicU32::default(),
        })
    }

    /// Adds a message in parts. Never waits.
    pub(crate) fn send(self: &Arc<Self>, parts: &[&[u8]]) -> Queued {
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.is_empty();
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut dropped = 0;
        // The oldest: newer ones are more useful to a call, and data channels took more of a slow line
        // (docs/CALLS-MEASURED.md).
        while !waiting.is_empty() && waiting.len() + length > MAX_WAITING {
            let end = (self.end_of_first)(&waiting);
            waiting.advance(end);
            dropped += 1;
        }
        parts.iter().for_each(|part| waiting.extend_from_slice(part));
        let crowded = (waiting.len() > CROWDED).then(|| Arc::clone(self));
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        Queued { crowded, dropped }
    }

    /// Takes messages, as soon as there are any: one, and more up to `max_bytes`.
    async fn take(&self, max_bytes: usize) -> BytesMut {
        loop {
            if let Some(taken) = self.try_take(max_bytes) {
                self.vain_waits.store(0, Ordering::Relaxed);
                return taken;
            }
            self.filled.notified().await;
        }
    }

    fn try_take(&self, max_bytes: usize) -> Option<BytesMut> {
        let mut waiting = self.waiting.lock();
        let mut end = 0;
        while let Some(rest) = waiting.get(end..).filter(|rest| !rest.is_empty()) {
            let next = end + (self.end_of_first)(rest);
            if end > 0 && next > max_bytes {
                break;
            }
            end = next;
        }
        // An empty outbox has no memory.
        let taken = if end == waiting.len() { std::mem::take(&mut *waiting) } else { waiting.split_to(end) };
        if waiting.len() <= CROWDED {
            self.emptied.notify_waiters();
        }
        Some(taken).filter(|taken| !taken.is_empty())
    }

    /// Waits until it is not crowded, but not for long.
    async fn until_room(&self) {
        let emptied = self.emptied.notified();
        let is_hopeful = self.vain_waits.load(Ordering::Relaxed) < MAX_VAIN_WAITS;
        if is_hopeful
            && self.waiting.lock().len() > CROWDED
            && timeout(MAX_WAIT_FOR_ROOM, emptied).await.is_err()
        {
            self.vain_waits.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The place of a message in the bytes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Framed {
    pub(crate) message: Range<usize>,
    /// The next one begins here.
    pub(crate) end: usize,
}

/// A message that was handled.
pub(crate) struct Received {
    pub(crate) sender: Sender,
    /// `None` if it was not sent on, or as a check of a path only.
    pub(crate) passed: Option<Passed>,
}

/// A message that was sent on.
pub(crate) struct Passed {
    pub(crate) to: SocketAddr,
    pub(crate) crowded: Crowded,
}

/// The recipients of one connection.
#[derive(Default)]
struct Recipients {
    last: Option<SocketAddr>,
    /// The last time that one followed another.
    changed: Option<Instant>,
}

impl Recipients {
    /// True if nothing was sent to another recipient lately.
    fn is_alone(&mut self, to: SocketAddr) -> bool {
        if self.last.replace(to).is_some_and(|last| last != to) {
            self.changed = Some(Instant::now());
        }
        self.changed.is_none_or(|changed| changed.elapsed() > ALONE)
    }
}

/// The messages of one connection, and what becomes of them.
pub(crate) trait Protocol {
    /// Time for a client to prove that it is one.
    const TO_PROVE: Duration;

    /// Time in which a client has to read some of the bytes for it.
    const TO_READ: Duration;

    /// The first message. `None` until it is complete.
    fn first(bytes: &[u8]) -> io::Result<Option<Framed>>;

    /// The end of the first message of bytes that were sent.
    fn end_of_first(sent: &[u8]) -> usize {
        let first = Self::first(sent).ok().flatten();
        first.map_or(sent.len(), |first| first.end)
    }

    /// Most bytes of one write. A longer message goes alone.
    const MAX_WRITE: usize;

    /// Handles a message. `None` ends the connection.
    fn receive(&self, message: &[u8]) -> Option<Received>;

    /// The clock of all times below.
    fn clock(&self) -> &Clock;

    /// Asked when [`TO_PROVE`](Self::TO_PROVE) is over, about a client that is silent since then: the time to
    /// ask again. `None` ends the connection.
    fn ask_again_at(&self, silent_since: clock::Instant) -> Option<clock::Instant>;
}

/// Serves a connection that was `opened` then until it ends. `read` has its first bytes.
pub(crate) async fn serve<P: Protocol>(
    protocol: &P,
    (reader, writer): (impl AsyncRead, impl AsyncWrite),
    outbox: &Outbox,
    opened: clock::Instant,
    read: BytesMut,
) -> io::Result<()> {
    tokio::select! {
        ended = receive(protocol, reader, opened, read) => ended,
        ended = write(protocol, outbox, writer) => ended,
    }
}

async fn receive<P: Protocol>(
    protocol: &P,
    reader: impl AsyncRead,
    opened: clock::Instant,
    mut unread: BytesMut,
) -> io::Result<()> {
    let clock = protocol.clock();
    let mut reader = pin!(reader);
    let mut ask = pin!(clock.sleep_until(opened + P::TO_PROVE));
    let mut pace = Pace::new();
    let mut recipients = Recipients::default();
    loop {
        while let Some(Framed { message, end }) = P::first(&unread)? {
            let length = message.len();
            let message = expected(unread.get(message.clone()).ok_or(message), "a message in its buffer");
            let Received { sender, passed } =
                protocol.receive(message).ok_or(io::ErrorKind::QuotaExceeded)?;
            unread.advance(end);
            pace.charge(length, sender).await.map_err(|_| io::ErrorKind::QuotaExceeded)?;
            if let Some(Passed { to, crowded }) = passed
                && recipients.is_alone(to)
                && let Some(crowded) = crowded
            {
                // TCP slows this client, so that less is dropped.
                crowded.until_room().await;
            }
        }
        // Returns the memory of handled bytes.
        unread = BytesMut::from(&unread[..]);
        let silent_since = clock.now();
        let count = loop {
            tokio::select! {
                count = poll_fn(|cx| poll_read(cx, reader.as_mut(), &mut unread)) => break count?,
                () = &mut ask => {
                    let next = protocol.ask_again_at(silent_since).ok_or(io::ErrorKind::TimedOut)?;
                    ask.set(clock.sleep_until(next));
                }
            }
        };
        if count == 0 {
            return Ok(());
        }
    }
}

/// Adds what has come.
fn poll_read(
    cx: &mut Context<'_>,
    reader: Pin<&mut impl AsyncRead>,
    unread: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut scratch = ReadBuf::new(scratch);
        ready!(reader.poll_read(cx, &mut scratch))?;
        unread.extend_from_slice(scratch.filled());
        Poll::Ready(Ok(scratch.filled().len()))
    })
}

async fn write<P: Protocol>(protocol: &P, outbox: &Outbox, writer: impl AsyncWrite) -> io::Result<()> {
    let mut writer = pin!(writer);
    loop {
        let mut taken = outbox.take(P::MAX_WRITE).await;
        while !taken.is_empty() {
            let count = in_time(protocol, writer.write(&taken)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            taken.advance(count);
        }
        in_time(protocol, writer.flush()).await?;
    }
}

/// The result of a write, unless the client does not read for too long.
async fn in_time<P: Protocol, T>(
    protocol: &P,
    written: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::select! {
        biased;
        written = written => written,
        () = protocol.clock().sleep(P::TO_READ) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::io::{AsyncReadExt as _, duplex, sink, split};
    use tokio::time::sleep;

    use super::*;

    const MESSAGE: usize = 1200;

    /// Passes messages of one size to outboxes in turn.
    struct ToOutboxes<'a> {
        to: &'a [Arc<Outbox>],
        clock: Clock,
        passed: AtomicUsize,
        lost: AtomicUsize,
    }

    impl<'a> ToOutboxes<'a> {
        fn new(to: &'a [Arc<Outbox>]) -> Self {
            ToOutboxes { to, clock: Clock::manual(), passed: AtomicUsize::new(0), lost: AtomicUsize::new(0) }
        }
    }

    impl Protocol for ToOutboxes<'_> {
        const TO_PROVE: Duration = Duration::from_secs(600);
        const TO_READ: Duration = Duration::from_secs(600);
        const MAX_WRITE: usize = 10 * MESSAGE;

        fn first(bytes: &[u8]) -> io::Result<Option<Framed>> {
            Ok((bytes.len() >= MESSAGE).then_some(Framed { message: 0..MESSAGE, end: MESSAGE }))
        }

        fn receive(&self, message: &[u8]) -> Option<Received> {
            let number = self.passed.fetch_add(1, Ordering::Relaxed) % self.to.len();
            let Queued { crowded, dropped } = self.to[number].send(&[message]);
            self.lost.fetch_add(dropped, Ordering::Relaxed);
            let passed = Some(Passed { to: ([192, 0, 2, 1], number as u16).into(), crowded });
            Some(Received { sender: Sender::Client { bytes_per_second: 0 }, passed })
        }

        fn clock(&self) -> &Clock {
            &self.clock
        }

        fn ask_again_at(&self, _: clock::Instant) -> Option<clock::Instant> {
            None
        }
    }

    /// Sends messages at once to a client that reads that many bytes each ten milliseconds. Returns the
    /// number of lost messages, and the time that sending took.
    async fn lost(messages: usize, read_at_once: usize) -> (usize, Duration) {
        let outboxes = [Outbox::of::<ToOutboxes<'_>>()];
        let (ours, theirs) = duplex(1 << 16);
        let bytes = vec![7; messages * MESSAGE];
        let from = ToOutboxes::new(&outboxes);
        let none = ToOutboxes::new(&outboxes);
        let began = Instant::now();
        let nothing = Outbox::of::<ToOutboxes<'_>>();
        let sends = async {
            let ended =
                serve(&from, (&bytes[..], sink()), &nothing, clock::Instant::default(), BytesMut::new())
                    .await;
            ended.map(|()| began.elapsed())
        };
        let (_, writer) = split(ours);
        let (mut reader, _keep) = split(theirs);
        let reads = async move {
            let mut buffer = vec![0; read_at_once.max(1)];
            loop {
                sleep(Duration::from_millis(10)).await;
                if read_at_once > 0 && !matches!(reader.read(&mut buffer).await, Ok(1..)) {
                    return;
                }
            }
        };
        // Its own messages never come, and that does not end it.
        let (unread, _silent) = duplex(1);
        let receives =
            serve(&none, (unread, writer), &outboxes[0], clock::Instant::default(), BytesMut::new());
        let took = tokio::select! {
            took = sends => took.unwrap(),
            _ = receives => panic!("the recipient has left"),
            () = reads => panic!("the recipient reads nothing more"),
        };
        (from.lost.into_inner(), took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_over_tcp_is_read_as_fast_as_its_recipient_reads() {
        // 10, 1 and 0.3 Mbit/s.
        for (read_at_once, least, most) in [(12_500, 1, 2), (1250, 12, 17), (400, 40, 55)] {
            let (lost, took) = lost(1700, read_at_once).await;
            assert_eq!(lost, 0, "{read_at_once}");
            assert!((least..most).contains(&took.as_secs()), "{read_at_once}: {took:?}");
        }
    }

    #[tokio::test]
    async fn a_full_outbox_drops_the_oldest_and_writes_the_rest_in_parts() {
        let outbox = Outbox::of::<ToOutboxes<'_>>();
        let room = MAX_WAITING / MESSAGE;
        for number in 0..60 {
            let Queued { crowded, dropped } = outbox.send(&[&[number; 7], &[number; MESSAGE - 7]]);
            assert_eq!(dropped, usize::from(usize::from(number) >= room));
            assert_eq!(crowded.is_some(), usize::from(number) >= CROWDED / MESSAGE);
        }
        let mut left = 60 - room as u8..60;
        for count in [10, 10, 10, 10, 10, room - 50] {
            let part = outbox.take(ToOutboxes::MAX_WRITE).await;
            let expected: Vec<u8> = left.by_ref().take(count).flat_map(|number| [number; MESSAGE]).collect();
            assert!(part == expected);
        }
        assert!(left.is_empty() && outbox.waiting.lock().capacity() == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_recipient_that_reads_nothing_delays_its_sender_for_seconds_only() {
        let (lost, took) = lost(1700, 0).await;
        assert!((1500..1700).contains(&lost) && took < Duration::from_secs(5), "{lost} {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_with_two_recipients_is_not_slowed_by_the_one_that_reads_nothing() {
        let outboxes = [(); 2].map(|()| Outbox::of::<ToOutboxes<'_>>());
        let bytes = vec![7; 1000 * MESSAGE];
        let from = ToOutboxes::new(&outboxes);
        let none = ToOutboxes::new(&outboxes);
        let began = Instant::now();
        let nothing = Outbox::of::<ToOutboxes<'_>>();
        let (unread, _silent) = duplex(1);
        tokio::select! {
            ended = serve(&from, (&bytes[..], sink()), &nothing, clock::Instant::default(), BytesMut::new()) => ended.unwrap(),
            _ = serve(&none, (unread, sink()), &outboxes[1], clock::Instant::default(), BytesMut::new()) => panic!("it has left"),
        }
        assert_eq!((began.elapsed(), from.lost.into_inner()), (Duration::ZERO, 500 - MAX_WAITING / MESSAGE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_recipient_is_alone_a_second_after_the_last_message_to_another_one() {
        let mut recipients = Recipients::default();
        let [one, other] = [1, 2].map(|port| ([192, 0, 2, 1], port).into());
        assert!(recipients.is_alone(one));
        assert!(!recipients.is_alone(other));
        sleep(ALONE + Duration::from_millis(1)).await;
        assert!(recipients.is_alone(other));
        assert!(!recipients.is_alone(one));
    }
}
