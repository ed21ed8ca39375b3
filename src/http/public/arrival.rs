//! A client that asks for a connection: from its endpoint to the request of its session.

use super::endpoint::{self, AddressRefused, SocketEndpoint};
use super::handler::Mounted;
use super::not_found;
use super::routes::Route;
use crate::http::path;
use peerbroker_events::Mistake;
use peerbroker_limits::ConnectionPermit;
use peerbroker_node::session::{ClientSource, ConnectRequest};
use peerbroker_protocols::client::Protocol as _;
use peerbroker_protocols::{query, with_clients};

/// A client that asks for a connection, in whatever way it comes: everything that counts, whether its request
/// is one of HTTP/1 or not.
pub(super) struct Arrival<'a> {
    /// The path of its request, which has led to the endpoint.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) source: ClientSource,
    /// The permit of the connection that it comes over, if that connection was counted.
    pub(super) connection: Option<&'a ConnectionPermit>,
}

impl Arrival<'_> {
    /// Counts what the client opens, and tells the operator of its mistakes, unless its address is banned or
    /// over a limit.
    pub(super) fn enter(
        self,
        mounted: &Mounted,
        route: Route<'_>,
        endpoint: SocketEndpoint,
    ) -> Result<ConnectRequest, AddressRefused> {
        let runtime = &mounted.runtime;
        if endpoint::is_banned(runtime, self.query, self.source.address) {
            return Err(AddressRefused::Banned);
        }
        match endpoint {
            SocketEndpoint::WrongPath => not_found::record(mounted, "GET", self.path, &self.source),
            SocketEndpoint::CutPath => not_found::record_cut(mounted, &self.source),
            SocketEndpoint::Of(_) | SocketEndpoint::Pipe | SocketEndpoint::PeerJsOff => {}
        }
        let query = match route {
            Route::Room(dialect, room) => {
                if let Some((what, hint)) = with_clients!(dialect.realm(), C => C::odd_parameter(self.query))
                {
                    self.source.record_mistake(&runtime.node, || Mistake::OddParameter { what, hint });
                }
                query::with(self.query, query::ROOM, &path::decode(room).unwrap_or_default())
            }
            Route::Pipe(pipe) => query::with(self.query, query::PIPE, pipe),
            _ => self.query.to_owned(),
        };
        let request = endpoint::connect_request(runtime, query, self.source, self.connection);
        request.map_err(AddressRefused::TooMany)
    }
}
