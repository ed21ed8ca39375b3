//! The spoken code. It proves to both ends that nobody stands between them, not even the broker.
//!
//! The frames, each one message: the caller's SPAKE2 element (33 bytes), the listener's (33), the caller's
//! HMAC-SHA-256 of the common key (32), the listener's (32). The caller confirms first, so a listener tells
//! a stranger nothing, and a connection is one guess.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SystemRandom, generate};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::streams::{Incoming, Outgoing};

/// Wrong codes after which a listener ends.
pub(crate) const MAX_WRONG: usize = 3;
/// The timeout of each step.
const STEP: Duration = Duration::from_secs(10);
/// The timeout of the caller's first message. It may wait for a person, and nobody has learnt anything yet.
const FIRST_STEP: Duration = Duration::from_secs(120);
const ROLES: [&[u8]; 2] = [b"peerbroker code 1 caller", b"peerbroker code 1 listener"];

/// A code that people tell each other by voice. It has no `Debug`, because it is secret.
#[derive(Clone, PartialEq)]
pub(crate) struct Code(String);

impl Code {
    /// Eight random digits.
    pub(crate) fn random() -> io::Result<Self> {
        let random = generate::<[u8; 8]>(&SystemRandom::new())
            .map_err(|_| io::Error::other("the system has no random numbers"))?;
        Ok(Code(format!("{:08}", u64::from_be_bytes(random.expose()) % 100_000_000)))
    }

    /// Reads a code as people write it. Shorter ones than these are guessed too easily.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let code: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if (6..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Code(code));
        }
        Err("a code has 6 to 64 digits or letters, as in 4821-9037".to_owned())
    }

    /// The code in groups of four, as it is spoken.
    pub(crate) fn spoken(&self) -> String {
        let chars: Vec<char> = self.0.chars().collect();
        chars.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
    }
}

/// The reason why an end does not know the code, as far as we know.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotProven {
    #[error("the code is wrong, or somebody stands between the two ends")]
    Wrong,
    #[error("the other end sent no proof of the code in time")]
    Late,
    #[error("the connection ended before both ends had proved the code: {0}")]
    Lost(#[from] io::Error),
}

/// The wrong codes that a listener still permits, over all its connections. Guesses under way count as wrong
/// until they are right, so connections at the same time gain nothing.
pub(crate) struct Guesses {
    free: Semaphore,
    wrong: AtomicUsize,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Guesses { free: Semaphore::new(MAX_WRONG), wrong: AtomicUsize::new(0) }
    }

    pub(crate) fn are_spent(&self) -> bool {
        self.wrong.load(Ordering::Relaxed) >= MAX_WRONG
    }
}

/// Proves the code to a listener, and has it proved.
pub(crate) async fn prove(
    code: &Code,
    binding: [u8; 32],
    to: &mut Outgoing<Bytes>,
    from: &mut Incoming<Bytes>,
) -> Result<(), NotProven> {
    let [caller, listener] = identities(binding);
    let (state, element) = Spake2::<Ed25519Group>::start_a(&Password::new(&code.0), &caller, &listener);
    to.send(element.into()).await?;
    let keys = confirmations(state, &next(from, STEP).await?)?;
    let [ours, theirs] = &keys;
    to.send(Bytes::copy_from_slice(tag(ours).as_ref())).await?;
    // A listener that found the code wrong closes.
    match next(from, STEP).await {
        Ok(proof) => verify(theirs, &proof),
        Err(NotProven::Lost(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(NotProven::Wrong),
        Err(error) => Err(error),
    }
}

/// Has the code proved by a caller, and proves it then.
pub(crate) async fn demand(
    code: &Code,
    binding: [u8; 32],
    guesses: &Guesses,
    to: &mut Outgoing<Bytes>,
    from: &mut Incoming<Bytes>,
) -> Result<(), NotProven> {
    let [caller, listener] = identities(binding);
    let theirs = next(from, FIRST_STEP).await?;
    let (state, element) = Spake2::<Ed25519Group>::start_b(&Password::new(&code.0), &caller, &listener);
    // The semaphore is never closed.
    if let Ok(guess) = guesses.free.acquire().await {
        guess.forget();
    }
    let proved = async {
        to.send(element.into()).await?;
        let keys = confirmations(state, &theirs)?;
        let [theirs, ours] = &keys;
        verify(theirs, &next(from, STEP).await?)?;
        Ok(tag(ours))
    };
    match proved.await {
        Ok(tag) => {
            guesses.free.add_permits(1);
            to.send(Bytes::copy_from_slice(tag.as_ref())).await.map_err(NotProven::Lost)
        }
        Err(error) => {
            guesses.wrong.fetch_add(1, Ordering::Relaxed);
            Err(error)
        }
    }
}

/// The roles of both ends on this pipe: a proof is worth nothing on another one.
fn identities(binding: [u8; 32]) -> [Identity; 2] {
    ROLES.map(|role| Identity::new(&[role, &binding].concat()))
}

/// The keys with which the caller and the listener confirm the code.
fn confirmations(state: Spake2<Ed25519Group>, theirs: &[u8]) -> Result<[hmac::Key; 2], NotProven> {
    let common = state.finish(theirs).map_err(|_| NotProven::Wrong)?;
    let common = hmac::Key::new(HMAC_SHA256, &common);
    Ok(ROLES.map(|role| hmac::Key::new(HMAC_SHA256, hmac::sign(&common, role).as_ref())))
}

fn tag(key: &hmac::Key) -> hmac::Tag {
    hmac::sign(key, b"confirmed")
}

/// Compares in constant time.
fn verify(key: &hmac::Key, proof: &[u8]) -> Result<(), NotProven> {
    hmac::verify(key, b"confirmed", proof).map_err(|_| NotProven::Wrong)
}

async fn next(from: &mut Incoming<Bytes>, time: Duration) -> Result<Bytes, NotProven> {
    let message = timeout(time, from.next()).await.map_err(|_| NotProven::Late)?;
    Ok(message.unwrap_or(Err(io::ErrorKind::UnexpectedEof.into()))?)
}
