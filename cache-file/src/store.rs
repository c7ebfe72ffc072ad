//! The store: [`DocumentStore`] over files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    DocumentStore, EditFn, Environments, Error, Lease, Modified, PartitionKey, Protection, Result, StoredDocument,
    Version, async_trait, blocking_work,
};

use crate::inner::Inner;
use crate::notes::Notes;
use crate::presets::ProductCache;
use crate::writing::OwnKey;
use crate::{NAME, lease};

/// Token caches in files: one [shared](PartitionKey::Shared) cache in one file, or a file per partition in a folder.
///
/// Between two writes of its own, the store keeps the document that it has written last in memory, if that is no larger
/// than 8 MiB: as long as nobody else writes the file, the next change need not read and open it.
///
/// Cloning gives another handle of the same store. Use it through [`Documents`](cache_core::Documents), which
/// [`FileStoreBuilder::open`](crate::FileStoreBuilder::open) gives.
#[derive(Debug, Clone)]
pub struct FileStore(Arc<Inner>);

impl FileStore {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The absolute path of the file, or of the folder of partitions.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether the files are protected, and by what.
    pub fn protection(&self) -> &Protection {
        &self.0.protection
    }

    /// The path of the partition's file; `None` if there is no such folder yet. Errors as a read has them.
    pub async fn file_of(&self, partition: &PartitionKey) -> Result<Option<PathBuf>> {
        self.run(partition, |inner, partition| {
            Ok(inner.find(partition, &Notes::default())?.map(|(place, _)| place.path.clone()))
        })
        .await
    }

    /// The permission bits of the partition's file, for people to see that they are 0600; `None` if there is no file,
    /// or if the platform has no such bits.
    pub async fn mode_of(&self, partition: &PartitionKey) -> Result<Option<u32>> {
        self.run(partition, |inner, partition| {
            let Some((place, _)) = inner.find(partition, &Notes::default())? else { return Ok(None) };
            Ok(place.stat()?.and_then(|stat| stat.mode).map(|mode| mode & 0o777))
        })
        .await
    }

    /// Protects everything anew, with the key that the protector writes with now, and answers how many partitions that
    /// were. After a key ring was rotated and this has returned, the old key is needed no more.
    ///
    /// Done partition by partition; what others write meanwhile is kept. `InvalidInput`: the store is plaintext.
    /// Another error: a file could not be opened or written; those before it are done, and calling again does all.
    pub async fn reprotect(&self) -> Result<usize> {
        self.run(&PartitionKey::Shared, |inner, _| inner.reprotect()).await
    }

    /// Moves the partition's file aside, whatever is in it, so that the next write begins anew; answers where it is
    /// now, `None` if there was none. For a file that cannot be opened any more, once the user has agreed.
    ///
    /// The new name is `<cache>.corrupt-<unix time>`; the two newest of these are kept. Errors as a write has them.
    pub async fn move_aside(&self, partition: &PartitionKey) -> Result<Option<PathBuf>> {
        self.run(partition, Inner::move_aside).await
    }

    async fn run<T: Send + 'static>(
        &self,
        partition: &PartitionKey,
        work: impl FnOnce(&Inner, &PartitionKey) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (inner, partition) = (Arc::clone(&self.0), partition.clone());
        blocking_work::run(move || work(&inner, &partition)).await.map_err(named)
    }
}

#[async_trait]
impl DocumentStore for FileStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn read(&self, partition: &PartitionKey) -> Result<Option<StoredDocument>> {
        self.run(partition, Inner::read).await
    }

    async fn modify(&self, partition: &PartitionKey, edit: EditFn) -> Result<Modified> {
        self.run(partition, |inner, partition| inner.modify(partition, OwnKey::Kept, edit)).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        let after = after.cloned();
        self.run(&PartitionKey::Shared, move |inner, _| inner.partitions(after.as_ref(), limit)).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.run(partition, |inner, partition| {
            let Some((place, _)) = inner.find(partition, &Notes::default())? else { return Ok(None) };
            inner.stamp_at(&place)
        })
        .await
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        self.0.stamp_now(partition).map(|stamp| stamp.map_err(named))
    }

    fn environments(&self) -> Option<Environments> {
        self.0.product.as_ref().map(ProductCache::environments)
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Option<Result<Lease>> {
        Some(lease::take(Arc::clone(&self.0), partition, name, wait).await.map_err(named))
    }
}

fn named(error: Error) -> Error {
    if error.store().is_some() { error } else { error.in_store(NAME) }
}
