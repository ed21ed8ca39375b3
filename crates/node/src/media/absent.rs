//! Stands for the media plane in a build without it: no value of these types exists, so nothing calls their
//! methods. A trait would not spare this: some of the relay's methods are generic, which no trait object has.

use std::collections::HashSet;
use std::future::Ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use peerbroker_media_api::{
    AllocationReport, CallRealm, CandidateNudge, EndedCalls, MediaContext, Parties, RelayTotals, TurnTotals,
    TurnUrls,
};

use peerbroker_core::vocabulary::{ApiKey, IceCredentials};

/// Types without a value, and the signatures of their methods.
macro_rules! absent {
    ($(
        $(#[$doc:meta])*
        $vis:vis $type:ident { $($method:ident($($argument:ty),*) -> $returned:ty;)* }
    )*) => {$(
        $(#[$doc])*
        $vis enum $type {}

        impl $type {
            $(
                /// Never called.
                pub fn $method(&self, $(_: $argument),*) -> $returned {
                    match *self {}
                }
            )*
        }
    )*};
}

absent! {
    /// A relay whose ports are bound. Only with the feature `media`.
    pub BoundRelay {
        start(MediaContext, Option<&Turn>) -> Option<(Relay, Receiver<CandidateNudge>)>;
    }

    /// A TURN server whose ports are bound. Only with the feature `media`.
    pub BoundTurn {
        start(MediaContext) -> Option<Turn>;
    }

    /// A relay that is running.
    pub Relay {
        calls() -> &Calls;
        candidates(u8) -> Vec<String>;
        addresses() -> Vec<SocketAddr>;
        set_addresses(&[IpAddr], bool) -> ();
        name_broker(SocketAddr) -> ();
        takes(u8) -> bool;
        serve(impl Sized, &[u8]) -> Ready<()>;
        retire(impl FnMut(EndedCalls) -> bool) -> ();
        leave_ports() -> ();
    }

    /// The calls of a relay.
    pub Calls {
        record_offer(Parties<'_>, Option<IpAddr>, IceCredentials<'_>) -> bool;
        begin(Parties<'_>, IceCredentials<'_>, bool) -> bool;
        awaits_answer(&ApiKey, CallRealm, &str) -> bool;
        sweep(impl Fn(&ApiKey, CallRealm, &str) -> bool) -> ();
        end_banned() -> ();
        totals() -> RelayTotals;
        open() -> usize;
        end(Option<&HashSet<SocketAddr>>, impl FnMut(EndedCalls) -> bool) -> ();
        forget_connected(&mut Vec<EndedCalls>) -> ();
        awaited() -> usize;
    }

    /// A TURN server that is running.
    pub Turn {
        urls() -> TurnUrls;
        addresses() -> Vec<SocketAddr>;
        set_addresses(&[IpAddr]) -> ();
        is_turn(u8) -> bool;
        serve_tls(Arc<rustls::ServerConfig>) -> ();
        serve(impl Sized, SocketAddr) -> Ready<()>;
        sweep() -> ();
        totals() -> TurnTotals;
        retire() -> ();
        leave_ports() -> ();
        used_allocations() -> usize;
        allocations() -> Vec<AllocationReport>;
        end(SocketAddr) -> Option<String>;
    }
}
