//! Resident caches over a store: freshness, reads, updates, and the notifications that libraries with a cache of their
//! own need.

mod access;
mod freshness;
mod resident;

use std::sync::Arc;

use tracing::{Instrument as _, debug, debug_span};

pub use self::access::{Access, AccessContext};
pub use self::freshness::Freshness;

pub(crate) use self::resident::NotFresh;

use self::resident::{Fresh, Loaded, Resident};
use crate::blocking_work;
use crate::changes::{Changes, Committed, Skip};
use crate::entry::{EntryId, Snapshot};
use crate::environment::Environments;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Count, Counters, Stats, partition_tag};
use crate::partition::PartitionKey;
use crate::schema::AccessToken;
use crate::store::CacheStore;
use crate::time::{Clock, SystemClock};
use crate::token_cache::{AccessTokenQuery, TokenCache};

/// Token caches over a store, one per partition, kept resident in memory within a bound.
///
/// Cheap to clone; clones share everything. All of its futures are `Send` when the closures and their results are.
///
/// - [`access_token`](Self::access_token) is the hot path: an index lookup in the resident cache after one cheap stamp
///   check.
/// - [`read`](Self::read) looks at validated content, [`update`](Self::update) changes it: the changes are merged
///   into what the store holds by then, so that updates of other threads, processes and nodes are not lost.
/// - [`before_access`](Self::before_access) and [`Access::after_access`] serve a library that keeps a cache of its own,
///   as MSAL's notifications do.
///
/// ```
/// use cache_core::schema::AccessToken;
/// use cache_core::{AccessTokenQuery, MemoryStore, PartitionKey, PersistedTokenCache, UnixSeconds};
///
/// # pollster::block_on(async {
/// let cache = PersistedTokenCache::builder(MemoryStore::new()).build();
/// let partition = PartitionKey::app("client", Some("tenant"));
/// let now = cache.now();
///
/// cache
///     .update(&partition, |tokens| {
///         tokens.insert(AccessToken {
///             environment: "login.microsoftonline.com".into(),
///             client_id: "client".into(),
///             realm: "tenant".into(),
///             target: "api://resource/.default".into(),
///             secret: "eyJ0eXAi...".into(),
///             cached_at: Some(now),
///             expires_on: Some(now.plus(3600)),
///             ..AccessToken::default()
///         })
///     })
///     .await?
///     .value?;
///
/// let query = AccessTokenQuery::app("client", "api://resource/.default").with_realm("tenant");
/// assert!(cache.access_token(&partition, &query).await?.is_some());
/// # Ok::<_, cache_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct PersistedTokenCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn CacheStore>,
    clock: Arc<dyn Clock>,
    environments: Environments,
    freshness: Freshness,
    resident: Resident,
    counters: Counters,
}

/// What an [`update`](PersistedTokenCache::update) did.
#[derive(Debug, Clone)]
#[must_use]
pub struct Updated<R> {
    /// What the closure answered.
    pub value: R,
    /// Changes that the store's merge rules did not let apply, each with its reason: another process has written
    /// something newer, or removed the account.
    pub skipped: Vec<(EntryId, Skip)>,
}

/// Settings of a [`PersistedTokenCache`].
#[derive(Debug)]
pub struct Builder {
    store: Arc<dyn CacheStore>,
    clock: Arc<dyn Clock>,
    environments: Environments,
    freshness: Freshness,
    resident_bytes: u64,
}

impl Builder {
    /// How old resident content may be when an access token is taken from it. Without it: 30 seconds.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// How much memory the resident partitions may take, in bytes, about. Without it: 64 MiB. A single partition that
    /// is larger is loaded at every look: raise the bound for very large ones.
    #[must_use]
    pub fn resident_bytes(mut self, bytes: u64) -> Self {
        self.resident_bytes = bytes;
        self
    }

    /// The cloud aliases. Without it: those that [the store](CacheStore::environments) knows, else those that the MSAL
    /// libraries know.
    #[must_use]
    pub fn environments(mut self, environments: Environments) -> Self {
        self.environments = environments;
        self
    }

    /// The clock. Without it: the computer's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The cache with these settings.
    pub fn build(self) -> PersistedTokenCache {
        let Self { store, clock, environments, freshness, resident_bytes } = self;
        let resident = Resident::bounded(resident_bytes);
        let counters = Counters::default();
        PersistedTokenCache(Arc::new(Inner { store, clock, environments, freshness, resident, counters }))
    }
}

impl PersistedTokenCache {
    /// Settings for a cache over `store`; an `Arc<dyn CacheStore>` is a store too.
    pub fn builder(store: impl CacheStore) -> Builder {
        let environments = store.environments().unwrap_or_default();
        Builder {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            environments,
            freshness: Freshness::default(),
            resident_bytes: 64 << 20,
        }
    }

    /// The present second of the cache's clock.
    pub fn now(&self) -> crate::time::UnixSeconds {
        self.0.clock.now().to_seconds()
    }

    /// The store underneath.
    pub fn store(&self) -> &Arc<dyn CacheStore> {
        &self.0.store
    }

    /// What was counted since the cache was built.
    pub fn stats(&self) -> Stats {
        let (partitions, resident_bytes) = self.0.resident.size();
        Stats { resident_partitions: partitions as u64, resident_bytes, ..self.0.counters.snapshot() }
    }

    /// Calls `look` with the content that the store holds now; never writes. A partition that holds nothing is an empty
    /// cache; a store that cannot be read is an error.
    pub async fn read<R>(&self, partition: &PartitionKey, look: impl FnOnce(&TokenCache) -> R) -> Result<R> {
        let loaded = self.validated(partition).await?;
        Ok(look(&loaded.tokens))
    }

    /// Calls `change` once with the content that the store holds now, and commits what it changed, if anything: merged
    /// into what the store holds by then, all or nothing, durable when this returns.
    ///
    /// Puts for an account that the store held are guarded by it: if the account is removed meanwhile, they are
    /// skipped. If the content cannot be read, `change` is not called and nothing is written: an outage is never an
    /// empty partition. Dropping the future leaves all of the changes in the store, or none.
    pub async fn update<R>(
        &self,
        partition: &PartitionKey,
        change: impl FnOnce(&mut TokenCache) -> R,
    ) -> Result<Updated<R>> {
        let loaded = self.validated(partition).await?;
        let mut tokens = loaded.tokens.clone();
        let value = change(&mut tokens);
        let skipped = self.commit_changed(partition, &loaded, tokens).await?;
        Ok(Updated { value, skipped })
    }

    /// The access token that answers the query best, if there is one that is usable now.
    ///
    /// From the resident cache if its content is [fresh](Freshness): then no I/O beyond one cheap stamp check, no
    /// parsing, no allocation. Else the partition is validated first, and loaded anew if it changed. `None`: the store
    /// was asked, or is fresh, and holds no such token.
    pub async fn access_token(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
    ) -> Result<Option<Arc<AccessToken>>> {
        match self.resident_access_token(partition, query) {
            Ok(token) => Ok(token),
            // In a box, so that the future of a hit is small.
            Err(NotFresh) => Box::pin(self.validated_access_token(partition, query)).await,
        }
    }

    /// The answer of resident content: without a future, a lock, an allocation.
    pub(crate) fn resident_access_token(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
    ) -> Result<Option<Arc<AccessToken>>, NotFresh> {
        let inner = &*self.0;
        // Asked before the look. So is content that has this stamp no older than the question, and a store that takes
        // long to answer keeps no content from being freed.
        let stamp = inner.store.stamp_now(partition);
        let now = inner.clock.now();
        let find = |loaded: &Arc<Loaded>| {
            let fresh = loaded.fresh(stamp.as_ref(), inner.freshness, now)?;
            match loaded.tokens.access_token(query, now.to_seconds()) {
                Some(token) => Ok(Some(Arc::clone(token))),
                // It leads to a request to the identity provider, so that only validated content may say so.
                None if fresh == Fresh::Validated => Ok(None),
                None => Err(NotFresh),
            }
        };
        let token = inner.resident.look(partition, find).unwrap_or(Err(NotFresh))?;
        inner.counters.add(if token.is_some() { Count::Hits } else { Count::Misses }, 1);
        Ok(token)
    }

    /// The answer of content that is the store's now, else of what may be served while the store is out of reach.
    pub(crate) async fn validated_access_token(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
    ) -> Result<Option<Arc<AccessToken>>> {
        let loaded = match self.validated(partition).await {
            Ok(loaded) => loaded,
            Err(error) => return self.serve_stale(partition, query, error),
        };
        let token = loaded.tokens.access_token(query, self.now()).map(Arc::clone);
        self.0.counters.add(if token.is_some() { Count::Hits } else { Count::Misses }, 1);
        Ok(token)
    }

    /// Deletes the whole partition from the store and from memory.
    pub async fn remove_partition(&self, partition: &PartitionKey) -> Result<()> {
        let _write = self.0.resident.write(partition);
        self.counted(self.0.store.remove(partition).await)
    }

    /// Tells a library that keeps a cache of its own what the store holds, before it looks anything up: MSAL's
    /// before-access notification. Without the success of this call nothing can be written back.
    pub async fn before_access(&self, context: &AccessContext<'_>) -> Result<Access> {
        let began = self.0.clock.now();
        let loaded = self.validated(context.partition).await?;
        Ok(Access::new(self.clone(), context.partition.clone(), loaded, began))
    }

    /// Commits what `tokens`, a changed copy of `loaded`, remembers, and keeps it resident where that is exact.
    async fn commit_changed(
        &self,
        partition: &PartitionKey,
        loaded: &Loaded,
        mut tokens: TokenCache,
    ) -> Result<Vec<(EntryId, Skip)>> {
        let inner = &*self.0;
        // Taken before the commit: the store may change again before its answer is here.
        let now = inner.clock.now();
        let changes = Changes::new(tokens.take_changes(now));
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let write = inner.resident.write(partition);
        let Committed { before, after, skipped, written, others_changed } = self.committed(partition, &changes).await?;
        if before == loaded.stamp && skipped.is_empty() && !others_changed && after.is_some() {
            // Nobody else wrote: the store now holds exactly this.
            tokens.adopt(written);
            write.adopt(Loaded::new(partition.clone(), tokens, after, now));
        } else {
            debug!(skipped = skipped.len(), "another writer was there; the partition is loaded anew at the next look");
        }
        Ok(skipped)
    }

    /// Commits changes that were not made on a resident cache.
    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Vec<(EntryId, Skip)>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let _write = self.0.resident.write(partition);
        Ok(self.committed(partition, changes).await?.skipped)
    }

    async fn committed(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let inner = &*self.0;
        let span = debug_span!("token_cache.commit", partition = %partition_tag(partition), changes = changes.len());
        let committed = self.counted(inner.store.commit(partition, changes).instrument(span).await)?;
        inner.counters.add(Count::Commits, 1);
        inner.counters.add(Count::Skipped, committed.skipped.len());
        Ok(committed)
    }

    /// The content that the store holds now: resident if its stamp is still the store's, else loaded.
    async fn validated(&self, partition: &PartitionKey) -> Result<Arc<Loaded>> {
        let inner = &*self.0;
        if let Some(loaded) = inner.resident.get(partition) {
            let asked = inner.clock.now();
            let stamp = match inner.store.stamp_now(partition) {
                Some(stamp) => stamp,
                None => inner.store.stamp(partition).await,
            };
            if self.counted(stamp)? == loaded.stamp {
                loaded.confirm(asked);
                return Ok(loaded);
            }
            // Known to be old from here on: not even an outage makes it good again.
            inner.resident.forget(&loaded);
        }
        self.load(partition).await
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Arc<Loaded>> {
        let inner = &*self.0;
        let span = debug_span!("token_cache.load", partition = %partition_tag(partition));
        // Taken before the read: content that is read later is at least as new as this.
        let (now, began) = (inner.clock.now(), inner.resident.moment(partition));
        let snapshot = inner.store.load(partition).instrument(span).await;
        let snapshot = self.counted(snapshot)?;
        inner.counters.add(Count::Loads, 1);
        let stamp = snapshot.as_ref().map(|snapshot| snapshot.stamp.clone());
        let tokens = self.index(snapshot).await;
        let loaded = Arc::new(Loaded::new(partition.clone(), tokens, stamp, now));
        inner.resident.keep(&loaded, began);
        Ok(loaded)
    }

    /// Indexes a snapshot; a large one off the runtime's own threads.
    async fn index(&self, snapshot: Option<Snapshot>) -> TokenCache {
        /// About 5 ms of work.
        const LARGE: usize = 1000;
        let environments = self.0.environments.clone();
        if snapshot.as_ref().is_some_and(|snapshot| snapshot.entries.len() > LARGE) {
            blocking_work::run(move || TokenCache::from_snapshot(snapshot.as_ref(), environments)).await
        } else {
            TokenCache::from_snapshot(snapshot.as_ref(), environments)
        }
    }

    /// The token of content that could not be validated, if the freshness allows that and the store is out of reach.
    fn serve_stale(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
        error: Error,
    ) -> Result<Option<Arc<AccessToken>>> {
        let away = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Busy);
        let bounded = matches!(self.0.freshness, Freshness::Bounded(_));
        // Content that is known to be old is not resident any more.
        let find = |loaded: &Arc<Loaded>| loaded.tokens.access_token(query, self.now()).map(Arc::clone);
        let token = if away && bounded { self.0.resident.look(partition, find).flatten() } else { None };
        match token {
            Some(token) => {
                self.0.counters.add(Count::StaleHits, 1);
                Ok(Some(token))
            }
            None => Err(error),
        }
    }

    fn counted<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.0.counters.add(Count::Errors, 1);
        }
        result
    }
}

#[cfg(test)]
mod tests;
