//! A caller or callee: others find it by its alias.

use std::borrow::Cow;
use std::sync::Arc;

use super::{CallAlias, CallAliases, CallCommand, Message};
use crate::client::{Answer, Ask, Context, fresh_id};
use crate::names::Hold;
use peerbroker_core::vocabulary::{MessageKind, NameKind};

/// A client's part in calls.
#[derive(Default)]
pub struct Caller {
    /// Boxed, because most clients at the root call nobody.
    alias: Option<Box<HeldAlias>>,
    /// True if it was told its alias.
    introduced: bool,
}

/// The id under which a client can be called, and, if that is not its own id, the hold on it in a cluster.
struct HeldAlias {
    alias: CallAlias,
    _hold: Option<Hold>,
}

/// A callee waits until the other nodes know its alias.
pub(crate) struct Pending(CallAlias);

impl Pending {
    pub(crate) fn kept_bytes(&self) -> usize {
        0
    }
}

impl Caller {
    pub(crate) fn on_command<'t>(
        &mut self,
        command: CallCommand<'t>,
        _text: &'t str,
        aliases: &Arc<CallAliases>,
        context: &mut Context<'_, 't>,
    ) -> Option<Pending> {
        match command {
            CallCommand::Start => return self.introduce(aliases, context),
            CallCommand::Send(message) => self.send(&message, aliases, context),
            CallCommand::Ignored => {}
        }
        None
    }

    /// Tells the client the id under which it can be called: a new one each time.
    fn introduce(&mut self, aliases: &Arc<CallAliases>, context: &mut Context<'_, '_>) -> Option<Pending> {
        if std::mem::replace(&mut self.introduced, true)
            && let Ok(id) = fresh_id()
        {
            let alias = aliases.add(id, context.peer.id());
            if context.key.is_clustered() {
                context.ask(hold(&alias));
                return Some(Pending(alias));
            }
            self.alias = Some(Box::new(HeldAlias { alias, _hold: None }));
        }
        self.send_alias(aliases, context);
        None
    }

    /// The alias is announced, or will be if the other nodes cannot be asked now.
    pub(crate) fn on_answer(
        &mut self,
        Pending(alias): Pending,
        answer: Answer,
        aliases: &Arc<CallAliases>,
        context: &mut Context<'_, '_>,
    ) -> Option<Pending> {
        if let Answer::Held(_, hold) = answer {
            self.alias = Some(Box::new(HeldAlias { alias, _hold: Some(hold) }));
        }
        self.send_alias(aliases, context);
        None
    }

    fn send_alias(&mut self, aliases: &Arc<CallAliases>, context: &mut Context<'_, '_>) {
        let started = super::started(self.alias(aliases, context).id().as_str());
        context.reply(started);
    }

    /// The first alias is the id of the peer itself, so that hooks and logs know it. A caller without an
    /// alias gets it too, so that it can be answered.
    fn alias(&mut self, aliases: &Arc<CallAliases>, context: &Context<'_, '_>) -> &CallAlias {
        let peer = context.peer.id();
        let add = || Box::new(HeldAlias { alias: aliases.add(peer.clone(), peer), _hold: None });
        let HeldAlias { alias, .. } = &**self.alias.get_or_insert_with(add);
        alias
    }

    fn send<'t>(&mut self, message: &Message<'t>, aliases: &Arc<CallAliases>, context: &mut Context<'_, 't>) {
        let called: Cow<'t, str> = match aliases.guest(&message.to) {
            Some(guest) => guest.as_str().to_owned().into(),
            // In a cluster, the node that has an alias knows its guest.
            None if context.key.is_clustered() && !context.peer.realm().contains(&message.to) => {
                message.to.clone()
            }
            None => return,
        };
        let frame = message.frame(self.alias(aliases, context).id().as_str());
        context.send(called, MessageKind::Signal, message.kind, frame);
    }

    /// Gives the alias up.
    pub(crate) fn release(&mut self) {
        self.alias = None;
    }
}

fn hold(alias: &CallAlias) -> Ask {
    Ask::Hold(NameKind::Alias, alias.id().as_str().to_owned())
}
