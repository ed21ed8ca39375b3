//! Webhooks: events and messages of clients that are sent to HTTP endpoints, of the operator and of keys, after the rules of Standard
//! Webhooks.
//!
//! Events are queued on the thread where they happen, under one short lock: so none is missed. A thread sends them.

mod messages;
mod queues;
mod sender;
mod worker;

pub use queues::WebhookTotals;
pub use sender::{BadWebhook, check_webhook};
pub(crate) use worker::Webhooks;
