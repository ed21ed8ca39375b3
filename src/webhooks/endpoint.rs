//! Endpoints: whose events they get, and their settings.

use hyper::Uri;

use crate::config::WebhookEvent;
use crate::http_client::parse_url;
use crate::keys::Webhook;
use crate::wire::ApiKey;

/// An endpoint, by the one whose events it gets. Its URL and its secrets may change meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The operator: events of all keys, and of the server.
    Operator,
    /// A key: events of its own clients.
    Key(ApiKey),
}

/// The settings of an endpoint now.
pub(crate) enum Found {
    /// Events are sent there. Whether it may have a private address, and no TLS.
    Webhook(Webhook, bool),
    /// Its owner wants no events any more.
    Off,
    /// Its key is not in force any more. The last events of its clients still go where the others went.
    KeyGone,
}

/// Where events go, as the settings in force say.
pub(crate) trait Endpoints: Send + Sync + 'static {
    /// Whether an owner wants this type of event now. It is called where events happen, so it must be quick.
    fn wants(&self, owner: &Owner, event: WebhookEvent) -> bool;
    /// The settings of an endpoint.
    fn find(&self, owner: &Owner) -> Found;
}

/// Why a webhook cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWebhook {
    /// The URL cannot be requested.
    #[error("the URL {0}")]
    Url(&'static str),
    /// Nothing can be signed.
    #[error("it needs a secret, which signs the events: `echo whsec_$(openssl rand -base64 32)` makes one")]
    NoSecret,
    /// There is no URL to send to.
    #[error("it has a secret and no URL")]
    NoUrl,
    /// Events of a key must be sent over TLS.
    #[error("the URL must begin with https://, unless the server has --webhook_private")]
    NotSecure,
}

/// Checks the settings of a webhook. `private` allows URLs without TLS. Whether it has a private address shows when an event
/// is sent.
pub fn check_webhook(webhook: &Webhook, private: bool) -> Result<(), BadWebhook> {
    match (webhook.url.as_str(), webhook.secrets.as_slice()) {
        ("", []) => Ok(()),
        ("", _) => Err(BadWebhook::NoUrl),
        (_, []) => Err(BadWebhook::NoSecret),
        (url, _) => checked_url(url, private).map(drop),
    }
}

/// The URL, if it can be requested.
pub(super) fn checked_url(text: &str, private: bool) -> Result<Uri, BadWebhook> {
    let url = parse_url(text).map_err(BadWebhook::Url)?;
    if private || url.scheme_str() == Some("https") { Ok(url) } else { Err(BadWebhook::NotSecure) }
}
