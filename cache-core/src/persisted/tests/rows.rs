//! A store with a row per entry.

use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::*;
use crate::changes::Change;
use crate::entry::{Stored, Version};
use crate::lookup_term::LookupTerm;

/// A store that finds single entries, and counts what it is asked.
#[derive(Debug, Default)]
pub(super) struct Rows {
    store: MemoryStore,
    /// Whether it is asked over a future only.
    far: bool,
    away: AtomicBool,
    /// Loads of whole partitions, without regard to their size.
    loads: AtomicUsize,
    loads_within: AtomicUsize,
    finds: AtomicUsize,
    /// Reads the partition whole between the next find and its answer.
    reads: Mutex<Option<PersistedTokenCache>>,
}

impl Rows {
    pub(super) fn near() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn far() -> Arc<Self> {
        Arc::new(Self { far: true, ..Self::default() })
    }

    fn reach(&self) -> Result<()> {
        if self.away.load(SeqCst) { Err(Error::new(ErrorKind::Unavailable, "cut off")) } else { Ok(()) }
    }

    /// How often it was asked: `load`, `load_within`, `find`.
    pub(super) fn asked(&self) -> (usize, usize, usize) {
        (self.loads.load(SeqCst), self.loads_within.load(SeqCst), self.finds.load(SeqCst))
    }

    pub(super) fn read_during_find(&self, cache: &PersistedTokenCache) {
        *self.reads.lock().expect("no panic") = Some(cache.clone());
    }

    pub(super) fn cut(&self, away: bool) {
        self.away.store(away, SeqCst);
    }

    /// Removes all but so many entries, as another process does.
    pub(super) fn leave(&self, entries: usize) {
        let all = pollster::block_on(self.store.load(&P)).expect("load").expect("holds something").entries;
        self.write(all.into_iter().skip(entries).map(|stored| Change::remove(stored.entry.id)).collect());
    }

    /// Writes as another process does.
    pub(super) fn put(&self, tokens: impl IntoIterator<Item = AccessToken>) {
        let mut cache = TokenCache::default();
        tokens.into_iter().for_each(|token| cache.insert(token).expect("complete"));
        self.write(cache.entries().map(Change::put).collect());
    }

    pub(super) fn write(&self, changes: Vec<Change>) {
        let done = pollster::block_on(self.store.commit(&P, &Changes::new(changes))).expect("commit");
        assert_eq!(done.skipped, []);
    }
}

#[async_trait]
impl CacheStore for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        self.reach()?;
        self.loads.fetch_add(1, SeqCst);
        self.store.load(partition).await
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        self.reach()?;
        self.loads_within.fetch_add(1, SeqCst);
        let snapshot = self.store.load(partition).await?;
        Ok(snapshot.map(|snapshot| {
            if snapshot.entries.len() > limit { Extent::Large(snapshot.stamp) } else { Extent::Whole(snapshot) }
        }))
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        self.reach()?;
        self.finds.fetch_add(1, SeqCst);
        let found = self.store.find(partition, terms).await;
        let reads = self.reads.lock().expect("no panic").take();
        if let Some(cache) = reads {
            cache.read(partition, TokenCache::len).await?;
        }
        found
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        self.reach()?;
        self.store.get(partition, ids).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        self.reach()?;
        self.store.commit(partition, changes).await
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.reach()?;
        self.store.remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.store.partitions(after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.reach()?;
        self.store.stamp(partition).await
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        let stamp = self.store.stamp_now(partition).filter(|_| !self.far);
        stamp.map(|stamp| self.reach().and(stamp))
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.store.lease(partition, name, wait).await
    }
}
