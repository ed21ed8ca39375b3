//! For PeerJS 0.3.x over HTTP: each request names id and token, and some arrive before the stream that they belong to.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::lease::Peer;
use super::realm::Realm;
use super::slot::Slot;
use crate::wire::{CloseReason, PeerId, Token};

/// Ready when the id is registered with this token (`true`), or was refused to it (`false`).
pub struct PendingRegistration(Option<Waiting>);

/// A POST whose body is being read. It counts until it is dropped.
pub struct PostPermit {
    realm: Arc<Realm>,
    slot: Arc<Slot>,
}

struct Waiting {
    realm: Arc<Realm>,
    slot: Arc<Slot>,
    arrived: oneshot::Receiver<bool>,
}

impl Realm {
    /// The connection that holds an id with this token.
    pub fn holder(self: &Arc<Self>, id: &PeerId, token: &Token) -> Option<Peer> {
        self.holder_with(id, |held| held == token)
    }

    /// The connection that holds an id, if its token is the right one.
    pub fn holder_with(self: &Arc<Self>, id: &PeerId, is_right: impl Fn(&Token) -> bool) -> Option<Peer> {
        let slot = self.find(id.as_str())?;
        let conn = slot.lock().conn.as_ref().filter(|holder| is_right(&holder.token))?.id;
        Some(Peer::new(Arc::clone(self), slot, conn))
    }

    /// Waits until an id is registered with this token. `None` if too many requests wait for that already.
    pub fn wait_for(self: &Arc<Self>, id: &PeerId, token: &Token) -> Option<PendingRegistration> {
        self.with_id(id, |guard| {
            if guard.is_held_with(token) {
                return Some(PendingRegistration(None));
            }
            let arrived = guard.wait_for(token)?;
            let (realm, slot) = (Arc::clone(self), Arc::clone(guard.slot));
            Some(PendingRegistration(Some(Waiting { realm, slot, arrived })))
        })
    }

    /// Counts a POST of a client. `None` if it has too many at a time.
    pub fn begin_post(self: &Arc<Self>, id: &PeerId) -> Option<PostPermit> {
        self.with_id(id, |guard| {
            let begun = guard.begin_post();
            begun.then(|| PostPermit { realm: Arc::clone(self), slot: Arc::clone(guard.slot) })
        })
    }

    /// Tells waiting requests that an id was refused to this token.
    pub fn announce_refusal(&self, id: &PeerId, token: &Token) {
        if let Some(slot) = self.find(id.as_str()) {
            slot.lock().announce(token, false);
        }
    }

    /// Whether a stream with this token holds an id, so that another stream may continue it.
    pub fn is_streamed(&self, id: &PeerId, token: &Token) -> bool {
        self.find(id.as_str()).is_some_and(|slot| slot.lock().is_streamed(token))
    }

    /// Dismisses the stream that holds an id with this token, if there is one: its client starts anew.
    pub fn end_stream(self: &Arc<Self>, id: &PeerId, token: &Token) {
        if self.is_streamed(id, token)
            && let Some(stream) = self.holder(id, token)
        {
            stream.dismiss(CloseReason::Replaced);
        }
    }
}

impl Future for PendingRegistration {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.0 {
            None => Poll::Ready(true),
            // The slot keeps the sender for as long as this receiver exists.
            Some(waiting) => Poll::Ready(ready!(Pin::new(&mut waiting.arrived).poll(cx)).unwrap_or(false)),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.arrived.close();
        self.realm.with(&self.slot, |guard| guard.forget_waiting());
    }
}

impl Drop for PostPermit {
    fn drop(&mut self) {
        self.realm.with(&self.slot, |guard| guard.end_post());
    }
}
