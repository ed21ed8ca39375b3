use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::{Config, Limits};

/// The current configuration, shared by all clones. Code reads settings from here each time, because they can
/// change while the server runs.
#[derive(Clone, Debug)]
pub struct LiveConfig(Arc<ArcSwap<Config>>);

impl LiveConfig {
    /// Starts with a configuration.
    pub fn new(config: Config) -> Self {
        LiveConfig(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// The current configuration. Do not hold it across an await.
    pub fn load(&self) -> Guard<Arc<Config>> {
        self.0.load()
    }

    /// The current configuration, as an `Arc` that may be kept.
    pub fn load_full(&self) -> Arc<Config> {
        self.0.load_full()
    }

    /// Replaces the configuration. The next read sees the new one.
    pub(crate) fn replace(&self, config: Config) {
        self.0.store(Arc::new(config));
    }
}

impl From<Config> for LiveConfig {
    fn from(config: Config) -> Self {
        LiveConfig::new(config)
    }
}

impl From<Limits> for LiveConfig {
    fn from(limits: Limits) -> Self {
        LiveConfig::new(Config { limits, ..Config::default() })
    }
}
