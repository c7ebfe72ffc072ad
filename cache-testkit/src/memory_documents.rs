//! A document store in memory, for tests of everything that stands on documents.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{
    Blob, CacheStore as _, DocumentStore, Edit, EditFn, Error, ErrorKind, Lease, LeaseHandle, MemoryStore, Modified,
    PartitionKey, Result, StoredDocument, Version,
};

const NAME: &str = "memory documents";

/// Keeps a document per partition in the memory of this process. Clones are handles on the same documents.
///
/// It has no lock: it replaces a document by compare-and-set, and gives way between reading, editing, writing and
/// answering. So commits over it race as commits to an object store do, and can be cancelled at each of these places.
#[derive(Clone, Default)]
pub struct MemoryDocuments(Arc<Shared>);

#[derive(Default)]
struct Shared {
    refuses_others: bool,
    content: Mutex<Content>,
    leases: MemoryStore,
}

#[derive(Default)]
struct Content {
    documents: BTreeMap<PartitionKey, (Blob, u64)>,
    generation: u64,
}

impl MemoryDocuments {
    /// A store without documents.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with room for the shared partition only, as one file has: others are `InvalidInput`.
    pub fn shared_only() -> Self {
        Self(Arc::new(Shared { refuses_others: true, ..Shared::default() }))
    }

    /// Puts this document in place without asking anybody, as a program of another library does.
    pub fn overwrite(&self, partition: &PartitionKey, document: Blob) {
        self.content().put(partition, document);
    }

    fn refuse_others(&self, partition: &PartitionKey) -> Result<()> {
        if self.0.refuses_others && *partition != PartitionKey::Shared {
            return Err(
                Error::new(ErrorKind::InvalidInput, "this place holds the shared partition only").in_store(NAME)
            );
        }
        Ok(())
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self, partition: &PartitionKey) -> Option<(Blob, u64)> {
        self.content().documents.get(partition).cloned()
    }

    /// Does what `edit` asks for if the document is still the one seen, and answers the generation that is there then.
    /// `Err`: somebody else was faster.
    fn replace_if(&self, partition: &PartitionKey, seen: Option<u64>, edit: Edit) -> Result<Option<u64>, Overtaken> {
        let mut content = self.content();
        if content.documents.get(partition).map(|(_, generation)| *generation) != seen {
            return Err(Overtaken);
        }
        match edit {
            Edit::Keep => Ok(seen),
            Edit::Remove => {
                content.documents.remove(partition);
                Ok(None)
            }
            Edit::Replace(document) => Ok(Some(content.put(partition, document))),
        }
    }
}

struct Overtaken;

impl Content {
    fn put(&mut self, partition: &PartitionKey, document: Blob) -> u64 {
        self.generation += 1;
        self.documents.insert(partition.clone(), (document, self.generation));
        self.generation
    }
}

#[async_trait]
impl DocumentStore for MemoryDocuments {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn read(&self, partition: &PartitionKey) -> Result<Option<StoredDocument>> {
        self.refuse_others(partition)?;
        give_way().await;
        Ok(self.present(partition).map(|(bytes, generation)| StoredDocument { bytes, stamp: stamp(generation) }))
    }

    async fn modify(&self, partition: &PartitionKey, mut edit: EditFn) -> Result<Modified> {
        self.refuse_others(partition)?;
        loop {
            let (document, seen) = self.present(partition).unzip();
            give_way().await;
            let edited = edit(document.as_ref())?;
            give_way().await;
            if let Ok(after) = self.replace_if(partition, seen, edited) {
                give_way().await;
                return Ok(Modified { before: seen.map(stamp), after: after.map(stamp) });
            }
        }
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        give_way().await;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let content = self.content();
        Ok(content.documents.range((from, Bound::Unbounded)).take(limit).map(|(key, _)| key.clone()).collect())
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        let present = || self.present(partition).map(|(_, generation)| stamp(generation));
        Some(self.refuse_others(partition).map(|()| present()))
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Option<Result<Lease>> {
        if let Err(refusal) = self.refuse_others(partition) {
            return Some(Err(refusal));
        }
        let lease = self.0.leases.lease(partition, name, wait).await.map_err(|error| error.in_store(NAME));
        Some(lease.map(|lease| Box::new(FreedByDeath(lease)) as Lease))
    }
}

impl fmt::Debug for MemoryDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDocuments").finish_non_exhaustive()
    }
}

/// A lease without a fence: it ends with its holder and cannot pass to another before.
#[derive(Debug)]
struct FreedByDeath(Lease);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LeaseHandle for FreedByDeath {
    fn fence(&self) -> u64 {
        0
    }

    fn remaining(&self) -> Option<Duration> {
        self.0.remaining()
    }

    async fn renew(&mut self) -> Result<()> {
        self.0.renew().await
    }

    async fn release(self: Box<Self>) -> Result<()> {
        self.0.release().await
    }
}

fn stamp(generation: u64) -> Version {
    Version::new(&generation.to_le_bytes())
}

/// One await that is not ready at once.
async fn give_way() {
    let mut gave_way = false;
    poll_fn(|context| {
        if std::mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_made_again_when_somebody_else_wrote_meanwhile() {
        let documents = MemoryDocuments::new();
        let (other, mut calls) = (documents.clone(), 0);
        let edit = move |document: Option<&Blob>| {
            calls += 1;
            if calls == 1 {
                other.overwrite(&PartitionKey::Shared, Blob::copy_of(b"theirs"));
            }
            assert_eq!(document.is_some(), calls == 2);
            Ok(Edit::Replace(Blob::copy_of(b"ours")))
        };
        let modified = pollster::block_on(documents.modify(&PartitionKey::Shared, Box::new(edit))).expect("modify");
        assert_eq!(modified.before, Some(stamp(1)));
        assert_eq!(documents.present(&PartitionKey::Shared), Some((Blob::copy_of(b"ours"), 2)));
    }
}
