//! A broker at a path.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;

use crate::app::Parts;
use crate::config::MountPath;

/// A broker at a path: everything that handlers of requests need.
pub(crate) struct Mounted {
    pub(crate) parts: Arc<Parts>,
    pub(crate) path: MountPath,
    /// The server speaks TLS. An embedded broker does not know that, so it looks at each request.
    pub(crate) secure: bool,
    /// The machine's LAN address, if the server listens on it.
    pub(crate) lan_host: Option<IpAddr>,
}

impl Mounted {
    pub(super) fn is_secure(&self, request: &HttpRequest) -> bool {
        self.secure || request.app_config().secure()
    }
}
