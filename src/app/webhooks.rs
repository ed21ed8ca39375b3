//! Webhooks of this broker: where the settings in force send events.

use std::sync::{Arc, Weak};

use crate::config::{LiveConfig, WebhookEvent};
use crate::node::{ActiveKey, ActiveKeys, Node};
use crate::webhooks::{Endpoints, Found, Names, Owner, Webhooks};
use crate::wire::ApiKey;

/// Has every event from now on queued for the webhooks that want it.
pub(super) fn start(node: &Node, keys: &Arc<ActiveKeys>) -> Webhooks {
    let names = Names {
        node: node.membership().map(|membership| membership.config().node_name.clone()),
        run: rand::random(),
    };
    let endpoints = LiveEndpoints { config: node.config().clone(), keys: Arc::downgrade(keys) };
    let webhooks = Webhooks::new(endpoints, names, node.clock().clone(), node.events().threads().clone());
    node.events().set_witness(webhooks.witness());
    webhooks
}

struct LiveEndpoints {
    config: LiveConfig,
    /// Weak, because keys hold the events, which hold this.
    keys: Weak<ActiveKeys>,
}

impl LiveEndpoints {
    fn key(&self, key: &ApiKey) -> Option<Arc<ActiveKey>> {
        self.keys.upgrade()?.get(key.as_str())
    }
}

impl Endpoints for LiveEndpoints {
    fn wants(&self, owner: &Owner, event: WebhookEvent) -> bool {
        match owner {
            Owner::Operator => {
                let config = self.config.load();
                !config.webhooks.operator.url.is_empty() && config.webhooks.events.contains(&event)
            }
            Owner::Key(key) => {
                event.is_for_its_key()
                    && self.key(key).is_some_and(|active| !active.key.settings.webhook.url.is_empty())
            }
        }
    }

    fn find(&self, owner: &Owner) -> Found {
        let config = self.config.load();
        let (webhook, private) = match owner {
            Owner::Operator => (config.webhooks.operator.clone(), true),
            Owner::Key(key) => match self.key(key) {
                Some(active) => (active.key.settings.webhook.clone(), config.webhooks.private),
                None => return Found::KeyGone,
            },
        };
        if webhook.url.is_empty() { Found::Off } else { Found::Webhook(webhook, private) }
    }
}
