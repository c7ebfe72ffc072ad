//! Resident caches over a store: freshness, reads, updates, and the notifications that libraries with a cache of their
//! own need.

mod access;
mod builder;
mod freshness;
mod loaded;
mod lookup;
mod removal;
mod resident;
mod watched;

use std::sync::Arc;

use tracing::{Instrument as _, Span, debug, debug_span};

pub use self::access::{Access, AccessContext};
pub use self::builder::Builder;
pub use self::freshness::Freshness;

pub(crate) use self::loaded::NotFresh;

use self::loaded::{AsOf, Loaded, Whole};
use self::resident::{Moment, Resident};
use self::watched::Watched;
use crate::blocking_work;
use crate::changes::{Changes, Committed, Skip};
use crate::entry::{EntryId, Extent, Snapshot};
use crate::environment::Environments;
use crate::error::Result;
use crate::observe::{Began, Count, Counters, Operation, Stats, partition_tag};
use crate::partition::PartitionKey;
use crate::schema::AccessToken;
use crate::store::CacheStore;
use crate::time::Clock;
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
    watched: Watched,
    /// The most entries of a partition that is resident whole, where the store can find single ones.
    resident_entries: usize,
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

impl PersistedTokenCache {
    /// Settings for a cache over `store`; an `Arc<dyn CacheStore>` is a store too.
    pub fn builder(store: impl CacheStore) -> Builder {
        Builder::over(store)
    }

    /// The present second of the cache's clock.
    pub fn now(&self) -> crate::time::UnixSeconds {
        self.0.clock.now().to_seconds()
    }

    /// The store underneath.
    pub fn store(&self) -> &Arc<dyn CacheStore> {
        &self.0.store
    }

    /// What was counted since the cache was built. With the feature `metrics` it also goes to the program's
    /// [recorder](crate#observability).
    pub fn stats(&self) -> Stats {
        let (partitions, resident_bytes) = self.0.resident.size();
        Stats { resident_partitions: partitions as u64, resident_bytes, ..self.0.counters.snapshot() }
    }

    /// Calls `look` with the content that the store holds now; never writes. A partition that holds nothing is an empty
    /// cache; a store that cannot be read is an error.
    pub async fn read<R>(&self, partition: &PartitionKey, look: impl FnOnce(&TokenCache) -> R) -> Result<R> {
        let whole = self.validated(partition).await?;
        Ok(look(whole.tokens()))
    }

    /// Calls `change` once with the content that the store holds now, and commits what it changed, if anything: merged
    /// into what the store holds by then, all or nothing, durable when this returns.
    ///
    /// Puts for an account that the store held are guarded by it: if the account is removed meanwhile, they are
    /// skipped. If the content cannot be read, `change` is not called and nothing is written: an outage is never an
    /// empty partition. Dropping the future leaves all of the changes in the store, or none.
    ///
    /// An error that [is queued](crate::Error::is_queued) came after `change` was called: the store writes the changes when it
    /// can be reached again. Until then [`access_token`](Self::access_token) answers as if they were there, if the
    /// [freshness](Freshness) allows content that cannot be validated.
    pub async fn update<R>(
        &self,
        partition: &PartitionKey,
        change: impl FnOnce(&mut TokenCache) -> R,
    ) -> Result<Updated<R>> {
        let began = self.0.resident.moment(partition);
        let whole = self.validated(partition).await?;
        let mut tokens = whole.tokens().clone();
        let value = change(&mut tokens);
        let skipped = self.commit_changed(partition, &whole, tokens, began).await?;
        Ok(Updated { value, skipped })
    }

    /// The access token that answers the query best, if there is one that is usable now.
    ///
    /// From the resident cache if its content is [fresh](Freshness): then no I/O beyond one cheap stamp check, no
    /// parsing, no allocation. Else the partition is validated first, and loaded anew if it changed; of one that is [too
    /// large](Builder::resident_entries) only the few tokens are read that may answer. `None`: the store was asked, or is
    /// fresh, and holds no such token.
    ///
    /// Name a tenant where you can: a query without one is answered by the whole partition, however large that is.
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

    /// Tells a library that keeps a cache of its own what the store holds, before it looks anything up: MSAL's
    /// before-access notification. Without the success of this call nothing can be written back.
    pub async fn before_access(&self, context: &AccessContext<'_>) -> Result<Access> {
        let began = self.0.clock.now();
        let whole = self.validated(context.partition).await?;
        Ok(Access::new(self.clone(), context.partition.clone(), whole, began))
    }

    /// Commits what `tokens`, a changed copy of `whole`, remembers, and keeps it resident where that is exact. `whole` is from
    /// after `began`.
    async fn commit_changed(
        &self,
        partition: &PartitionKey,
        whole: &Whole,
        mut tokens: TokenCache,
        began: Moment,
    ) -> Result<Vec<(EntryId, Skip)>> {
        let inner = &*self.0;
        // Taken before the commit: the store may change again before its answer is here.
        let as_of = inner.as_of(partition);
        let changes = Changes::new(tokens.take_changes(as_of.time));
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let write = inner.resident.write(partition).of(&changes);
        let committed = match self.committed(partition, &changes).await {
            Ok(committed) => committed,
            Err(error) => {
                if error.is_queued() && !whole.is_large() && write.is_first_since(began) {
                    // What was signed out is not served meanwhile, and what is new is.
                    write.adopt(Loaded::ahead(partition.clone(), tokens));
                }
                return Err(error);
            }
        };
        let Committed { before, after, skipped, written, others_changed } = committed;
        if whole.is_large() {
            write.forget();
            debug!(skipped = skipped.len(), "the partition is too large to be resident");
        } else if before.as_ref() == whole.stamp() && skipped.is_empty() && !others_changed && after.is_some() {
            // Nobody else wrote: the store now holds exactly this.
            tokens.adopt(written);
            write.adopt(Loaded::new(partition.clone(), tokens, after, as_of));
        } else {
            write.forget();
            debug!(skipped = skipped.len(), "another writer was there; the partition is loaded anew at the next look");
        }
        Ok(skipped)
    }

    /// Commits changes that were not made on a resident cache.
    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Vec<(EntryId, Skip)>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let write = self.0.resident.write(partition).of(changes);
        let skipped = self.committed(partition, changes).await?.skipped;
        write.forget();
        Ok(skipped)
    }

    async fn committed(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let inner = &*self.0;
        let span = debug_span!("token_cache.commit", partition = %partition_tag(partition), changes = changes.len());
        let committed = self.ask(Operation::Commit, span, inner.store.commit(partition, changes)).await?;
        inner.counters.count_merge(changes, &committed);
        Ok(committed)
    }

    /// All that the store holds now: resident if its stamp is still the store's, else loaded.
    async fn validated(&self, partition: &PartitionKey) -> Result<Whole> {
        let seen = match self.0.resident.get(partition) {
            Some(loaded) => self.revalidated(loaded).await?,
            None => None,
        };
        if let Some(whole) = seen.as_ref().and_then(Whole::of) {
            return Ok(whole);
        }
        let is_large = seen.as_ref().is_some_and(|seen| seen.is_known_to_be_large());
        if !is_large && let Some(whole) = self.load_within(partition, seen.as_ref()).await? {
            return Ok(whole);
        }
        self.load(partition).await
    }

    /// The content if its stamp is still the store's. Else what is known of a large partition then: that it is large.
    async fn revalidated(&self, loaded: Arc<Loaded>) -> Result<Option<Arc<Loaded>>> {
        let inner = &*self.0;
        let asked = inner.as_of(&loaded.partition);
        let stamp = match inner.store.stamp_now(&loaded.partition) {
            Some(stamp) => {
                inner.counters.count_failure(Operation::Stamp, &stamp);
                stamp
            }
            None => {
                let span = debug_span!("token_cache.stamp", partition = %partition_tag(&loaded.partition));
                self.ask(Operation::Stamp, span, inner.store.stamp(&loaded.partition)).await
            }
        }?;
        if loaded.has_stamp(stamp.as_ref()) {
            loaded.confirm(asked);
            return Ok(Some(loaded));
        }
        if loaded.is_ahead() {
            // What replaces it is loaded, or the outage is not over.
            return Ok(None);
        }
        // Known to be old from here on: not even an outage makes it good again.
        let anew = stamp.and_then(|stamp| loaded.anew(stamp, asked)).map(Arc::new);
        inner.resident.forget(&loaded, anew.as_ref());
        Ok(anew)
    }

    /// The whole partition, loaded; `None`: it is too large to be resident, which is noted in the place of what was
    /// `seen` there.
    async fn load_within(&self, partition: &PartitionKey, seen: Option<&Arc<Loaded>>) -> Result<Option<Whole>> {
        let inner = &*self.0;
        let span = debug_span!("token_cache.load", partition = %partition_tag(partition));
        // Taken before the read: content that is read later is at least as new as this.
        let (as_of, began) = (inner.as_of(partition), inner.resident.moment(partition));
        let extent = inner.store.load_within(partition, inner.resident_entries);
        let snapshot = match self.ask(Operation::Load, span, extent).await? {
            Some(Extent::Large(stamp)) => {
                let part = Loaded::part(partition.clone(), inner.environments.clone(), stamp, as_of);
                // What others have found meanwhile is worth more.
                inner.resident.keep_instead(seen, &Arc::new(part), began);
                return Ok(None);
            }
            Some(Extent::Whole(snapshot)) => Some(snapshot),
            None => None,
        };
        inner.counters.add(Count::Loads, 1);
        let whole = self.index(partition, snapshot, as_of).await;
        inner.resident.keep(whole.loaded(), began);
        Ok(Some(whole))
    }

    /// The whole partition, which was too large to be resident: kept if it is not any more.
    async fn load(&self, partition: &PartitionKey) -> Result<Whole> {
        let inner = &*self.0;
        let span = debug_span!("token_cache.load", partition = %partition_tag(partition));
        let (as_of, began) = (inner.as_of(partition), inner.resident.moment(partition));
        let snapshot = self.ask(Operation::Load, span, inner.store.load(partition)).await?;
        inner.counters.add(Count::Loads, 1);
        let is_large = snapshot.as_ref().is_some_and(|snapshot| snapshot.entries.len() > inner.resident_entries);
        let whole = self.index(partition, snapshot, as_of).await;
        if is_large {
            return Ok(whole.large());
        }
        inner.resident.keep(whole.loaded(), began);
        Ok(whole)
    }

    /// Indexes what was loaded as of then, or later; a large snapshot off the runtime's own threads.
    async fn index(&self, partition: &PartitionKey, snapshot: Option<Snapshot>, as_of: AsOf) -> Whole {
        /// About 5 ms of work.
        const LARGE: usize = 1000;
        let environments = self.0.environments.clone();
        let stamp = snapshot.as_ref().map(|snapshot| snapshot.stamp.clone());
        let tokens = if snapshot.as_ref().is_some_and(|snapshot| snapshot.entries.len() > LARGE) {
            blocking_work::run(move || TokenCache::from_snapshot(snapshot.as_ref(), environments)).await
        } else {
            TokenCache::from_snapshot(snapshot.as_ref(), environments)
        };
        Whole::new(partition.clone(), tokens, stamp, as_of)
    }

    /// The store's answer, within the span; timed, and counted if it is an error.
    async fn ask<T>(&self, operation: Operation, span: Span, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Began::now();
        let answer = answer.instrument(span).await;
        self.0.counters.count_answer(operation, began, &answer);
        answer
    }
}

#[cfg(test)]
mod tests;
