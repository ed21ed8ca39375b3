//! Does the effects of clients: the one place in which a message is rewritten, routed and lost.

use std::borrow::Cow;
use std::sync::Arc;

use crate::descriptions::{self, ANYBODY, Signal};
use crate::{Client as Sender, Message as Seen, Node};
use peerbroker_core::vocabulary::{Limit, PeerId};
use peerbroker_protocols::client::{
    AppRequest, Ask, Context, Description, Effect, Effects, Lost, Message, Protocol, Publication, Published,
    WriteFrame, report_mistake,
};
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::mistakes::{self, InVain};
use peerbroker_protocols::peerjs::{Kind, app};
use peerbroker_protocols::pipes::Pipes;
use peerbroker_protocols::signal::SignalKind;
use peerbroker_rooms::{Read, Requester};
use peerbroker_router::{Flushes, MESSAGES, PeerHandle};

/// The part of a session's loop in which its client handles something.
pub struct ClientTurn<'a> {
    pub(super) node: &'a Node,
    pub(super) peer: &'a PeerHandle,
    pub(super) key: &'a Arc<KeyState>,
    /// Flushed once per read, so that a batch for one recipient is written together.
    pub(super) flushes: &'a mut Flushes,
    /// The question of the client, if it has asked one.
    pub asked: Option<Ask>,
    /// True if the client says goodbye.
    pub(super) left: bool,
    /// True if a message had no meaning.
    pub(super) ignored: bool,
}

impl<'a> ClientTurn<'a> {
    /// Nothing has happened yet.
    pub fn new(
        node: &'a Node,
        peer: &'a PeerHandle,
        key: &'a Arc<KeyState>,
        flushes: &'a mut Flushes,
    ) -> Self {
        ClientTurn { node, peer, key, flushes, asked: None, left: false, ignored: false }
    }

    /// Lets a client handle something, and does what that causes.
    // Inline, because each heartbeat comes here.
    #[inline]
    pub fn handle<'t, C: Protocol>(
        &mut self,
        client: &mut C,
        act: impl FnOnce(&mut C, &mut Context<'_, 't>),
    ) {
        let mut effects = Effects::default();
        let ClientTurn { peer, key, flushes, .. } = self;
        act(client, &mut Context { peer, key, flushes, effects: &mut effects });
        if !effects.is_empty() {
            self.do_all(client, &mut effects);
        }
    }

    /// The page of the client goes away.
    pub(super) fn going_away<C: Protocol>(&mut self) {
        let mut effects = Effects::default();
        let ClientTurn { peer, key, flushes, .. } = self;
        C::on_going_away(&mut Context { peer, key, flushes, effects: &mut effects });
        debug_assert!(effects.is_empty(), "its last words are in the outboxes of others");
    }

    fn do_all<C: Protocol>(&mut self, client: &mut C, effects: &mut Effects<'_>) {
        effects.drain(|effect| match effect {
            Effect::Send(message) => self.send(client, message),
            Effect::Publish(Publication { topic, others, text, frame, mut read }) => {
                self.publish::<C>(&topic, &text, frame, &mut read);
                others.iter().for_each(|topic| self.publish::<C>(topic, &text, frame, &mut read));
            }
            Effect::App(request) => self.send_to_app(&request),
            Effect::Ask(ask) => self.asked = Some(ask),
            Effect::Leave => self.left = true,
            Effect::Ignored => self.ignore(),
            Effect::InVain(text) => self.report_in_vain::<C>(text),
        });
    }

    fn ignore(&mut self) {
        self.ignored = true;
        let id = self.peer.id().as_str();
        let connection = self.peer.connection();
        log::debug!(target: MESSAGES, "{connection} ({id:?}): ignored a message that has no meaning");
    }

    /// Tells the operator of a message that has no effect, and the client, if it is surely not meant.
    #[cold]
    fn report_in_vain<C: Protocol>(&mut self, text: &str) {
        self.ignore();
        let dialects = self.node.config().load().dialects;
        let InVain { what, hint, told } = mistakes::in_vain(C::REALM, dialects, text);
        report_mistake(self.key, self.peer, || (what, hint));
        if let Some(frame) = told.and_then(|why| C::in_vain(&why)) {
            self.flushes.extend(self.peer.reply(frame));
        }
    }

    /// Sends a message to another client of the realm, with a candidate of the relay if the key allows it.
    fn send<C: Protocol>(&mut self, client: &mut C, mut message: Message<'_>) {
        if C::APP_HEARS
            && let Some(kind) = Kind::of(message.kind)
        {
            let sender = Sender { key: self.peer.key(), id: self.peer.id() };
            self.node.record_message(sender, Seen { kind, dst: &message.to, payload: message.payload });
        }
        if message.signal == SignalKind::Offer
            && self.key.expects_pipes()
            && let Some(pipe) = message.payload.and_then(descriptions::pipe_in)
        {
            self.key.part::<Pipes>().expect(pipe, self.peer.id(), self.peer.address());
        }
        // The rest costs time, and most servers have no relay.
        if let Some(relay) = self.node.relay()
            && message.signal != SignalKind::Other
            && let Some(mode) = self.node.relay_mode(self.peer.key())
        {
            let Description { text, connection } = C::description(&message);
            let signal = Signal { kind: message.signal, to: &[&message.to], connection };
            match descriptions::prepare_for_relay(relay, self.peer, mode, signal, text) {
                // The recipient may not have this one, such as a candidate with the address of its sender.
                None => return,
                Some(Cow::Borrowed(_)) => {}
                Some(Cow::Owned(text)) => {
                    message.frame = C::with_description(self.peer.id(), &message, &text);
                }
            }
        }
        let Message { to, kind, frame, is_told, .. } = message;
        if let Err(reason) = self.peer.route(&to, kind, frame).collect_flush(self.flushes)
            && is_told
        {
            self.report_loss(client, Lost { to: &to, kind, reason });
        }
    }

    #[cold]
    fn report_loss<C: Protocol>(&mut self, client: &mut C, lost: Lost<'_>) {
        self.handle(client, |client, context| client.on_lost(lost, context));
    }

    /// Tells the subscribers of a topic. To an offer or answer the relay adds its candidates. The id that its
    /// client gives itself becomes the data of the subscription, so that all nodes know it.
    fn publish<C: Protocol>(&mut self, topic: &str, text: &str, frame: WriteFrame, read: &mut Read) {
        let Some(rooms) = self.key.existing_rooms(self.peer.realm().kind()) else { return };
        let requester = &mut Requester { peer: self.peer, request: None, flushes: self.flushes };
        let mut prepared = Some(Cow::Borrowed(text));
        // The rest costs time, and most servers have no relay.
        if let Some(relay) = self.node.relay()
            && let Some(mode) = self.node.relay_mode(self.peer.key())
            && let Some(Published { from, to, kind }) = C::published(text)
        {
            if PeerId::parse(&from).is_ok() {
                // One that is not subscribed has no name.
                let _ = rooms.update(requester, topic, Some(&Published::name(&from)));
            }
            let named = match (kind, &to) {
                (SignalKind::Answer, Some(to)) => rooms.members_with(topic, &Published::name(to)),
                _ => Vec::new(),
            };
            let named: Vec<&str> = named.iter().map(PeerId::as_str).collect();
            let prepare = |to: &[&str], connection| {
                let signal = Signal { kind, to, connection };
                descriptions::prepare_for_relay(relay, self.peer, mode, signal, text)
            };
            prepared = match (kind, to) {
                // Several subscribers may have used the name: the one that answers has it.
                (SignalKind::Offer, Some(to)) => prepare(&[ANYBODY], Some(to)),
                (SignalKind::Answer, Some(_)) => prepare(&named, Some(from)),
                (SignalKind::Candidate, _) => prepare(&[], None),
                _ => prepared,
            };
        }
        let Some(text) = prepared else { return };
        if let Err(refusal) = rooms.publish(requester, topic, |members| frame(topic, &text, members), read) {
            self.limit_hit(refusal.ending().limit);
        }
    }

    /// Hands a message over to the app's server. The answer of the app comes later.
    fn send_to_app(&mut self, &AppRequest { payload, id }: &AppRequest<'_>) {
        let taken = id.and_then(|id| self.node.send_to_app(self.peer, payload, id));
        if let Err(refusal) = taken {
            self.limit_hit(refusal.ending().limit);
            self.flushes.extend(self.peer.reply(app::refused(id.ok().flatten(), refusal)));
        }
    }

    fn limit_hit(&self, limit: Option<Limit>) {
        self.node.events().limit_hit(limit, Some(self.key.key()), self.peer.address());
    }
}
