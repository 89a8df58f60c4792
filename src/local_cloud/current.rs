//! The configuration that counts now. A scenario replaces it while calls are under way; each call goes on with the one
//! that it began with.

use std::ops::Deref;
use std::sync::{PoisonError, RwLock};

use super::config::Config;

/// The configuration of a cloud. Those that counted before stay in memory: they are small and few, and whoever reads
/// one neither waits nor copies.
#[derive(Debug)]
pub(crate) struct Current(RwLock<&'static Config>);

impl Current {
    pub(crate) fn new(config: Config) -> Current {
        Current(RwLock::new(Box::leak(Box::new(config))))
    }

    pub(crate) fn replace(&self, config: Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Box::leak(Box::new(config));
    }
}

impl Deref for Current {
    type Target = Config;

    fn deref(&self) -> &Config {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
