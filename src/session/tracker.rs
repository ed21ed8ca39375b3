//! A guest that announces torrents to the tracker.

use super::handler::Context;
use crate::descriptions::MediaMessage;
use crate::node::Tenant;
use peerbroker_broker::protocols::guests::Guests;
use peerbroker_broker::protocols::names::NameHolder;
use peerbroker_broker::protocols::tracker::{self, Announce, Command, Occasion, Problem};
use peerbroker_broker::protocols::tracker::{Announced, Memberships};
use peerbroker_core::wire::{Limit, MessageKind, PeerId};

/// Does what a command says. Returns the guest that has the id of an announce: it may not live any more. `holder` is known of it.
pub(super) fn obey(
    tenant: &Tenant,
    guests: &Guests,
    memberships: &mut Option<Box<Memberships>>,
    command: Command<'_>,
    holder: &NameHolder,
    context: &mut Context<'_>,
) -> Option<PeerId> {
    let frame = match command {
        Command::Announce(said) => {
            let memberships = memberships.get_or_insert_with(|| {
                let (id, address) = (context.peer.id().clone(), context.peer.address());
                Box::new(Memberships::new(guests.swarms.clone(), id, address))
            });
            return announce(tenant, guests, memberships, &said, holder, context);
        }
        Command::Scrape(names) => {
            context.charge_list(names.len(), tenant.policy().settings().messages_per_second);
            tracker::scraped(names.into_iter().map(|name| {
                let counts = guests.swarms.counts(&name.bytes);
                (name, counts)
            }))
        }
        Command::Invalid(problem) => tracker::invalid(problem),
    };
    context.reply(frame);
    None
}

fn announce(
    tenant: &Tenant,
    guests: &Guests,
    memberships: &mut Memberships,
    said: &Announce<'_>,
    holder: &NameHolder,
    context: &mut Context<'_>,
) -> Option<PeerId> {
    let hit = |limit, context: &Context<'_>| {
        context.node.events().limit_hit(limit, Some(tenant.key()), context.peer.address());
    };
    let counts = match memberships.announce(said, holder) {
        Ok(Announced::Counted(counts)) => counts,
        Ok(Announced::Held(guest)) => return Some(guest),
        Err(problem) => {
            match problem {
                Problem::TooManySwarms => hit(Limit::SwarmsPerClient, context),
                Problem::KeyTooManySwarms => hit(Limit::KeySwarmMemberships, context),
                _ => {}
            }
            context.reply(said.refused(problem));
            return None;
        }
    };
    let info_hash = &said.info_hash.bytes;
    if said.event == Some(Occasion::Stopped) {
        // It may not hold the id, so it says nothing in its name.
        context.reply(said.counted(counts));
        return None;
    }
    if let Some(answer) = &said.answer {
        // The reference does not count members for an answer, and ignores one for a member that has left.
        if let Some(guest) = guests.swarms.guest(info_hash, &answer.to) {
            let (id, frame) = (answer.id(), said.answer(answer));
            context.send(guest.as_str(), MessageKind::Swarm, frame, MediaMessage::Answer(id.as_deref()));
        }
        return None;
    }
    context.charge_list(said.offers.len(), tenant.policy().settings().messages_per_second);
    context.reply(said.counted(counts));
    let others = guests.swarms.others(info_hash, context.peer.id(), said.offers.len());
    let rates = {
        let limits = &context.node.config().load().limits;
        (limits.room_deliveries_per_second, limits.room_key_deliveries_per_second)
    };
    if let Err(limit) = memberships.charge(others.len(), rates, context.node.clock().now()) {
        hit(limit, context);
        context.reply(said.refused(Problem::TooFast));
        return None;
    }
    for (offer, guest) in said.offers.iter().zip(&others) {
        let (id, frame) = (offer.id(), said.offer(offer));
        context.send(guest.as_str(), MessageKind::Swarm, frame, MediaMessage::Offer(id.as_deref()));
    }
    None
}
