//! The easy seam: a place that holds one blob per partition becomes a [`CacheStore`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::changes::{Changes, Committed, Fence};
use crate::document::{Reformed, UnifiedDocument};
use crate::entry::{EntryId, Snapshot, Stored, Version};
use crate::environment::Environments;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::ProcessLeases;
use crate::merge::{Merged, merge};
use crate::partition::PartitionKey;
use crate::profile::Profile;
use crate::secret::Blob;
use crate::store::{CacheStore, Lease};
use crate::time::{Clock, SystemClock};

/// A place that holds one blob per partition: a file, a keychain item, an object store, a vault. Wrap it in
/// [`Documents`] to get a [`CacheStore`].
///
/// The blob is a unified cache document in plaintext as far as this trait is concerned; a store that protects it does
/// so inside. Error kinds as for [`CacheStore`].
#[async_trait]
pub trait DocumentStore: fmt::Debug + Send + Sync + 'static {
    /// The store's kind for errors, spans and the command line, for example `file`.
    fn name(&self) -> &'static str;

    /// The document of the partition and its stamp, read at one moment; `None` if there is none. A document without content
    /// is one that was cut off; a place in which it stands for none, as in what MSAL Node writes, answers `None`.
    async fn read(&self, partition: &PartitionKey) -> Result<Option<StoredDocument>>;

    /// Reads the document, calls `edit` with it, and replaces it by what `edit` answers: atomically, durably, and
    /// exclusively over all threads and processes that share the place.
    ///
    /// `edit` may be called again if somebody else wrote meanwhile; only its last answer counts. An error of `edit` is
    /// returned and leaves the document as it is. A store without a lock does this by compare-and-set in a loop.
    async fn modify(&self, partition: &PartitionKey, edit: EditFn) -> Result<Modified>;

    /// As [`CacheStore::partitions`].
    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>>;

    /// As [`CacheStore::stamp`]. Provided: reads the document.
    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        Ok(self.read(partition).await?.map(|document| document.stamp))
    }

    /// As [`CacheStore::stamp_now`]. Provided: `None`.
    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        let _ = partition;
        None
    }

    /// As [`CacheStore::environments`]. Provided: `None`.
    fn environments(&self) -> Option<Environments> {
        None
    }

    /// As [`CacheStore::lease`]. Provided: `None`, by which [`Documents`] gives leases that hold within this process
    /// only. A store that several processes share overrides it.
    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Option<Result<Lease>> {
        let _ = (partition, name, wait);
        None
    }
}

/// A document and its stamp.
#[derive(Debug, Clone)]
pub struct StoredDocument {
    /// The unified cache document, in plaintext.
    pub bytes: Blob,
    /// Changes with every change of the document and never repeats.
    pub stamp: Version,
}

/// What [`DocumentStore::modify`] does with the document that it reads.
pub type EditFn = Box<dyn FnMut(Option<&Blob>) -> Result<Edit> + Send>;

/// The answer of an [`EditFn`].
#[derive(Debug, Clone)]
pub enum Edit {
    /// Leave the document as it is, and write nothing.
    Keep,
    /// Put this document in its place.
    Replace(Blob),
    /// Delete the document.
    Remove,
}

/// What [`DocumentStore::modify`] did.
#[derive(Debug, Clone)]
pub struct Modified {
    /// The stamp of the document that `edit` was given; `None`: there was none.
    pub before: Option<Version>,
    /// The stamp of the document that is there now; equal to `before` if nothing was written.
    pub after: Option<Version>,
}

/// Makes a [`CacheStore`] of a [`DocumentStore`]: merges changes into the document inside its exclusive section.
#[derive(Debug)]
pub struct Documents<D> {
    store: D,
    clock: Arc<dyn Clock>,
    profile: Profile,
    leases: ProcessLeases,
    /// The highest fences seen. Leases over documents are freed by death and cannot pass to another
    /// holder, so that a fence needs to hold within the process only.
    fences: Arc<Mutex<Fences>>,
}

impl<D: DocumentStore> Documents<D> {
    /// The store over the documents of `store`.
    pub fn new(store: D) -> Self {
        Self::with_clock(store, Arc::new(SystemClock))
    }

    /// The same with a clock of the caller's: merging takes no entry to be newer than it.
    pub fn with_clock(store: D, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, profile: Profile::default(), leases: ProcessLeases::default(), fences: Arc::default() }
    }

    /// The same, which gives each document that it changes the form of this profile. One that a commit does not change
    /// stays as it is.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// The document store underneath.
    pub fn document_store(&self) -> &D {
        &self.store
    }

    fn named(&self, error: Error) -> Error {
        if error.store().is_some() { error } else { error.in_store(self.store.name()) }
    }

    fn parse(&self, bytes: &Blob) -> Result<UnifiedDocument> {
        parse(bytes).map_err(|error| self.named(error))
    }
}

/// No document is empty: a commit that leaves nothing removes it. To take one that was cut to nothing for an empty cache
/// would let the next commit cover up that everything was lost.
fn parse(bytes: &Blob) -> Result<UnifiedDocument> {
    if UnifiedDocument::is_blank(bytes) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "the cache document has no content: a write of it was cut off; remove the partition to begin anew",
        ));
    }
    UnifiedDocument::parse(bytes)
}

#[async_trait]
impl<D: DocumentStore> CacheStore for Documents<D> {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        let Some(StoredDocument { bytes, stamp }) = self.store.read(partition).await? else { return Ok(None) };
        let entries = self.parse(&bytes)?.into_entries();
        let entries = entries.map(|entry| Stored { version: Version::of_content(&entry.json), entry }).collect();
        Ok(Some(Snapshot { entries, unreadable: Vec::new(), stamp }))
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        let Some(stored) = self.store.read(partition).await? else { return Ok(vec![None; ids.len()]) };
        let document = self.parse(&stored.bytes)?;
        let found = ids
            .iter()
            .map(|id| document.entry(id).map(|entry| Stored { version: Version::of_content(&entry.json), entry }));
        Ok(found.collect())
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        // In the form that they will have in the store: merging then knows what is there already, and the versions that
        // are answered are those that are stored.
        let formed_at = self.clock.now().to_seconds();
        let changes = self.profile.changes(changes, formed_at);
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let edit = {
            let (changes, outcome, clock) = (changes.clone(), Arc::clone(&outcome), Arc::clone(&self.clock));
            let (fences, partition, profile) = (Arc::clone(&self.fences), partition.clone(), self.profile);
            move |bytes: Option<&Blob>| -> Result<Edit> {
                let mut document = match bytes {
                    Some(bytes) => parse(bytes)?,
                    None => UnifiedDocument::default(),
                };
                let fenced = {
                    let mut fences = fences.lock().unwrap_or_else(PoisonError::into_inner);
                    fenced(&mut fences, &partition, changes.fence())
                };
                let merged = if fenced {
                    Merged::fenced(&changes)
                } else {
                    let Ok(merged) = merge(&mut document, &changes, clock.now());
                    merged
                };
                let reformed =
                    if document.is_changed() { profile.reform(&mut document, formed_at) } else { Reformed::default() };
                let edit = match (document.is_changed(), document.is_empty()) {
                    (false, _) => Edit::Keep,
                    (true, false) => Edit::Replace(document.render()),
                    (true, true) => Edit::Remove,
                };
                // What was put may have been dropped at once.
                let edit = match (edit, bytes) {
                    (Edit::Replace(new), Some(old)) if !reformed.dropped.is_empty() && new == *old => Edit::Keep,
                    (Edit::Remove, None) => Edit::Keep,
                    (edit, _) => edit,
                };
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Outcome { merged, reformed };
                Ok(edit)
            }
        };
        let Modified { before, after } =
            self.store.modify(partition, Box::new(edit)).await.map_err(|error| self.named(error))?;
        let Outcome { merged: Merged { skipped, mut written }, reformed: Reformed { rewritten, dropped } } =
            std::mem::take(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner));
        let others_changed = !(rewritten.is_empty() && dropped.is_empty());
        if !dropped.is_empty() {
            let dropped: HashSet<EntryId> = dropped.into_iter().collect();
            written.retain(|(id, _)| !dropped.contains(id));
        }
        Ok(Committed { before, after, skipped, written, others_changed })
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.store.modify(partition, Box::new(|document| Ok(document.map_or(Edit::Keep, |_| Edit::Remove)))).await?;
        Ok(())
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.store.partitions(after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.store.stamp(partition).await
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        self.store.stamp_now(partition)
    }

    fn environments(&self) -> Option<Environments> {
        self.store.environments()
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        match self.store.lease(partition, name, wait).await {
            Some(lease) => lease,
            None => self.leases.take(self.store.name(), partition, name, wait).await,
        }
    }
}

/// What the last call of an edit did.
#[derive(Default)]
struct Outcome {
    merged: Merged,
    reformed: Reformed,
}

/// The highest fence seen, by partition and lease.
pub(crate) type Fences = HashMap<PartitionKey, HashMap<Arc<str>, u64>>;

/// Whether a commit under `fence` comes too late; remembers the highest fence seen.
pub(crate) fn fenced(seen: &mut Fences, partition: &PartitionKey, fence: Option<&Fence>) -> bool {
    let Some(Fence { lease, number }) = fence else { return false };
    let highest = seen.entry(partition.clone()).or_default().entry(Arc::clone(lease)).or_insert(*number);
    let late = number < highest;
    *highest = (*highest).max(*number);
    late
}

impl From<std::io::Error> for Error {
    /// For document stores over files and sockets; prefer [`Error::io`], which says what was tried.
    fn from(error: std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::PermissionDenied {
            ErrorKind::Denied
        } else {
            ErrorKind::Unavailable
        };
        Self::new(kind, format!("the store's storage failed: {error}")).with_source(error)
    }
}
