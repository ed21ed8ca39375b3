//! Sends every message back, for suites that others wrote: see `tests/conformance/`. The rest of the session
//! is that of a PeerJS client.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use peerbroker_core::vocabulary::{Frame, InvalidName, MessageKind, Opcode, RealmKind, Refusal};
use peerbroker_protocols::client::{Context, Description, Message, Protocol};
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::peerjs::PeerJs;
use peerbroker_protocols::peerjs::rooms::PeerJsRooms;
use peerbroker_rooms::RoomFrames;
use peerbroker_router::{Departure, Disconnect};

pub(crate) struct Echo;

impl Protocol for Echo {
    const REALM: RealmKind = RealmKind::PeerJs;
    const ROOMS: &'static dyn RoomFrames = &PeerJsRooms;
    const HAS_CREDENTIALS: bool = true;

    fn new(_key: &Arc<KeyState>, _query: &str, _address: Option<IpAddr>) -> Result<Self, InvalidName> {
        Ok(Echo)
    }

    fn refusal(refusal: Refusal, first: Option<&str>) -> Option<Frame> {
        PeerJs::refusal(refusal, first)
    }

    fn on_text<'t>(&mut self, text: &'t str, context: &mut Context<'_, 't>) {
        context.reply(Frame::of_text(text));
    }

    fn on_binary(&mut self, bytes: &[u8], context: &mut Context<'_, '_>) -> bool {
        let write = |frame: &mut Vec<u8>| frame.extend_from_slice(bytes);
        context.reply(Frame::message(Opcode::Binary, bytes.len(), write));
        true
    }

    fn waits(&self) -> bool {
        false
    }

    fn kept_bytes(&self) -> usize {
        0
    }

    fn release(&mut self) {}

    fn departed(self, _departure: Option<&Departure>, _end: Disconnect, _key: &Arc<KeyState>) {}

    fn description<'m>(message: &'m Message<'_>) -> Description<'m> {
        Description::in_frame(message)
    }

    fn answered(_kind: MessageKind, _frame: &str) -> Option<Option<Cow<'_, str>>> {
        None
    }
}
