use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::{Config, Limits};

/// The configuration in force. Clones share it: everything that can change while the server runs is read from here
/// each time, and kept nowhere else.
#[derive(Clone, Debug)]
pub struct LiveConfig(Arc<ArcSwap<Config>>);

impl LiveConfig {
    /// Puts a configuration in force.
    pub fn new(config: Config) -> Self {
        LiveConfig(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// The configuration in force now. Do not keep it across an await.
    pub fn load(&self) -> Guard<Arc<Config>> {
        self.0.load()
    }

    /// The configuration in force now, to be kept.
    pub fn load_full(&self) -> Arc<Config> {
        self.0.load_full()
    }

    /// Replaces the configuration at once, for everybody who reads it from now on.
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
