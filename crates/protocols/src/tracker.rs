//! The WebSocket protocol of WebTorrent's trackers: clients announce torrents, and exchange offers with other
//! members of the swarm.
//!
//! See bittorrent-tracker 11.2.3, `lib/server/parse-websocket.js` and `server.js`. An info hash or the id of
//! a peer is a string of 20 characters, one for each byte. Offers, answers, their ids and these strings are
//! forwarded as their sender's own JSON text.

mod advice;
mod client;
mod swarms;

use std::borrow::Cow;

use super::json::{self, Object};
pub(super) use advice::ADVICE;
pub use client::Announcer;
pub(super) use client::Pending;
use peerbroker_core::vocabulary::{Frame, labels};
pub use swarms::{Announced, MAX_MEMBERSHIPS, MAX_SWARMS, Memberships, Swarms};

/// Most offers of an announce that are forwarded. The reference has this limit, too.
pub const MAX_OFFERS: usize = 82;

/// Most info hashes of a scrape.
pub const MAX_SCRAPED: usize = 100;

const _: () = assert!(MAX_OFFERS < json::MAX_ELEMENTS && MAX_SCRAPED < json::MAX_ELEMENTS);

/// Seconds until the next announce of a client, as the reference has it.
const INTERVAL: u32 = 120;

/// Seconds until the next scrape.
const SCRAPE_INTERVAL: u32 = 600;

/// The bytes of an info hash, or of the id of a peer in a swarm.
pub type Hash = [u8; 20];

/// A command of a client.
#[derive(Debug)]
pub enum TrackerCommand<'a> {
    /// Be a member of a swarm, or no longer, and send it offers or an answer.
    Announce(Box<Announce<'a>>),
    /// Count the members of these swarms.
    Scrape(Vec<Name<'a>>),
    /// The client is told the reason.
    Invalid(Problem),
}

/// A client announces a torrent.
#[derive(Debug)]
pub struct Announce<'a> {
    /// The torrent.
    pub info_hash: Name<'a>,
    /// The client's id in the swarm.
    pub peer_id: Name<'a>,
    /// The occasion; `None` if it is not valid.
    pub event: Option<Occasion>,
    /// True if the client has the whole torrent.
    pub is_complete: bool,
    /// Offers, each for one other member.
    pub offers: Vec<Offer<'a>>,
    /// The answer to an offer of another member.
    pub answer: Option<Answer<'a>>,
}

/// The occasion of an announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The client is in the swarm.
    Here,
    /// The client has just got the rest of the torrent.
    Completed,
    /// The client leaves the swarm.
    Stopped,
}

/// An info hash, or the id of a peer.
#[derive(Debug)]
pub struct Name<'a> {
    /// Its bytes.
    pub bytes: Hash,
    text: Cow<'a, str>,
}

/// The offer of a member.
#[derive(Debug)]
pub struct Offer<'a> {
    offer: Cow<'a, str>,
    id: Option<Cow<'a, str>>,
}

/// The answer of a member.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The member that has made the offer.
    pub to: Hash,
    answer: Cow<'a, str>,
    id: Option<Cow<'a, str>>,
}

/// The number of the members of a swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Members that have the whole torrent.
    pub complete: usize,
    /// The other members.
    pub incomplete: usize,
}

labels! {
    /// The reason why the server refuses a command. The labels are the texts for the client, the first four
    /// those of the reference.
    pub enum Problem {
        /// The info hash is no string of 20 bytes.
        InfoHash = "invalid info_hash",
        /// The id of the client is no string of 20 bytes.
        PeerId = "invalid peer_id",
        /// The id of the recipient of an answer is no string of 20 bytes.
        ToPeerId = "invalid `to_peer_id` (required with `answer`)",
        /// There is no such event.
        Event = "invalid event",
        /// Another client has this id in the swarm.
        PeerIdTaken = "another client has this peer_id",
        /// The client is in as many swarms as it may.
        TooManySwarms = "you are in too many swarms",
        /// The clients of the key are.
        KeyTooManySwarms = "the tracker is full",
        /// The client, or those of the key, send too many offers.
        TooFast = "too many offers",
        /// A scrape has too many info hashes, or none.
        Scraped = "a scrape has 1 to 100 info hashes",
    }
}

/// The actions of clients.
pub(super) const ACTIONS: &[&str] = &["announce", "scrape"];

/// Decodes a frame with an action of this protocol; `None` for any other action. Messages of calls have
/// `data`, and may have any action.
pub(super) fn decode<'a>(action: &str, frame: &Object<'a>) -> Option<TrackerCommand<'a>> {
    if !ACTIONS.contains(&action) || frame.get("data").is_some_and(|data| data.starts_with('{')) {
        return None;
    }
    Some(match action {
        "scrape" => scrape(frame).map_or_else(TrackerCommand::Invalid, TrackerCommand::Scrape),
        _ => announce(frame).map(Box::new).map_or_else(TrackerCommand::Invalid, TrackerCommand::Announce),
    })
}

fn announce<'a>(frame: &Object<'a>) -> Result<Announce<'a>, Problem> {
    let name = |member, problem| frame.get(member).and_then(Name::parse).ok_or(problem);
    let info_hash = name("info_hash", Problem::InfoHash)?;
    let peer_id = name("peer_id", Problem::PeerId)?;
    let answer = match frame.get("answer").filter(|answer| answer.starts_with('{')) {
        Some(answer) => {
            let to = name("to_peer_id", Problem::ToPeerId)?.bytes;
            Some(Answer { to, answer: answer.into(), id: frame.get("offer_id").map(Cow::from) })
        }
        None => None,
    };
    let event = match frame.get("event") {
        None | Some("null" | "false" | "0") => Some(Occasion::Here),
        Some(event) => json::string(event).and_then(|event| occasion(&event)),
    };
    let left = frame.get("left");
    // Clients write `Infinity` as null.
    let left = left.and_then(|left| json::string(left).unwrap_or(left.into()).trim().parse::<f64>().ok());
    let offers = frame.list("offers").map_or_else(Vec::new, offers);
    Ok(Announce { info_hash, peer_id, event, is_complete: left == Some(0.0), offers, answer })
}

fn occasion(event: &str) -> Option<Occasion> {
    match event {
        "" | "empty" | "started" | "update" | "paused" => Some(Occasion::Here),
        "completed" => Some(Occasion::Completed),
        "stopped" => Some(Occasion::Stopped),
        _ => None,
    }
}

/// The offers of a list. Its other members are none.
fn offers<'a>(list: &[&'a str]) -> Vec<Offer<'a>> {
    list.iter().take(MAX_OFFERS).filter_map(|offer| Offer::parse(offer)).collect()
}

fn scrape<'a>(frame: &Object<'a>) -> Result<Vec<Name<'a>>, Problem> {
    let text = frame.get("info_hash").ok_or(Problem::Scraped)?;
    let texts = frame.list("info_hash").unwrap_or(std::slice::from_ref(&text));
    if !(1..=MAX_SCRAPED).contains(&texts.len()) {
        return Err(Problem::Scraped);
    }
    texts.iter().map(|text| Name::parse(text).ok_or(Problem::InfoHash)).collect()
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let string = json::short_string(text, size_of::<Hash>())?;
        let mut chars = string.chars();
        let mut bytes = Hash::default();
        for byte in &mut bytes {
            *byte = chars.next()?.try_into().ok()?;
        }
        chars.next().is_none().then_some(Name { bytes, text: text.into() })
    }
}

impl Announce<'_> {
    /// The announce, to keep.
    pub(crate) fn into_owned(self) -> Announce<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let name = |Name { bytes, text }: Name<'_>| Name { bytes, text: owned(text) };
        let offer = |Offer { offer, id }: Offer<'_>| Offer { offer: owned(offer), id: id.map(owned) };
        let answer =
            |Answer { to, answer, id }: Answer<'_>| Answer { to, answer: owned(answer), id: id.map(owned) };
        Announce {
            info_hash: name(self.info_hash),
            peer_id: name(self.peer_id),
            event: self.event,
            is_complete: self.is_complete,
            offers: self.offers.into_iter().map(offer).collect(),
            answer: self.answer.map(answer),
        }
    }

    /// The bytes of its offers and its answer.
    pub(crate) fn len(&self) -> usize {
        let len = |text: &str, id: &Option<Cow<'_, str>>| text.len() + id.as_ref().map_or(0, |id| id.len());
        let offers: usize = self.offers.iter().map(|offer| len(&offer.offer, &offer.id)).sum();
        offers + self.answer.as_ref().map_or(0, |answer| len(&answer.answer, &answer.id))
    }

    /// Tells the client how many members the swarm has.
    pub fn counted(&self, Counts { complete, incomplete }: Counts) -> Frame {
        let hash = &self.info_hash.text;
        Frame::of_text(&format!(
            r#"{{"complete":{complete},"incomplete":{incomplete},"action":"announce","interval":{INTERVAL},"info_hash":{hash}}}"#
        ))
    }

    /// Tells the client why it is refused.
    pub fn refused(&self, problem: Problem) -> Frame {
        let hash = &self.info_hash.text;
        let reason = serde_json::Value::from(problem.label());
        Frame::of_text(&format!(r#"{{"action":"announce","failure reason":{reason},"info_hash":{hash}}}"#))
    }

    /// The frame of an offer for its recipient.
    pub fn offer(&self, Offer { offer, id }: &Offer<'_>) -> Frame {
        self.said("offer", offer, id.as_deref())
    }

    /// The frame of an answer for its recipient.
    pub fn answer(&self, Answer { answer, id, .. }: &Answer<'_>) -> Frame {
        self.said("answer", answer, id.as_deref())
    }

    fn said(&self, kind: &str, description: &str, id: Option<&str>) -> Frame {
        let peer = &*self.peer_id.text;
        let hash = &*self.info_hash.text;
        let known = 64 + description.len() + id.map_or(0, str::len) + peer.len() + hash.len();
        Frame::text(known, |out| {
            out.extend_from_slice(br#"{"action":"announce""#);
            json::raw(out, kind, Some(description));
            json::raw(out, "offer_id", id);
            json::raw(out, "peer_id", Some(peer));
            json::raw(out, "info_hash", Some(hash));
            out.push(b'}');
        })
    }
}

impl<'a> Offer<'a> {
    fn parse(listed: &'a str) -> Option<Self> {
        let listed = Object::parse(listed)?;
        let offer = listed.get("offer").filter(|offer| offer.starts_with('{'))?;
        Some(Offer { offer: offer.into(), id: listed.get("offer_id").map(Cow::from) })
    }
}

/// The id of an offer, in its frame or in that of its answer.
pub fn answered(heard: &str) -> Option<Cow<'_, str>> {
    json::member_of(heard, "offer_id").and_then(json::string)
}

/// Tells a client the numbers of members of swarms.
pub fn scraped<'a>(swarms: impl Iterator<Item = (Name<'a>, Counts)>) -> Frame {
    let mut files = Vec::new();
    for (Name { text, .. }, Counts { complete, incomplete }) in swarms {
        files.push(format!(
            r#"{text}:{{"complete":{complete},"incomplete":{incomplete},"downloaded":{complete}}}"#
        ));
    }
    let files = files.join(",");
    Frame::of_text(&format!(
        r#"{{"action":"scrape","files":{{{files}}},"flags":{{"min_request_interval":{SCRAPE_INTERVAL}}}}}"#
    ))
}

/// Tells a client why its frame is not valid.
pub fn invalid(problem: Problem) -> Frame {
    Frame::of_text(&format!(r#"{{"failure reason":{}}}"#, serde_json::Value::from(problem.label())))
}
