//! Messages of clients, as requests of the type `peer.message`, whose answers go back to the clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::app::{AppMessage, AskApp};
use super::queues::{Consumer, Outcome};
use super::sender::{Attempt, Names, Sender, Signed, checked_url};
use super::worker::{Shared, Webhooks};
use peerbroker_core::vocabulary::{ApiKey, RealmKind};
use peerbroker_keys::Webhook;

impl Webhooks {
    /// The app's server, behind the webhook of a key or the operator's.
    pub fn app(&self) -> AskApp {
        let sender = LazyLock::new(Sender::new as fn() -> _);
        let app = Arc::new(App { shared: Arc::clone(&self.0), sender, numbers: AtomicU64::new(0) });
        Box::new(move |message| {
            app.endpoint_of(&message.key)?;
            let app = Arc::clone(&app);
            Some(Box::pin(async move { app.ask(message).await }))
        })
    }
}

struct App {
    shared: Arc<Shared>,
    /// Not the one of events: connections belong to the thread that has opened them.
    sender: LazyLock<Result<Sender, rustls::Error>>,
    numbers: AtomicU64,
}

impl App {
    /// The endpoint for messages of a key: its own, or else the operator's. `None` if they are off, or the
    /// key is not active.
    fn endpoint_of(&self, key: &ApiKey) -> Option<(Webhook, bool)> {
        let takes = |(webhook, _): &(Webhook, bool)| webhook.messages && !webhook.url.is_empty();
        let own = self.shared.endpoint_of(&Consumer::Key(key.clone()))?;
        Some(own).filter(takes).or_else(|| self.shared.endpoint_of(&Consumer::Operator).filter(takes))
    }

    /// Sends a message to the present endpoint.
    async fn ask(&self, message: AppMessage) -> Result<Option<String>, String> {
        let (webhook, private) = self.endpoint_of(&message.key).ok_or("it takes no messages any more")?;
        let sender = self.sender.as_ref().map_err(|error| error.to_string())?;
        let url = checked_url(&webhook.url, private).map_err(|error| error.to_string())?;
        let id = self.shared.names.message_id(self.numbers.fetch_add(1, Ordering::Relaxed) + 1);
        let body = body(&message, &self.shared.names).map_err(|error| error.to_string())?;
        let request = Signed { url, private, secrets: webhook.secrets, id, body };
        if message.request.is_none() {
            let Attempt { outcome, why } = sender.clone().send(request).await;
            return if outcome == Outcome::Delivered { Ok(None) } else { Err(why) };
        }
        let answer = sender.ask(request).await?;
        Ok(Some(answer).filter(|answer| !answer.trim_ascii().is_empty()))
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    key: &'a str,
    realm: &'static str,
    id: &'a str,
    connection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

fn raw(json: &Option<String>) -> serde_json::Result<Option<&RawValue>> {
    json.as_deref().map(serde_json::from_str).transpose()
}

fn body(message: &AppMessage, names: &Names) -> serde_json::Result<String> {
    serde_json::to_string(&Body {
        kind: "peer.message",
        timestamp: format!("{:.3}", Timestamp::now()),
        data: Data {
            key: message.key.as_str(),
            realm: RealmKind::PeerJs.label(),
            id: message.id.as_str(),
            connection: names.connection(message.connection),
            node: names.node.as_deref(),
            request: raw(&message.request)?,
            payload: raw(&message.payload)?,
        },
    })
}
