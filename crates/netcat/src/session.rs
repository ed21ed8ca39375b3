//! A connection that carries data: to a page messages, to a command streams.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, sink, stream};
use peerbroker_peer::{Connection, Receiver, Sender, Value};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio_util::io::{InspectReader, InspectWriter};

use crate::exec;
use crate::lines::{self, Hub};
use crate::screen;
use crate::streams::{Incoming, Outgoing, Streams};

/// Streams, behind the proof of a code.
pub(crate) const WITH_CODE: &str = "stream+code";
/// Streams at once.
pub(crate) const WITHOUT_CODE: &str = "stream";

/// The other end.
pub(crate) enum Other {
    Page(Outgoing<Value>, Incoming<Value>),
    Command(Outgoing<Bytes>, Incoming<Bytes>),
}

pub(crate) struct Session {
    pub(crate) peer: String,
    pub(crate) other: Other,
    is_caller: bool,
    closer: Sender,
}

impl Session {
    pub(crate) fn new(connection: Connection) -> Self {
        let peer = connection.peer().to_owned();
        let is_caller = connection.is_caller();
        let is_command = connection.protocol().is_some();
        let (sender, receiver) = connection.split();
        let closer = sender.clone();
        let other = match is_command {
            true => Other::Command(outgoing(sender), Box::pin(incoming(receiver).map(bytes))),
            false => Other::Page(outgoing(sender), incoming(receiver)),
        };
        Session { peer, other, is_caller, closer }
    }

    /// Joins stdin and stdout, or what stands for them.
    pub(crate) async fn join(
        self,
        input: &mut (impl AsyncBufRead + Unpin),
        output: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        let (to, from) = match self.other {
            Other::Command(to, from) => (to, from),
            Other::Page(mut to, mut from) => {
                let is_ours = lines::talk(&mut to, &mut from, input, output, false).await?;
                return close(self.closer, is_ours).await;
            }
        };
        let mut streams = Streams::new(to, from, self.is_caller);
        let stream = if self.is_caller { streams.open().await } else { streams.next().await };
        if let Some(mut stream) = stream {
            if screen::is_for_a_file() {
                stream.end_with_other();
            }
            let passed = AtomicU64::new(0);
            let count = |part: &[u8]| {
                passed.fetch_add(part.len() as u64, Ordering::Relaxed);
            };
            let joined =
                stream.join(InspectReader::new(input, count), InspectWriter::new(output, count), None);
            screen::with_progress(&passed, joined).await?;
        }
        end(streams, self.closer, self.is_caller).await
    }

    /// Gives the messages of a page to a script, and its to the page.
    pub(crate) async fn script(mut self, hub: &Hub) -> io::Result<()> {
        if let Other::Page(to, from) = &mut self.other {
            hub.serve(&self.peer, to, from).await?;
        }
        close(self.closer, true).await
    }

    /// Gives a page its own process.
    pub(crate) async fn exec(mut self, command: &str) -> io::Result<()> {
        if let Other::Page(to, from) = &mut self.other {
            exec::run_lines(command, &self.peer, to, from).await?;
        }
        close(self.closer, false).await
    }

    /// The streams of a command, and what closes its connection. A page has none.
    pub(crate) fn streams(self) -> Option<(Streams, Sender)> {
        match self.other {
            Other::Command(to, from) => Some((Streams::new(to, from, self.is_caller), self.closer)),
            Other::Page(..) => None,
        }
    }
}

/// Ends the connection to a command. The caller does, once it has all, so neither loses the other before.
pub(crate) async fn end(streams: Streams, closer: Sender, is_caller: bool) -> io::Result<()> {
    if !is_caller {
        streams.ended().await;
    }
    streams.close().await?;
    close(closer, is_caller).await
}

/// Closes a connection behind what waits. If the other end has closed it, that is no news.
async fn close(closer: Sender, is_ours: bool) -> io::Result<()> {
    let closed = closer.close().await;
    if is_ours { closed.map_err(io::Error::other) } else { Ok(()) }
}

fn outgoing<T: Into<Value> + Send + 'static>(sender: Sender) -> Outgoing<T> {
    Box::pin(sink::unfold(sender, |sender, message: T| async {
        sender.send(message).await.map_err(io::Error::other)?;
        Ok(sender)
    }))
}

fn incoming(receiver: Receiver) -> Incoming<Value> {
    Box::pin(stream::unfold(receiver, |mut receiver| async {
        let message = receiver.next().await.map_err(io::Error::other).transpose()?;
        Some((message, receiver))
    }))
}

fn bytes(message: io::Result<Value>) -> io::Result<Bytes> {
    match message? {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Text(text) => Ok(text.into()),
        _ => Err(io::Error::other("the other end sent a message that is not bytes")),
    }
}
