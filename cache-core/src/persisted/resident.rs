//! The partitions that are kept in memory, bounded in bytes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::entry::Version;
use crate::partition::PartitionKey;
use crate::time::UnixMillis;
use crate::token_cache::TokenCache;

/// A partition as it was loaded, or as a commit of ours left it.
pub(super) struct Loaded {
    pub(super) tokens: TokenCache,
    /// The store's stamp of this content; `None`: it held nothing.
    pub(super) stamp: Option<Version>,
    weight: u64,
    /// When the stamp was last compared, in milliseconds since 1970.
    checked_at: AtomicI64,
}

impl Loaded {
    pub(super) fn new(tokens: TokenCache, stamp: Option<Version>, now: UnixMillis) -> Self {
        /// The partition's key and its place in the table, about.
        const OVERHEAD: usize = 512;
        let weight = (tokens.weight() + OVERHEAD) as u64;
        Self { tokens, stamp, weight, checked_at: AtomicI64::new(now.0) }
    }

    /// Notes that the stamp was compared and is still this one.
    pub(super) fn confirm(&self, now: UnixMillis) {
        self.checked_at.store(now.0, Ordering::Relaxed);
    }

    /// Whether the stamp was compared less than `window` ago. A clock that was set back counts as long ago.
    pub(super) fn is_within(&self, window: Duration, now: UnixMillis) -> bool {
        let checked_at = UnixMillis(self.checked_at.load(Ordering::Relaxed));
        checked_at <= now && now.since(checked_at) < window
    }
}

/// Loaded partitions; the ones least in use leave when the bound is reached. A partition larger than the bound is
/// never kept, and so is loaded at every look.
pub(super) struct Resident(Cache<PartitionKey, Arc<Loaded>, ByBytes>);

#[derive(Clone)]
struct ByBytes;

impl Weighter<PartitionKey, Arc<Loaded>> for ByBytes {
    fn weight(&self, _: &PartitionKey, loaded: &Arc<Loaded>) -> u64 {
        loaded.weight
    }
}

impl Resident {
    pub(super) fn bounded(bytes: u64) -> Self {
        /// Sizes the table, not its content: a partition of a few tokens.
        const TYPICAL: u64 = 16 * 1024;
        let expected = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Self(Cache::with_weighter(expected, bytes, ByBytes))
    }

    pub(super) fn get(&self, partition: &PartitionKey) -> Option<Arc<Loaded>> {
        self.0.get(partition)
    }

    pub(super) fn insert(&self, partition: &PartitionKey, loaded: Arc<Loaded>) {
        self.0.insert(partition.clone(), loaded);
    }

    pub(super) fn remove(&self, partition: &PartitionKey) {
        self.0.remove(partition);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    pub(super) fn partitions(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident").field("partitions", &self.partitions()).field("bytes", &self.bytes()).finish()
    }
}
