//! A client that announces torrents to the tracker.

use std::sync::Arc;

use super::{Announce, Announced, Memberships, Occasion, Problem, Swarms, TrackerCommand};
use crate::client::{Answer, Ask, Context};
use crate::names::NameHolder;
use crate::signal::SignalKind;
use peerbroker_core::vocabulary::{Limit, MessageKind, PeerId};

/// A client's memberships in swarms, once it has one.
#[derive(Default)]
pub struct Announcer(Option<Box<Memberships>>);

/// An announce waits until it is known if the client lives that has its id.
pub(crate) struct Pending {
    announce: Box<Announce<'static>>,
    holder: PeerId,
}

impl Pending {
    pub(crate) fn kept_bytes(&self) -> usize {
        self.announce.len()
    }
}

impl Announcer {
    pub(crate) fn on_command<'t>(
        &mut self,
        command: TrackerCommand<'t>,
        _text: &'t str,
        swarms: &Arc<Swarms>,
        context: &mut Context<'_, 't>,
    ) -> Option<Pending> {
        let frame = match command {
            TrackerCommand::Announce(announce) => {
                return self.announce(announce, &NameHolder::Unasked, swarms, context);
            }
            TrackerCommand::Scrape(names) => {
                context.charge_list(names.len());
                super::scraped(names.into_iter().map(|name| {
                    let counts = swarms.counts(&name.bytes);
                    (name, counts)
                }))
            }
            TrackerCommand::Invalid(problem) => super::invalid(problem),
        };
        context.reply(frame);
        None
    }

    pub(crate) fn on_answer(
        &mut self,
        Pending { announce, holder }: Pending,
        answer: Answer,
        swarms: &Arc<Swarms>,
        context: &mut Context<'_, '_>,
    ) -> Option<Pending> {
        let holder = match answer {
            Answer::IsAlive(false) => NameHolder::Gone(holder),
            _ => NameHolder::Alive,
        };
        self.announce(announce, &holder, swarms, context)
    }

    /// Ends the memberships.
    pub(crate) fn release(&mut self) {
        self.0 = None;
    }

    /// `holder` is known of the client that has the id of the announce.
    fn announce<'t>(
        &mut self,
        announce: Box<Announce<'t>>,
        holder: &NameHolder,
        swarms: &Arc<Swarms>,
        context: &mut Context<'_, 't>,
    ) -> Option<Pending> {
        let memberships = self.0.get_or_insert_with(|| {
            let peer = context.peer;
            Box::new(Memberships::new(Arc::clone(swarms), peer.id().clone(), peer.address()))
        });
        let counts = match memberships.announce(&announce, holder) {
            Ok(Announced::Counted(counts)) => counts,
            Ok(Announced::Held(holder)) => {
                context.ask(Ask::IsAlive(holder.clone()));
                return Some(Pending { announce: Box::new(announce.into_owned()), holder });
            }
            Err(problem) => {
                match problem {
                    Problem::TooManySwarms => context.limit_hit(Limit::SwarmsPerClient),
                    Problem::KeyTooManySwarms => context.limit_hit(Limit::KeySwarmMemberships),
                    _ => {}
                }
                context.reply(announce.refused(problem));
                return None;
            }
        };
        let info_hash = &announce.info_hash.bytes;
        if announce.event == Some(Occasion::Stopped) {
            // It may not hold the id, so it says nothing in its name.
            context.reply(announce.counted(counts));
            return None;
        }
        if let Some(answer) = &announce.answer {
            // The reference does not count members for an answer, and ignores one for a member that has left.
            if let Some(guest) = swarms.guest(info_hash, &answer.to) {
                let frame = announce.answer(answer);
                context.send(guest.as_str().to_owned(), MessageKind::Swarm, SignalKind::Answer, frame);
            }
            return None;
        }
        context.charge_list(announce.offers.len());
        context.reply(announce.counted(counts));
        let others = swarms.others(info_hash, context.peer.id(), announce.offers.len());
        let rates = {
            let limits = &context.key.router().live_config().load().limits;
            (limits.room_deliveries_per_second, limits.room_key_deliveries_per_second)
        };
        if let Err(limit) = memberships.charge(others.len(), rates, context.now()) {
            context.limit_hit(limit);
            context.reply(announce.refused(Problem::TooFast));
            return None;
        }
        for (offer, guest) in announce.offers.iter().zip(&others) {
            let frame = announce.offer(offer);
            context.send(guest.as_str().to_owned(), MessageKind::Swarm, SignalKind::Offer, frame);
        }
        None
    }
}
