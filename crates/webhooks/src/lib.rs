#![doc = include_str!("../README.md")]
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
