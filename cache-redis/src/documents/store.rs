//! The store: [`CacheStore`] over the documents, with leases and fences that hold over all nodes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_core::merge::Merged;
use cache_core::{
    CacheStore, Changes, Clock, Committed, DocumentStore as _, Documents, EntryId, Lease, PartitionKey, Profile,
    Result, Snapshot, Stored, Version, async_trait,
};

use super::RedisDocuments;

/// The partitions of Microsoft.Identity.Web or of MSAL Node in Redis, shared with that library.
///
/// A [`Documents`] over [`RedisDocuments`], in the form that the library can load. Beside what that does, a commit under a fence is
/// refused also if the holder of a later lease is on another node.
#[derive(Clone)]
pub struct RedisPeerStore {
    documents: Arc<Documents<RedisDocuments>>,
    profile: Profile,
    clock: Arc<dyn Clock>,
}

impl RedisPeerStore {
    pub(super) fn new(documents: RedisDocuments, profile: Profile, clock: Arc<dyn Clock>) -> Self {
        let documents = Documents::with_clock(documents, Arc::clone(&clock)).with_profile(profile);
        Self { documents: Arc::new(documents), profile, clock }
    }

    /// The documents themselves.
    pub fn document_store(&self) -> &RedisDocuments {
        self.documents.document_store()
    }

    /// What was counted so far.
    pub fn stats(&self) -> super::RedisPeerStats {
        self.document_store().stats()
    }
}

#[async_trait]
impl CacheStore for RedisPeerStore {
    fn name(&self) -> &'static str {
        self.documents.name()
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        self.documents.load(partition).await
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        self.documents.get(partition, ids).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let Some(fence) = changes.fence() else { return self.documents.commit(partition, changes).await };
        let fenced = self.document_store().under(fence);
        let documents = Documents::with_clock(fenced.clone(), Arc::clone(&self.clock)).with_profile(self.profile);
        match documents.commit(partition, changes).await {
            Err(_) if fenced.is_late() => {
                let stamp = self.document_store().stamp(partition).await?;
                let Merged { skipped, written } = Merged::fenced(changes);
                Ok(Committed { before: stamp.clone(), after: stamp, skipped, written, others_changed: false })
            }
            done => done,
        }
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.documents.remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.documents.partitions(after, limit).await
    }

    async fn partitions_with(
        &self,
        home_account_id: &str,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>> {
        self.document_store().listed(Some(home_account_id), after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.documents.stamp(partition).await
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.documents.lease(partition, name, wait).await
    }
}

impl fmt::Debug for RedisPeerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPeerStore")
            .field("documents", self.document_store())
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
