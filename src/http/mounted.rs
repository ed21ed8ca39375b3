//! A broker with all that answering a request needs.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;

use crate::app::Parts;
use crate::config::MountPath;

/// A broker at a path.
pub(crate) struct Mounted {
    pub(crate) parts: Arc<Parts>,
    pub(crate) path: MountPath,
    /// Over TLS for sure. An embedded broker has to ask each request.
    pub(crate) secure: bool,
    /// This machine's address on the local network, if the server listens there.
    pub(crate) lan_host: Option<IpAddr>,
}

impl Mounted {
    pub(super) fn is_secure(&self, request: &HttpRequest) -> bool {
        self.secure || request.app_config().secure()
    }
}
