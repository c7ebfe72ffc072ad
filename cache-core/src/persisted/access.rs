//! Before and after access: for libraries that keep an in-memory cache of their own and only know whole documents.

use std::fmt;
use std::sync::OnceLock;

use super::PersistedTokenCache;
use super::loaded::Whole;
use crate::changes::{Changes, Skip};
use crate::entry::EntryId;
use crate::error::{Error, ErrorKind, Result};
use crate::partition::PartitionKey;
use crate::secret::Blob;
use crate::time::UnixMillis;
use crate::token_cache::TokenCache;

/// What a library is about to access.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AccessContext<'a> {
    /// The partition; MSAL's suggested cache key.
    pub partition: &'a PartitionKey,
}

impl<'a> AccessContext<'a> {
    /// An access to this partition.
    pub fn new(partition: &'a PartitionKey) -> Self {
        Self { partition }
    }
}

/// One access of a library to one partition, from its before-access to its after-access notification.
///
/// ```
/// use cache_core::{AccessContext, MemoryStore, PartitionKey, PersistedTokenCache};
///
/// # pollster::block_on(async {
/// let cache = PersistedTokenCache::builder(MemoryStore::new()).build();
/// let partition = PartitionKey::user("uid.utid");
///
/// let access = cache.before_access(&AccessContext::new(&partition)).await?;
/// let document = access.document(); // the library replaces its memory with this
/// assert!(document.is_none());
/// // ... the library looks tokens up, asks the identity provider, changes its memory ...
/// let serialized = br#"{"AccessToken":{},"RefreshToken":{},"IdToken":{},"Account":{},"AppMetadata":{}}"#;
/// access.after_access(Some(serialized)).await?;
/// # Ok::<_, cache_core::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "a change is stored by `after_access`"]
pub struct Access {
    cache: PersistedTokenCache,
    partition: PartitionKey,
    whole: Whole,
    began: UnixMillis,
    document: OnceLock<Blob>,
}

impl Access {
    pub(super) fn new(cache: PersistedTokenCache, partition: PartitionKey, whole: Whole, began: UnixMillis) -> Self {
        Self { cache, partition, whole, began, document: OnceLock::new() }
    }

    /// The unified cache document to deserialize, replacing what the library has in memory; `None`: the partition holds
    /// nothing, start empty.
    pub fn document(&self) -> Option<&[u8]> {
        self.whole.stamp()?;
        Some(self.document.get_or_init(|| self.whole.tokens().serialize()).expose())
    }

    /// Stores what the library changed: `document` is its memory, serialized; `None`: nothing changed.
    ///
    /// Only the difference to [`document`](Self::document) is written, merged into what the store holds by then. What
    /// others wrote meanwhile stays, and so does everything that the library does not understand. Answers the changes
    /// that the store's merge rules skipped. `Corrupt`: the document is not valid; `InvalidInput`: it is empty, and the cache
    /// is not. Nothing is written then.
    pub async fn after_access(self, document: Option<&[u8]>) -> Result<Vec<(EntryId, Skip)>> {
        let Some(document) = document else { return Ok(Vec::new()) };
        if document.is_empty() && !self.whole.tokens().is_empty() {
            // What MSAL.NET's memory gives after a document that it could not load.
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the library gave nothing in place of a cache that holds entries; pass its whole document, or `None` if \
                 nothing changed",
            ));
        }
        let theirs = TokenCache::deserialize_with(document, self.whole.tokens().environments().clone())?;
        let now = self.cache.0.clock.now();
        let changes = self.whole.tokens().difference(&theirs, &self.partition, self.began, now);
        let changes = Changes::new(changes);
        self.cache.commit(&self.partition, &changes).await
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("partition", &self.partition).finish_non_exhaustive()
    }
}
