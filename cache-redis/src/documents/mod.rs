//! Documents that another library keeps in Redis too: each partition whole, at the key and in the layout of that library.

mod belonging;
mod config;
mod expiry;
mod layout;
mod listing;
mod look;
mod store;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_core::{
    DocumentStore, Edit, EditFn, Error, ErrorKind, Fence, Lease, Modified, PartitionKey, Result, StoredDocument,
    Version, async_trait,
};
use cache_crypto::rows::random;

use self::expiry::{later, left, ticks};
use self::layout::{Keys, Names};
use self::look::{Did, Found, Look, Written, passing, stamp};
use crate::NAME;
use crate::count::{Count, What};
use crate::error::unexpected;
use crate::inner::{Inner, named};
use crate::lease::take_at;
use crate::naps::Naps;
use crate::reading::texts;
use crate::running::{here, to_its_end};
use crate::script::{READ_DOCUMENT, WRITE_DOCUMENT};

pub use self::config::RedisPeerStoreBuilder;
pub use self::store::RedisPeerStore;

/// So often a document is written over that others have written meanwhile; then they are at fault.
const TRIES: usize = 1_000;

/// What stands beside a document stays so long after it: longer than the journal waits for anything.
const BESIDE_FOR: Duration = Duration::from_secs(3600);

/// A document of no more bytes may be one that nothing is left in.
const MAY_BE_EMPTY: usize = 2_048;

/// Token caches that another library keeps in Redis too: Microsoft.Identity.Web over the Redis cache of .NET
/// ([`idweb`](crate::RedisStoreBuilder::idweb)), or MSAL Node ([`node`](crate::RedisStoreBuilder::node)).
///
/// Use it through the [`RedisPeerStore`] that [`RedisPeerStoreBuilder::open`] gives. Cloning gives another handle of the same store,
/// with the same connection.
#[derive(Clone)]
pub struct RedisDocuments {
    shared: Arc<Shared>,
    fencing: Option<Fencing>,
}

/// The fence that all writes by a handle are under.
#[derive(Clone)]
struct Fencing {
    fence: Fence,
    /// Whether a lease after it has been written under.
    is_late: Arc<AtomicBool>,
}

/// The store behind its handles.
struct Shared {
    inner: Arc<Inner>,
    names: Names,
    foreign: Count,
    put_back: Count,
    removed_again: Count,
    /// When foreign entries were last reported.
    warned: Mutex<Option<Instant>>,
}

impl Shared {
    /// Now and then: each look finds the same foreign entries again, until somebody writes.
    fn is_time_to_warn(&self) -> bool {
        const PAUSE: Duration = Duration::from_secs(60);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = warned.is_none_or(|warned| warned.elapsed() >= PAUSE);
        if is_time {
            *warned = Some(Instant::now());
        }
        is_time
    }
}

/// Counts since the store was opened, of all its handles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisPeerStats {
    /// Requests that the server has not answered within the deadline, or could not be sent to it.
    pub unanswered: u64,
    /// Connections that were opened, the first one included.
    pub connections: u64,
    /// Entries of another user, or of another assertion, that were met in a partition and left out, each time anew.
    pub foreign: u64,
    /// Entries of ours that another library had dropped by writing over them, and that were put back.
    pub put_back: u64,
    /// Entries of a user who was signed out that another library had brought back, and that were removed again.
    pub removed_again: u64,
}

impl RedisDocuments {
    fn new(inner: Inner, names: Names) -> Self {
        let [foreign, put_back, removed_again] = [What::Foreign, What::PutBack, What::RemovedAgain].map(Count::of);
        let inner = Arc::new(inner);
        let shared = Shared { inner, names, foreign, put_back, removed_again, warned: Mutex::default() };
        Self { shared: Arc::new(shared), fencing: None }
    }

    /// A handle that writes under this fence.
    fn under(&self, fence: &Fence) -> Self {
        let fencing = Fencing { fence: fence.clone(), is_late: Arc::default() };
        Self { shared: Arc::clone(&self.shared), fencing: Some(fencing) }
    }

    /// Whether a write of this handle came too late for its fence.
    fn is_late(&self) -> bool {
        self.fencing.as_ref().is_some_and(|fencing| fencing.is_late.load(Ordering::Relaxed))
    }

    /// What was counted so far.
    pub(super) fn stats(&self) -> RedisPeerStats {
        let Shared { inner, foreign, put_back, removed_again, .. } = &*self.shared;
        let counts = [&inner.link.unanswered, &inner.link.connections, foreign, put_back, removed_again];
        let [unanswered, connections, foreign, put_back, removed_again] = counts.map(Count::get);
        RedisPeerStats { unanswered, connections, foreign, put_back, removed_again }
    }

    /// A page of the partitions that may hold the account; or, without one, of all.
    async fn listed(
        &self,
        home_account_id: Option<&str>,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>> {
        let after = after.map(|after| self.sharing(after)).transpose()?.map(|after| after.keys.document);
        let (shared, account) = (Arc::clone(&self.shared), home_account_id.map(str::to_owned));
        let listed = async move { listing::partitions(&shared, account.as_deref(), after, limit).await };
        here(&self.shared.inner, || listed).await.map_err(named)
    }

    /// Runs `work` on the store and the place of the partition.
    async fn here<T: Send + 'static, Work: Future<Output = Result<T>> + Send + 'static>(
        &self,
        partition: &PartitionKey,
        work: impl FnOnce(Sharing) -> Work,
    ) -> Result<T> {
        let sharing = self.sharing(partition)?;
        here(&self.shared.inner, || work(sharing)).await.map_err(named)
    }

    /// The same to its end, also if the caller does not wait for it.
    async fn to_its_end<T: Send + 'static, Work: Future<Output = Result<T>> + Send + 'static>(
        &self,
        partition: &PartitionKey,
        work: impl FnOnce(Sharing) -> Work,
    ) -> Result<T> {
        to_its_end(&self.shared.inner, work(self.sharing(partition)?)).await.map_err(named)
    }

    fn sharing(&self, partition: &PartitionKey) -> Result<Sharing> {
        let keys = self.shared.names.keys(partition).map_err(named)?;
        let (shared, fencing) = (Arc::clone(&self.shared), self.fencing.clone());
        Ok(Sharing { shared, partition: partition.clone(), keys, fencing })
    }
}

#[async_trait]
impl DocumentStore for RedisDocuments {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn read(&self, partition: &PartitionKey) -> Result<Option<StoredDocument>> {
        // What a look finds missing is put back to its end.
        self.to_its_end(partition, |sharing| async move { sharing.read().await }).await
    }

    async fn modify(&self, partition: &PartitionKey, edit: EditFn) -> Result<Modified> {
        self.to_its_end(partition, |sharing| async move { sharing.modify(edit).await }).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.listed(None, after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.here(partition, |sharing| async move { sharing.stamp().await }).await
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Option<Result<Lease>> {
        let lease = async {
            let key = Names::lease(&self.sharing(partition)?.keys, name);
            take_at(&self.shared.inner, &key, wait).await.map_err(named)
        };
        Some(lease.await)
    }
}

impl fmt::Debug for RedisDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { layout, instance, .. } = &self.shared.names;
        f.debug_struct("RedisDocuments").field("layout", layout).field("instance", instance).finish_non_exhaustive()
    }
}

/// One partition's document, and what stands beside it.
struct Sharing {
    shared: Arc<Shared>,
    partition: PartitionKey,
    keys: Keys,
    fencing: Option<Fencing>,
}

impl Sharing {
    /// The document as it is shown. What of ours others have dropped is put back first.
    async fn read(self) -> Result<Option<StoredDocument>> {
        let mut naps = Naps::default();
        for _ in 0..TRIES {
            let mut look = self.look(false).await?;
            let (stamp, bytes) = (look.stamp()?, look.shown.clone());
            let stored =
                |stamp: Option<Version>| bytes.zip(stamp).map(|(bytes, stamp)| StoredDocument { bytes, stamp });
            let now = self.shared.inner.now();
            let Some(written) = look.conclude(Edit::Keep, now)? else {
                self.tell(look.did);
                return Ok(stored(stamp));
            };
            match self.write(&look, &written).await {
                Ok(Some(after)) => {
                    self.tell(look.did);
                    return Ok(stored(if look.is_due { after } else { stamp }));
                }
                Ok(None) => naps.nap().await,
                // It can be read, and the next one who can write puts back what is missing.
                Err(error) => {
                    tracing::warn!(store = NAME, partition = self.partition.kind(), %error, "cannot put back what is missing");
                    self.tell(Did { put_back: 0, removed_again: 0, ..look.did });
                    return Ok(stored(stamp));
                }
            }
        }
        Err(disturbed())
    }

    async fn modify(self, mut edit: EditFn) -> Result<Modified> {
        let mut naps = Naps::default();
        for _ in 0..TRIES {
            let mut look = self.look(true).await?;
            let before = look.stamp()?;
            let answer = edit(look.shown.as_ref())?;
            let put_back = look.did.put_back;
            let is_kept = matches!(answer, Edit::Keep) && !look.is_due;
            let now = self.shared.inner.now();
            let written = match look.conclude(answer, now)? {
                Some(written) => written,
                // The fence is to be remembered.
                None if self.fencing.is_some() => Written::Keep,
                None => {
                    self.tell(look.did);
                    let after = if is_kept { before.clone() } else { None };
                    return Ok(Modified { before, after });
                }
            };
            let Some(after) = self.write(&look, &written).await? else {
                naps.nap().await;
                continue;
            };
            self.tell(look.did);
            let after = match after {
                // It holds more than the edit has made: no caller may take its own view for it.
                Some(_) if look.did.put_back > put_back => Some(passing()?),
                _ if is_kept => before.clone(),
                after => after,
            };
            return Ok(Modified { before, after });
        }
        Err(disturbed())
    }

    /// The stamp of what [`read`](Self::read) shows; of a large document without it, which never holds nothing.
    async fn stamp(self) -> Result<Option<Version>> {
        let arguments = [self.shared.names.layout.kind().into(), MAY_BE_EMPTY.to_string().into()];
        let answer = READ_DOCUMENT.run_soon(&self.shared.inner.link, &self.keys(), &arguments).await?;
        let found = Found::new(answer)?;
        if found.document.is_none() || found.is_left_out {
            return found.stamp();
        }
        Look::new(&self.partition, found, self.shared.inner.now(), false)?.stamp()
    }

    async fn look(&self, is_thorough: bool) -> Result<Look> {
        let arguments = [self.shared.names.layout.kind().into(), Vec::new()];
        let found = Found::new(READ_DOCUMENT.run(&self.shared.inner.link, &self.keys(), &arguments).await?)?;
        Look::new(&self.partition, found, self.shared.inner.now(), is_thorough)
    }

    /// Writes if nobody else has written meanwhile; answers the stamp of what is there then. `None`: somebody has.
    async fn write(&self, look: &Look, written: &Written) -> Result<Option<Option<Version>>> {
        let Inner { link, settings, .. } = &*self.shared.inner;
        let now = self.shared.inner.now();
        let [mut revision, mut nonce] = [[0; 16]; 2];
        random(&mut revision)?;
        random(&mut nonce)?;
        let (verb, document, left) = match written {
            Written::Put(document) => ("put", document.expose(), left(document, now, settings.kept_for)?),
            Written::Delete => ("delete", &[][..], Duration::ZERO),
            Written::Keep => ("keep", &[][..], settings.kept_for),
        };
        let mut keys = self.keys().to_vec();
        let fence = self.fencing.as_ref().map(|Fencing { fence, .. }| {
            keys.push(Names::lease(&self.keys, &fence.lease));
            fence.number.to_string().into()
        });
        let journal = look.journal.to_bytes();
        let arguments = [
            self.shared.names.layout.kind().into(),
            look.found.digest.clone(),
            look.found.revision.clone(),
            revision.to_vec(),
            verb.into(),
            document.to_vec(),
            left.as_millis().to_string().into(),
            ticks(later(now, left)).to_string().into(),
            nonce.to_vec(),
            journal.map_or_else(Vec::new, |journal| journal.expose().to_vec()),
            (left + BESIDE_FOR).as_millis().to_string().into(),
            fence.unwrap_or_default(),
        ];
        let answer = texts(WRITE_DOCUMENT.run(link, &keys, &arguments).await?)?;
        match &answer[..] {
            [verb, digest] if verb == b"ok" => match written {
                Written::Put(_) => stamp(digest, &nonce).map(Some),
                Written::Delete => Ok(Some(None)),
                Written::Keep => look.found.stamp().map(Some),
            },
            [verb] if verb == b"changed" => Ok(None),
            [verb] if verb == b"fenced" => {
                if let Some(fencing) = &self.fencing {
                    fencing.is_late.store(true, Ordering::Relaxed);
                }
                Err(Error::new(
                    ErrorKind::Busy,
                    "the lease has passed to another, who has written; nothing was written",
                ))
            }
            _ => Err(unexpected()),
        }
    }

    fn keys(&self) -> [Vec<u8>; 2] {
        [self.keys.document.clone(), self.keys.beside.clone()]
    }

    /// Counts what was done, and reports what somebody should look after.
    fn tell(&self, did: Did) {
        let Shared { foreign, put_back, removed_again, .. } = &*self.shared;
        foreign.add(did.foreign as u64);
        put_back.add(did.put_back as u64);
        removed_again.add(did.removed_again as u64);
        let partition = self.partition.kind();
        if did.foreign > 0 && self.shared.is_time_to_warn() {
            tracing::warn!(
                store = NAME,
                partition,
                entries = did.foreign,
                "a partition holds entries of somebody else, which are left out; look for an application that shares one client \
                 object among users, or that stores caches that it could not read"
            );
        }
        if did.put_back > 0 {
            tracing::info!(
                store = NAME,
                partition,
                entries = did.put_back,
                "another library had dropped entries; they are back"
            );
        }
        if did.removed_again > 0 {
            tracing::info!(
                store = NAME,
                partition,
                entries = did.removed_again,
                "another library had brought back entries that were signed out; they are gone again"
            );
        }
    }
}

fn disturbed() -> Error {
    Error::new(ErrorKind::Busy, "others write the partition again and again; try again later")
}
