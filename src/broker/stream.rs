//! What the HTTP form of the oldest clients asks of a realm: they say who they are with every
//! request, and some requests come before the connection that they belong to.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::lease::Peer;
use super::realm::Realm;
use super::slot::Slot;
use crate::wire::{CloseReason, PeerId, Token};

/// Ready when the id that is waited for is registered with its token (`true`), or refused to it.
pub struct Arrival(Option<Waiting>);

/// Something that a client is posting. It counts until it is dropped.
pub struct Posting {
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
        let slot = self.find(id.as_str())?;
        let conn = slot.lock().conn.as_ref().filter(|holder| holder.token == *token)?.id;
        Some(Peer::new(Arc::clone(self), slot, conn))
    }

    /// Waits until an id is registered with this token. `None` if too many wait for that id with it.
    pub fn wait_for(self: &Arc<Self>, id: &PeerId, token: &Token) -> Option<Arrival> {
        self.with_id(id, |guard| {
            if guard.is_held_with(token) {
                return Some(Arrival(None));
            }
            let arrived = guard.wait_for(token)?;
            let (realm, slot) = (Arc::clone(self), Arc::clone(guard.slot));
            Some(Arrival(Some(Waiting { realm, slot, arrived })))
        })
    }

    /// Begins to read what a client posts. `None` if it posts too much at a time.
    pub fn begin_post(self: &Arc<Self>, id: &PeerId) -> Option<Posting> {
        self.with_id(id, |guard| {
            let begun = guard.begin_post();
            begun.then(|| Posting { realm: Arc::clone(self), slot: Arc::clone(guard.slot) })
        })
    }

    /// Tells those who wait that an id was refused to this token.
    pub fn announce_refusal(&self, id: &PeerId, token: &Token) {
        if let Some(slot) = self.find(id.as_str()) {
            slot.lock().announce(token, false);
        }
    }

    /// Whether a stream with this token holds an id, so that another one may go on with it.
    pub fn is_streamed(&self, id: &PeerId, token: &Token) -> bool {
        self.find(id.as_str()).is_some_and(|slot| slot.lock().is_streamed(token))
    }

    /// Dismisses the stream that holds an id with this token, if one does: its client starts anew.
    pub fn end_stream(self: &Arc<Self>, id: &PeerId, token: &Token) {
        if self.is_streamed(id, token)
            && let Some(stream) = self.holder(id, token)
        {
            stream.dismiss(CloseReason::Replaced);
        }
    }
}

impl Future for Arrival {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.0 {
            None => Poll::Ready(true),
            // The slot keeps the other end for as long as this one is there.
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

impl Drop for Posting {
    fn drop(&mut self) {
        self.realm.with(&self.slot, |guard| guard.end_post());
    }
}
