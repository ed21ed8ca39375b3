//! The arguments of `peerbroker keys`, and the table of the settings of a key.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf, absolute};
use std::sync::LazyLock;

use clap::{Arg, ArgMatches, Args, Command as ClapCommand, Error, FromArgMatches, Subcommand};
use peerbroker::{check_auth, check_webhook};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{
    Auth, Change, ExpireTimeout, IdStyle, JwtKey, Origin, PlainSetting, RANDOM_KEY_CHARS, RelayMode,
    SettingKind, Settings, TokenScope, Webhook, WebhookSecret, check_name,
};

use super::given::Given;
use super::odd::quotes;
use super::row::{RowOf, plain};
use super::secret_file;
use super::values::{
    ANY, BYTE_RATE, COUNT, Kind, MILLIS, Unit, choice, discovery, key, kind, number, parsed, path, switch,
    text,
};
use crate::failure::{Failure, failed, wrong};

/// The text below the list of commands.
pub(super) const HELP: &str = "\
Give the --config, the --data_dir, or the --redis with --keys redis, of the server. It applies changes within a second.

  peerbroker keys add --data_dir data --name 'My game' --origin https://game.example.org
  peerbroker keys set KEY --data_dir data --concurrent_limit 100
  peerbroker keys list --data_dir data

`peerbroker keys add --help` lists the settings.";

/// The commands of `peerbroker keys`. The place of the keys is in flags of the server.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Add a key, and print it with the code for a client
    Add {
        #[arg(
            long,
            short,
            value_parser = new_key,
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
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },

    /// Show one key, except its secret
    Show {
        #[command(flatten)]
        key: OneKey,

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
        key: OneKey,

        #[command(flatten)]
        settings: KeySettings,

        /// Let pages from anywhere use the key
        #[arg(long = "no_origins", alias = "no-origins", conflicts_with = "origin")]
        no_origins: bool,
    },

    /// Let clients use a key again
    Enable(OneKey),

    /// Refuse all clients of a key, but keep its settings
    Disable(OneKey),

    /// Write all keys as JSON, with their secrets
    Export {
        /// A new file, which only you can read; `-` is stdout
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
    },

    /// Add the keys of an export: all of them, or none if one is not valid or exists already
    Import {
        /// A file of `peerbroker keys export`; `-` is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// Overwrite keys that exist already; other keys stay
        #[arg(long)]
        replace: bool,
    },

    /// Remove a key, without asking
    #[command(alias = "delete")]
    Remove(OneKey),

    /// Tokens for the API that may do a part of it, for one key
    #[command(subcommand)]
    Token(TokenCommand),
}

/// The commands of `peerbroker keys token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Add a token, and print it. It is shown only once
    Add {
        #[command(flatten)]
        key: OneKey,

        /// Name of the token, such as that of the program that uses it
        #[arg(value_parser = |text: &str| check_name(text).map(|()| text.to_owned()))]
        name: String,

        /// Allows messages, peers:read or kick; may be repeated
        #[arg(long, required = true, value_parser = scope)]
        scope: Vec<TokenScope>,
    },

    /// List the tokens of a key, without their texts
    List(OneKey),

    /// Remove a token: it is not valid any more
    Remove {
        #[command(flatten)]
        key: OneKey,

        /// Name of the token
        name: String,
    },
}

fn scope(text: &str) -> Result<TokenScope, String> {
    let found = TokenScope::ALL.into_iter().find(|scope| scope.label() == text);
    found.ok_or_else(|| format!("expected one of {}", TokenScope::ALL.map(TokenScope::label).join(", ")))
}

/// The key that a command is about.
#[derive(Debug, Args)]
pub struct OneKey {
    /// The key
    #[arg(value_parser = key)]
    pub key: ApiKey,
}

/// The settings of a key that are given, before they are checked together. A setting that is not given has
/// its default in a new key, and does not change in an existing one.
#[derive(Debug, Default)]
pub struct KeySettings {
    change: Change,
    origins: Vec<Origin>,
    auth: Option<Method>,
    jwt_secret_file: Option<PathBuf>,
    jwt_key_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    auth_url: Option<String>,
    webhook: Option<String>,
    webhook_secret_file: Option<PathBuf>,
    webhook_messages: bool,
    no_webhook: bool,
}

/// The methods of `--auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    None,
    Jwt,
    Webhook,
}

type Row = RowOf<KeySettings>;

/// All settings of keys, in the order of the help: first those that one flag each gives.
static ROWS: LazyLock<Vec<Row>> =
    LazyLock::new(|| PlainSetting::ALL.iter().map(plain_row).chain(other_rows()).collect());

#[rustfmt::skip]
fn other_rows() -> Vec<Row> { vec![
    Row::new("name", |k| &mut k.change.name, parsed("NAME", |text| check_name(text).map(|()| text.to_owned())),
        "Name for people, such as that of your app", ""),
    Row::new("origin", |k| &mut k.origins, parsed("ORIGIN", Origin::parse),
        "Pages that may use the key, as in https://example.org or https://*.example.org; may be repeated", "An app has an origin of its own, as in app://. or capacitor://localhost. `null` is the origin of files, and of sandboxed frames, which pages of every site can open.").at_most(1).unset("all"),
    Row::new("auth", |k| &mut k.auth, choice("METHOD", [("none", Method::None), ("jwt", Method::Jwt), ("webhook", Method::Webhook)]),
        "Proof that a client owns its id: none, jwt or webhook", "none: the first client to claim an id owns it; jwt: the token is a JSON Web Token for the id; webhook: the server asks your URL").unset("none"),
    Row::new("jwt_secret_file", |k| &mut k.jwt_secret_file, path("FILE"),
        "With --auth jwt: file with the HS256 secret that signs tokens, 32 bytes or more", "").excludes(&["jwt_key_file", "jwks_file", "auth_url"]),
    Row::new("jwt_key_file", |k| &mut k.jwt_key_file, path("PEM"),
        "With --auth jwt: file with a public key (PEM) for RS256, ES256 or EdDSA", "").excludes(&["jwks_file", "auth_url"]),
    Row::new("jwks_file", |k| &mut k.jwks_file, path("FILE"),
        "With --auth jwt: file with a JSON Web Key Set; the server reads it again when it changes", "").excludes(&["auth_url"]),
    Row::new("auth_url", |k| &mut k.auth_url, text("URL"),
        "With --auth webhook: URL that the server asks about each client", ""),
    Row::new("webhook", |k| &mut k.webhook, text("URL"),
        "URL that gets the events of its clients, by POST", "").with("webhook_secret_file"),
    Row::new("webhook_secret_file", |k| &mut k.webhook_secret_file, path("FILE"),
        "With --webhook: file with the secret that signs the events, or with several", "").with("webhook"),
    Row::new("webhook_messages", |k| &mut k.webhook_messages, switch(),
        "With --webhook: send it the messages of clients to the app too, and its answers back", "").with("webhook"),
    Row::new("no_webhook", |k| &mut k.no_webhook, switch(),
        "Send no events of its clients", "").at_most(0).excludes(&["webhook"]).unset(""),
] }

fn plain_row(&PlainSetting { name, help, kind, .. }: &PlainSetting) -> Row {
    let help = help.trim().trim_end_matches('.');
    let style = || choice("STYLE", IdStyle::ALL.map(|style| (style.label(), style)));
    let mode = || choice("MODE", RelayMode::ALL.map(|mode| (mode.label(), mode)));
    let row = match kind {
        SettingKind::Switch(at) => Row::new(name, inside(at), switch(), help, ""),
        SettingKind::Count(at) => Row::new(name, inside(at), number::<usize>(&COUNT, ANY), help, ""),
        SettingKind::Rate(at) => Row::new(name, inside(at), number::<u32>(&COUNT, ANY), help, ""),
        SettingKind::Discovery(at) => Row::new(name, inside(at), discovery(), help, ""),
        SettingKind::Ids(at) => Row::new(name, inside(at), style(), help, ""),
        SettingKind::Relay(at) => Row::new(name, inside(at), mode(), help, ""),
        SettingKind::OwnCount(at) => Row::new(name, inside(at), limit::<usize>(&COUNT, ANY), help, OF_SERVER),
        SettingKind::OwnRate(at) => {
            Row::new(name, inside(at), limit::<u32>(&BYTE_RATE, ANY), help, OF_SERVER)
        }
        SettingKind::OwnTime(at) => Row::new(
            name,
            inside(at),
            limit::<ExpireTimeout>(&MILLIS, ExpireTimeout::MILLIS),
            help,
            OF_SERVER,
        ),
    };
    // As peerjs-server has it.
    if name == "concurrent_limit" { row.short('c') } else { row }
}

/// The place of a value in the change.
fn inside<S: 'static>(
    at: fn(&mut Change) -> &mut S,
) -> impl Fn(&mut KeySettings) -> &mut S + Copy + Send + Sync {
    move |settings| at(&mut settings.change)
}

/// The value of a setting in words.
fn words(kind: SettingKind, text: String) -> String {
    match (kind, &*text) {
        (_, SERVER) => "as the server has it".to_owned(),
        (SettingKind::Switch(_) | SettingKind::Discovery(_), yes @ ("true" | "false")) => {
            if yes == "true" { "yes" } else { "no" }.to_owned()
        }
        (SettingKind::Rate(_) | SettingKind::OwnRate(_), "0") => "no limit".to_owned(),
        (SettingKind::Rate(_), _) => text + " per second and client",
        (SettingKind::OwnRate(_), _) => text + " bytes per second",
        (SettingKind::OwnTime(_), _) => text + " milliseconds",
        (SettingKind::Count(_) | SettingKind::OwnCount(_), _) => text + " at most",
        (SettingKind::Discovery(_), _) => text + ", of one network",
        (SettingKind::Switch(_) | SettingKind::Ids(_) | SettingKind::Relay(_), _) => text,
    }
}

/// The value with which a key has the server's limit.
const SERVER: &str = "server";
const OF_SERVER: &str = "`server` means the limit of the server.";

/// A number, or the word for the server's limit.
fn limit<T: TryFrom<u64> + ToString + 'static>(
    unit: &'static Unit,
    range: RangeInclusive<u64>,
) -> Kind<Option<T>> {
    let Kind { value_name, parse, show, .. } = number::<T>(unit, range);
    let parse = move |text: &str| if text == SERVER { Ok(None) } else { parse(text.as_ref()).map(Some) };
    kind(value_name, parse, move |limit| limit.as_ref().map_or_else(|| SERVER.to_owned(), &show))
}

fn arg(row: &'static Row, new: &mut KeySettings) -> Arg {
    let default = row.default(new).map(|default| format!(". A new key: {default}"));
    let help = plain(row.help) + &default.unwrap_or_default();
    let more = if row.more.is_empty() { String::new() } else { format!("\n\n{}", row.more) };
    row.arg(help.clone()).long_help(help + &more)
}

impl Args for KeySettings {
    fn augment_args(command: ClapCommand) -> ClapCommand {
        let mut new = Self::of(&Settings::default());
        command.args(ROWS.iter().map(|row| arg(row, &mut new)))
    }

    fn augment_args_for_update(command: ClapCommand) -> ClapCommand {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KeySettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Given::of(ROWS.iter(), matches, |_| None).draft(&ROWS, Self::default())
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl KeySettings {
    /// The plain settings of a key that has them.
    fn of(settings: &Settings) -> Self {
        KeySettings { change: settings.clone().into(), ..Self::default() }
    }

    /// The values that people see as they are, each with its label.
    pub fn shown(settings: &Settings) -> impl Iterator<Item = (&'static str, String)> {
        let mut all = Self::of(settings);
        PlainSetting::ALL
            .iter()
            .zip(ROWS.iter())
            .filter(|(setting, _)| !setting.label.is_empty())
            .map(move |(setting, row)| (setting.label, words(setting.kind, (row.texts)(&mut all).concat())))
    }

    /// The change that the options ask for; reads and checks the files.
    pub fn change(&self) -> Result<Change, Failure> {
        let origins = Some(self.origins.clone()).filter(|origins| !origins.is_empty());
        Ok(Change { origins, auth: self.auth()?, webhook: self.webhook()?, ..self.change.clone() })
    }

    /// A file or a URL implies the method, so a new secret needs no `--auth`.
    fn auth(&self) -> Result<Option<Auth>, Failure> {
        let jwt = [
            ("jwt_secret_file", &self.jwt_secret_file),
            ("jwt_key_file", &self.jwt_key_file),
            ("jwks_file", &self.jwks_file),
        ];
        let jwt = jwt.into_iter().find_map(|(flag, path)| Some((flag, path.as_deref()?)));
        match (self.auth, jwt, &self.auth_url) {
            (None, None, None) => Ok(None),
            (Some(Method::None), None, None) => Ok(Some(Auth::None)),
            (Some(Method::Jwt), None, None) => {
                Err(wrong("--auth jwt needs --jwt_secret_file, --jwt_key_file or --jwks_file"))
            }
            (Some(Method::Webhook), None, None) => Err(wrong("--auth webhook needs --auth_url")),
            (None | Some(Method::Jwt), Some((flag, path)), _) => jwt_auth(flag, path).map(Some),
            (_, Some((flag, _)), _) => Err(wrong(format!("--{flag} needs --auth jwt"))),
            (None | Some(Method::Webhook), None, Some(url)) => {
                let auth = Auth::Webhook { url: url.clone() };
                check_auth(&auth)
                    .map_err(|why| wrong(format!("invalid value {url:?} for --auth_url: {why}")))?;
                Ok(Some(auth))
            }
            (_, None, Some(_)) => Err(wrong("--auth_url needs --auth webhook")),
        }
    }

    /// The webhook, if one is given. The server decides whether it may have http:// or a private address.
    fn webhook(&self) -> Result<Option<Webhook>, Failure> {
        let (Some(url), Some(path)) = (&self.webhook, &self.webhook_secret_file) else {
            return Ok(self.no_webhook.then(Webhook::default));
        };
        let flag = "webhook_secret_file";
        let secrets = WebhookSecret::parse_all(&secret_file::of_flag(flag, path)?)
            .map_err(|why| failed(format!("--{flag} {} cannot be used: {why}", path.display())))?;
        let webhook = Webhook { url: url.clone(), secrets, messages: self.webhook_messages };
        check_webhook(&webhook, true)
            .map_err(|why| wrong(format!("invalid value {url:?} for --webhook: {why}")))?;
        Ok(Some(webhook))
    }
}

/// A key to add. One with quotes of its own is surely not meant.
fn new_key(text: &str) -> Result<ApiKey, String> {
    quotes(text).map_or_else(|| key(text), |why| Err(format!("it {why}")))
}

fn jwt_auth(flag: &str, path: &Path) -> Result<Auth, Failure> {
    let verify = match flag {
        "jwt_secret_file" => JwtKey::secret(secret_file::of_flag(flag, path)?),
        "jwt_key_file" => JwtKey::Pem(secret_file::of_flag(flag, path)?),
        // Absolute, because the server runs in another directory. Links are kept, so that they can be
        // switched.
        _ if path.to_string_lossy().contains("://") => JwtKey::Jwks(path.to_owned()),
        _ => JwtKey::Jwks(absolute(path)?),
    };
    let auth = Auth::Jwt { verify };
    check_auth(&auth).map_err(|why| failed(format!("--{flag} {} cannot be used: {why}", path.display())))?;
    Ok(auth)
}
