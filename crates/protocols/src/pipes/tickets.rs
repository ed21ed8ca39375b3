//! Tickets for ends that come to a pipe through another node, which has admitted them.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::client::unguessable;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{AddressPrefix, EndId, PipeId};
use peerbroker_limits::{Place, Places};

/// Time for which a ticket may be redeemed.
const VALID: Duration = Duration::from_secs(10);

/// Most tickets of a key.
const MAX_TICKETS: usize = 10_000;

/// The right of an end to come to its pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The pipe.
    pub pipe: PipeId,
    /// The end.
    pub end: EndId,
    /// The address of the end.
    pub address: Option<IpAddr>,
}

/// The way to a pipe of another node: in words, a URL and a number with a space between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeAddress {
    /// The URL of that node.
    pub url: String,
    /// The number of the ticket, which that node knows once.
    pub ticket: String,
}

/// The tickets of a key that are not redeemed.
#[derive(Default)]
pub(super) struct Tickets {
    given: Mutex<HashMap<String, Given>>,
    places: Arc<Places<AddressPrefix>>,
}

/// A ticket that is not redeemed.
struct Given {
    ticket: Ticket,
    since: Instant,
    /// Of those for tickets, taken for the address of the end.
    _place: Place<AddressPrefix>,
}

impl Ticket {
    /// The request of another node, in words: the end, and its address.
    pub fn wanted(&self) -> String {
        match self.address {
            Some(address) => format!("{} {address}", self.end),
            None => self.end.to_string(),
        }
    }

    pub(super) fn parse(pipe: PipeId, wanted: &str) -> Option<Self> {
        let (end, address) = wanted.split_once(' ').unwrap_or((wanted, ""));
        let address = if address.is_empty() { None } else { Some(address.parse().ok()?) };
        Some(Ticket { pipe, end: EndId::parse(end)?, address })
    }
}

impl PipeAddress {
    /// Reads the words.
    pub fn parse(words: &str) -> Option<Self> {
        let (url, ticket) = words.split_once(' ')?;
        Some(PipeAddress { url: url.to_owned(), ticket: ticket.to_owned() })
    }
}

impl fmt::Display for PipeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.ticket)
    }
}

impl Tickets {
    /// The number of a new ticket; `None` if there are too many.
    pub(super) fn give(&self, ticket: Ticket, now: Instant) -> Option<String> {
        let place = self.places.take(AddressPrefix::of_remote(ticket.address), MAX_TICKETS)?;
        let number = unguessable();
        self.given.lock().insert(number.clone(), Given { ticket, since: now, _place: place });
        Some(number)
    }

    pub(super) fn take(&self, number: &str) -> Option<Ticket> {
        self.given.lock().remove(number).map(|given| given.ticket)
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.given.lock().retain(|_, given| now.saturating_since(given.since) < VALID);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_understand_each_other() {
        let pipe = PipeId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let end = EndId::parse("AQIDBAUGBwgJCgsMDQ4PEA").unwrap();
        for address in [None, Some("192.0.2.1"), Some("2001:db8::1")] {
            let ticket = Ticket { pipe, end, address: address.map(|address| address.parse().unwrap()) };
            assert_eq!(Ticket::parse(pipe, &ticket.wanted()), Some(ticket));
        }
        assert_eq!(Ticket::parse(pipe, "short"), None);
        let way = PipeAddress { url: "http://192.0.2.1:9000/".into(), ticket: "abc".into() };
        assert_eq!(PipeAddress::parse(&way.to_string()), Some(way));
    }

    #[test]
    fn a_ticket_is_redeemed_once_and_in_time() {
        let tickets = Tickets::default();
        let pipe = PipeId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let ticket = Ticket { pipe, end: EndId::parse("AQIDBAUGBwgJCgsMDQ4PEA").unwrap(), address: None };
        let at = Instant::from_millis;
        let number = tickets.give(ticket.clone(), at(0)).unwrap();
        tickets.sweep(at(9_999));
        assert_eq!((tickets.take(&number), tickets.take(&number)), (Some(ticket.clone()), None));
        let late = tickets.give(ticket, at(0)).unwrap();
        tickets.sweep(at(10_000));
        assert_eq!(tickets.take(&late), None);
    }
}
