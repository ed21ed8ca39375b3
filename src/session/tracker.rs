//! A guest that announces torrents to the tracker.

use super::handler::Context;
use crate::descriptions::MediaMessage;
use crate::dialect::tracker::{self, Announce, Command, Occasion, Problem};
use crate::node::Tenant;
use crate::rendezvous::{Guests, Memberships};
use crate::wire::{Limit, MessageKind};

/// Does what a command says.
pub(super) fn obey(
    tenant: &Tenant,
    guests: &Guests,
    memberships: &mut Option<Box<Memberships>>,
    command: Command<'_>,
    context: &mut Context<'_>,
) {
    let frame = match command {
        Command::Announce(said) => {
            let new = || Box::new(Memberships::new(guests.swarms.clone(), context.peer.id().clone()));
            announce(tenant, guests, memberships.get_or_insert_with(new), &said, context);
            return;
        }
        Command::Scrape(names) => tracker::scraped(names.into_iter().map(|name| {
            let counts = guests.swarms.counts(&name.bytes);
            (name, counts)
        })),
        Command::Invalid(problem) => tracker::invalid(problem),
    };
    context.reply(frame);
}

fn announce(
    tenant: &Tenant,
    guests: &Guests,
    memberships: &mut Memberships,
    said: &Announce<'_>,
    context: &mut Context<'_>,
) {
    let hit = |limit, context: &Context<'_>| {
        context.node.events().limit_hit(limit, Some(tenant.key()), context.peer.address());
    };
    let counts = match memberships.announce(said) {
        Ok(counts) => counts,
        Err(problem) => {
            match problem {
                Problem::TooManySwarms => hit(Limit::SwarmsPerClient, context),
                Problem::KeyTooManySwarms => hit(Limit::KeySwarmMemberships, context),
                _ => {}
            }
            return context.reply(said.refused(problem));
        }
    };
    let info_hash = &said.info_hash.bytes;
    if let Some(answer) = &said.answer {
        // The reference does not count members for an answer, and ignores one for a member that has left.
        if let Some(guest) = guests.swarms.guest(info_hash, &answer.to) {
            let (id, frame) = (answer.id(), said.answer(answer));
            context.send(guest.as_str(), MessageKind::Call, frame, MediaMessage::Answer(id.as_deref()));
        }
        return;
    }
    context.reply(said.counted(counts));
    if said.event == Some(Occasion::Stopped) {
        return;
    }
    let others = guests.swarms.others(info_hash, &said.peer_id.bytes, said.offers.len());
    let rates = {
        let limits = &context.node.config().load().limits;
        (limits.room_deliveries_per_second, limits.room_key_deliveries_per_second)
    };
    if let Err(limit) = memberships.charge(others.len(), rates, context.node.clock().now()) {
        hit(limit, context);
        return context.reply(said.refused(Problem::TooFast));
    }
    for (offer, guest) in said.offers.iter().zip(&others) {
        let (id, frame) = (offer.id(), said.offer(offer));
        context.send(guest.as_str(), MessageKind::Call, frame, MediaMessage::Offer(id.as_deref()));
    }
}
