//! The flags and the commands. Names and meanings are those of the npm `peerjs` program where it has
//! them; every flag may also be spelt with hyphens and set in the environment.

mod acme;
mod backup;
mod cluster;
mod config_command;
mod config_file;
mod doctor;
mod effective;
mod environment;
mod given;
mod handover;
mod help;
mod ice;
mod keys;
mod live;
mod misplaced;
mod not_read;
mod output;
mod read;
mod relay;
mod secret_file;
mod settings;
mod turn;
mod values;
mod warnings;
mod webhooks;

use std::io;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};
use ipnet::IpNet;
use peerbroker::config::{DEFAULT_HOST, DEFAULT_OPS_HOST, DEFAULT_PORT};
use peerbroker::keys::IdStyle;
use peerbroker::wire::ApiKey;
use peerbroker::{Config, Listen};

pub use backup::{ACME_DIR, BackupArgs};
pub use cluster::StoredKeys;
pub use config_command::ConfigCommand;
pub use doctor::DoctorArgs;
pub use given::Given;
pub use keys::{BadKeySettings, KeySettings, KeysCommand, KeysPlace};
pub use not_read::NotRead;
pub use read::Reread;
pub use secret_file::refuse_new_pipes;
pub use settings::Settings;
use values::{
    Cors, Dialect, Path, RegistrationState, cors, count, id_style, in_millis, key, millis, millis_or_none,
    network, path, port, positive, workers, yes_or_no,
};
pub use values::{LogFilter, LogFormat, parse_filter};

/// A broker that lets WebRTC clients find each other. Drop-in replacement for peerjs-server.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_long_help = help::AFTER,
    allow_negative_numbers = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Without a command, the program serves.
    #[command(subcommand)]
    pub command: Option<Command>,

    #[arg(
        help_heading = help::BASICS,
        long,
        short,
        env = "PEERBROKER_PORT",
        value_parser = port,
        default_value_t = DEFAULT_PORT,
        hide_default_value = true,
        help = format!("TCP port; 0 takes a free one [default: $PORT or {DEFAULT_PORT}]")
    )]
    port: u16,

    /// Address or name to listen on; `::` is IPv6 and IPv4
    #[arg(help_heading = help::BASICS, long, short = 'H', env = "PEERBROKER_HOST", default_value = DEFAULT_HOST)]
    host: String,

    #[arg(
        help_heading = help::BASICS,
        long,
        env = "PEERBROKER_PATH",
        value_parser = path,
        default_value = "/",
        hide_default_value = true,
        help = format!("Mount path [default: $PEERSERVER_PATH or {}]", defaults().path)
    )]
    path: Path,

    /// Directory of an app's files to serve beside the broker
    ///
    /// Its index.html replaces the landing page.
    #[arg(help_heading = help::BASICS, long = "static_dir", alias = "static-dir", env = "PEERBROKER_STATIC_DIR", value_name = "DIR")]
    static_dir: Option<PathBuf>,

    /// Serve the landing page and the demos
    #[arg(help_heading = help::BASICS, long, env = "PEERBROKER_PAGES", value_name = "true|false", num_args = 0..=1, default_value_t = defaults().pages, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    pages: bool,

    /// Worker threads; 0 means one per core
    #[arg(help_heading = help::BASICS, long, env = "PEERBROKER_WORKERS", value_name = "N", default_value_t = Listen::default().workers, value_parser = workers)]
    workers: usize,

    #[command(flatten)]
    handover: handover::HandoverArgs,

    /// Check the flags and files, and exit
    ///
    /// This creates and changes nothing. The port is not checked.
    #[arg(help_heading = help::BASICS, long = "check_config", alias = "check-config")]
    pub check_config: bool,

    #[command(flatten)]
    pub config: config_file::ConfigArgs,

    /// Private key for HTTPS and WSS (PEM), with --sslcert
    #[arg(help_heading = help::TLS, long, env = "PEERBROKER_SSLKEY", value_name = "FILE")]
    sslkey: Option<PathBuf>,

    /// Certificate and chain for HTTPS and WSS (PEM), with --sslkey
    #[arg(help_heading = help::TLS, long, env = "PEERBROKER_SSLCERT", value_name = "FILE")]
    sslcert: Option<PathBuf>,

    #[command(flatten)]
    acme: acme::AcmeArgs,

    /// Trust the headers of a proxy in front of the broker
    ///
    /// These are X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto, from the proxies of --trusted_proxy.
    #[arg(help_heading = help::PROXY, long, env = "PEERBROKER_PROXIED", value_name = "true|false", num_args = 0..=1, default_value_t = defaults().proxied, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    proxied: bool,

    /// Networks of trusted proxies, with --proxied [default: loopback and private networks]
    #[arg(help_heading = help::PROXY, long = "trusted_proxy", alias = "trusted-proxy", env = "PEERBROKER_TRUSTED_PROXY", value_name = "CIDR", num_args = 1.., value_delimiter = ' ', value_parser = network)]
    trusted_proxy: Vec<IpNet>,

    /// API key that clients must send
    #[arg(help_heading = help::KEYS, long, short, env = "PEERBROKER_KEY", default_value_t = defaults().key.clone(), value_parser = key)]
    key: ApiKey,

    /// Disable the built-in key; only stored keys are accepted
    #[arg(help_heading = help::KEYS, long = "no_default_key", alias = "no-default-key", env = "PEERBROKER_NO_DEFAULT_KEY", value_name = "true|false", num_args = 0..=1, default_value_t = !defaults().default_key, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    no_default_key: bool,

    /// Directory for stored keys, and for the certificate of --acme
    ///
    /// `peerbroker keys` edits them while the server runs.
    #[arg(help_heading = help::KEYS, long = "data_dir", alias = "data-dir", env = "PEERBROKER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Let clients list the ids of all peers
    #[arg(help_heading = help::KEYS, long = "allow_discovery", alias = "allow-discovery", env = "PEERBROKER_ALLOW_DISCOVERY", value_name = "true|false", num_args = 0..=1, default_value_t = defaults().allow_discovery, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    allow_discovery: bool,

    /// Origins that may read HTTP answers [default: all origins]
    ///
    /// As in https://example.org, or https://*.example.org for all subdomains; `*` means all.
    #[arg(help_heading = help::KEYS, long, env = "PEERBROKER_CORS", value_name = "ORIGIN", num_args = 1.., value_delimiter = ' ', value_parser = cors)]
    cors: Vec<Cors>,

    /// Whether anybody may register a key, through a form on the landing page
    #[arg(help_heading = help::KEYS, long, env = "PEERBROKER_REGISTRATION", value_enum, value_name = "open|closed", default_value_t = RegistrationState::of(defaults()))]
    registration: RegistrationState,

    /// Keys that one address may register within 24 hours; 0 means no limit
    #[arg(help_heading = help::KEYS, long = "registrations_per_day", alias = "registrations-per-day", env = "PEERBROKER_REGISTRATIONS_PER_DAY", value_name = "N", default_value_t = defaults().registration.per_day, value_parser = count::<u32>)]
    registrations_per_day: u32,

    /// Registered keys at a time; 0 means no limit
    #[arg(help_heading = help::KEYS, long = "registration_limit", alias = "registration-limit", env = "PEERBROKER_REGISTRATION_LIMIT", value_name = "N", default_value_t = defaults().registration.limit, value_parser = count::<usize>)]
    registration_limit: usize,

    /// Delete registered keys that had no client for this many days; 0 keeps them
    #[arg(help_heading = help::KEYS, long = "registration_ttl", alias = "registration-ttl", env = "PEERBROKER_REGISTRATION_TTL", value_name = "DAYS", default_value_t = defaults().registration.ttl_days, value_parser = count::<u32>)]
    registration_ttl: u32,

    /// Form of the ids that the server gives to clients: uuid, short or words
    #[arg(help_heading = help::KEYS, long = "id_style", alias = "id-style", env = "PEERBROKER_ID_STYLE", value_name = "STYLE", default_value_t = defaults().id_style, value_parser = id_style)]
    id_style: IdStyle,

    #[command(flatten)]
    cluster: cluster::ClusterArgs,

    #[command(flatten)]
    relay: relay::RelayArgs,

    #[command(flatten)]
    ice: ice::IceArgs,

    #[command(flatten)]
    turn: turn::TurnArgs,

    #[command(flatten)]
    webhooks: webhooks::WebhookArgs,

    /// Connected clients at a time
    #[arg(help_heading = help::LIMITS, long = "concurrent_limit", alias = "concurrent-limit", short = 'c', env = "PEERBROKER_CONCURRENT_LIMIT", value_name = "N", default_value_t = defaults().limits.concurrent_limit, value_parser = count::<usize>)]
    concurrent_limit: usize,

    /// Messages per second and client; bursts up to ten times that; 0 means no limit
    #[arg(help_heading = help::LIMITS, long = "messages_per_second", alias = "messages-per-second", env = "PEERBROKER_MESSAGES_PER_SECOND", value_name = "N", default_value_t = defaults().messages_per_second)]
    messages_per_second: u32,

    /// Connections per address at a time, HTTP included; 0 means no limit
    #[arg(help_heading = help::LIMITS, long = "connections_per_address", alias = "connections-per-address", env = "PEERBROKER_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value_t = defaults().address_limits.connections)]
    connections_per_address: u32,

    /// New WebSockets and streams per second and address; bursts up to ten times that; 0 means no limit
    #[arg(
        help_heading = help::LIMITS,
        long = "opens_per_second_per_address",
        alias = "opens-per-second-per-address",
        env = "PEERBROKER_OPENS_PER_SECOND_PER_ADDRESS",
        value_name = "N",
        default_value_t = defaults().address_limits.opens_per_second
    )]
    opens_per_second_per_address: u32,

    /// Largest message in bytes
    #[arg(help_heading = help::LIMITS, long = "max_message_bytes", alias = "max-message-bytes", env = "PEERBROKER_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value_t = defaults().max_message_bytes, value_parser = positive)]
    max_message_bytes: usize,

    /// Bytes of unfinished messages of all connections; the first 16 KiB of each are not counted
    #[arg(help_heading = help::LIMITS, long = "unfinished_total_bytes", alias = "unfinished-total-bytes", env = "PEERBROKER_UNFINISHED_TOTAL_BYTES", value_name = "BYTES", default_value_t = defaults().unfinished_total_bytes, value_parser = count::<usize>)]
    unfinished_total_bytes: usize,

    /// Messages queued for one absent peer
    #[arg(help_heading = help::LIMITS, long = "queue_messages", alias = "queue-messages", env = "PEERBROKER_QUEUE_MESSAGES", value_name = "N", default_value_t = defaults().limits.queue_messages, value_parser = count::<usize>)]
    queue_messages: usize,

    /// Bytes queued for one absent peer
    #[arg(help_heading = help::LIMITS, long = "queue_bytes", alias = "queue-bytes", env = "PEERBROKER_QUEUE_BYTES", value_name = "BYTES", default_value_t = defaults().limits.queue_bytes, value_parser = count::<usize>)]
    queue_bytes: usize,

    /// Bytes queued for all absent peers; each message is charged its size plus 512
    #[arg(help_heading = help::LIMITS, long = "queue_total_bytes", alias = "queue-total-bytes", env = "PEERBROKER_QUEUE_TOTAL_BYTES", value_name = "BYTES", default_value_t = defaults().limits.queue_total_bytes, value_parser = count::<usize>)]
    queue_total_bytes: usize,

    /// Milliseconds that messages wait for an absent peer
    #[arg(help_heading = help::LIMITS, long = "expire_timeout", alias = "expire-timeout", short = 't', env = "PEERBROKER_EXPIRE_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.expire_timeout), value_parser = millis)]
    expire_timeout: Duration,

    /// Milliseconds after which a silent client is disconnected
    #[arg(help_heading = help::LIMITS, long = "alive_timeout", alias = "alive-timeout", env = "PEERBROKER_ALIVE_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.alive_timeout), value_parser = millis)]
    alive_timeout: Duration,

    /// Milliseconds after which a silent client is pinged; capped at a third of the alive timeout
    #[arg(help_heading = help::LIMITS, long = "ping_interval", alias = "ping-interval", env = "PEERBROKER_PING_INTERVAL", value_name = "MS", default_value = in_millis(defaults().limits.ping_interval), value_parser = millis)]
    ping_interval: Duration,

    /// Milliseconds that the holder of an id has to answer when another client asks for the id
    #[arg(help_heading = help::LIMITS, long = "probe_timeout", alias = "probe-timeout", env = "PEERBROKER_PROBE_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.probe_timeout), value_parser = millis)]
    probe_timeout: Duration,

    /// Milliseconds that an id is kept for its token after its client was closed with 4002 or 4003; 0 turns it off
    #[arg(help_heading = help::LIMITS, long = "reclaim_timeout", alias = "reclaim-timeout", env = "PEERBROKER_RECLAIM_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.reclaim_timeout), value_parser = millis_or_none)]
    reclaim_timeout: Duration,

    /// Protocols that clients may use: PeerJS; room codes and one-to-one calls at the root
    #[arg(
        help_heading = help::ROOMS,
        long,
        env = "PEERBROKER_DIALECTS",
        value_name = "LIST",
        value_delimiter = ',',
        default_value = Dialect::list(defaults().dialects)
    )]
    dialects: Vec<Dialect>,

    /// Key for clients at the root that send none [default: that of --key]
    #[arg(help_heading = help::ROOMS, long = "root_key", alias = "root-key", env = "PEERBROKER_ROOT_KEY", value_name = "KEY", value_parser = key)]
    root_key: Option<ApiKey>,

    /// Rooms at a time
    #[arg(help_heading = help::ROOMS, long, env = "PEERBROKER_ROOMS", value_name = "N", default_value_t = defaults().limits.rooms, value_parser = count::<usize>)]
    rooms: usize,

    /// Players in one room
    #[arg(help_heading = help::ROOMS, long = "room_players", alias = "room-players", env = "PEERBROKER_ROOM_PLAYERS", value_name = "N", default_value_t = defaults().limits.room_players, value_parser = count::<usize>)]
    room_players: usize,

    /// Milliseconds after which an inactive room is removed
    #[arg(help_heading = help::ROOMS, long = "room_timeout", alias = "room-timeout", env = "PEERBROKER_ROOM_TIMEOUT", value_name = "MS", default_value = in_millis(defaults().limits.room_timeout), value_parser = millis)]
    room_timeout: Duration,

    /// TCP port of the API for operators [default: no API]
    ///
    /// For keys, peers and statistics; 0 takes a free one.
    #[arg(help_heading = help::API, long = "ops_port", alias = "ops-port", env = "PEERBROKER_OPS_PORT", value_name = "PORT", value_parser = port)]
    ops_port: Option<u16>,

    /// Address or name that the API listens on
    #[arg(help_heading = help::API, long = "ops_host", alias = "ops-host", env = "PEERBROKER_OPS_HOST", value_name = "HOST", default_value = DEFAULT_OPS_HOST)]
    ops_host: String,

    /// Bearer token for the API, 16 characters or more; without it, only local programs may use it
    #[arg(
        help_heading = help::API,
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
        help_heading = help::API,
        long = "admin_token_file",
        alias = "admin-token-file",
        env = "PEERBROKER_ADMIN_TOKEN_FILE",
        value_name = "FILE"
    )]
    admin_token_file: Option<PathBuf>,

    #[command(flatten)]
    pub output: output::OutputArgs,

    /// The arguments that were given, by a flag, a variable or the configuration file.
    #[arg(skip)]
    pub given: Given,

    /// All settings as text.
    #[arg(skip)]
    pub effective: effective::Effective,

    /// The configuration file, if there is one.
    #[arg(skip)]
    pub file: Option<config_file::ConfigFile>,
}

/// Commands that run instead of the server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add, list, change and remove API keys; works while the server runs
    #[command(subcommand, after_help = keys::HELP, disable_help_subcommand = true)]
    Keys(Box<KeysCommand>),

    /// Check the configuration, or show it
    #[command(subcommand, disable_help_subcommand = true)]
    Config(ConfigCommand),

    /// Examine a broker from outside, and say what is wrong and what to do
    #[command(after_help = doctor::HELP)]
    Doctor(Box<DoctorArgs>),

    /// Copy the data directory while a server uses it
    #[command(after_help = backup::HELP)]
    Backup(BackupArgs),

    /// Print the completions of flags for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Print the manual page, as in `peerbroker man | man -l -`
    Man,
}

/// The defaults of the flags: those of the library.
fn defaults() -> &'static Config {
    static DEFAULTS: LazyLock<Config> = LazyLock::new(Config::default);
    &DEFAULTS
}

/// The completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    help::completions(Cli::command(), shell)
}

/// The manual page.
pub fn manual() -> io::Result<Vec<u8>> {
    help::manual(Cli::command())
}

/// A warning for each variable that looks like one of this program and is none.
pub fn unknown_variables() -> Vec<String> {
    environment::unknown_variables(&Cli::command())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::parsed;
