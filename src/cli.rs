//! The flags and the commands. Names and meanings are those of the npm `peerjs` program where it has
//! them; every flag may also be spelt with hyphens and set in the environment.

mod keys;
mod settings;
mod values;

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use ipnet::IpNet;
use peerbroker::config::{DEFAULT_HOST, DEFAULT_OPS_HOST, DEFAULT_PORT};
use peerbroker::keys::IdStyle;
use peerbroker::wire::ApiKey;
use peerbroker::{Config, Listen};

pub use keys::{BadKeySettings, KeySettings, KeysCommand};
pub use settings::Settings;
pub use values::LogFormat;
use values::{
    Dialect, RegistrationState, count, id_style, in_millis, key, millis, millis_or_none, port, positive,
    workers, yes_or_no,
};

/// A broker that lets WebRTC clients find each other. Drop-in replacement for peerjs-server.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    allow_negative_numbers = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Without a command, the program serves.
    #[command(subcommand)]
    pub command: Option<Command>,

    #[arg(
        long,
        short,
        env = "PEERBROKER_PORT",
        value_parser = port,
        help = format!("TCP port; 0 takes a free one [default: $PORT or {DEFAULT_PORT}]")
    )]
    port: Option<u16>,

    /// Address or name to listen on; `::` is IPv6 and IPv4
    #[arg(long, short = 'H', env = "PEERBROKER_HOST", default_value = DEFAULT_HOST)]
    host: String,

    #[arg(
        long,
        env = "PEERBROKER_PATH",
        help = format!("Mount path [default: $PEERSERVER_PATH or {}]", defaults().path)
    )]
    path: Option<String>,

    /// The built-in API key, which clients must send
    #[arg(long, short, env = "PEERBROKER_KEY", default_value_t = defaults().key.clone(), value_parser = key)]
    key: ApiKey,

    /// Disable the built-in key; only stored keys are accepted
    #[arg(long = "no_default_key", alias = "no-default-key", env = "PEERBROKER_NO_DEFAULT_KEY", value_name = "true|false", num_args = 0..=1, default_value_t = !defaults().default_key, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    no_default_key: bool,

    /// Directory for stored keys, which `peerbroker keys` edits while the server runs
    #[arg(long = "data_dir", alias = "data-dir", env = "PEERBROKER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Whether anybody may register a key, through a form on the landing page
    #[arg(long, env = "PEERBROKER_REGISTRATION", value_enum, value_name = "open|closed", default_value_t = RegistrationState::of(defaults()))]
    registration: RegistrationState,

    /// Keys that one address may register within 24 hours; 0 means no limit
    #[arg(long = "registrations_per_day", alias = "registrations-per-day", env = "PEERBROKER_REGISTRATIONS_PER_DAY", value_name = "N", default_value_t = defaults().registration.per_day, value_parser = count::<u32>)]
    registrations_per_day: u32,

    /// Registered keys at a time; 0 means no limit
    #[arg(long = "registration_limit", alias = "registration-limit", env = "PEERBROKER_REGISTRATION_LIMIT", value_name = "N", default_value_t = defaults().registration.limit, value_parser = count::<usize>)]
    registration_limit: usize,

    /// Delete registered keys that had no client for this many days; 0 keeps them
    #[arg(long = "registration_ttl", alias = "registration-ttl", env = "PEERBROKER_REGISTRATION_TTL", value_name = "DAYS", default_value_t = defaults().registration.ttl_days, value_parser = count::<u32>)]
    registration_ttl: u32,

    /// Milliseconds that messages wait for an absent peer
    #[arg(long = "expire_timeout", alias = "expire-timeout", short = 't', env = "PEERBROKER_EXPIRE_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.expire_timeout), value_parser = millis)]
    expire_timeout: Duration,

    /// Milliseconds after which a silent client is disconnected
    #[arg(long = "alive_timeout", alias = "alive-timeout", env = "PEERBROKER_ALIVE_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.alive_timeout), value_parser = millis)]
    alive_timeout: Duration,

    /// Milliseconds after which a silent client is pinged; capped at a third of the alive timeout
    #[arg(long = "ping_interval", alias = "ping-interval", env = "PEERBROKER_PING_INTERVAL", value_name = "MS", default_value = in_millis(defaults().limits.ping_interval), value_parser = millis)]
    ping_interval: Duration,

    /// Milliseconds that the holder of an id has to answer when another client asks for the id
    #[arg(long = "probe_timeout", alias = "probe-timeout", env = "PEERBROKER_PROBE_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.probe_timeout), value_parser = millis)]
    probe_timeout: Duration,

    /// Milliseconds that an id is kept for its token after its client was closed with 4002 or 4003; 0 turns it off
    #[arg(long = "reclaim_timeout", alias = "reclaim-timeout", env = "PEERBROKER_RECLAIM_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.reclaim_timeout), value_parser = millis_or_none)]
    reclaim_timeout: Duration,

    /// Connected clients at a time
    #[arg(long = "concurrent_limit", alias = "concurrent-limit", short = 'c', env = "PEERBROKER_CONCURRENT_LIMIT", value_name = "N", default_value_t = defaults().limits.concurrent_limit, value_parser = count::<usize>)]
    concurrent_limit: usize,

    /// Let clients list the ids of all peers
    #[arg(long = "allow_discovery", alias = "allow-discovery", env = "PEERBROKER_ALLOW_DISCOVERY", value_name = "true|false", num_args = 0..=1, default_value_t = defaults().allow_discovery, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    allow_discovery: bool,

    /// Trust X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto of trusted proxies
    #[arg(long, env = "PEERBROKER_PROXIED", value_name = "true|false", num_args = 0..=1, default_value_t = defaults().proxied, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    proxied: bool,

    /// Networks of trusted proxies, with --proxied [default: loopback and private networks]
    #[arg(long = "trusted_proxy", alias = "trusted-proxy", env = "PEERBROKER_TRUSTED_PROXY", value_name = "CIDR", num_args = 1.., value_delimiter = ' ')]
    trusted_proxy: Vec<IpNet>,

    /// Connections per address at a time, HTTP included; 0 means no limit
    #[arg(
        long = "connections_per_address",
        alias = "connections-per-address",
        env = "PEERBROKER_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value_t = defaults().address_limits.connections
    )]
    connections_per_address: u32,

    /// New WebSockets and streams per second and address; bursts up to ten times that; 0 means no limit
    #[arg(
        long = "opens_per_second_per_address",
        alias = "opens-per-second-per-address",
        env = "PEERBROKER_OPENS_PER_SECOND_PER_ADDRESS",
        value_name = "N",
        default_value_t = defaults().address_limits.opens_per_second
    )]
    opens_per_second_per_address: u32,

    /// Messages per second and client; bursts up to ten times that; 0 means no limit
    #[arg(
        long = "messages_per_second",
        alias = "messages-per-second",
        env = "PEERBROKER_MESSAGES_PER_SECOND",
        value_name = "N",
        default_value_t = defaults().messages_per_second
    )]
    messages_per_second: u32,

    /// Form of the ids that the server gives to clients: uuid, short or words
    #[arg(long = "id_style", alias = "id-style", env = "PEERBROKER_ID_STYLE", value_name = "STYLE", default_value_t = defaults().id_style, value_parser = id_style)]
    id_style: IdStyle,

    /// TCP port of the API for keys, peers and statistics; 0 takes a free one [default: no API]
    #[arg(long = "ops_port", alias = "ops-port", env = "PEERBROKER_OPS_PORT", value_name = "PORT", value_parser = port)]
    ops_port: Option<u16>,

    /// Address or name that the API listens on
    #[arg(long = "ops_host", alias = "ops-host", env = "PEERBROKER_OPS_HOST", value_name = "HOST", default_value = DEFAULT_OPS_HOST)]
    ops_host: String,

    /// Bearer token for the API, 16 characters or more; without it, only local programs may use it
    #[arg(
        long = "admin_token",
        alias = "admin-token",
        env = "PEERBROKER_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        conflicts_with = "admin_token_file"
    )]
    admin_token: Option<String>,

    /// File with the bearer token for the API
    #[arg(
        long = "admin_token_file",
        alias = "admin-token-file",
        env = "PEERBROKER_ADMIN_TOKEN_FILE",
        value_name = "FILE"
    )]
    admin_token_file: Option<PathBuf>,

    /// Origins whose pages may read HTTP answers; `*` means all [default: all origins]
    #[arg(long, env = "PEERBROKER_CORS", value_name = "ORIGIN", num_args = 1.., value_delimiter = ' ')]
    cors: Vec<String>,

    /// Private key for HTTPS and WSS (PEM), with --sslcert
    #[arg(long, env = "PEERBROKER_SSLKEY", value_name = "FILE")]
    sslkey: Option<PathBuf>,

    /// Certificate and chain for HTTPS and WSS (PEM), with --sslkey
    #[arg(long, env = "PEERBROKER_SSLCERT", value_name = "FILE")]
    sslcert: Option<PathBuf>,

    /// Largest message in bytes
    #[arg(long = "max_message_bytes", alias = "max-message-bytes", env = "PEERBROKER_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value_t = defaults().max_message_bytes, value_parser = positive)]
    max_message_bytes: usize,

    /// Bytes of unfinished messages of all connections; the first 16 KiB of each are not counted
    #[arg(long = "unfinished_total_bytes", alias = "unfinished-total-bytes", env = "PEERBROKER_UNFINISHED_TOTAL_BYTES", value_name = "BYTES", default_value_t = defaults().unfinished_total_bytes, value_parser = count::<usize>)]
    unfinished_total_bytes: usize,

    /// Messages queued for one absent peer
    #[arg(long = "queue_messages", alias = "queue-messages", env = "PEERBROKER_QUEUE_MESSAGES", value_name = "N", default_value_t = defaults().limits.queue_messages, value_parser = count::<usize>)]
    queue_messages: usize,

    /// Bytes queued for one absent peer
    #[arg(long = "queue_bytes", alias = "queue-bytes", env = "PEERBROKER_QUEUE_BYTES", value_name = "BYTES", default_value_t = defaults().limits.queue_bytes, value_parser = count::<usize>)]
    queue_bytes: usize,

    /// Bytes queued for all absent peers; each message is charged its size plus 512
    #[arg(long = "queue_total_bytes", alias = "queue-total-bytes", env = "PEERBROKER_QUEUE_TOTAL_BYTES", value_name = "BYTES", default_value_t = defaults().limits.queue_total_bytes, value_parser = count::<usize>)]
    queue_total_bytes: usize,

    /// Protocols that clients may use: PeerJS; room codes and one-to-one calls at the root
    #[arg(
        long,
        env = "PEERBROKER_DIALECTS",
        value_name = "LIST",
        value_delimiter = ',',
        default_value = Dialect::list(defaults().dialects)
    )]
    dialects: Vec<Dialect>,

    /// Key for clients at the root that send none [default: that of --key]
    #[arg(long = "root_key", alias = "root-key", env = "PEERBROKER_ROOT_KEY", value_name = "KEY", value_parser = key)]
    root_key: Option<ApiKey>,

    /// Rooms at a time
    #[arg(long, env = "PEERBROKER_ROOMS", value_name = "N", default_value_t = defaults().limits.rooms, value_parser = count::<usize>)]
    rooms: usize,

    /// Players in one room
    #[arg(long = "room_players", alias = "room-players", env = "PEERBROKER_ROOM_PLAYERS", value_name = "N", default_value_t = defaults().limits.room_players, value_parser = count::<usize>)]
    room_players: usize,

    /// Milliseconds after which an inactive room is removed
    #[arg(long = "room_timeout", alias = "room-timeout", env = "PEERBROKER_ROOM_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.room_timeout), value_parser = millis)]
    room_timeout: Duration,

    /// Serve the landing page and the demos
    #[arg(long, env = "PEERBROKER_PAGES", value_name = "true|false", num_args = 0..=1, default_value_t = defaults().pages, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    pages: bool,

    /// Directory of an app's files to serve beside the broker; its index.html replaces the landing page
    #[arg(long = "static_dir", alias = "static-dir", env = "PEERBROKER_STATIC_DIR", value_name = "DIR")]
    static_dir: Option<PathBuf>,

    /// Worker threads; 0 means one per core
    #[arg(long, env = "PEERBROKER_WORKERS", value_name = "N", default_value_t = Listen::default().workers, value_parser = workers)]
    workers: usize,

    /// Format of the log on stderr
    #[arg(
        long = "log_format",
        alias = "log-format",
        env = "PEERBROKER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Check the flags and files, and exit
    #[arg(long = "check_config", alias = "check-config")]
    pub check_config: bool,
}

/// Commands that run instead of the server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add, list, change and remove API keys; works while the server runs
    #[command(subcommand, after_help = keys::HELP, disable_help_subcommand = true)]
    Keys(KeysCommand),
}

/// The defaults of the flags: those of the library.
fn defaults() -> &'static Config {
    static DEFAULTS: LazyLock<Config> = LazyLock::new(Config::default);
    &DEFAULTS
}

impl Cli {
    /// Reads flags and environment, or ends the program with an error. An empty
    /// variable counts as unset: compose files cannot leave one out.
    pub fn read() -> Self {
        let command = without_empty_variables(Cli::command());
        Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if is_empty(name) => arg.env(None::<&'static str>),
        _ => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> Settings {
        let args = ["peerbroker"].iter().chain(args);
        Cli::try_parse_from(args).unwrap().settings().unwrap()
    }

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_shown_are_those_of_the_library() {
        let Settings { config, listen, given_path, data_dir } = settings(&["--port", "9000", "--path", "/"]);
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
        assert_eq!(format!("{listen:?}"), format!("{:?}", Listen::default()));
        assert_eq!((given_path.as_str(), data_dir), ("/", None));
    }

    #[test]
    fn every_form_of_a_flag_that_the_reference_takes_is_taken() {
        for form in [&["-p9001"][..], &["-p", "9001"], &["-p=9001"], &["--port=9001"], &["--port", "9001"]] {
            assert_eq!(settings(form).listen.port, 9001, "{form:?}");
        }
        let all = settings(&[
            "-H",
            "127.0.0.1",
            "-k",
            "123",
            "--path",
            "/x/",
            "-t",
            "1",
            "--alive-timeout",
            "2",
            "-c",
            "3",
            "--allow_discovery",
            "--proxied",
            "true",
            "--cors",
            "http://a",
            "http://b",
            "--cors=http://c",
            "--sslkey",
            "k",
            "--sslcert",
            "c",
        ]);
        assert_eq!(all.config.key.as_str(), "123");
        assert_eq!(all.config.cors, ["http://a", "http://b", "http://c"]);
        assert!(all.config.allow_discovery && all.config.proxied);
        assert!(!settings(&["--allow_discovery", "false"]).config.allow_discovery);
        assert_eq!(all.config.limits.concurrent_limit, 3);
        assert_eq!(all.given_path, "/x/");
    }

    #[test]
    fn keys_may_come_from_a_directory_alone() {
        let Settings { config, data_dir, .. } = settings(&["--data-dir", "data", "--no_default_key"]);
        assert_eq!((data_dir, config.default_key), (Some(PathBuf::from("data")), false));
        assert!(settings(&["--no_default_key=false"]).config.default_key);
    }

    #[test]
    fn a_wrong_value_names_its_flag_and_what_is_accepted() {
        for (flag, value, accepted) in [
            ("--port", "65536", "0 to 65535"),
            ("--expire_timeout", "soon", "milliseconds"),
            ("--alive_timeout", "0", "milliseconds"),
            ("--concurrent_limit", "-1", "whole number"),
            ("--allow_discovery", "maybe", "true or false"),
            ("--log_format", "xml", "json"),
            ("--key", "", "1 to 128 bytes"),
            ("--max_message_bytes", "0", "1 or more"),
        ] {
            let error = Cli::try_parse_from(["peerbroker", &format!("{flag}={value}")]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(flag) && text.contains(accepted), "{text}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
