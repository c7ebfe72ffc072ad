//! The store: [`DocumentStore`] over files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cache_core::{
    DocumentStore, EditFn, Error, ErrorKind, Lease, Modified, PartitionKey, Result, StoredDocument, Version,
    async_trait, blocking_work,
};

use crate::config::{FileStoreBuilder, Protection};
use crate::layout::Place;
use crate::names::Folder;
use crate::notes::Notes;
use crate::stamp::{FileKind, FileTime, Stat};
use crate::writing::OwnKey;
use crate::{NAME, lease};

/// Token caches in files: one [shared](PartitionKey::Shared) cache in one file, or a file per partition in a folder.
///
/// Cloning gives another handle of the same store. Use it through [`Documents`](cache_core::Documents), which
/// [`FileStoreBuilder::open`] gives.
#[derive(Debug, Clone)]
pub struct FileStore(Arc<Inner>);

/// What all clones of a store share.
#[derive(Debug)]
pub(crate) struct Inner {
    path: PathBuf,
    pub(crate) home: Home,
    pub(crate) protection: Protection,
    pub(crate) lock_wait: Duration,
    pub(crate) migrate_plaintext: bool,
    /// Whether the user has heard that the folder is group-writable.
    pub(crate) has_warned: AtomicBool,
    pub(crate) last_sweep: crate::replace::LastSweep,
}

/// Where the partitions are.
#[derive(Debug)]
pub(crate) enum Home {
    /// The shared partition alone, in this file.
    File(Arc<Place>),
    /// Any partition, each in a file of its own.
    Folder(Folder),
}

impl FileStore {
    /// One shared cache in the file `path`. Any partition but [`PartitionKey::Shared`] is `InvalidInput`.
    ///
    /// Folders that are missing are made at the first write, for their owner only.
    pub fn at(path: impl AsRef<Path>) -> FileStoreBuilder {
        FileStoreBuilder::new(path.as_ref(), false)
    }

    /// A file per partition in the folder `dir`, under names that do not tell whose they are.
    pub fn in_dir(dir: impl AsRef<Path>) -> FileStoreBuilder {
        FileStoreBuilder::new(dir.as_ref(), true)
    }

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
        let place = match self.0.known(partition) {
            Ok(place) => place?,
            Err(error) => return Some(Err(named(error))),
        };
        Some(self.0.stamp_at(&place).map_err(named))
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Option<Result<Lease>> {
        Some(lease::take(Arc::clone(&self.0), partition, name, wait).await.map_err(named))
    }
}

impl Inner {
    pub(crate) fn new(
        path: PathBuf,
        home: Home,
        protection: Protection,
        lock_wait: Duration,
        migrate_plaintext: bool,
    ) -> Self {
        Self {
            path,
            home,
            protection,
            lock_wait,
            migrate_plaintext,
            has_warned: AtomicBool::new(false),
            last_sweep: crate::replace::LastSweep::default(),
        }
    }

    /// One stat, nothing else.
    fn stamp_at(&self, place: &Place) -> Result<Option<Version>> {
        Ok(place.stat()?.filter(|stat| self.holds_something(stat)).map(|stat| stat.version(FileTime::now())))
    }

    /// A plaintext file without a byte in it is as good as none: MSAL Node makes one when it starts.
    pub(crate) fn holds_something(&self, stat: &Stat) -> bool {
        stat.size > 0 || self.protection.is_protected()
    }
}

impl Place {
    /// What the cache file is now; `None` if there is none. `Denied`: something else has its name.
    pub(crate) fn stat(&self) -> Result<Option<Stat>> {
        let stat = self
            .stat_path
            .stat()
            .map_err(|error| Error::io(format_args!("cannot look at {}", self.path.display()), error))?;
        match stat.map(|stat| stat.kind) {
            None | Some(FileKind::Regular) => Ok(stat),
            Some(FileKind::Symlink) => Err(unusable(&self.path, "a symbolic link")),
            Some(FileKind::Other) => Err(unusable(&self.path, "no regular file")),
        }
    }
}

/// The error for something that is not used as a cache file.
pub(crate) fn unusable(path: &Path, what: &str) -> Error {
    let message = format!("{} is {what}, which is not used for a cache; give the path of a file", path.display());
    Error::new(ErrorKind::Denied, message)
}

fn named(error: Error) -> Error {
    if error.store().is_some() { error } else { error.in_store(NAME) }
}
