//! The configuration that counts now. A scenario replaces it while calls are under way; each call goes on with the one
//! that it began with.

use std::iter;
use std::ops::Deref;
use std::sync::OnceLock;

use super::config::Config;

/// The configuration of a cloud. Those that counted before live as long as the cloud does: they are small and few, and
/// whoever reads one neither waits nor copies.
#[derive(Debug)]
pub(crate) struct Current(Box<Link>);

#[derive(Debug)]
struct Link {
    config: Config,
    next: OnceLock<Box<Link>>,
}

impl Link {
    fn new(config: Config) -> Box<Link> {
        Box::new(Link { config, next: OnceLock::new() })
    }

    /// This one and those that came after it.
    fn chain(&self) -> impl Iterator<Item = &Link> {
        iter::successors(Some(self), |link| link.next.get().map(|next| &**next))
    }
}

impl Current {
    pub(crate) fn new(config: Config) -> Current {
        Current(Link::new(config))
    }

    pub(crate) fn replace(&self, config: Config) {
        let mut link = Link::new(config);
        for last in self.0.chain() {
            // Where somebody else was faster, this one comes after theirs.
            match last.next.set(link) {
                Ok(()) => return,
                Err(refused) => link = refused,
            }
        }
    }
}

impl Deref for Current {
    type Target = Config;

    fn deref(&self) -> &Config {
        self.0.chain().last().map_or(&self.0.config, |link| &link.config)
    }
}
