//! The partitions that are kept in memory, bounded in bytes.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

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
pub(super) struct Resident {
    cache: Cache<PartitionKey, Arc<Loaded>, ByBytes>,
    /// Counts what makes loaded content old: commits and removals of this process. Partitions share counters, by which
    /// now and then one is not kept that could be.
    epochs: [Mutex<u64>; EPOCHS],
    hashing: RandomState,
}

const EPOCHS: usize = 64;

/// The moment before an operation on the store: what it brings is kept only if nothing else happened since.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    at: usize,
    epoch: u64,
}

/// A commit or removal under way. Whatever becomes of it, content that was loaded before is not kept longer.
pub(super) struct Write<'r> {
    resident: &'r Resident,
    partition: &'r PartitionKey,
    began: Moment,
    adopted: bool,
}

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
        // One shard: the bound is divided among them, and a partition larger than its share would never be kept.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(expected)
            .weight_capacity(bytes)
            .shards(1)
            .build()
            .unwrap_or_else(|_| unreachable!("both capacities are given"));
        let hasher = DefaultHashBuilder::default();
        let cache = Cache::with_options(options, ByBytes, hasher, DefaultLifecycle::default());
        Self { cache, epochs: std::array::from_fn(|_| Mutex::new(0)), hashing: RandomState::default() }
    }

    pub(super) fn get(&self, partition: &PartitionKey) -> Option<Arc<Loaded>> {
        self.cache.get(partition)
    }

    /// The present moment, for [`keep`](Self::keep).
    pub(super) fn moment(&self, partition: &PartitionKey) -> Moment {
        let at = (self.hashing.hash_one(partition) % EPOCHS as u64) as usize;
        Moment { at, epoch: *self.epoch(at) }
    }

    /// Keeps what was loaded, unless something was written since `began`.
    pub(super) fn keep(&self, partition: &PartitionKey, loaded: Arc<Loaded>, began: Moment) {
        let epoch = self.epoch(began.at);
        if *epoch == began.epoch {
            self.cache.insert(partition.clone(), loaded);
        }
    }

    /// Forgets content that turned out to be old, unless it has been replaced already.
    pub(super) fn forget(&self, partition: &PartitionKey, old: &Arc<Loaded>) {
        let _ = self.cache.remove_if(partition, |loaded| Arc::ptr_eq(loaded, old));
    }

    /// Begins a commit or a removal.
    pub(super) fn write<'r>(&'r self, partition: &'r PartitionKey) -> Write<'r> {
        let mut began = self.moment(partition);
        let mut epoch = self.epoch(began.at);
        *epoch += 1;
        began.epoch = *epoch;
        drop(epoch);
        Write { resident: self, partition, began, adopted: false }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    pub(super) fn partitions(&self) -> usize {
        self.cache.len()
    }

    fn epoch(&self, at: usize) -> MutexGuard<'_, u64> {
        self.epochs[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write<'_> {
    /// Keeps the content that the commit left, unless something else was written since it began.
    pub(super) fn adopt(mut self, loaded: Loaded) {
        let mut epoch = self.resident.epoch(self.began.at);
        if *epoch == self.began.epoch {
            *epoch += 1;
            self.resident.cache.insert(self.partition.clone(), Arc::new(loaded));
            self.adopted = true;
        }
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if !self.adopted {
            let mut epoch = self.resident.epoch(self.began.at);
            *epoch += 1;
            self.resident.cache.remove(self.partition);
        }
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident").field("partitions", &self.partitions()).field("bytes", &self.bytes()).finish()
    }
}
