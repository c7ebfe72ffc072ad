//! What a store that watches tells: which resident content may be old, and for how long it will be told.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::loaded::AsOf;
use super::{Freshness, Inner};
use crate::partition::PartitionKey;
use crate::time::UnixMillis;
use crate::watch::Watcher;

/// So long content of a store that watches is used without a look at its stamp: a net under notices, which are sent at
/// most once.
const NET: Duration = Duration::from_secs(5 * 60);

/// Until when the store watches, in milliseconds since 1970 by the cache's clock.
///
/// A time, and no mark that the store takes away: a store that cannot run at all, since its runtime stands still or the
/// machine slept, takes nothing away.
#[derive(Debug)]
pub(super) struct Watched(AtomicI64);

impl Default for Watched {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Inner {
    /// Has the store tell what changes, if the freshness asks for that.
    pub(super) fn watch(self: &Arc<Self>) {
        if let Freshness::Push { .. } = self.freshness {
            let watcher: Weak<dyn Watcher> = Arc::<Self>::downgrade(self);
            self.store.watch(watcher);
        }
    }

    /// The present moment, before the store is asked for something of the partition.
    pub(super) fn as_of(&self, partition: &PartitionKey) -> AsOf {
        AsOf { time: self.clock.now(), notices: self.resident.notices(partition) }
    }

    /// How long a comparison of stamps is good for; `None`: it is not. To be asked before the content is looked at, so that
    /// what had changed before the store watched is known to have.
    pub(super) fn window(&self, now: UnixMillis) -> Option<Duration> {
        match self.freshness {
            Freshness::Strict => None,
            Freshness::Bounded(window) => Some(window),
            Freshness::Push { bound } if now.0 < self.watched.0.load(Ordering::Acquire) => Some(NET.max(bound)),
            Freshness::Push { bound } => Some(bound),
        }
    }
}

impl Watcher for Inner {
    fn changed(&self, partition: &PartitionKey) {
        self.resident.notice(partition);
    }

    fn all_changed(&self) {
        self.resident.notice_all();
    }

    fn watched_for(&self, duration: Duration) {
        let until = match i64::try_from(duration.as_millis()) {
            Ok(0) => i64::MIN,
            Ok(millis) => self.clock.now().0.saturating_add(millis),
            Err(_) => i64::MAX,
        };
        self.watched.0.store(until, Ordering::Release);
    }
}
