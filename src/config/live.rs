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

    /// Replaces the configuration by what `update` makes of it. The next read sees the new one. No change is lost: if another
    /// one comes meanwhile, `update` is called again with its result.
    pub(crate) fn update(&self, mut update: impl FnMut(&Config) -> Config) {
        self.0.rcu(|config| update(config));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_another_one_overtakes_loses_neither() {
        let live = LiveConfig::new(Config::default());
        let (overtaking, mut calls) = (live.clone(), 0);
        live.update(|config| {
            calls += 1;
            if calls == 1 {
                overtaking.update(|config| Config { default_key: false, ..config.clone() });
            }
            Config { allow_discovery: true, ..config.clone() }
        });
        let config = live.load();
        assert_eq!((config.default_key, config.allow_discovery, calls), (false, true, 2));
    }
}
