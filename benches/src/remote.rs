//! A store that is asked over a future, as a server is.

use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{
    CacheStore, Changes, Committed, EntryId, Environments, Extent, Lease, LookupTerm, PartitionKey, Result, Snapshot,
    Stored, Version, Watcher,
};

/// `S`, but without a stamp at once: so that a freshness window has something to save, whatever the store.
#[derive(Debug)]
pub struct Remote<S>(pub S);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: CacheStore> CacheStore for Remote<S> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        self.0.load(partition).await
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        self.0.get(partition, ids).await
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        self.0.load_within(partition, limit).await
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        self.0.find(partition, terms).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        self.0.commit(partition, changes).await
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.0.remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.0.partitions(after, limit).await
    }

    async fn partitions_with(
        &self,
        home_account_id: &str,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>> {
        self.0.partitions_with(home_account_id, after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.0.stamp(partition).await
    }

    fn stamp_now(&self, _: &PartitionKey) -> Option<Result<Option<Version>>> {
        None
    }

    fn environments(&self) -> Option<Environments> {
        self.0.environments()
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.0.watch(watcher);
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.0.lease(partition, name, wait).await
    }
}
