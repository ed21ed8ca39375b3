//! The arguments of `peerbroker keys`.

mod place;

use std::path::{Path, PathBuf, absolute};

use clap::{Args, Subcommand, ValueEnum};

use peerbroker::files::{self, FileError};
use peerbroker::keys::{Auth, Change, IdStyle, JwtKey, Origin, RANDOM_KEY_CHARS, RelayMode, Settings};
use peerbroker::wire::ApiKey;
use peerbroker::{BadAuth, check_auth};

use super::values::{MAX_SECRET_FILE_BYTES, count, id_style, key, name, origin, relay_mode, yes_or_no};

pub use place::KeysPlace;

/// The text below the list of commands.
pub(super) const HELP: &str = "\
Start the server with the same --data_dir, or with the same --redis and --keys redis. It applies changes within a second.

  peerbroker keys add --data_dir data --name 'My game' --origin https://game.example.org
  peerbroker keys set KEY --data_dir data --concurrent_limit 100
  peerbroker keys list --data_dir data

`peerbroker keys add --help` lists the settings.";

/// The commands of `peerbroker keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Add a key, and print it with the code for a client
    Add {
        #[command(flatten)]
        at: KeysPlace,

        #[arg(
            long,
            short,
            value_parser = key,
            help = format!(
                "The key itself, 1 to {} bytes [default: {RANDOM_KEY_CHARS} random letters and digits]",
                ApiKey::MAX_BYTES
            )
        )]
        key: Option<ApiKey>,

        #[command(flatten)]
        settings: KeySettings,
    },

    /// List all keys, oldest first
    List {
        #[command(flatten)]
        at: KeysPlace,

        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },

    /// Show one key, except its secret
    Show {
        #[command(flatten)]
        at: KeysPlace,

        /// The key
        #[arg(value_parser = key)]
        key: ApiKey,

        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },

    /// Change the given settings of a key and keep the others
    #[command(
        override_usage = "peerbroker keys set <KEY> --data_dir <DIR> [OPTIONS]\n       peerbroker keys set <KEY> --redis <URL> [OPTIONS]"
    )]
    Set {
        #[command(flatten)]
        at: KeysPlace,

        /// The key
        #[arg(value_parser = key)]
        key: ApiKey,

        #[command(flatten)]
        settings: KeySettings,

        /// Let pages from anywhere use the key
        #[arg(long = "no_origins", alias = "no-origins", conflicts_with = "origins")]
        no_origins: bool,
    },

    /// Let clients use a key again
    Enable {
        #[command(flatten)]
        at: KeysPlace,

        /// The key
        #[arg(value_parser = key)]
        key: ApiKey,
    },

    /// Refuse all clients of a key, but keep its settings
    Disable {
        #[command(flatten)]
        at: KeysPlace,

        /// The key
        #[arg(value_parser = key)]
        key: ApiKey,
    },

    /// Write all keys as JSON, with their secrets
    Export {
        #[command(flatten)]
        at: KeysPlace,

        /// A new file, which only you can read; `-` is stdout
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
    },

    /// Add the keys of an export: all of them, or none if one is not valid or exists already
    Import {
        #[command(flatten)]
        at: KeysPlace,

        /// A file of `peerbroker keys export`; `-` is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// Overwrite keys that exist already; other keys stay
        #[arg(long)]
        replace: bool,
    },

    /// Remove a key, without asking
    Remove {
        #[command(flatten)]
        at: KeysPlace,

        /// The key
        #[arg(value_parser = key)]
        key: ApiKey,
    },
}

/// The settings of a key. A setting that is not given has its default in a new key, and does not change in an
/// existing one.
#[derive(Debug, Args)]
pub struct KeySettings {
    /// Name for people, such as that of your app
    #[arg(long, value_parser = name)]
    name: Option<String>,

    /// Pages that may use the key, as in https://example.org or https://*.example.org; may be repeated.
    /// A new key: all
    #[arg(long = "origin", value_name = "ORIGIN", value_parser = origin)]
    origins: Vec<Origin>,

    #[arg(
        long = "allow_no_origin",
        alias = "allow-no-origin",
        value_name = "true|false",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = yes_or_no,
        help = of_new_key(
            "If the key has origins: whether clients without an `Origin` (programs other than browsers) may use it too",
            |new| new.allow_no_origin.to_string()
        )
    )]
    allow_no_origin: Option<bool>,

    #[arg(
        long = "allow_discovery",
        alias = "allow-discovery",
        value_name = "true|false",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = yes_or_no,
        help = of_new_key("Let clients list the ids of its peers", |new| new.allow_discovery.to_string())
    )]
    allow_discovery: Option<bool>,

    #[arg(
        long = "concurrent_limit",
        alias = "concurrent-limit",
        short = 'c',
        value_name = "N",
        value_parser = count::<usize>,
        help = of_new_key("Clients at a time", |new| new.concurrent_limit.to_string())
    )]
    concurrent_limit: Option<usize>,

    #[arg(
        long = "messages_per_second",
        alias = "messages-per-second",
        value_name = "N",
        value_parser = count::<u32>,
        help = of_new_key(
            "Messages per second and client; bursts up to ten times that; 0 means no limit",
            |new| new.messages_per_second.to_string()
        )
    )]
    messages_per_second: Option<u32>,

    #[arg(
        long = "id_style",
        alias = "id-style",
        value_name = "STYLE",
        value_parser = id_style,
        help = of_new_key(
            "Form of the ids that the server gives to its clients: uuid, short or words",
            |new| new.id_style.to_string()
        )
    )]
    id_style: Option<IdStyle>,

    #[arg(
        long,
        value_name = "MODE",
        value_parser = relay_mode,
        help = of_new_key(
            "What the relay of the server does for calls: fallback, always or off",
            |new| new.relay.to_string()
        )
    )]
    relay: Option<RelayMode>,

    #[arg(
        long = "ice_servers",
        alias = "ice-servers",
        value_name = "true|false",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = yes_or_no,
        help = of_new_key(
            "Tell its clients the ICE servers of the server, with credentials",
            |new| new.ice_servers.to_string()
        )
    )]
    ice_servers: Option<bool>,

    /// How clients prove that they own an id. A new key: none
    #[arg(long, value_name = "METHOD")]
    auth: Option<Method>,

    /// With --auth jwt: file with the HS256 secret that signs tokens, 32 bytes or more
    #[arg(
        long = "jwt_secret_file",
        alias = "jwt-secret-file",
        value_name = "FILE",
        group = "jwt",
        conflicts_with = "auth_url"
    )]
    jwt_secret_file: Option<PathBuf>,

    /// With --auth jwt: file with a public key (PEM) for RS256, ES256 or EdDSA
    #[arg(
        long = "jwt_key_file",
        alias = "jwt-key-file",
        value_name = "PEM",
        group = "jwt",
        conflicts_with = "auth_url"
    )]
    jwt_key_file: Option<PathBuf>,

    /// With --auth jwt: file with a JSON Web Key Set; the server reads it again when it changes
    #[arg(
        long = "jwks_file",
        alias = "jwks-file",
        value_name = "FILE",
        group = "jwt",
        conflicts_with = "auth_url"
    )]
    jwks_file: Option<PathBuf>,

    /// With --auth webhook: URL that the server asks about each client
    #[arg(long = "auth_url", alias = "auth-url", value_name = "URL")]
    auth_url: Option<String>,
}

/// The help of an option, with what a new key has without it.
fn of_new_key(help: &str, value: fn(&Settings) -> String) -> String {
    format!("{help}. A new key: {}", value(&Settings::default()))
}

/// The methods of `--auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Method {
    /// The first client to claim an id owns it
    None,
    /// The token is a JSON Web Token for the id
    Jwt,
    /// The server asks your URL
    Webhook,
}

/// Why the settings of a key are invalid.
#[derive(Debug, thiserror::Error)]
pub enum BadKeySettings {
    #[error("--auth jwt needs --jwt_secret_file, --jwt_key_file or --jwks_file")]
    NoJwtKey,
    #[error("--auth webhook needs --auth_url")]
    NoUrl,
    #[error("--{flag} needs --auth {method}")]
    OtherMethod { flag: &'static str, method: &'static str },
    #[error("invalid value {value:?} for --auth_url: {why}")]
    Url { value: String, why: BadAuth },
    #[error("cannot read --{flag} {path}: {error}", path = .path.display())]
    Unreadable { flag: &'static str, path: PathBuf, error: FileError },
    #[error("--{flag} {path} cannot be used: {why}", path = .path.display())]
    Unusable { flag: &'static str, path: PathBuf, why: BadAuth },
}

impl BadKeySettings {
    /// 2 for wrong arguments, like clap; 1 for files.
    pub fn exit_code(&self) -> u8 {
        match self {
            BadKeySettings::Unreadable { .. } | BadKeySettings::Unusable { .. } => 1,
            _ => 2,
        }
    }
}

impl KeySettings {
    /// The change that the options ask for; reads and checks the files.
    pub fn change(&self) -> Result<Change, BadKeySettings> {
        Ok(Change {
            name: self.name.clone(),
            enabled: None,
            allow_discovery: self.allow_discovery,
            concurrent_limit: self.concurrent_limit,
            origins: (!self.origins.is_empty()).then(|| self.origins.clone()),
            allow_no_origin: self.allow_no_origin,
            auth: self.auth()?,
            messages_per_second: self.messages_per_second,
            id_style: self.id_style,
            relay: self.relay,
            ice_servers: self.ice_servers,
        })
    }

    /// A file or a URL implies the method, so a new secret needs no `--auth`.
    fn auth(&self) -> Result<Option<Auth>, BadKeySettings> {
        let jwt = [
            ("jwt_secret_file", &self.jwt_secret_file),
            ("jwt_key_file", &self.jwt_key_file),
            ("jwks_file", &self.jwks_file),
        ];
        let jwt = jwt.into_iter().find_map(|(flag, path)| Some((flag, path.as_deref()?)));
        match (self.auth, jwt, &self.auth_url) {
            (None, None, None) => Ok(None),
            (Some(Method::None), None, None) => Ok(Some(Auth::None)),
            (Some(Method::Jwt), None, None) => Err(BadKeySettings::NoJwtKey),
            (Some(Method::Webhook), None, None) => Err(BadKeySettings::NoUrl),
            (None | Some(Method::Jwt), Some((flag, path)), _) => Ok(Some(jwt_auth(flag, path)?)),
            (_, Some((flag, _)), _) => Err(BadKeySettings::OtherMethod { flag, method: "jwt" }),
            (None | Some(Method::Webhook), None, Some(url)) => {
                let auth = Auth::Webhook { url: url.clone() };
                check_auth(&auth).map_err(|why| BadKeySettings::Url { value: url.clone(), why })?;
                Ok(Some(auth))
            }
            (_, None, Some(_)) => Err(BadKeySettings::OtherMethod { flag: "auth_url", method: "webhook" }),
        }
    }
}

fn jwt_auth(flag: &'static str, path: &Path) -> Result<Auth, BadKeySettings> {
    let unreadable = |error| BadKeySettings::Unreadable { flag, path: path.to_owned(), error };
    let read = |path| files::read_text(path, MAX_SECRET_FILE_BYTES).map_err(unreadable);
    let verify = match flag {
        "jwt_secret_file" => JwtKey::secret(read(path)?),
        "jwt_key_file" => JwtKey::Pem(read(path)?),
        // Absolute, because the server runs in another directory. Links are kept, so that they can be switched.
        _ => JwtKey::Jwks(absolute(path).map_err(|error| unreadable(error.into()))?),
    };
    let auth = Auth::Jwt { verify };
    check_auth(&auth).map_err(|why| BadKeySettings::Unusable { flag, path: path.to_owned(), why })?;
    Ok(auth)
}
