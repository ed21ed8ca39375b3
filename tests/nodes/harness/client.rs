//! A WebSocket client that notes all that it sees.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::TIMEOUT;
use crate::wire::{self, FIN, Frame, opcode};

/// An observation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Open,
    /// The id of a peer of Matchbox, from the server.
    Assigned(String),
    /// Text of a refusal.
    Refused(String),
    Message {
        kind: String,
        from: String,
        payload: String,
    },
    /// The ids in the list of a room.
    Members(Vec<String>),
    Joined(String),
    Left(String),
    /// All that waited for this peer is lost.
    Expire(String),
    Closed(Option<u16>),
    /// The connection has ended.
    End,
}

/// The beginning of messages that only show that a client is reached. Tests do not read them.
pub const REACH: &str = "reach ";

enum Order {
    Send(Vec<u8>),
    /// Reads nothing any more, so it answers no pings.
    Freeze,
    /// Breaks the connection with a reset.
    Reset,
}

#[derive(Default)]
struct Noted {
    seen: RefCell<Vec<Seen>>,
    changed: Notify,
}

impl Noted {
    fn note(&self, seen: Seen) {
        self.seen.borrow_mut().push(seen);
        self.changed.notify_waiters();
    }
}

/// A connection. The drop breaks it.
pub struct Client {
    pub id: String,
    noted: Rc<Noted>,
    orders: mpsc::UnboundedSender<Order>,
    /// The number of observations that a test has read.
    read: Cell<usize>,
}

impl Client {
    /// Connects. The server's answer is read later.
    pub fn connect(address: SocketAddr, id: &str, token: &str) -> Self {
        let target = format!("/peerjs?key=peerjs&id={id}&token={token}");
        Self::connect_to(address, &target, id)
    }

    /// The same for any protocol, whose clients may get their ids later.
    pub fn connect_to(address: SocketAddr, target: &str, id: &str) -> Self {
        let noted = Rc::new(Noted::default());
        let (orders, ordered) = mpsc::unbounded_channel();
        let notes = Rc::clone(&noted);
        let target = target.to_owned();
        spawn_local(async move {
            // An error is an end as any other.
            let _ = work(address, target, &notes, ordered).await;
            notes.note(Seen::End);
        });
        let id = id.to_owned();
        Client { id, noted, orders, read: Cell::new(0) }
    }

    /// All that was seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.noted.seen.borrow().clone()
    }

    pub fn find<T>(&self, wanted: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        self.noted.seen.borrow().iter().find_map(wanted)
    }

    pub fn is_open(&self) -> bool {
        let seen = self.noted.seen.borrow();
        seen.contains(&Seen::Open) && !seen.iter().any(|seen| matches!(seen, Seen::End | Seen::Closed(_)))
    }

    pub fn has_ended(&self) -> bool {
        self.noted.seen.borrow().last() == Some(&Seen::End)
    }

    fn take_next(&self) -> Option<Seen> {
        let seen = self.noted.seen.borrow();
        let is_read =
            |seen: &&Seen| !matches!(seen, Seen::Message { payload, .. } if payload.starts_with(REACH));
        let (at, next) = seen.iter().enumerate().skip(self.read.get()).find(|(_, seen)| is_read(seen))?;
        self.read.set(at + 1);
        Some(next.clone())
    }

    /// The next that is seen. `None` after a bound.
    pub async fn try_next(&self, bound: Duration) -> Option<Seen> {
        let next = async {
            loop {
                let changed = self.noted.changed.notified();
                if let Some(seen) = self.take_next() {
                    return seen;
                }
                changed.await;
            }
        };
        timeout(bound, next).await.ok()
    }

    /// The next that is seen.
    pub async fn next(&self) -> Seen {
        let next = self.try_next(TIMEOUT).await;
        next.unwrap_or_else(|| panic!("{} sees nothing after {:?}", self.id, self.seen()))
    }

    pub async fn expect(&self, wanted: Seen) {
        let next = self.next().await;
        assert_eq!(next, wanted, "{} after {:?}", self.id, self.seen());
    }

    pub async fn expect_message(&self, from: &str, payload: &str) {
        match self.next().await {
            Seen::Message { from: by, payload: text, .. } if by == from && text == payload => {}
            other => panic!("{}: {other:?} instead of {payload:?} from {from}", self.id),
        }
    }

    /// Expects a close frame with this code next, and the end.
    pub async fn expect_closed(&self, code: Option<u16>) {
        self.expect(Seen::Closed(code)).await;
        self.expect(Seen::End).await;
    }

    pub fn send(&self, kind: &str, to: &str, payload: &str) {
        let text = format!(r#"{{"type":"{kind}","dst":"{to}","payload":"{payload}"}}"#);
        self.order(Order::Send(wire::text(&text)));
    }

    pub fn offer(&self, to: &str, payload: &str) {
        self.send("OFFER", to, payload);
    }

    /// Joins a room, and waits until it sees these members and no others.
    pub async fn join(&self, room: &str, others: &[&str]) {
        self.order(Order::Send(wire::text(&format!(r#"{{"type":"ROOM-JOIN","room":"{room}"}}"#))));
        self.expect_members(&[others, &[&self.id]].concat()).await;
    }

    /// Waits until it sees these members of its room and no others.
    pub async fn expect_members(&self, ids: &[&str]) {
        let expected = BTreeSet::from_iter(ids.iter().map(|id| (*id).to_owned()));
        let mut there = BTreeSet::new();
        while there != expected {
            match self.next().await {
                Seen::Members(ids) => there = ids.into_iter().collect(),
                Seen::Joined(id) => assert!(there.insert(id.clone()), "{id} joins twice"),
                other => panic!("{}: {other:?} instead of {expected:?} after {there:?}", self.id),
            }
        }
    }

    /// Sends to all others in a room.
    pub fn tell(&self, room: &str, payload: &str) {
        let text = format!(r#"{{"type":"ROOM-SEND","room":"{room}","payload":"{payload}"}}"#);
        self.order(Order::Send(wire::text(&text)));
    }

    /// Leaves a room: it hears nothing of it behind the answer.
    pub async fn leave(&self, room: &str) {
        let text = format!(r#"{{"type":"ROOM-LEAVE","room":"{room}","request":1}}"#);
        self.order(Order::Send(wire::text(&text)));
        while !matches!(self.next().await, Seen::Message { kind, .. } if kind == "ROOM-OK") {}
    }

    /// Closes cleanly: what is on its way still arrives.
    pub fn close(&self) {
        self.order(Order::Send(wire::close(Some(1000), b"")));
    }

    pub fn reset(&self) {
        self.order(Order::Reset);
    }

    pub fn freeze(&self) {
        self.order(Order::Freeze);
    }

    fn order(&self, order: Order) {
        // A client that has ended does nothing.
        let _ = self.orders.send(order);
    }
}

async fn work(
    address: SocketAddr,
    target: String,
    notes: &Noted,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut from, mut to) = stream.into_split();
    let handshake = format!(
        "GET {target} HTTP/1.1\r\nHost: server.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    to.write_all(handshake.as_bytes()).await?;
    let mut received = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    let mut accepted = false;
    loop {
        let count = tokio::select! {
            biased;
            count = from.read(&mut chunk) => count?,
            order = orders.recv() => match order {
                Some(Order::Send(bytes)) => {
                    to.write_all(&bytes).await?;
                    continue;
                }
                Some(Order::Freeze) => {
                    while !matches!(orders.recv().await, None | Some(Order::Reset)) {}
                    return reset(from, to);
                }
                Some(Order::Reset) | None => return reset(from, to),
            },
        };
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&chunk[..count]);
        if !accepted {
            let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head: Vec<u8> = received.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head);
            if !head.starts_with("HTTP/1.1 101") {
                notes.note(Seen::Refused(head.lines().next().unwrap_or_default().to_owned()));
                return Ok(());
            }
            accepted = true;
        }
        while let Some(frame) = Frame::take(&mut received) {
            if let Some(answer) = answer_to(&frame, notes) {
                to.write_all(&answer).await?;
            }
        }
    }
}

fn reset(from: tokio::net::tcp::OwnedReadHalf, to: tokio::net::tcp::OwnedWriteHalf) -> std::io::Result<()> {
    let stream = from.reunite(to).map_err(std::io::Error::other)?;
    // Closing with a linger of zero sends a reset.
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// Notes a frame, and gives what has to be sent now.
fn answer_to(frame: &Frame, notes: &Noted) -> Option<Vec<u8>> {
    match frame.opcode() {
        opcode::PING => return Some(wire::frame(FIN | opcode::PONG, &frame.payload)),
        opcode::CLOSE => {
            let code = frame.payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
            notes.note(Seen::Closed(code));
            return Some(wire::close(code, b""));
        }
        opcode::TEXT => {}
        _ => return None,
    }
    let text: Value = serde_json::from_slice(&frame.payload).expect("JSON");
    let string = |name: &str| text[name].as_str().unwrap_or_default().to_owned();
    let of_matchbox =
        [("IdAssigned", Seen::Assigned as fn(_) -> _), ("NewPeer", Seen::Joined), ("PeerLeft", Seen::Left)];
    for (event, seen) in of_matchbox {
        if let Some(id) = text[event].as_str() {
            notes.note(seen(id.to_owned()));
            return None;
        }
    }
    notes.note(match string("type").as_str() {
        // Not an answer yet.
        "WAITING" => return None,
        "OPEN" => Seen::Open,
        "ID-TAKEN" | "ERROR" | "INVALID-KEY" => {
            Seen::Refused(text["payload"]["msg"].as_str().unwrap_or_default().to_owned())
        }
        "EXPIRE" => Seen::Expire(string("src")),
        "ROOM-MEMBERS" => {
            let listed = text["members"].as_array().into_iter().flatten();
            Seen::Members(listed.map(|of| of["id"].as_str().unwrap_or_default().to_owned()).collect())
        }
        "ROOM-JOINED" => Seen::Joined(string("id")),
        "ROOM-LEFT" => Seen::Left(string("id")),
        kind => Seen::Message { kind: kind.to_owned(), from: string("src"), payload: string("payload") },
    });
    None
}
