//! The task of a peer: its WebSocket, which comes back with its id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::address::Address;
use crate::calls::Calls;
use crate::close_codes;
use crate::connection::Connection;
use crate::error::{ConnectError, OpenError};
use crate::line::{Heard, Line};
use crate::rooms::Rooms;
use crate::signals::{ErrorText, Frame};

/// The timeout of a goodbye.
const FAREWELL: Duration = Duration::from_secs(2);
/// A silent socket is tried after this time, and its answer may take that one.
const TRY: Duration = Duration::from_secs(25);
const PONG: Duration = Duration::from_secs(10);
/// Most messages that wait for the socket.
const MAX_WAITING: usize = 64;

/// Texts of refusals that pass.
const PASSING: [&str; 3] = ["Server has reached", "Server is not available", "Server is stopping"];

pub(crate) struct Signalling {
    pub(crate) line: Line,
    pub(crate) calls: Arc<Calls>,
    pub(crate) rooms: Arc<Rooms>,
    /// Messages of the handles.
    pub(crate) frames: mpsc::Receiver<String>,
    pub(crate) connected: mpsc::Sender<Result<Connection, ConnectError>>,
}

/// Waits for OPEN.
pub(crate) async fn admitted(line: &mut Line, id: &str, address: &Address) -> Result<(), OpenError> {
    loop {
        match line.next().await {
            Heard::Text(text) => {
                if let Some(admitted) = admission(&text, id, address) {
                    return admitted;
                }
            }
            Heard::Closed(code, reason) => return Err(OpenError::Closed(address.clone(), code, reason)),
            Heard::Refused(error) => return Err(error.into()),
            Heard::Opened | Heard::Alive | Heard::Bytes(_) => {}
        }
    }
}

/// The meaning of a first message. `None` if it decides nothing yet.
fn admission(text: &str, id: &str, address: &Address) -> Option<Result<(), OpenError>> {
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    let told = || frame.read().map_or_else(|| frame.kind.to_owned(), |ErrorText { msg }| msg);
    match frame.kind {
        "OPEN" => Some(Ok(())),
        "ID-TAKEN" => Some(Err(OpenError::IdTaken(id.to_owned()))),
        "ERROR" | "INVALID-KEY" => Some(Err(OpenError::Refused(address.clone(), told()))),
        _ => None,
    }
}

impl Signalling {
    /// Runs until the handle closes the peer, or the broker does not take it back.
    pub(crate) async fn run(mut self, closing: oneshot::Receiver<oneshot::Sender<()>>) {
        let ended = select! {
            error = self.exchange() => Err(Arc::new(error)),
            closed = closing => Ok(closed),
        };
        if let Err(error) = &ended {
            // Before the handles see the end.
            let _ = self.calls.end.set(Arc::clone(error));
        }
        self.frames.close();
        self.calls.registry.clear();
        self.rooms.clear();
        match ended {
            Ok(done) => {
                self.line.send(Message::text(r#"{"type":"LEAVE"}"#));
                // The broker notices the end in any case.
                let _ = timeout(FAREWELL, self.line.close()).await;
                drop(done);
            }
            // Nobody may listen.
            Err(error) => drop(self.connected.send(Err(ConnectError::Closed(Some(error)))).await),
        }
    }

    async fn exchange(&mut self) -> OpenError {
        let mut is_open = true;
        let mut is_tried = false;
        let mut quiet_at = Instant::now() + TRY;
        loop {
            let heard = select! {
                heard = self.line.next() => heard,
                Some(frame) = self.frames.recv(), if is_open && self.line.waiting() < MAX_WAITING => {
                    self.line.send(Message::text(frame));
                    continue;
                }
                () = sleep_until(quiet_at) => {
                    if is_tried {
                        is_open = false;
                        self.line.redial(Duration::ZERO);
                    } else {
                        self.line.send(Message::Ping(Bytes::new()));
                    }
                    is_tried = !is_tried;
                    quiet_at = Instant::now() + if is_tried { PONG } else { TRY };
                    continue;
                }
            };
            is_tried = false;
            quiet_at = Instant::now() + TRY;
            match heard {
                Heard::Text(text) if is_open => self.hear(&text),
                Heard::Text(text) => match admission(&text, &self.calls.id, &self.calls.address) {
                    Some(Ok(())) => {
                        is_open = true;
                        self.come_back();
                    }
                    // A close comes behind it.
                    Some(Err(OpenError::Refused(_, text)))
                        if PASSING.iter().any(|of| text.starts_with(of)) => {}
                    Some(Err(error)) => return error,
                    None => {}
                },
                Heard::Closed(code, reason) if close_codes::FINAL.contains(&code) => {
                    return OpenError::Closed(self.calls.address.clone(), code, reason);
                }
                Heard::Closed(..) => {
                    is_open = false;
                    self.line.redial(Duration::ZERO);
                }
                Heard::Refused(error) if error.is_final() => return error.into(),
                Heard::Refused(error) => self.line.redial(error.wait()),
                Heard::Opened | Heard::Alive | Heard::Bytes(_) => {}
            }
        }
    }

    fn come_back(&mut self) {
        self.line.succeeded();
        for frame in self.rooms.joins() {
            self.line.send(Message::text(frame));
        }
    }

    fn hear(&self, text: &str) {
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else { return };
        if frame.kind.starts_with("ROOM-") {
            self.rooms.hear(frame.kind, text);
            return;
        }
        let Some(src) = &frame.src else { return };
        let registry = &self.calls.registry;
        match frame.kind {
            "EXPIRE" => registry.give_up(src, ConnectError::NoSuchPeer),
            "LEAVE" => registry.give_up(src, ConnectError::Left),
            "ANSWER" | "CANDIDATE" => {
                if let Some(description) = frame.read() {
                    registry.hear(src, frame.kind == "ANSWER", description);
                }
            }
            "OFFER" => {
                let Some(offer) = frame.read() else { return };
                let src = src.clone();
                let calls = Arc::clone(&self.calls);
                let connected = self.connected.clone();
                tokio::spawn(async move {
                    let opened = select! {
                        opened = calls.answer(src, offer) => opened,
                        () = connected.closed() => return,
                    };
                    // An open connection has a place, so few wait. The handle may be gone meanwhile.
                    if opened.is_ok() {
                        let _ = connected.send(opened).await;
                    } else {
                        let _ = connected.try_send(opened);
                    }
                });
            }
            _ => {}
        }
    }
}
