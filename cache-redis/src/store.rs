//! The store: [`CacheStore`] over Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    CacheStore, Changes, Committed, EntryId, Extent, Lease, LookupTerm, PartitionKey, Protection, Result, Snapshot,
    Stored, Version, async_trait,
};

use crate::NAME;
use crate::commit::commit;
use crate::head::RELIED_UPON;
use crate::inner::{Inner, here, named, to_its_end};
use crate::lease;
use crate::link::Link;
use crate::listing::partitions;
use crate::reading::Reading;
use crate::settings::Settings;

/// Token caches in Redis: any number of partitions, shared by any number of processes and machines.
///
/// Cloning gives another handle of the same store, with the same connection.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

impl RedisStore {
    pub(crate) fn new(link: Link, settings: Settings) -> Self {
        Self(Arc::new(Inner::new(link, settings)))
    }

    pub(crate) fn shared(&self) -> Arc<Inner> {
        Arc::clone(&self.0)
    }

    /// Whether the entries are protected, and by what.
    pub fn protection(&self) -> &Protection {
        &self.0.settings.protection
    }

    /// What `read` finds by the names of the store; `None`: nothing is there under the names that count.
    async fn read<T: Send + 'static, Found: Future<Output = Result<Option<T>>> + Send + 'static>(
        &self,
        partition: &PartitionKey,
        relied_upon: Duration,
        read: impl Fn(Reading) -> Found + Send + 'static,
    ) -> Result<Option<T>> {
        /// Whoever empties the server again and again is not asked for ever.
        const TRIES: usize = 3;
        let (inner, partition) = (Arc::clone(&self.0), partition.clone());
        let read = async move {
            for _ in 0..TRIES {
                let Some(head) = inner.head().find().await? else { return Ok(None) };
                let (inner_too, partition) = (Arc::clone(&inner), partition.clone());
                let found = read(Reading { inner: inner_too, head: Arc::clone(&head), partition }).await?;
                if found.is_some() || !inner.head().is_superseded(&head, relied_upon).await? {
                    return Ok(found);
                }
            }
            Ok(None)
        };
        here(&self.0, read).await.map_err(named)
    }
}

#[async_trait]
impl CacheStore for RedisStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        match self.load_within(partition, usize::MAX).await? {
            Some(Extent::Whole(snapshot)) => Ok(Some(snapshot)),
            // No partition has more entries than that.
            Some(Extent::Large(_)) | None => Ok(None),
        }
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        self.read(partition, RELIED_UPON, move |reading| async move { reading.load_within(limit).await }).await
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        let terms: Arc<[LookupTerm]> = terms.into();
        let find = move |reading: Reading| {
            let terms = Arc::clone(&terms);
            async move { reading.find(&terms).await }
        };
        self.read(partition, RELIED_UPON, find).await
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        let (asked, ids): (_, Arc<[EntryId]>) = (ids.len(), ids.into());
        let get = move |reading: Reading| {
            let ids = Arc::clone(&ids);
            async move { reading.get(&ids).await }
        };
        Ok(self.read(partition, RELIED_UPON, get).await?.unwrap_or_else(|| vec![None; asked]))
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let (inner, partition, changes) = (Arc::clone(&self.0), partition.clone(), changes.clone());
        to_its_end(&self.0, async move { commit(&inner, &partition, &changes).await }).await.map_err(named)
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        let unlink = |reading: Reading| async move { reading.unlink().await };
        self.read(partition, Duration::ZERO, unlink).await.map(drop)
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        let (inner, after) = (Arc::clone(&self.0), after.cloned());
        let list = async move {
            let Some(head) = inner.head().find().await? else { return Ok(Vec::new()) };
            let found = partitions(&inner, &head, after.as_ref(), limit).await?;
            if found.is_empty() && inner.head().is_superseded(&head, RELIED_UPON).await? {
                let Some(head) = inner.head().find().await? else { return Ok(Vec::new()) };
                return partitions(&inner, &head, after.as_ref(), limit).await;
            }
            Ok(found)
        };
        here(&self.0, list).await.map_err(named)
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.read(partition, RELIED_UPON, |reading| async move { reading.stamp().await }).await
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        // Each try goes to its end, and no further: a wait that is cancelled is over.
        lease::take(&self.0, partition, name, wait).await.map_err(named)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { prefix, protection, .. } = &self.0.settings;
        f.debug_struct("RedisStore").field("prefix", prefix).field("protection", protection).finish_non_exhaustive()
    }
}
