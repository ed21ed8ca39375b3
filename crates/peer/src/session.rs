//! The task of a connection: one data channel over a pipe.

use std::collections::VecDeque;
use std::future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::json;
use tokio::select;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::line::Line;
use crate::pipe::{Event, Lost, Pipe};
use crate::records::{Kind, MAX_PAYLOAD, Record};
use crate::sdp::MAX_MESSAGE_BYTES;
use crate::seal::{Keys, Role};
use peerbroker_serialization::Message;

/// The channel of an offerer, which is odd.
const CHANNEL: u16 = 1;
/// The decision of an end without WebRTC: its seal proves its key.
const DECISION: &[u8] = b"pipe";
/// Once this end closes, the other one may read nothing for this time.
const CLOSING: Duration = Duration::from_secs(30);
/// The timeout of the last close frame.
const FAREWELL: Duration = Duration::from_secs(2);
/// Most messages that wait for the pipe.
const MAX_QUEUED: usize = 16;
/// Most bytes of messages that wait in each direction. A larger one waits alone.
const MAX_WAITING: u32 = 1 << 20;
/// The charge for a message beside its bytes.
const COST: usize = 64;

/// A wish of the handles of a connection.
pub(crate) enum Command {
    /// All messages of a value, with their share of [`Traffic::budget`].
    Send(Vec<Message>, OwnedSemaphorePermit),
    /// Closes behind what waits, and answers when the other end has all of it.
    Close(oneshot::Sender<()>),
}

/// The handles' ends of a session.
pub(crate) struct Traffic {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) ending: Arc<Ending>,
    pub(crate) budget: Arc<Semaphore>,
    pub(crate) messages: mpsc::UnboundedReceiver<Delivery>,
    /// The reason for the end. Nothing if the other end has closed.
    pub(crate) lost: Arc<OnceLock<Lost>>,
}

/// Tells a session that its handles want no more than what waits, also by their drop.
pub(crate) struct Ending(Arc<Notify>);

impl Ending {
    pub(crate) fn tell(&self) {
        self.0.notify_one();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.tell();
    }
}

/// A message with its share of what may wait for the reader.
pub(crate) type Delivery = (Message, OwnedSemaphorePermit);

/// The share of a budget that so many bytes need.
pub(crate) fn share(bytes: usize) -> u32 {
    u32::try_from(bytes + COST).unwrap_or(MAX_WAITING).min(MAX_WAITING)
}

pub(crate) struct Session {
    pipe: Pipe,
    role: Role,
    label: String,
    channel: Option<u16>,
    /// Answers once messages can be sent.
    opened: Option<oneshot::Sender<()>>,
    commands: mpsc::Receiver<Command>,
    ending: Arc<Notify>,
    /// Messages of the command that is being sent.
    sending: VecDeque<Message>,
    /// Bytes of the first one that were sent.
    sent: usize,
    permit: Option<OwnedSemaphorePermit>,
    /// Parts of a message of the other end.
    parts: BytesMut,
    /// A message for which the reader has no room.
    held: Option<Message>,
    deliveries: mpsc::UnboundedSender<Delivery>,
    unread: Arc<Semaphore>,
    lost: Arc<OnceLock<Lost>>,
    /// True once the other end has closed.
    is_over: bool,
}

/// The end of this side.
#[derive(Default)]
struct Closing {
    /// The time at which the other end has read nothing for too long; `None` while this one goes on.
    until: Option<Instant>,
    /// The records at that time which it did not have.
    left: usize,
    /// True behind the last message.
    is_due: bool,
    is_said: bool,
    done: Option<oneshot::Sender<()>>,
}

impl Session {
    /// Begins a connection. The receiver hears when it is open, or is dropped when it is lost before.
    pub(crate) fn start(
        line: Line,
        keys: Keys,
        role: Role,
        label: String,
    ) -> (Traffic, oneshot::Receiver<()>) {
        let (commands, received) = mpsc::channel(MAX_QUEUED);
        let (deliveries, messages) = mpsc::unbounded_channel();
        let (opened, is_open) = oneshot::channel();
        let lost = Arc::new(OnceLock::new());
        let ending = Arc::new(Notify::new());
        let semaphore = || Arc::new(Semaphore::new(MAX_WAITING as usize));
        let session = Session {
            pipe: Pipe::new(line, keys),
            role,
            label,
            channel: None,
            opened: Some(opened),
            commands: received,
            ending: Arc::clone(&ending),
            sending: VecDeque::new(),
            sent: 0,
            permit: None,
            parts: BytesMut::new(),
            held: None,
            deliveries,
            unread: semaphore(),
            lost: Arc::clone(&lost),
            is_over: false,
        };
        tokio::spawn(session.run());
        (Traffic { commands, ending: Arc::new(Ending(ending)), budget: semaphore(), messages, lost }, is_open)
    }

    async fn run(mut self) {
        let mut closing = Closing::default();
        match self.exchange(&mut closing).await {
            Ok(()) => {}
            // A page that hears the goodbye leaves without another word.
            Err(Lost::Left) if closing.is_said => {}
            Err(lost) => drop(self.lost.set(lost)),
        }
        drop(self.deliveries);
        drop(self.opened);
        self.pipe.close(FAREWELL).await;
        if let Some(done) = closing.done {
            // Nobody may wait for it.
            let _ = done.send(());
        }
    }

    /// Sends and receives until one of the two ends closes.
    async fn exchange(&mut self, closing: &mut Closing) -> Result<(), Lost> {
        loop {
            self.send_what_fits();
            if closing.is_due && !closing.is_said && self.sending.is_empty() && self.pipe.has_room() {
                self.say_goodbye();
                closing.is_said = true;
            }
            let left = self.pipe.unacknowledged();
            if self.is_over || (closing.is_said && left == 0) {
                return Ok(());
            }
            if left != closing.left {
                closing.left = left;
                closing.until = closing.until.map(|_| Instant::now() + CLOSING);
            }
            let takes_commands = self.channel.is_some() && self.sending.is_empty() && !closing.is_due;
            // A connection that nobody has waited for to open.
            let is_given_up = async {
                match &mut self.opened {
                    Some(opened) => opened.closed().await,
                    None => future::pending().await,
                }
            };
            let too_late = async {
                match closing.until {
                    Some(until) => sleep_until(until).await,
                    None => future::pending().await,
                }
            };
            select! {
                event = self.pipe.next(self.held.is_none()) => self.hear(event?)?,
                permit = room(&self.unread, self.held.as_ref(), &self.deliveries) => self.deliver(permit),
                command = self.commands.recv(), if takes_commands => match command {
                    Some(Command::Send(messages, permit)) => {
                        self.sending = messages.into();
                        self.permit = Some(permit);
                    }
                    Some(Command::Close(done)) => {
                        closing.is_due = true;
                        closing.done = Some(done);
                    }
                    // All handles were dropped.
                    None => closing.is_due = true,
                },
                () = self.ending.notified(), if closing.until.is_none() => {
                    closing.until = Some(Instant::now() + CLOSING);
                }
                () = is_given_up => return Ok(()),
                () = too_late => return Err(Lost::Stalled),
            }
        }
    }

    /// Seals parts of messages while the other end takes them.
    fn send_what_fits(&mut self) {
        let Some(channel) = self.channel else { return };
        while self.pipe.has_room()
            && let Some(message) = self.sending.front()
        {
            let (kind, bytes) = match message {
                Message::Text(text) => (Kind::Text, text.as_bytes()),
                Message::Bytes(bytes) => (Kind::Binary, bytes.as_ref()),
            };
            let rest = bytes.get(self.sent..).unwrap_or_default();
            if let Some((part, _)) = rest.split_at_checked(MAX_PAYLOAD)
                && part.len() < rest.len()
            {
                self.pipe.send(Kind::Part, channel, part);
                self.sent += part.len();
            } else {
                self.pipe.send(kind, channel, rest);
                self.sending.pop_front();
                self.sent = 0;
            }
        }
        if self.sending.is_empty() {
            self.permit = None;
        }
    }

    fn say_goodbye(&mut self) {
        if let Some(channel) = self.channel {
            self.pipe.send(Kind::Close, channel, &[]);
        }
        self.pipe.send(Kind::End, 0, &[]);
    }

    fn hear(&mut self, event: Event) -> Result<(), Lost> {
        match event {
            Event::Opened => self.pipe.send(Kind::Decision, 0, DECISION),
            Event::Room => {}
            Event::Record(record) => self.take(record)?,
        }
        Ok(())
    }

    fn take(&mut self, record: Record) -> Result<(), Lost> {
        if self.channel.is_none() && self.role == Role::Offerer {
            // Its first record proves that the other end has its key.
            self.open(CHANNEL);
        }
        match record.kind {
            Kind::End => self.is_over = true,
            // Both ends have no choice.
            Kind::Decision => {}
            Kind::Open if self.channel.is_none() && record.channel % 2 == 1 => {
                self.parts.clear();
                self.channel = Some(record.channel);
                self.tell_opened();
            }
            // PeerJS has one channel.
            _ if self.channel.is_some_and(|channel| channel != record.channel) => {}
            Kind::Close => {
                self.is_over = true;
                self.say_goodbye();
            }
            Kind::Part => return self.add(&record.payload),
            Kind::Text | Kind::Binary if self.channel.is_some() => {
                let payload = if self.parts.is_empty() {
                    record.payload
                } else {
                    self.add(&record.payload)?;
                    self.parts.split().freeze()
                };
                self.hold(record.kind, payload)?;
            }
            Kind::Open | Kind::Text | Kind::Binary => {}
        }
        Ok(())
    }

    fn open(&mut self, channel: u16) {
        self.channel = Some(channel);
        let options = json!({ "label": self.label, "protocol": "", "ordered": true, "maxRetransmits": null, "maxPacketLifeTime": null });
        self.pipe.send(Kind::Open, channel, options.to_string().as_bytes());
        self.tell_opened();
    }

    fn tell_opened(&mut self) {
        if let Some(opened) = self.opened.take() {
            // It is noticed when the handles are dropped.
            let _ = opened.send(());
        }
    }

    fn add(&mut self, part: &[u8]) -> Result<(), Lost> {
        if self.parts.len() + part.len() > MAX_MESSAGE_BYTES {
            return Err(Lost::Broken(format!("a message has over {MAX_MESSAGE_BYTES} bytes")));
        }
        self.parts.extend_from_slice(part);
        Ok(())
    }

    fn hold(&mut self, kind: Kind, payload: Bytes) -> Result<(), Lost> {
        self.held = Some(match kind {
            Kind::Text => match String::from_utf8(payload.into()) {
                Ok(text) => Message::Text(text),
                Err(_) => return Err(Lost::Broken("a text is not UTF-8".to_owned())),
            },
            _ => Message::Bytes(payload),
        });
        Ok(())
    }

    /// Without a permit nobody reads, and the message is dropped.
    fn deliver(&mut self, permit: Option<OwnedSemaphorePermit>) {
        if let (Some(message), Some(permit)) = (self.held.take(), permit) {
            // The reader may have gone meanwhile.
            let _ = self.deliveries.send((message, permit));
        }
    }
}

/// Waits until the reader has room for this message, or is gone. For ever without a message.
async fn room(
    unread: &Arc<Semaphore>,
    held: Option<&Message>,
    deliveries: &mpsc::UnboundedSender<Delivery>,
) -> Option<OwnedSemaphorePermit> {
    let Some(message) = held else { return future::pending().await };
    let room = Arc::clone(unread).acquire_many_owned(share(message.size()));
    select! {
        permit = room => permit.ok(),
        () = deliveries.closed() => None,
    }
}
