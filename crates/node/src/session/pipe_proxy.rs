//! An end whose pipe is on another node: this one is that node's client, and passes on messages in both
//! directions, unread.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use hyper::{Request, header};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, sink};
use tokio::sync::watch;
use tokio::time::timeout;

use super::farewell::{close, farewell, refusal_close};
use super::open::OpenSession;
use super::pace::{Budget, UNREAD_FRAMES_PER_TURN, poll_turn};
use peerbroker_core::vocabulary::{EndId, Fragment, Frame, FrameIn, Opcode, PipeId, Refusal};
use peerbroker_protocols::names::{Seat, SeatState};
use peerbroker_protocols::pipes::{Bridge, MAX_MESSAGE, PipeAddress};
use peerbroker_router::{Disconnect, Outbox, Outgoing};
use peerbroker_tls::outbound::{Bounds, HttpClient, Reach};
use peerbroker_transport::{Socket, SocketEvent};

/// Time for another node to take an end.
const CROSSING_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are read from the other node at a time.
const READ: usize = 16 << 10;

/// The way of an end to its pipe on another node.
pub(super) struct PipeProxy {
    pub(super) way: PipeAddress,
    pub(super) key: String,
    pub(super) pipe: PipeId,
    pub(super) end: EndId,
    pub(super) bridge: Bridge,
    /// That node gives it up when this ends.
    pub(super) _seat: Box<dyn Seat>,
    pub(super) state: watch::Receiver<SeatState>,
}

impl PipeProxy {
    /// Connects to the other node, and passes on messages until one side ends.
    pub(super) async fn carry(self, mut socket: impl Socket, outbox: Outbox, session: &OpenSession) {
        let PipeProxy { way, key, pipe, end, mut bridge, _seat, mut state } = self;
        let there = timeout(CROSSING_TIMEOUT, connect(&way, &key, pipe, end)).await;
        let there = match there.map_err(|_| "it takes too long".to_owned()) {
            Ok(Ok(there)) => there,
            Ok(Err(why)) | Err(why) => {
                let url = &way.url;
                log::warn!(
                    "a pipe is on the node at {url}, which cannot be reached: {why}. --node_url sets the URL of a node"
                );
                return close(&mut socket, outbox, session, [refusal_close(Refusal::Unavailable)]).await;
            }
        };
        let mut proxied = ProxiedPipe {
            socket,
            outbox,
            there,
            read: vec![0; READ].into(),
            partial: Vec::new(),
            unwritten: Unwritten::default(),
        };
        let is_over = |state: &SeatState| *state == SeatState::Lost;
        tokio::select! {
            end = poll_fn(|cx| proxied.poll(cx)) => proxied.goodbye(end, session).await,
            () = bridge.ended() => {}
            // The other node is dead.
            _ = state.wait_for(is_over) => {}
        }
    }
}

/// The connections to the client and to the other node.
struct ProxiedPipe<S, T> {
    socket: S,
    outbox: Outbox,
    there: T,
    /// For what is read from the other node.
    read: Box<[u8]>,
    /// The beginning of a frame of that node.
    partial: Vec<u8>,
    unwritten: Unwritten,
}

/// Frames of the client for the other node.
#[derive(Default)]
struct Unwritten {
    frames: Vec<u8>,
    written: usize,
    /// The client ends behind them.
    end: Option<Disconnect>,
}

/// The end of a proxied.
enum ProxyEnd {
    /// The client has ended it, or its connection is broken.
    Here(Disconnect),
    /// The other node has. Its close frame is the last in the outbox.
    There,
    /// The connection to the other node is broken.
    Cut,
}

impl<S: Socket, T: AsyncRead + AsyncWrite + Unpin> ProxiedPipe<S, T> {
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<ProxyEnd> {
        poll_turn(cx, UNREAD_FRAMES_PER_TURN, |cx, budget| {
            match (self.poll_back(cx), self.poll_there(cx, budget)) {
                (Poll::Ready(Err(end)), _) | (_, Poll::Ready(Err(end))) => Poll::Ready(Err(end)),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                _ => Poll::Ready(Ok(())),
            }
        })
    }

    /// Passes on one read of the other node. The next one waits until the client has it.
    fn poll_back(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), ProxyEnd>> {
        let sent = ready!(self.socket.poll_send(cx, &mut self.outbox));
        if sent.is_err() {
            return Poll::Ready(Err(ProxyEnd::Here(Disconnect::Gone)));
        }
        let mut read = ReadBuf::new(&mut self.read);
        let received = ready!(Pin::new(&mut self.there).poll_read(cx, &mut read));
        if received.is_err() || read.filled().is_empty() {
            return Poll::Ready(Err(ProxyEnd::Cut));
        }
        self.partial.extend_from_slice(read.filled());
        let mut frames = Frame::frames_in(&self.partial);
        // Nothing counts behind it.
        let is_last = frames.any(|frame| matches!(frame, FrameIn::Close(_)));
        let whole = self.partial.len() - frames.rest().len();
        if whole == 0 && self.partial.len() > 2 * MAX_MESSAGE {
            return Poll::Ready(Err(ProxyEnd::Cut));
        }
        let rest = self.partial.split_off(whole);
        let frames = mem::replace(&mut self.partial, rest);
        if !frames.is_empty() {
            self.outbox.push_unbounded(Outgoing::notice(Frame::raw(frames)));
        }
        Poll::Ready(if is_last { Err(ProxyEnd::There) } else { Ok(()) })
    }

    /// Passes on one read of the client. The next one waits until the other node has it.
    fn poll_there(&mut self, cx: &mut task::Context<'_>, budget: &mut Budget) -> Poll<Result<(), ProxyEnd>> {
        let Unwritten { frames, written, end } = &mut self.unwritten;
        if frames.is_empty() {
            let received = ready!(self.socket.poll_recv(cx, &mut |event| {
                append(frames, &event);
                budget.take_frame(0)
            }));
            *end = received.err();
            if let Some(over) = end.filter(|over| *over != Disconnect::Gone) {
                Frame::append_masked(frames, Opcode::Close, over.close().payload(), Fragment::WHOLE);
            }
        }
        while let Some(left) = frames.get(*written..).filter(|left| !left.is_empty()) {
            match ready!(Pin::new(&mut self.there).poll_write(cx, left)) {
                Ok(count) if count > 0 => *written += count,
                _ => return Poll::Ready(Err(ProxyEnd::Cut)),
            }
        }
        if ready!(Pin::new(&mut self.there).poll_flush(cx)).is_err() {
            return Poll::Ready(Err(ProxyEnd::Cut));
        }
        Poll::Ready(match mem::take(&mut self.unwritten).end {
            Some(end) => Err(ProxyEnd::Here(end)),
            None => Ok(()),
        })
    }

    async fn goodbye(self, end: ProxyEnd, session: &OpenSession) {
        let ProxiedPipe { mut socket, mut outbox, mut there, .. } = self;
        let end = match end {
            ProxyEnd::Here(Disconnect::Gone) | ProxyEnd::Cut => return,
            ProxyEnd::Here(end) => {
                outbox.push_unbounded(Outgoing::notice(end.close()));
                Some(end)
            }
            ProxyEnd::There => None,
        };
        let send = move |cx: &mut task::Context<'_>, socket: &mut S| socket.poll_send(cx, &mut outbox);
        let is_closed = matches!(end, Some(Disconnect::Closed(_)));
        // A connection that is dropped with unread input may lose the close frame.
        let rest = async {
            let _ = there.shutdown().await;
            let _ = tokio::io::copy(&mut there, &mut sink()).await;
        };
        let patience = session.config().load().close_timeout;
        let _ = tokio::join!(farewell(&mut socket, send, session, is_closed), timeout(patience, rest));
    }
}

/// Appends what a client has sent, for another node.
fn append(frames: &mut Vec<u8>, event: &SocketEvent<'_>) {
    let (opcode, payload, place) = match *event {
        SocketEvent::Text(text) => (Opcode::Text, text.as_bytes(), Fragment::WHOLE),
        SocketEvent::Binary(bytes) => (Opcode::Binary, bytes, Fragment::WHOLE),
        SocketEvent::Part { text: true, bytes, place } => (Opcode::Text, bytes, place),
        SocketEvent::Part { text: false, bytes, place } => (Opcode::Binary, bytes, place),
        SocketEvent::Ping(payload) => (Opcode::Ping, payload, Fragment::WHOLE),
        SocketEvent::Pong => (Opcode::Pong, &[][..], Fragment::WHOLE),
        SocketEvent::Fragment => return,
    };
    Frame::append_masked(frames, opcode, payload, place);
}

async fn connect(
    way: &PipeAddress,
    key: &str,
    pipe: PipeId,
    end: EndId,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, String> {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("key", key), ("end", &end.to_string()), ("ticket", &way.ticket)])
        .finish();
    let request = Request::get(format!("{}pipe/{pipe}?{query}", way.url))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        // Nobody caches what is between two nodes.
        .header(header::SEC_WEBSOCKET_KEY, "AAAAAAAAAAAAAAAAAAAAAA==")
        .body(())
        .map_err(|error| error.to_string())?;
    let bounds = Bounds { reach: Reach::Anywhere, idle: 0, timeout: CROSSING_TIMEOUT, max_body: 0 };
    let client = HttpClient::trusting_anybody(bounds).map_err(|error| error.to_string())?;
    client.upgrade(request).await.map_err(|error| error.to_string())
}
