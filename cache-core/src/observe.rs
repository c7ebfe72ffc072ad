//! What a persisted cache counts. Spans and events carry a hash of the partition, never its name.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "observe/no_metrics.rs"]
mod metrics;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

pub(crate) use self::metrics::{Began, ResidentMetrics};

use self::metrics::Metrics;
use crate::changes::{Changes, Committed};
use crate::error::{ErrorKind, Result};
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

/// How a lookup of an access token ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Resident content had a usable token.
    L1Hit,
    /// Resident content, whose stamp is the store's, had none.
    L1Miss,
    /// Resident content had one, and could not be validated.
    L1StaleHit,
    /// The store was asked, for a stamp at least, and there was a usable token.
    L2Hit,
    /// The store was asked, and there was none.
    L2Miss,
    /// The store was asked in vain.
    Failed(ErrorKind),
}

/// What a store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Load,
    Find,
    Stamp,
    Commit,
    Remove,
    List,
}

/// Counts of all threads. Each thread adds to a stripe of its own as far as they go, so that counting does not make
/// threads wait for each other's cache lines.
#[derive(Debug)]
pub(crate) struct Counters {
    stripes: [Stripe; STRIPES],
    /// What is counted here is counted there too.
    metrics: Metrics,
}

const STRIPES: usize = 32;

/// What some of the threads counted, apart from other memory by the two lines that processors fetch at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; COUNTS]);

impl Counters {
    /// Counts from zero, and for the recorder that is installed now.
    pub(crate) fn new() -> Self {
        Self { stripes: Default::default(), metrics: Metrics::register() }
    }

    /// A lookup has ended.
    pub(crate) fn count_lookup(&self, lookup: Lookup) {
        match lookup {
            Lookup::L1Hit | Lookup::L2Hit => self.add(Count::Hits, 1),
            Lookup::L1Miss | Lookup::L2Miss => self.add(Count::Misses, 1),
            Lookup::L1StaleHit => self.add(Count::StaleHits, 1),
            // It was counted when the store answered.
            Lookup::Failed(_) => {}
        }
        self.metrics.count_lookup(lookup);
    }

    /// The store has answered what it was asked for then.
    pub(crate) fn count_answer<T>(&self, operation: Operation, began: Began, answer: &Result<T>) {
        self.metrics.time_answer(operation, began);
        self.count_failure(operation, answer);
    }

    /// The same of an answer that takes no time worth telling.
    pub(crate) fn count_failure<T>(&self, operation: Operation, answer: &Result<T>) {
        if let Err(error) = answer {
            self.add(Count::Errors, 1);
            self.metrics.count_failure(operation, error.kind());
        }
    }

    /// The store has merged the changes.
    pub(crate) fn count_merge(&self, changes: &Changes, committed: &Committed) {
        self.add(Count::Commits, 1);
        self.add(Count::Skipped, committed.skipped.len());
        self.metrics.count_merge(changes, committed);
    }

    pub(crate) fn add(&self, count: Count, by: usize) {
        thread_local! {
            static STRIPE: usize = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
            };
        }
        let Stripe(counts) = &self.stripes[STRIPE.with(|stripe| *stripe)];
        counts[count as usize].fetch_add(by as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let sum = |count: Count| {
            self.stripes.iter().map(|Stripe(counts)| counts[count as usize].load(Ordering::Relaxed)).sum()
        };
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
