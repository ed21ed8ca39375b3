//! Sends every message back, for suites that others wrote: see `tests/conformance/`. The rest of the session is that of a PeerJS client.

use std::ops::ControlFlow;

use crate::node::{Node, Tenant};
use crate::session::admission::{Admitted, ClientSource, Rejection};
use crate::session::handler::{Context, ProtocolHandler};
use crate::session::peerjs::PeerJs;
use peerbroker_core::wire::{Frame, Refusal};

pub(crate) struct Echo(PeerJs);

/// The first byte of a binary message in one frame (RFC 6455, section 5.2).
const FIN_BINARY: u8 = 0x82;

impl ProtocolHandler for Echo {
    async fn enter(node: &Node, query: &str, source: &ClientSource) -> Result<(Admitted, Self), Rejection> {
        PeerJs::enter(node, query, source).await.map(|(admitted, peer)| (admitted, Echo(peer)))
    }

    fn tenant(&self) -> &Tenant {
        self.0.tenant()
    }

    fn refusal(refusal: Refusal) -> Frame {
        PeerJs::refusal(refusal)
    }

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        context.reply(Frame::of_text(text));
        ControlFlow::Continue(())
    }

    fn on_binary(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Option<ControlFlow<()>> {
        // The broker itself sends no binary messages.
        let mut frame = Frame::text(bytes.len(), |frame| frame.extend_from_slice(bytes)).as_bytes().to_vec();
        frame[0] = FIN_BINARY;
        context.reply(Frame::raw(frame));
        Some(ControlFlow::Continue(()))
    }
}
