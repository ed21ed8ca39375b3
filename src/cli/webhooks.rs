//! The flags of webhooks: of the server, and of a key.

use std::path::PathBuf;

use clap::Args;
use peerbroker::config::{WebhookConfig, WebhookEvent};
use peerbroker::files::{self, FileError};
use peerbroker::keys::{InvalidWebhookSecret, Webhook, WebhookSecret};
use peerbroker::{BadWebhook, check_webhook};

use super::help;
use super::values::{MAX_SECRET_FILE_BYTES, yes_or_no};

#[derive(Debug, Args)]
pub(super) struct WebhookArgs {
    /// URL that gets events about clients, keys and the server, by POST
    #[arg(help_heading = help::WEBHOOKS, long, env = "PEERBROKER_WEBHOOK", value_name = "URL")]
    webhook: Option<String>,

    /// Secret that signs the events of --webhook: whsec_ and base64; several while one replaces another
    #[arg(
        help_heading = help::WEBHOOKS,
        long = "webhook_secret",
        alias = "webhook-secret",
        env = "PEERBROKER_WEBHOOK_SECRET",
        value_name = "SECRET",
        num_args = 1..,
        value_delimiter = ' ',
        hide_env_values = true,
        conflicts_with = "webhook_secret_file"
    )]
    webhook_secret: Vec<String>,

    /// File with the secret that signs the events of --webhook, or with several
    #[arg(help_heading = help::WEBHOOKS, long = "webhook_secret_file", alias = "webhook-secret-file", env = "PEERBROKER_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,

    /// Types of the events that --webhook gets, as in peer.connected,peer.disconnected [default: all types]
    #[arg(help_heading = help::WEBHOOKS, long = "webhook_events", alias = "webhook-events", env = "PEERBROKER_WEBHOOK_EVENTS", value_name = "LIST", value_delimiter = ',', value_parser = event)]
    webhook_events: Vec<WebhookEvent>,

    /// Let the webhooks of keys have private addresses, and http:// URLs
    #[arg(help_heading = help::WEBHOOKS, long = "webhook_private", alias = "webhook-private", env = "PEERBROKER_WEBHOOK_PRIVATE", value_name = "true|false", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    webhook_private: bool,
}

/// Why events cannot be sent to `--webhook`.
#[derive(Debug, thiserror::Error)]
pub enum BadWebhookFlags {
    #[error("--webhook_secret does nothing without --webhook")]
    NoUrl,
    #[error("--webhook needs --webhook_secret or --webhook_secret_file: {}", BadWebhook::NoSecret)]
    NoSecret,
    #[error("invalid value {url:?} for '--webhook': {why}")]
    Url { url: String, why: BadWebhook },
    #[error("cannot read --webhook_secret_file {path}: {error}", path = .path.display())]
    SecretFile { path: PathBuf, error: FileError },
    #[error("invalid value for '--{flag}': {why}")]
    Secret { flag: &'static str, why: InvalidWebhookSecret },
}

impl BadWebhookFlags {
    /// 2 for wrong arguments, like clap; 1 for files.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            BadWebhookFlags::SecretFile { .. }
            | BadWebhookFlags::Secret { flag: "webhook_secret_file", .. } => 1,
            _ => 2,
        }
    }
}

impl WebhookArgs {
    /// Where events go, and which.
    pub(super) fn config(&self) -> Result<WebhookConfig, BadWebhookFlags> {
        let operator = Webhook { url: self.webhook.clone().unwrap_or_default(), secrets: self.secrets()? };
        check_webhook(&operator, true).map_err(|why| match why {
            BadWebhook::NoUrl => BadWebhookFlags::NoUrl,
            BadWebhook::NoSecret => BadWebhookFlags::NoSecret,
            why => BadWebhookFlags::Url { url: operator.url.clone(), why },
        })?;
        let defaults = WebhookConfig::default();
        let events =
            if self.webhook_events.is_empty() { defaults.events } else { self.webhook_events.clone() };
        Ok(WebhookConfig { operator, events, private: self.webhook_private })
    }

    /// Whether the operator has a webhook.
    pub(super) fn is_given(&self) -> bool {
        self.webhook.is_some()
    }

    fn secrets(&self) -> Result<Vec<WebhookSecret>, BadWebhookFlags> {
        let (flag, text) = match &self.webhook_secret_file {
            Some(path) => ("webhook_secret_file", read(path)?),
            None => ("webhook_secret", self.webhook_secret.join(" ")),
        };
        WebhookSecret::parse_all(&text).map_err(|why| BadWebhookFlags::Secret { flag, why })
    }
}

/// The options for the webhook of a key.
#[derive(Debug, Args)]
pub(super) struct KeyWebhookArgs {
    /// URL that gets the events of its clients, by POST
    #[arg(long, value_name = "URL", requires = "webhook_secret_file")]
    webhook: Option<String>,

    /// With --webhook: file with the secret that signs the events, or with several
    #[arg(
        long = "webhook_secret_file",
        alias = "webhook-secret-file",
        value_name = "FILE",
        requires = "webhook"
    )]
    webhook_secret_file: Option<PathBuf>,

    /// Send no events of its clients
    #[arg(long = "no_webhook", alias = "no-webhook", conflicts_with = "webhook")]
    no_webhook: bool,
}

/// Why the events of a key cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum BadKeyWebhook {
    #[error("invalid value {url:?} for --webhook: {why}")]
    Url { url: String, why: BadWebhook },
    #[error("cannot read --webhook_secret_file {path}: {error}", path = .path.display())]
    Unreadable { path: PathBuf, error: FileError },
    #[error("--webhook_secret_file {path} cannot be used: {why}", path = .path.display())]
    Secret { path: PathBuf, why: InvalidWebhookSecret },
}

impl BadKeyWebhook {
    /// 2 for wrong arguments, like clap; 1 for files.
    pub(super) fn exit_code(&self) -> u8 {
        if matches!(self, BadKeyWebhook::Url { .. }) { 2 } else { 1 }
    }
}

impl KeyWebhookArgs {
    /// The webhook, if one is given. Whether it may have http:// or a private address is for the server to say.
    pub(super) fn webhook(&self) -> Result<Option<Webhook>, BadKeyWebhook> {
        let (Some(url), Some(path)) = (&self.webhook, &self.webhook_secret_file) else {
            return Ok(self.no_webhook.then(Webhook::default));
        };
        let text = files::read_text(path, MAX_SECRET_FILE_BYTES)
            .map_err(|error| BadKeyWebhook::Unreadable { path: path.clone(), error })?;
        let secrets = WebhookSecret::parse_all(&text)
            .and_then(|secrets| if secrets.is_empty() { Err(InvalidWebhookSecret) } else { Ok(secrets) });
        let secrets = secrets.map_err(|why| BadKeyWebhook::Secret { path: path.clone(), why })?;
        let webhook = Webhook { url: url.clone(), secrets };
        check_webhook(&webhook, true).map_err(|why| BadKeyWebhook::Url { url: url.clone(), why })?;
        Ok(Some(webhook))
    }
}

fn read(path: &std::path::Path) -> Result<String, BadWebhookFlags> {
    files::read_text(path, MAX_SECRET_FILE_BYTES)
        .map_err(|error| BadWebhookFlags::SecretFile { path: path.to_owned(), error })
}

fn event(text: &str) -> Result<WebhookEvent, String> {
    let found = WebhookEvent::ALL.into_iter().find(|event| event.name() == text);
    found.ok_or_else(|| format!("expected {}", WebhookEvent::ALL.map(WebhookEvent::name).join(", ")))
}
