//! The loop of a client that has its id: read, handle, flush, until it leaves.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use super::admission::{ConnectRequest, Entry, Rejection, Source};
use super::admit::{Admitted, admit};
use super::farewell::farewell;
use super::handler::{Context, ProtocolHandler};
use super::sessions::{OpenSession, Sessions};
use crate::broker::{ConnectionInfo, Departure, Flush, IdLease, Outgoing};
use crate::events::{Connected, Disconnected, Event as Happened};
use crate::limits::ConnectionPermit;
use crate::transport::{self, Disconnect, Event, Socket};
use crate::wire::{CloseReason, Frame, Limit};

/// Reads before other tasks of the worker get their turn. Only a flood fills even one.
const READS_PER_TURN: usize = 2;

/// Longest pause of a client above its rate limit before we look whether it has left.
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// Serves the client of a request until it is gone. `entry` admits it.
pub(super) fn serve<S, H, F, E>(
    socket: S,
    sessions: &Arc<Sessions>,
    ConnectRequest { query, source, permit }: ConnectRequest,
    entry: E,
) -> impl Future<Output = ()> + use<S, H, F, E>
where
    S: Socket,
    H: ProtocolHandler,
    F: Future<Output = Result<(Entry, H), Rejection>>,
    E: FnOnce(Arc<Sessions>, String, Source) -> F,
{
    let entry = entry(Arc::clone(sessions), query, source.clone());
    run(socket, sessions, source, permit, entry)
}

/// Serves one client until it is gone.
///
/// Admission and farewell are boxed, so that the future of an idle client stays small: most clients are idle.
pub(super) fn run<S, H, F>(
    socket: S,
    sessions: &Arc<Sessions>,
    source: Source,
    permit: Option<ConnectionPermit>,
    entry: F,
) -> impl Future<Output = ()> + use<S, H, F>
where
    S: Socket,
    H: ProtocolHandler,
    F: Future<Output = Result<(Entry, H), Rejection>>,
{
    let session = sessions.open(permit);
    let admission = Box::pin(admit(socket, Arc::clone(sessions), source, entry));
    async move {
        // One pattern: a variable for the whole would take space in the future for as long as the client is connected.
        let Some(Admitted { mut socket, lease, handler, messages_per_second, info }) = admission.await else {
            return;
        };
        socket.on_registered(&lease);
        let mut active = ActiveSession::begin::<S>(lease, handler, messages_per_second, info, &session);
        let end = poll_fn(|cx| active.poll(cx, &mut socket)).await;
        if let Some(goodbye) = active.goodbye(end, &mut socket) {
            goodbye.await;
        }
    }
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionEnd {
    /// The client said LEAVE to everybody.
    Left,
    /// The broker took the id away and said why in the outbox.
    Dismissed,
    /// The client or the connection ended it.
    Disconnected(Disconnect),
}

impl SessionEnd {
    /// Whether the connection is broken.
    fn is_gone(self) -> bool {
        self == SessionEnd::Disconnected(Disconnect::Gone)
    }

    /// Whether the client has sent its close frame already.
    fn is_by_client(self) -> bool {
        matches!(self, SessionEnd::Disconnected(Disconnect::Closed(_)))
    }

    /// Why the connection ends, unless the broker had a reason before.
    fn reason(self) -> CloseReason {
        match self {
            SessionEnd::Disconnected(Disconnect::Violation(reason)) => reason,
            SessionEnd::Disconnected(Disconnect::Closed(_) | Disconnect::Gone)
            | SessionEnd::Left
            | SessionEnd::Dismissed => CloseReason::Left,
        }
    }

    /// The close frame for a client that ended the connection itself: a client's own code is sent back to it.
    fn close(self) -> Frame {
        match self {
            SessionEnd::Disconnected(Disconnect::Closed(code)) => Frame::close(code.map(|code| (code, ""))),
            end => Frame::close(end.reason().close()),
        }
    }
}

/// A registered client. Dropping it gives the id back, and tells of its end.
struct ActiveSession<'a, H> {
    // Taken when the client leaves: the handler is dropped with the id.
    present: Option<(IdLease, H)>,
    messages_per_second: u32,
    /// The pause of a client above its rate limit: nothing is read until it ends.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
    session: &'a OpenSession,
}

impl<'a, H: ProtocolHandler> ActiveSession<'a, H> {
    fn begin<S: Socket>(
        lease: IdLease,
        handler: H,
        messages_per_second: u32,
        ConnectionInfo { address, version, .. }: ConnectionInfo,
        session: &'a OpenSession,
    ) -> Self {
        session.events().emit(|| {
            Happened::PeerConnected(Connected {
                peer: lease.realm().address(lease.id()),
                connection: lease.connection(),
                address,
                client_version: version,
                link: S::LINK,
            })
        });
        // A client that reconnects during its rate-limit pause keeps waiting.
        let pause = pause_for(lease.charge(0, messages_per_second), session);
        ActiveSession { present: Some((lease, handler)), messages_per_second, pause, session }
    }

    fn poll<S: Socket>(&mut self, cx: &mut task::Context<'_>, socket: &mut S) -> Poll<SessionEnd> {
        let Some((lease, handler)) = &mut self.present else {
            return Poll::Ready(SessionEnd::Dismissed);
        };
        let sent = lease.with_outbox(|outbox| {
            outbox.set_owner(cx.waker());
            let sent = socket.poll_send(cx, outbox);
            if sent.is_pending() {
                outbox.block();
            }
            sent
        });
        match sent {
            None => return Poll::Ready(SessionEnd::Dismissed),
            Some(Poll::Ready(Err(_))) => return Poll::Ready(SessionEnd::Disconnected(Disconnect::Gone)),
            Some(_) => {}
        }
        let mut flushes = Vec::new();
        for _ in 0..READS_PER_TURN {
            while let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                if socket.has_left(cx) {
                    return Poll::Ready(SessionEnd::Disconnected(Disconnect::Gone));
                }
                // We stopped reading, so silence proves nothing.
                lease.heard();
                self.pause = pause_for(lease.charge(0, self.messages_per_second), self.session);
            }
            let mut context = Context { peer: lease, sessions: self.session, flushes: &mut flushes };
            let pending = handler.poll_pending(cx, &mut context);
            flushes.drain(..).for_each(Flush::flush);
            ready!(pending);
            let (mut heard, mut left, mut messages, mut bytes, mut frames) = (false, false, 0, 0, 0);
            let (counters, mut begun) = (self.session.counters(), None);
            let received = ready!(socket.poll_recv(cx, &mut |event| {
                // Checked for each event: the client may lose its id meanwhile.
                if !lease.is_current() {
                    return ControlFlow::Break(());
                }
                if !std::mem::replace(&mut heard, true) {
                    lease.heard();
                }
                if let Some(len) = event.message_len() {
                    if messages == 0 {
                        begun = counters.sample();
                    }
                    messages += 1;
                    bytes += len as u64;
                }
                frames += 1;
                let context = Context { peer: lease, sessions: self.session, flushes: &mut flushes };
                let flow = on_event(handler, context, event);
                left |= flow.is_break();
                flow
            }));
            // Charged before anybody can see the messages: a takeover right after them must not get a new burst. Pings,
            // pongs and fragments count too, because they cost CPU time.
            lease.count_messages(messages, bytes);
            let excess = lease.charge(frames, self.messages_per_second);
            if !excess.is_zero() {
                counters.limit_hit(Limit::MessagesPerSecond);
            }
            // Messages of one read to one recipient are written together.
            let begun = begun.filter(|_| !flushes.is_empty());
            flushes.drain(..).for_each(Flush::flush);
            begun.into_iter().for_each(|begun| counters.latency().record(begun.elapsed()));
            if let Err(disconnect) = received {
                return Poll::Ready(SessionEnd::Disconnected(disconnect));
            }
            if left {
                return Poll::Ready(SessionEnd::Left);
            }
            if !lease.is_current() {
                return Poll::Ready(SessionEnd::Dismissed);
            }
            if !heard {
                // Part of a frame is a sign of life as well.
                lease.heard();
            }
            self.pause = pause_for(excess, self.session);
        }
        transport::give_way(cx);
        Poll::Pending
    }

    /// Gives the id back. The future, if any, closes the connection.
    fn goodbye<S: Socket>(
        &mut self,
        end: SessionEnd,
        socket: &mut S,
    ) -> Option<Pin<Box<impl Future<Output = ()>>>> {
        let departure = self.depart(end.reason(), end.is_gone()).filter(|_| !end.is_gone())?;
        // A client that the broker dismissed has its close frame in the outbox already.
        if departure.is_by_session() && end != SessionEnd::Dismissed {
            departure.with_outbox(|outbox| outbox.push_unbounded(Outgoing::notice(end.close())));
        }
        let send = move |cx: &mut task::Context<'_>, socket: &mut S| {
            let sent = departure.with_outbox(|outbox| socket.poll_send(cx, outbox));
            sent.unwrap_or(Poll::Ready(Ok(())))
        };
        Some(Box::pin(farewell(socket, send, self.session, end.is_by_client())))
    }
}

impl<H> ActiveSession<'_, H> {
    /// Gives the id back. `dead` means that the connection is broken.
    fn depart(&mut self, reason: CloseReason, dead: bool) -> Option<Departure> {
        let (lease, handler) = self.present.take()?;
        drop(handler);
        let departure = lease.part(reason, dead)?;
        self.session.events().emit(|| {
            let (peer, usage) = (departure.peer(), departure.usage());
            Happened::PeerDisconnected(Disconnected {
                peer: peer.realm().address(peer.id()),
                connection: peer.connection(),
                reason: departure.why(),
                duration: usage.duration,
                messages: usage.messages,
                bytes: usage.bytes,
            })
        });
        Some(departure)
    }
}

impl<H> Drop for ActiveSession<'_, H> {
    fn drop(&mut self) {
        drop(self.depart(CloseReason::Left, true));
    }
}

/// The pause of a client above its rate limit, cut into parts so that we notice when it leaves.
fn pause_for(excess: Duration, sessions: &Sessions) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let pause = excess.min(MAX_PAUSE);
    if pause.is_zero() { None } else { Some(Box::pin(sessions.sleep(pause))) }
}

/// Handles one event; breaks when the client says goodbye.
fn on_event<H: ProtocolHandler>(
    handler: &mut H,
    mut context: Context<'_>,
    event: Event<'_>,
) -> ControlFlow<()> {
    match event {
        Event::Text(text) => handler.on_text(text, &mut context),
        // Some clients send their JSON as bytes.
        Event::Binary(bytes) => handler.on_text(std::str::from_utf8(bytes).unwrap_or_default(), &mut context),
        Event::Ping(payload) => {
            context.reply(Frame::pong(payload));
            ControlFlow::Continue(())
        }
        Event::Pong | Event::Fragment => ControlFlow::Continue(()),
    }
}
