//! What a persisted cache counts. Spans and events carry a hash of the partition, never its name.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use crate::partition::PartitionKey;

/// Counters since the cache was built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Lookups that found a usable access token.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Hits from resident content that could not be validated, since the store was out of reach.
    pub stale_hits: u64,
    /// Partitions read from the store, whole.
    pub loads: u64,
    /// Commits to the store.
    pub commits: u64,
    /// Changes that the store's merge rules skipped.
    pub skipped: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Partitions that are resident now.
    pub resident_partitions: u64,
    /// What the resident partitions take, in bytes, about.
    pub resident_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) stale_hits: Counter,
    pub(crate) loads: Counter,
    pub(crate) commits: Counter,
    pub(crate) skipped: Counter,
    pub(crate) errors: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            hits: self.hits.value(),
            misses: self.misses.value(),
            stale_hits: self.stale_hits.value(),
            loads: self.loads.value(),
            commits: self.commits.value(),
            skipped: self.skipped.value(),
            errors: self.errors.value(),
            resident_partitions: 0,
            resident_bytes: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A short name for a partition in spans: the same throughout the process, and telling nothing outside of it.
pub(crate) fn partition_tag(partition: &PartitionKey) -> String {
    static SALT: OnceLock<u64> = OnceLock::new();
    let salt = SALT.get_or_init(|| {
        use std::hash::{BuildHasher as _, Hasher as _};
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    });
    let digest = Sha256::new().chain_update(salt.to_le_bytes()).chain_update(partition.to_bytes()).finalize();
    let number = digest[..6].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:012x}")
}
