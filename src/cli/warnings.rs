//! Combinations of flags that do nothing, or that lock everybody out.

use std::net::IpAddr;

use super::Cli;
use super::values::{Dialect, RegistrationState};

impl Cli {
    /// A warning for each combination that is surely not meant.
    pub fn warnings(&self) -> Vec<String> {
        let has_api = self.ops_port.is_some();
        let is_open = self.registration == RegistrationState::Open;
        let is_node = self.cluster.has_redis();
        let has_stored_keys = self.data_dir.is_some() || self.cluster.keys_in_redis();
        let has_turn = self.turn.is_wanted();
        let has_credentials = has_turn || self.ice.has_turn();
        let has_acme = self.acme.is_given();
        let has_rooms = self.dialects.contains(&Dialect::Rooms);
        let mut warnings = Vec::new();
        for (flag, is_used, needed) in [
            ("admin_token", has_api, "--ops_port"),
            ("admin_token_file", has_api, "--ops_port"),
            ("ops_host", has_api, "--ops_port"),
            ("trusted_proxy", self.proxied, "--proxied"),
            ("registrations_per_day", is_open, "--registration open"),
            ("registration_limit", is_open, "--registration open"),
            ("redis_ca", is_node, "--redis"),
            ("redis_cert", is_node, "--redis"),
            ("node_name", is_node, "--redis"),
            ("cluster_lease", is_node, "--redis"),
            ("cluster_degraded", is_node, "--redis"),
            ("turn_secret", has_credentials, "--turn or --turn_url"),
            ("turn_secret_file", has_credentials, "--turn or --turn_url"),
            ("turn_ttl", has_credentials, "--turn or --turn_url"),
            ("acme_email", has_acme, "--acme"),
            ("acme_directory", has_acme, "--acme"),
            ("acme_http_port", has_acme, "--acme"),
            ("acme_ca", has_acme, "--acme"),
            ("turn_allocations", has_turn, "--turn"),
            ("turn_allocations_per_key", has_turn, "--turn"),
            ("turn_allocations_per_address", has_turn, "--turn"),
            ("turn_bytes_per_second", has_turn, "--turn"),
            ("turn_key_bytes_per_second", has_turn, "--turn"),
            ("webhook_events", self.webhooks.is_given(), "--webhook"),
            ("rooms", has_rooms, "rooms in --dialects"),
            ("room_players", has_rooms, "rooms in --dialects"),
            ("room_timeout", has_rooms, "rooms in --dialects"),
        ] {
            if self.given.has(flag) && !is_used {
                warnings.push(format!("--{flag} does nothing without {needed}"));
            }
        }
        if self.no_default_key && self.given.has("key") {
            warnings
                .push("--key does nothing with --no_default_key: only stored keys are accepted".to_owned());
        }
        let has_own_keys = self.file.as_ref().is_some_and(|file| !file.keys.is_empty());
        if self.no_default_key && !has_own_keys && !has_stored_keys && !is_open && !has_api {
            warnings.push(
                "no client can connect: --no_default_key disables the built-in key, and there are no others. Add keys with \
                 --data_dir and `peerbroker keys add`, or leave --no_default_key out"
                    .to_owned(),
            );
        }
        if self.concurrent_limit == 0 {
            warnings.push(
                "no client can connect: --concurrent_limit 0 refuses every client. There is no value for \"no limit\": give a \
                 large number"
                    .to_owned(),
            );
        }
        if self.given.has("ping_interval") && self.ping_interval > self.alive_timeout / 3 {
            warnings.push(format!(
                "--ping_interval is capped at a third of --alive_timeout: silent clients are pinged after {} ms",
                (self.alive_timeout / 3).as_millis()
            ));
        }
        let is_local = self.ops_host == "localhost"
            || self.ops_host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if has_api && !is_local && self.admin_token.is_none() && self.admin_token_file.is_none() {
            warnings.push(format!(
                "--ops_host {} opens the API to other machines, but without --admin_token only programs of this machine may \
                 use it",
                self.ops_host
            ));
        }
        if !has_stored_keys && (is_open || has_api) {
            warnings.push(
                "keys that are registered or added while the server runs are lost when it stops: --data_dir keeps them"
                    .to_owned(),
            );
        }
        warnings.into_iter().map(|text| self.given.reworded(&text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::tests::parsed;

    #[test]
    fn combinations_that_do_nothing_or_lock_everybody_out_warn_and_others_do_not() {
        let token = "a-secret-of-sixteen-or-more";
        for (args, words) in [
            (&[][..], &[][..]),
            (&["--admin_token", token], &["--admin_token does nothing without --ops_port"][..]),
            (&["--admin_token_file", "f"], &["--admin_token_file does nothing without --ops_port"]),
            (&["--ops_host", "::1"], &["--ops_host does nothing without --ops_port"]),
            (&["--ops_port", "1", "--data_dir", "d", "--admin_token", token, "--ops_host", "0.0.0.0"], &[]),
            (
                &["--ops_port", "1", "--data_dir", "d", "--ops_host", "0.0.0.0"],
                &["opens the API to other machines"],
            ),
            (&["--ops_port", "1", "--data_dir", "d", "--ops_host", "localhost"], &[]),
            (&["--ops_port", "1"], &["are lost when it stops"]),
            (&["--trusted_proxy", "10.0.0.0/8"], &["--trusted_proxy does nothing without --proxied"]),
            (&["--trusted_proxy", "10.0.0.0/8", "--proxied"], &[]),
            (
                &["--registrations_per_day", "1"],
                &["--registrations_per_day does nothing without --registration open"],
            ),
            (
                &["--registration_limit", "1"],
                &["--registration_limit does nothing without --registration open"],
            ),
            // Unused keys are deleted even after registration closes.
            (&["--registration_ttl", "1"], &[]),
            (&["--registration", "open", "--registration_limit", "1"], &["are lost when it stops"]),
            (&["--registration", "open", "--data_dir", "d"], &[]),
            (&["--no_default_key"], &["no client can connect: --no_default_key"]),
            (&["--no_default_key", "--data_dir", "d"], &[]),
            (&["--no_default_key", "--registration", "open"], &["are lost when it stops"]),
            (
                &["--no_default_key", "--key", "k", "--data_dir", "d"],
                &["--key does nothing with --no_default_key"],
            ),
            (&["--node_name", "a"], &["--node_name does nothing without --redis"]),
            (&["--cluster_lease", "5000"], &["--cluster_lease does nothing without --redis"]),
            (&["--cluster_degraded", "refuse", "--redis", "redis://h"], &[]),
            (&["--no_default_key", "--redis", "redis://h", "--keys", "redis", "--ops_port", "1"], &[]),
            (&["--redis", "redis://h", "--ops_port", "1"], &["are lost when it stops"]),
            (&["--turn_secret", token], &["--turn_secret does nothing without --turn or --turn_url"]),
            (&["--turn_ttl", "60"], &["--turn_ttl does nothing without --turn or --turn_url"]),
            (&["--turn_url", "turn:a.test", "--turn_secret_file", "f", "--turn_ttl", "60"], &[]),
            (&["--turn", "--turn_secret_file", "f", "--turn_ttl", "60"], &[]),
            (&["--stun_url", "stun:a.test", "stun:b.test"], &[]),
            (&["--concurrent_limit", "0"], &["no client can connect: --concurrent_limit 0"]),
            (&["--ping_interval", "20000"], &[]),
            (&["--ping_interval", "20001"], &["--ping_interval is capped"]),
            (&["--alive_timeout", "3000"], &[]),
            (
                &["--dialects", "peerjs", "--rooms", "5"],
                &["--rooms does nothing without rooms in --dialects"],
            ),
            (&["--rooms", "5"], &[]),
            (&["--acme_email", "a@b.example"], &["--acme_email does nothing without --acme"]),
            (&["--acme", "example.org", "--acme_http_port", "0", "--data_dir", "d"], &[]),
            (&["--turn_allocations", "5"], &["--turn_allocations does nothing without --turn"]),
            (&["--turn_allocations", "5", "--turn", "10.0.0.1"], &[]),
        ] {
            let warnings = parsed(args).warnings();
            let fits = warnings.len() == words.len()
                && warnings.iter().zip(words).all(|(warning, words)| warning.contains(words));
            assert!(fits, "{args:?}: {warnings:?}");
        }
    }
}
