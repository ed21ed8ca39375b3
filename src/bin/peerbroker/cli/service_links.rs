//! The variables that Kubernetes sets in each container for the Services of its namespace. With a Service
//! `peerbroker-ops`, one of them has the name of our variable for `--ops_port`.

use std::env;
use std::ffi::OsStr;

/// Prefix of the names of the program's variables.
pub const PREFIX: &str = "PEERBROKER_";

/// The variable with the address of a Service, in each container.
const HOST: &str = "_SERVICE_HOST";
const PORT: &str = "_PORT";

/// The Service of most brokers.
const OWN: &str = "peerbroker";

/// True for the variable with the URL of a Service: it has the name of one of our settings by chance.
pub fn is_link(name: &str, value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    name.ends_with(PORT) && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

/// The Services whose variables begin as ours, as those variables name them: `PEERBROKER`, `PEERBROKER_OPS`.
pub struct Services(Vec<String>);

impl Services {
    pub fn of_environment() -> Self {
        let variables = env::vars_os();
        let names = variables.filter_map(|(name, value)| Self::named_by(name.to_str()?, &value));
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names.dedup();
        Services(names)
    }

    fn named_by(name: &str, value: &OsStr) -> Option<String> {
        let service =
            name.strip_suffix(HOST).or_else(|| name.strip_suffix(PORT).filter(|_| is_link(name, value)))?;
        // PEERBROKER_PORT_9000_TCP_PORT is beside PEERBROKER_PORT.
        let is_ours = service == PREFIX.trim_end_matches('_') || service.starts_with(PREFIX);
        is_ours.then(|| service.to_owned())
    }

    /// True if a variable, unless it is one of our settings, is that of a Service.
    pub fn have(&self, name: &str) -> bool {
        self.0.iter().any(|service| {
            let rest = name.strip_prefix(service.as_str()).unwrap_or_default();
            rest == PORT || rest.starts_with("_SERVICE_") || rest.starts_with("_PORT_")
        })
    }

    /// The line of the log about them, if there are any but the usual `peerbroker`.
    pub fn note(&self) -> Option<String> {
        let names: Vec<String> = self.0.iter().map(|name| name.to_lowercase().replace('_', "-")).collect();
        names.iter().any(|name| name != OWN).then(|| {
            format!(
                "ignored the variables that Kubernetes sets for these Services: {}. With `enableServiceLinks: false`, it sets none",
                names.join(", ").escape_debug()
            )
        })
    }
}
