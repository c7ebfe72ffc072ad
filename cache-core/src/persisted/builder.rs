//! How a cache is set up.

use std::sync::Arc;

use super::freshness::Freshness;
use super::resident::Resident;
use super::watched::Watched;
use super::{Inner, PersistedTokenCache};
use crate::environment::Environments;
use crate::observe::Counters;
use crate::store::CacheStore;
use crate::time::{Clock, SystemClock};

/// Settings of a [`PersistedTokenCache`].
#[derive(Debug)]
pub struct Builder {
    store: Arc<dyn CacheStore>,
    clock: Arc<dyn Clock>,
    environments: Environments,
    freshness: Freshness,
    resident_bytes: u64,
    resident_entries: usize,
}

impl Builder {
    pub(super) fn over(store: impl CacheStore) -> Self {
        let environments = store.environments().unwrap_or_default();
        Self {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            environments,
            freshness: Freshness::default(),
            resident_bytes: 64 << 20,
            resident_entries: 1000,
        }
    }

    /// How old resident content may be when an access token is taken from it. Without it: 30 seconds.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// How much memory the resident partitions may take, in bytes, about. Without it: 64 MiB. A single partition that
    /// is larger is loaded at every look: raise the bound for very large ones.
    #[must_use]
    pub fn resident_bytes(mut self, bytes: u64) -> Self {
        self.resident_bytes = bytes;
        self
    }

    /// How many entries a partition may have to be resident whole. Without it: 1,000. A partition with more, in a store
    /// that can [find](CacheStore::find) single entries, is not loaded to answer a lookup: the answers are kept one by
    /// one, about as many as this, until the partition changes. [`read`](PersistedTokenCache::read),
    /// [`update`](PersistedTokenCache::update) and [`before_access`](PersistedTokenCache::before_access) load it at every
    /// call. One that grows by updates of this cache while it is resident stays so. Stores that keep whole documents load
    /// any partition whole.
    #[must_use]
    pub fn resident_entries(mut self, entries: usize) -> Self {
        self.resident_entries = entries;
        self
    }

    /// The cloud aliases. Without it: those that [the store](CacheStore::environments) knows, else those that the MSAL
    /// libraries know.
    #[must_use]
    pub fn environments(mut self, environments: Environments) -> Self {
        self.environments = environments;
        self
    }

    /// The clock. Without it: the computer's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The cache with these settings. With the feature `metrics` it counts for the [recorder](crate#observability) that is
    /// installed now.
    pub fn build(self) -> PersistedTokenCache {
        let Self { store, clock, environments, freshness, resident_bytes, resident_entries } = self;
        let resident = Resident::bounded(resident_bytes);
        let counters = Counters::new();
        let watched = Watched::default();
        let inner = Inner { store, clock, environments, freshness, watched, resident_entries, resident, counters };
        let inner = Arc::new(inner);
        inner.watch();
        PersistedTokenCache(inner)
    }
}
