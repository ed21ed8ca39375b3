//! A number that both ends show if nobody stands between them, for people to compare (docs/PROTOCOL.md).

use std::num::NonZeroU32;
use std::time::Duration;

use rand::random;
use ring::digest::{SHA256, digest};
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::sdp::text;

/// Makes it slow to look for keys that lead to the same number.
const ROUNDS: NonZeroU32 = NonZeroU32::new(200_000).unwrap();
const SALT: &[u8] = b"peerbroker safety number 1";
/// The time that the caller's nonce may take after its answer.
const OPENING: Duration = Duration::from_secs(10);

/// The reason why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSafetyNumber {
    /// The nonce of the other end is not the one that it has announced.
    #[error(
        "there is no safety number: the other end has not kept to its word, or somebody stands in between"
    )]
    BrokenWord,
}

/// The part of a side in a number that cannot be searched for, as in ZRTP (RFC 6189, section 4.4.1.1): the
/// caller sends a hash of its nonce with its key, the callee its nonce and key, and only then the caller its
/// nonce.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    nonce: String,
    theirs: Theirs,
}

#[derive(Clone, Debug)]
enum Theirs {
    /// An older page takes no part.
    Nothing,
    /// The callee's.
    Nonce(String),
    /// The caller's: its hash, and the nonce when it has come.
    Commitment(String, watch::Receiver<Option<String>>),
}

impl Exchange {
    pub(crate) fn new() -> Self {
        Exchange { nonce: text(&random::<[u8; 16]>()), theirs: Theirs::Nothing }
    }

    /// The hash for an offer.
    pub(crate) fn commitment(&self) -> String {
        hash(&self.nonce)
    }

    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The answer has this nonce.
    pub(crate) fn answered(&mut self, nonce: Option<String>) {
        self.theirs = nonce.map_or(Theirs::Nothing, Theirs::Nonce);
    }

    /// The offer has this hash. The nonce comes later.
    pub(crate) fn offered(&mut self, hash: Option<String>, opening: watch::Receiver<Option<String>>) {
        self.theirs = hash.map_or(Theirs::Nothing, |hash| Theirs::Commitment(hash, opening));
    }

    /// The number of an end with this key, and one with that.
    pub(crate) async fn number(mut self, own: &[u8; 32], other: &[u8; 32]) -> Result<String, NoSafetyNumber> {
        let nonces = match &mut self.theirs {
            Theirs::Nothing => Vec::new(),
            Theirs::Nonce(nonce) => vec![self.nonce, nonce.clone()],
            Theirs::Commitment(commitment, opening) => {
                let come = timeout(OPENING, opening.wait_for(Option::is_some)).await;
                let nonce = come.ok().and_then(|come| come.ok()?.clone());
                let nonce = nonce.filter(|nonce| hash(nonce) == *commitment);
                vec![nonce.ok_or(NoSafetyNumber::BrokenWord)?, self.nonce]
            }
        };
        let mut ends = [own, other].map(|key| format!("pipe {}", text(key)));
        ends.sort();
        let whole = [&ends[..], &nonces].concat().join("\n");
        let is_long = nonces.is_empty();
        let counted = tokio::task::spawn_blocking(move || number(&whole, is_long)).await;
        counted.map_err(|_| NoSafetyNumber::BrokenWord)
    }
}

fn hash(nonce: &str) -> String {
    text(digest(&SHA256, nonce.as_bytes()).as_ref())
}

/// Groups of four digits: three, or eight without nonces.
fn number(whole: &str, is_long: bool) -> String {
    let mut derived = [0; 24];
    derive(PBKDF2_HMAC_SHA256, ROUNDS, SALT, whole.as_bytes(), &mut derived);
    let [first, rest @ ..] = derived.as_chunks::<8>().0 else { return String::new() };
    let mut digits = format!("{:012}", u64::from_be_bytes(*first) % 10_u64.pow(12));
    if is_long {
        let more = rest.iter().fold(0, |sum: u128, part| sum << 64 | u128::from(u64::from_be_bytes(*part)));
        digits += &format!("{:020}", more % 10_u128.pow(20));
    }
    let groups: Vec<String> =
        digits.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_protocol() {
        let whole = "sha-256 00:0A\nsha-256 01:0B";
        assert_eq!(number(whole, true), "9217 2412 0227 2516 6212 9906 3955 4149");
        assert_eq!(number(whole, false), "9217 2412 0227");
    }

    #[tokio::test(start_paused = true)]
    async fn both_ends_see_one_number_and_a_broken_word_is_none() {
        let [own, other] = [[1; 32], [2; 32]];
        let (open, opening) = watch::channel(None);
        let mut caller = Exchange::new();
        let mut callee = Exchange::new();
        callee.offered(Some(caller.commitment()), opening);
        caller.answered(Some(callee.nonce().to_owned()));
        open.send_replace(Some(caller.nonce().to_owned()));
        let number = caller.number(&own, &other).await.unwrap();
        assert_eq!(callee.clone().number(&other, &own).await.unwrap(), number);
        assert_eq!(number.len(), 14);
        open.send_replace(Some("another".to_owned()));
        assert_eq!(callee.clone().number(&other, &own).await, Err(NoSafetyNumber::BrokenWord));
        drop(open);
        let (_open, opening) = watch::channel(None);
        callee.offered(Some("a hash".to_owned()), opening);
        assert_eq!(callee.number(&other, &own).await, Err(NoSafetyNumber::BrokenWord));
    }
}
