//! Follows single messages in the log: at `trace` where each of them goes, at `debug` each one that is lost,
//! and why. docs/LOGS.md has an example.

use std::cell::RefCell;
use std::fmt;

use log::Level;
use peerbroker_core::vocabulary::{ConnId, Foreign, MessageKind, PeerId};

use peerbroker_events::Outcome;

/// The target of these lines, for `--log peerbroker::messages=trace`.
pub const MESSAGES: &str = "peerbroker::messages";

/// A message in the log.
pub(super) struct Named<'a> {
    pub(super) from: &'a PeerId,
    /// The id of its recipient.
    pub(super) to: &'a str,
    pub(super) kind: MessageKind,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named { from, to, kind } = self;
        // The sender of messages to rooms has a mark in front of its id.
        let from = from.as_str().trim_start_matches(char::is_control);
        write!(f, "{} from {} to {}", kind.label(), Foreign::new(from), Foreign::new(to))
    }
}

thread_local! {
    /// The messages that this thread has written to one connection.
    static WRITTEN: RefCell<Vec<(PeerId, MessageKind)>> = const { RefCell::new(Vec::new()) };
}

/// True if each message is followed.
#[inline]
pub(super) fn follows() -> bool {
    log::log_enabled!(target: MESSAGES, Level::Trace)
}

/// Says where a message has gone.
pub(super) fn follow(message: &Named<'_>, step: impl fmt::Display) {
    log::trace!(target: MESSAGES, "{message}: {step}");
}

/// Notes a message that is written. An outbox does not know its connection: [`follow_written`] names it.
pub(super) fn record_written(from: &PeerId, kind: MessageKind) {
    if follows() {
        WRITTEN.with_borrow_mut(|written| written.push((from.clone(), kind)));
    }
}

/// Says which messages were written to a connection.
#[inline]
pub(super) fn follow_written(to: &PeerId, conn: ConnId) {
    if follows() {
        follow_each_written(to, conn);
    }
}

#[cold]
fn follow_each_written(to: &PeerId, conn: ConnId) {
    for (from, kind) in WRITTEN.take() {
        follow(&Named { from: &from, to: to.as_str(), kind }, format_args!("written to {conn}"));
    }
}

/// Says that a message is lost, and why.
pub(super) fn record_loss(message: &Named<'_>, outcome: Outcome) {
    log::debug!(target: MESSAGES, "{message}: lost, {}", outcome.label());
}
