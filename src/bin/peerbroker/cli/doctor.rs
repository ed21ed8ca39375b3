//! The arguments of `peerbroker doctor`.

use std::path::PathBuf;

use peerbroker::config::DEFAULT_ACME_HTTP_PORT;
use peerbroker::wire::ApiKey;
use peerbroker_doctor::Args;

use super::values::{SECONDS, key, number};

/// The text below the options.
pub(super) const HELP: &str = "\
The exit code is 0 if nothing is wrong, though there may be warnings; 1 if a check failed; 2 for wrong arguments.

  peerbroker doctor https://broker.example.com
  peerbroker doctor localhost:9000 --key my-game --origin https://game.example.org
  peerbroker doctor broker.example.com --idle 90
  peerbroker doctor --quick      as the health check of a container";

/// The server to examine.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArgs {
    /// The broker as clients reach it: a URL, or a host with or without port and path [default: --port on this machine]
    url: Option<String>,

    /// API key of the client [default: that in the URL, or peerjs]
    #[arg(long, short, value_parser = key)]
    key: Option<ApiKey>,

    /// Page that uses the broker, as in https://game.example.org
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,

    /// Authorities to trust besides the public ones (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Also keep connections open for this many seconds, and report if they are dropped
    ///
    /// Proxies often do after 60 s, so take 90.
    #[arg(long, value_name = "SECONDS", value_parser = idle)]
    idle: Option<u64>,

    /// Port at which an ACME server finds the broker over HTTP
    ///
    /// It matters only if the broker still waits for its certificate.
    #[arg(long = "acme_http_port", alias = "acme-http-port", value_name = "PORT", default_value_t = DEFAULT_ACME_HTTP_PORT)]
    acme_http_port: u16,

    /// Only ask the server if it serves, with TLS or without
    #[arg(long)]
    quick: bool,

    /// Print one JSON object, for programs
    #[arg(long)]
    json: bool,
}

fn idle(text: &str) -> Result<u64, String> {
    (number(&SECONDS, 1..=3600).parse)(text.as_ref())
}

impl DoctorArgs {
    /// The arguments. Without a URL, the server is the one of this machine at `port`.
    pub fn for_port(&self, port: u16) -> Args {
        let DoctorArgs { url, key, origin, ca, idle, acme_http_port, quick, json } = self.clone();
        // An address, because a container may have no /etc/hosts.
        let url = url.unwrap_or_else(|| format!("127.0.0.1:{port}"));
        Args { url, key: key.map(|key| key.to_string()), origin, ca, idle, acme_http_port, quick, json }
    }
}
