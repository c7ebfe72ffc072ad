//! What a persisted cache counts. Spans and events carry a hash of the partition, never its name.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    /// Lookups that the store was asked for, of partitions too large to be resident.
    pub finds: u64,
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

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Hits,
    Misses,
    StaleHits,
    Loads,
    Finds,
    Commits,
    Skipped,
    Errors,
}

const COUNTS: usize = Count::Errors as usize + 1;

/// Counts of all threads. Each thread adds to a stripe of its own as far as they go, so that counting does not make
/// threads wait for each other's cache lines.
#[derive(Debug, Default)]
pub(crate) struct Counters([Stripe; STRIPES]);

const STRIPES: usize = 32;

/// What some of the threads counted, apart from other memory by the two lines that processors fetch at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; COUNTS]);

impl Counters {
    pub(crate) fn add(&self, count: Count, by: usize) {
        thread_local! {
            static STRIPE: usize = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
            };
        }
        let Stripe(counts) = &self.0[STRIPE.with(|stripe| *stripe)];
        counts[count as usize].fetch_add(by as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let sum =
            |count: Count| self.0.iter().map(|Stripe(counts)| counts[count as usize].load(Ordering::Relaxed)).sum();
        Stats {
            hits: sum(Count::Hits),
            misses: sum(Count::Misses),
            stale_hits: sum(Count::StaleHits),
            loads: sum(Count::Loads),
            finds: sum(Count::Finds),
            commits: sum(Count::Commits),
            skipped: sum(Count::Skipped),
            errors: sum(Count::Errors),
            resident_partitions: 0,
            resident_bytes: 0,
        }
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
