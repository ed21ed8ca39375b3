//! Which settings a running server can change. A test checks that each setting is in one of the lists.

/// In force with the next reload.
const LIVE: &[&str] = &[
    "pages",
    "static_dir",
    "proxied",
    "trusted_proxy",
    "key",
    "no_default_key",
    "allow_discovery",
    "cors",
    "registration",
    "registrations_per_day",
    "registration_limit",
    "registration_ttl",
    "id_style",
    "relay_mode",
    "relay_calls",
    "relay_calls_per_key",
    "relay_bytes_per_second",
    "relay_key_bytes_per_second",
    "stun_url",
    "turn_url",
    "turn_secret",
    "turn_secret_file",
    "turn_ttl",
    "webhook",
    "webhook_secret",
    "webhook_secret_file",
    "webhook_events",
    "webhook_private",
    "turn_allocations",
    "turn_allocations_per_key",
    "turn_allocations_per_address",
    "turn_bytes_per_second",
    "turn_key_bytes_per_second",
    "concurrent_limit",
    "messages_per_second",
    "connections_per_address",
    "opens_per_second_per_address",
    "max_message_bytes",
    "unfinished_total_bytes",
    "queue_messages",
    "queue_bytes",
    "queue_total_bytes",
    "expire_timeout",
    "alive_timeout",
    "ping_interval",
    "probe_timeout",
    "reclaim_timeout",
    "dialects",
    "root_key",
    "rooms",
    "room_players",
    "room_timeout",
    "admin_token",
    "admin_token_file",
    "log",
];

/// Read at the start only: ports, threads, connections to others, the files that TLS uses, and the form of lines.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "a setting that is not live needs a restart; a test compares")
)]
const RESTART: &[&str] = &[
    "port",
    "host",
    "path",
    "workers",
    "sslkey",
    "sslcert",
    "acme",
    "acme_email",
    "acme_directory",
    "acme_http_port",
    "acme_ca",
    "data_dir",
    "redis",
    "redis_ca",
    "redis_cert",
    "redis_key",
    "keys",
    "node_name",
    "cluster_lease",
    "cluster_degraded",
    "relay",
    "relay_public",
    "relay_tcp",
    "relay_private",
    "turn",
    "turn_ports",
    "ops_port",
    "ops_host",
    "reuse_port",
    "drain_timeout",
    "log_format",
    "quiet",
];

/// Whether a reload can change the setting.
pub(super) fn is_live(id: &str) -> bool {
    LIVE.contains(&id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::cli::config_file::is_setting;

    #[test]
    fn every_setting_is_live_or_needs_a_restart() {
        let command = Cli::command();
        let settings = command.get_arguments().filter(|arg| is_setting(arg)).map(|arg| arg.get_id().as_str());
        let settings: BTreeSet<&str> = settings.collect();
        let listed: Vec<&str> = LIVE.iter().chain(RESTART).copied().collect();
        assert_eq!(
            listed.iter().copied().collect::<BTreeSet<_>>(),
            settings,
            "LIVE and RESTART in src/cli/live.rs"
        );
        assert_eq!(listed.len(), settings.len(), "a setting is in both lists");
    }
}
