//! A WebSocket that is dialled again when it is lost.

use std::collections::VecDeque;
use std::future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Sink as _, StreamExt as _};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::close_codes;
use crate::socket::{Dial, DialError, Socket};

/// Pauses before attempts, in milliseconds; the last one is repeated.
const PAUSES: [u64; 5] = [0, 100, 300, 1000, 2000];
/// News of a line.
#[derive(Debug)]
pub(crate) enum Heard {
    Opened,
    Text(Utf8Bytes),
    Bytes(Bytes),
    /// A ping or a pong: a sign of life.
    Alive,
    /// The socket has ended, with a close code.
    Closed(u16, String),
    /// No socket opens.
    Refused(DialError),
}

pub(crate) struct Line {
    dial: Arc<dyn Dial>,
    path: String,
    dialling: Option<BoxFuture<'static, Result<Socket, DialError>>>,
    socket: Option<Socket>,
    /// Messages that the socket has not taken.
    waiting: VecDeque<Message>,
    attempts: usize,
}

impl Line {
    /// A line that opens at once.
    pub(crate) fn new(dial: Arc<dyn Dial>, path: String) -> Self {
        let mut line =
            Line { dial, path, dialling: None, socket: None, waiting: VecDeque::new(), attempts: 0 };
        line.redial(Duration::ZERO);
        line
    }

    /// Drops the socket, and opens another after a pause, which grows until [`Line::succeeded`].
    pub(crate) fn redial(&mut self, least: Duration) {
        self.socket = None;
        self.waiting.clear();
        let last = PAUSES.len() - 1;
        let pause = PAUSES.get(self.attempts.min(last)).copied().unwrap_or_default();
        self.attempts += 1;
        let pause = least.max(Duration::from_millis(pause));
        let dial = Arc::clone(&self.dial);
        let path = self.path.clone();
        self.dialling = Some(Box::pin(async move {
            sleep(pause).await;
            dial.dial(path).await
        }));
    }

    /// The socket is of use: the next attempt comes without a pause.
    pub(crate) fn succeeded(&mut self) {
        self.attempts = 0;
    }

    /// Sends a message, or drops it while there is no socket.
    pub(crate) fn send(&mut self, message: impl Into<Message>) {
        if self.socket.is_some() {
            self.waiting.push_back(message.into());
        }
    }

    /// The messages that wait for the socket.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends what waits, and meanwhile waits for news. For ever if there is no socket and none is dialled.
    /// Safe to cancel.
    pub(crate) async fn next(&mut self) -> Heard {
        future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        if let Some(dialling) = &mut self.dialling {
            let dialled = ready!(dialling.as_mut().poll(context));
            self.dialling = None;
            return Poll::Ready(match dialled {
                Ok(socket) => {
                    self.socket = Some(socket);
                    Heard::Opened
                }
                Err(error) => Heard::Refused(error),
            });
        }
        let Some(socket) = &mut self.socket else { return Poll::Pending };
        let written = write(socket, &mut self.waiting, context);
        // A close frame of the broker says why nothing can be written.
        let heard = match socket.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(Message::Text(text)))) => Heard::Text(text),
            Poll::Ready(Some(Ok(Message::Binary(bytes)))) => Heard::Bytes(bytes),
            Poll::Ready(Some(Ok(Message::Close(frame)))) => closed(frame),
            Poll::Ready(Some(Ok(_))) => Heard::Alive,
            Poll::Ready(Some(Err(_)) | None) => Heard::Closed(close_codes::ABNORMAL, String::new()),
            Poll::Pending if written.is_err() => Heard::Closed(close_codes::ABNORMAL, String::new()),
            Poll::Pending => return Poll::Pending,
        };
        if matches!(heard, Heard::Closed(..)) {
            self.socket = None;
            self.waiting.clear();
        }
        Poll::Ready(heard)
    }

    /// Sends what waits and a close frame of 1000, and waits for that of the broker. A socket that is being
    /// opened opens first: without the code, the other end would wait for this one.
    pub(crate) async fn close(mut self) {
        let dialled = match self.dialling.take() {
            Some(dialling) => dialling.await.ok(),
            None => self.socket.take(),
        };
        let Some(mut socket) = dialled else { return };
        let sent = future::poll_fn(|context| {
            let is_written =
                write(&mut socket, &mut self.waiting, context).is_err() || self.waiting.is_empty();
            if is_written { Poll::Ready(()) } else { Poll::Pending }
        });
        sent.await;
        let frame = CloseFrame { code: 1000.into(), reason: Utf8Bytes::default() };
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    }
}

/// Gives the socket as many messages as it takes.
fn write(
    socket: &mut Socket,
    waiting: &mut VecDeque<Message>,
    context: &mut Context<'_>,
) -> Result<(), Error> {
    let mut socket = Pin::new(socket);
    while !waiting.is_empty() {
        match socket.as_mut().poll_ready(context) {
            Poll::Ready(ready) => ready?,
            Poll::Pending => return Ok(()),
        }
        if let Some(message) = waiting.pop_front() {
            socket.as_mut().start_send(message)?;
        }
    }
    match socket.poll_flush(context) {
        Poll::Ready(flushed) => flushed,
        Poll::Pending => Ok(()),
    }
}

fn closed(frame: Option<CloseFrame>) -> Heard {
    match frame {
        Some(frame) => Heard::Closed(frame.code.into(), frame.reason.to_string()),
        None => Heard::Closed(close_codes::NONE, String::new()),
    }
}
