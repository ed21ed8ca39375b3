//! What the HTTP form of the oldest clients asks of a realm: they say who they are with every
//! request, and some requests come before the connection that they belong to.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::place::Place;
use super::realm::Realm;
use super::registration::Peer;
use super::types::{Goodbye, PeerId, Token};

/// Ready when the id that is waited for is registered with its token (`true`), or refused to it.
pub struct Arrival(Option<Waiting>);

/// Something that a client is posting. It counts until it is dropped.
pub struct Posting {
    realm: Arc<Realm>,
    place: Arc<Place>,
}

struct Waiting {
    realm: Arc<Realm>,
    place: Arc<Place>,
    arrived: oneshot::Receiver<bool>,
}

impl Realm {
    /// The connection that holds an id with this token.
    pub fn holder(self: &Arc<Self>, id: &PeerId, token: &Token) -> Option<Peer> {
        let place = self.find(id.as_str())?;
        let conn = place.lock().conn.as_ref().filter(|holder| holder.token == *token)?.id;
        Some(Peer::new(Arc::clone(self), place, conn))
    }

    /// Waits until an id is registered with this token. `None` if too many wait for that id with it.
    pub fn wait_for(self: &Arc<Self>, id: &PeerId, token: &Token) -> Option<Arrival> {
        self.at(id, |place, state| {
            if state.is_held_with(token) {
                return Some(Arrival(None));
            }
            let arrived = state.wait_for(token)?;
            let (realm, place) = (Arc::clone(self), Arc::clone(place));
            Some(Arrival(Some(Waiting { realm, place, arrived })))
        })
    }

    /// Begins to read what a client posts. `None` if it posts too much at a time.
    pub fn begin_post(self: &Arc<Self>, id: &PeerId) -> Option<Posting> {
        self.at(id, |place, state| {
            let begun = state.begin_post();
            begun.then(|| Posting { realm: Arc::clone(self), place: Arc::clone(place) })
        })
    }

    /// Tells those who wait that an id was refused to this token.
    pub fn announce_refusal(&self, id: &PeerId, token: &Token) {
        if let Some(place) = self.find(id.as_str()) {
            place.lock().announce(token, false);
        }
    }

    /// Whether a stream with this token holds an id, so that another one may go on with it.
    pub fn is_streamed(&self, id: &PeerId, token: &Token) -> bool {
        self.find(id.as_str()).is_some_and(|place| place.lock().is_streamed(token))
    }

    /// Dismisses the stream that holds an id with this token, if one does: its client starts anew.
    pub fn end_stream(self: &Arc<Self>, id: &PeerId, token: &Token) {
        if self.is_streamed(id, token)
            && let Some(stream) = self.holder(id, token)
        {
            stream.dismiss(Goodbye::Replaced);
        }
    }
}

impl Future for Arrival {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.0 {
            None => Poll::Ready(true),
            // The place keeps the other end for as long as this one is there.
            Some(waiting) => Poll::Ready(ready!(Pin::new(&mut waiting.arrived).poll(cx)).unwrap_or(false)),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.arrived.close();
        let mut state = self.place.lock();
        state.forget_waiting();
        self.realm.retire_if_vacant(&self.place, &mut state);
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        let mut state = self.place.lock();
        state.end_post();
        self.realm.retire_if_vacant(&self.place, &mut state);
    }
}
