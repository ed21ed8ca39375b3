//! Webhooks: events and messages of clients that are sent to HTTP endpoints, of the operator and of keys, after the rules of Standard
//! Webhooks.
//!
//! Events are queued on the thread where they happen, under one short lock: so none is missed. A thread sends them.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

mod app;
mod messages;
mod queues;
mod sender;
mod worker;

pub use app::{Answering, AppMessage, AskApp};
pub use queues::WebhookTotals;
pub use sender::{BadWebhook, check_webhook};
pub use worker::{PolicyOf, WebhookContext, Webhooks};
