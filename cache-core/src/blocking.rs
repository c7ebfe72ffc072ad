//! The persisted cache for programs without an async runtime.
//!
//! Over stores that block by nature (file, keychain, SQLite, memory) no runtime is needed: the work runs on the caller's
//! thread. A store that needs a runtime of its own says so by an error.

use std::sync::Arc;

use crate::changes::Skip;
use crate::entry::EntryId;
use crate::error::Result;
use crate::observe::Stats;
use crate::partition::PartitionKey;
use crate::persisted::{self, AccessContext, NotFresh, Updated};
use crate::schema::AccessToken;
use crate::token_cache::{AccessTokenQuery, TokenCache};

/// [`PersistedTokenCache`](crate::PersistedTokenCache) with calls that block until they are done.
///
/// ```
/// use cache_core::{MemoryStore, PartitionKey, PersistedTokenCache, blocking};
///
/// # fn main() -> cache_core::Result<()> {
/// let cache = blocking::PersistedTokenCache::new(PersistedTokenCache::builder(MemoryStore::new()).build());
/// let accounts = cache.read(&PartitionKey::Shared, |tokens| tokens.accounts())?;
/// assert!(accounts.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PersistedTokenCache(persisted::PersistedTokenCache);

impl PersistedTokenCache {
    /// The blocking side of `cache`; both share everything.
    pub fn new(cache: persisted::PersistedTokenCache) -> Self {
        Self(cache)
    }

    /// The async side.
    pub fn as_async(&self) -> &persisted::PersistedTokenCache {
        &self.0
    }

    /// As [`PersistedTokenCache::read`](persisted::PersistedTokenCache::read).
    pub fn read<R>(&self, partition: &PartitionKey, look: impl FnOnce(&TokenCache) -> R) -> Result<R> {
        pollster::block_on(self.0.read(partition, look))
    }

    /// As [`PersistedTokenCache::update`](persisted::PersistedTokenCache::update).
    pub fn update<R>(&self, partition: &PartitionKey, change: impl FnOnce(&mut TokenCache) -> R) -> Result<Updated<R>> {
        pollster::block_on(self.0.update(partition, change))
    }

    /// As [`PersistedTokenCache::access_token`](persisted::PersistedTokenCache::access_token).
    pub fn access_token(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
    ) -> Result<Option<Arc<AccessToken>>> {
        match self.0.resident_access_token(partition, query) {
            Ok(token) => Ok(token),
            Err(NotFresh) => pollster::block_on(self.0.validated_access_token(partition, query)),
        }
    }

    /// As [`PersistedTokenCache::remove_partition`](persisted::PersistedTokenCache::remove_partition).
    pub fn remove_partition(&self, partition: &PartitionKey) -> Result<()> {
        pollster::block_on(self.0.remove_partition(partition))
    }

    /// As [`PersistedTokenCache::remove_account_everywhere`](persisted::PersistedTokenCache::remove_account_everywhere).
    pub fn remove_account_everywhere(&self, home_account_id: &str, environment: &str) -> Result<usize> {
        pollster::block_on(self.0.remove_account_everywhere(home_account_id, environment))
    }

    /// As [`PersistedTokenCache::before_access`](persisted::PersistedTokenCache::before_access).
    pub fn before_access(&self, context: &AccessContext<'_>) -> Result<Access> {
        pollster::block_on(self.0.before_access(context)).map(Access)
    }

    /// What was counted since the cache was built.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

/// [`Access`](crate::Access) with a blocking end.
#[derive(Debug)]
#[must_use = "a change is stored by `after_access`"]
pub struct Access(persisted::Access);

impl Access {
    /// As [`Access::document`](persisted::Access::document).
    pub fn document(&self) -> Option<&[u8]> {
        self.0.document()
    }

    /// As [`Access::after_access`](persisted::Access::after_access).
    pub fn after_access(self, document: Option<&[u8]>) -> Result<Vec<(EntryId, Skip)>> {
        pollster::block_on(self.0.after_access(document))
    }
}
