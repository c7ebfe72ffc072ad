//! The store: [`CacheStore`] over Redis.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cache_core::{
    CacheStore, Changes, Committed, EntryId, Extent, Lease, LookupTerm, PartitionKey, Protection, Result, Snapshot,
    Stored, Version, Watcher, async_trait,
};

use crate::NAME;
use crate::commit::{check, commit};
use crate::head::{Head, RELIED_UPON};
use crate::inner::{Inner, named};
use crate::lease;
use crate::link::{Link, Within};
use crate::listing::{partitions, partitions_with};
use crate::order::{catch_up, or_queue};
use crate::queue::Write;
use crate::reading::{Reading, by_names, remove};
use crate::running::{here, to_its_end};
use crate::settings::Settings;
use crate::watch::Watch;

/// Token caches in Redis: any number of partitions, shared by any number of processes and machines.
///
/// Cloning gives another handle of the same store, with the same connection.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

impl RedisStore {
    pub(crate) fn new(link: Link, watch: Watch, settings: Settings) -> Self {
        Self(Arc::new(Inner::new(link, watch, settings)))
    }

    pub(crate) fn shared(&self) -> Arc<Inner> {
        Arc::clone(&self.0)
    }

    /// Whether the entries are protected, and by what.
    pub fn protection(&self) -> &Protection {
        &self.0.settings.protection
    }

    /// What `read` finds by the names of the store, and after what is queued of the partition; `None`: nothing is there under
    /// the names that count.
    async fn read<T: Send + 'static, Found: Future<Output = Result<Option<T>>> + Send + 'static>(
        &self,
        partition: &PartitionKey,
        within: Within,
        read: impl Fn(Reading) -> Found + Send + 'static,
    ) -> Result<Option<T>> {
        let (inner, partition) = (Arc::clone(&self.0), partition.clone());
        let read = || async move {
            if inner.queue.turn(&partition).is_some() {
                Box::pin(after_queued(&inner, &partition, inner.link.deadline(within))).await?;
            }
            by_names(&inner, &partition, RELIED_UPON, within, read).await
        };
        here(&self.0, read).await.map_err(named)
    }

    /// A page of the partitions: of those that may hold this account, or of all.
    async fn list(
        &self,
        home_account_id: Option<&str>,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>> {
        let (inner, account, after) = (Arc::clone(&self.0), home_account_id.map(str::to_owned), after.cloned());
        let list = async move {
            // Looked up before the server is asked: what is written in between is seen there.
            let queued = account.as_ref().map_or_else(Vec::new, |account| inner.queue.partitions_with(account));
            let page = async |head: &Head| match &account {
                Some(account) => partitions_with(&inner, head, account, &queued, after.as_ref(), limit).await,
                None => partitions(&inner, head, after.as_ref(), limit).await,
            };
            let head = if queued.is_empty() {
                inner.head().find().await?
            } else {
                // Their order is by the names that they will have.
                Some(inner.head().find_or_make().await?)
            };
            let Some(head) = head else { return Ok(Vec::new()) };
            let found = page(&head).await?;
            if found.is_empty() && inner.head().is_superseded(&head, RELIED_UPON).await? {
                let Some(head) = inner.head().find().await? else { return Ok(Vec::new()) };
                return page(&head).await;
            }
            Ok(found)
        };
        here(&self.0, || list).await.map_err(named)
    }
}

/// Writes what is queued of the partition, if the server takes it. An error: the partition cannot be read, or may not be.
async fn after_queued(inner: &Arc<Inner>, partition: &PartitionKey, deadline: Duration) -> Result<()> {
    let began = Instant::now();
    // A server that answers and takes no writes can be read all the same: who committed was told that it is not written.
    // But it still has what was removed, and that is not handed out any more.
    match catch_up(inner, partition, deadline).await {
        Err(error) if began.elapsed() >= deadline || inner.queue.removes_from(partition) => Err(error),
        Ok(()) | Err(_) => Ok(()),
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
        self.read(partition, Within::Request, move |reading| async move { reading.load_within(limit).await }).await
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        let terms: Arc<[LookupTerm]> = terms.into();
        let find = move |reading: Reading| {
            let terms = Arc::clone(&terms);
            async move { reading.find(&terms).await }
        };
        self.read(partition, Within::Request, find).await
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        let (asked, ids): (_, Arc<[EntryId]>) = (ids.len(), ids.into());
        let get = move |reading: Reading| {
            let ids = Arc::clone(&ids);
            async move { reading.get(&ids).await }
        };
        let found = self.read(partition, Within::Request, get).await?;
        Ok(found.unwrap_or_else(|| vec![None; asked]))
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let (inner, partition, changes) = (Arc::clone(&self.0), partition.clone(), changes.clone());
        let commit = async move {
            check(&changes)?;
            let write = Write::Commit(changes.clone());
            or_queue(&inner, &partition, write, commit(&inner, &partition, &changes)).await
        };
        to_its_end(&self.0, commit).await.map_err(named)
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        let (inner, partition) = (Arc::clone(&self.0), partition.clone());
        let remove = async move { or_queue(&inner, &partition, Write::Removal, remove(&inner, &partition)).await };
        to_its_end(&self.0, remove).await.map_err(named)
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.list(None, after, limit).await
    }

    async fn partitions_with(
        &self,
        home_account_id: &str,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>> {
        self.list(Some(home_account_id), after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.read(partition, Within::Validation, |reading| async move { reading.stamp().await }).await
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.0.watch.watching.add(watcher);
        // Without a runtime, the first operation within one begins it.
        if let Ok(runtime) = self.0.runtime() {
            self.0.watch.start(&runtime);
        }
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        // Each try goes to its end, and no further: a wait that is cancelled is over.
        lease::take(&self.0, partition, name, wait).await.map_err(named)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { prefix, protection, .. } = &self.0.settings;
        f.debug_struct("RedisStore")
            .field("prefix", prefix)
            .field("protection", protection)
            .field("queue", &self.0.queue)
            .finish_non_exhaustive()
    }
}
