//! The in-memory cache: all entries of one partition, indexed for lookup. Plain data: no locks, no I/O, no clock.

mod accounts;
mod difference;
mod index;
mod journal;
mod lookup;
mod query;
mod rivals;
mod table;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::accounts::{AccountGroup, TenantProfile};
pub use self::query::{AccessTokenQuery, RefreshTokenQuery, Scopes};
pub use self::write::{Insertable, TokenResponse};

use self::index::Hashing;
use self::journal::Journal;
use self::table::{Row, Table};
use crate::document::UnifiedDocument;
use crate::entry::{Entry, EntryId, Snapshot, Stored, Version};
use crate::environment::Environments;
use crate::error::Result;
use crate::schema::{AccessToken, Account, AppMetadata, Entity, IdToken, RefreshToken};
use crate::secret::Blob;

/// All entries of one partition, indexed for lookup.
///
/// Use it alone for the schema and its lookups, or through [`PersistedTokenCache`](crate::PersistedTokenCache), which
/// loads and stores it. Entries that are not understood are carried along and written again value for value. Cloning
/// copies pointers, not tokens.
///
/// ```
/// use cache_core::schema::AccessToken;
/// use cache_core::{AccessTokenQuery, TokenCache, UnixSeconds};
///
/// # fn main() -> cache_core::Result<()> {
/// let now = UnixSeconds(1_800_000_000);
/// let mut cache = TokenCache::deserialize(br#"{"AccessToken":{}, "Foreign":[1,2]}"#)?;
/// cache.insert(AccessToken {
///     environment: "login.microsoftonline.com".into(),
///     client_id: "client".into(),
///     realm: "tenant".into(),
///     target: "api://resource/.default".into(),
///     secret: "eyJ0eXAi...".into(),
///     cached_at: Some(now),
///     expires_on: Some(now.plus(3600)),
///     ..AccessToken::default()
/// })?;
///
/// let query = AccessTokenQuery::app("client", "api://resource/.default").with_realm("tenant");
/// assert!(cache.access_token(&query, now).is_some());
/// assert!(cache.serialize().expose().ends_with(br#""Foreign":[1,2]}"#));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct TokenCache {
    environments: Environments,
    hashing: Hashing,
    access_tokens: Table<AccessToken>,
    refresh_tokens: Table<RefreshToken>,
    id_tokens: Table<IdToken>,
    accounts: Table<Account>,
    app_metadata: Table<AppMetadata>,
    /// Unknown sections, and entities that cannot be classified.
    foreign: BTreeMap<EntryId, Stored>,
    /// How many access tokens are extended; none in nearly every cache.
    extended: usize,
    journal: Option<Journal>,
}

impl TokenCache {
    /// An empty cache with these environments.
    pub fn with_environments(environments: Environments) -> Self {
        Self { environments, ..Self::default() }
    }

    /// The cache in a unified cache document, read as leniently as [`UnifiedDocument::parse`] does. Empty input gives an
    /// empty cache. `Corrupt`: the document is damaged.
    pub fn deserialize(json: &[u8]) -> Result<Self> {
        Self::deserialize_with(json, Environments::default())
    }

    /// The same with these cloud aliases.
    pub fn deserialize_with(json: &[u8], environments: Environments) -> Result<Self> {
        let mut cache = Self::with_environments(environments);
        for entry in UnifiedDocument::parse(&Blob::copy_of(json))?.into_entries() {
            cache.load(entry, None);
        }
        Ok(cache)
    }

    /// The whole cache as a unified cache document. Entries that were not changed keep their JSON.
    pub fn serialize(&self) -> Blob {
        self.document().render()
    }

    /// The cache that a store holds; puts and removals from here on are remembered as changes to it.
    pub(crate) fn from_snapshot(snapshot: Option<&Snapshot>, environments: Environments) -> Self {
        let mut cache = Self::with_environments(environments);
        for Stored { entry, version } in snapshot.iter().flat_map(|snapshot| &snapshot.entries) {
            cache.load(entry.clone(), Some(version.clone()));
        }
        cache.journal = Some(Journal::default());
        cache
    }

    /// The cloud aliases that this cache compares environments by.
    pub fn environments(&self) -> &Environments {
        &self.environments
    }

    /// How many entries there are, those that are not understood included.
    pub fn len(&self) -> usize {
        self.access_tokens.len()
            + self.refresh_tokens.len()
            + self.id_tokens.len()
            + self.accounts.len()
            + self.app_metadata.len()
            + self.foreign.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every entry as a store sees it, section by section.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let known = (self.access_tokens.iter().map(Row::entry))
            .chain(self.refresh_tokens.iter().map(Row::entry))
            .chain(self.id_tokens.iter().map(Row::entry))
            .chain(self.accounts.iter().map(Row::entry))
            .chain(self.app_metadata.iter().map(Row::entry));
        known.chain(self.foreign.values().map(|stored| stored.entry.clone()))
    }

    /// Every access token with its id, in no particular order.
    pub fn access_tokens(&self) -> impl Iterator<Item = (EntryId, &Arc<AccessToken>)> {
        self.access_tokens.iter().map(|row| (row.id(), &row.entity))
    }

    /// Every refresh token with its id, in no particular order.
    pub fn all_refresh_tokens(&self) -> impl Iterator<Item = (EntryId, &Arc<RefreshToken>)> {
        self.refresh_tokens.iter().map(|row| (row.id(), &row.entity))
    }

    /// Every ID token with its id, in no particular order.
    pub fn id_tokens(&self) -> impl Iterator<Item = (EntryId, &Arc<IdToken>)> {
        self.id_tokens.iter().map(|row| (row.id(), &row.entity))
    }

    /// What is known of every application, with its id, in no particular order.
    pub fn all_app_metadata(&self) -> impl Iterator<Item = (EntryId, &Arc<AppMetadata>)> {
        self.app_metadata.iter().map(|row| (row.id(), &row.entity))
    }

    /// The entries that are not understood: unknown sections, and entities that cannot be classified.
    pub fn foreign(&self) -> impl Iterator<Item = &Entry> {
        self.foreign.values().map(|stored| &stored.entry)
    }

    /// An estimate of the memory that this cache takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        /// A row, its entity, its strings and its places in the index, about.
        const ROW: usize = 1024;
        self.json_sizes().map(|size| size + ROW).sum()
    }

    fn json_sizes(&self) -> impl Iterator<Item = usize> {
        (self.access_tokens.iter().map(|row| row.json.len()))
            .chain(self.refresh_tokens.iter().map(|row| row.json.len()))
            .chain(self.id_tokens.iter().map(|row| row.json.len()))
            .chain(self.accounts.iter().map(|row| row.json.len()))
            .chain(self.app_metadata.iter().map(|row| row.json.len()))
            .chain(self.foreign.values().map(|stored| stored.entry.json.len()))
    }

    fn document(&self) -> UnifiedDocument {
        fn add<E: Entity>(document: &mut UnifiedDocument, row: &Row<E>) {
            document.insert(&row.id(), row.json.clone());
        }
        let mut document = UnifiedDocument::default();
        self.access_tokens.iter().for_each(|row| add(&mut document, row));
        self.refresh_tokens.iter().for_each(|row| add(&mut document, row));
        self.id_tokens.iter().for_each(|row| add(&mut document, row));
        self.accounts.iter().for_each(|row| add(&mut document, row));
        self.app_metadata.iter().for_each(|row| add(&mut document, row));
        for (id, stored) in &self.foreign {
            document.insert(id, stored.entry.json.clone());
        }
        document
    }

    fn load(&mut self, entry: Entry, version: Option<Version>) {
        use crate::schema::section::{ACCESS_TOKEN, ACCOUNT, APP_METADATA, ID_TOKEN, REFRESH_TOKEN};

        fn read<E: table::Hashed>(
            table: &mut Table<E>,
            hashing: &Hashing,
            entry: &Entry,
            version: Option<&Version>,
        ) -> bool {
            let key: Arc<str> = entry.id.key().into();
            let Some(entity) = E::read(&key, &entry.json) else { return false };
            let row = Row { key, entity: Arc::new(entity), json: entry.json.clone(), version: version.cloned() };
            table.put(hashing, row);
            true
        }

        let (hashing, version_ref) = (self.hashing.clone(), version.as_ref());
        let understood = !entry.id.key().is_empty()
            && match entry.id.section() {
                ACCESS_TOKEN => read(&mut self.access_tokens, &hashing, &entry, version_ref),
                REFRESH_TOKEN => read(&mut self.refresh_tokens, &hashing, &entry, version_ref),
                ID_TOKEN => read(&mut self.id_tokens, &hashing, &entry, version_ref),
                ACCOUNT => read(&mut self.accounts, &hashing, &entry, version_ref),
                APP_METADATA => read(&mut self.app_metadata, &hashing, &entry, version_ref),
                _ => false,
            };
        if !understood {
            let version = version.unwrap_or_else(|| Version::of_content(&entry.json));
            self.foreign.insert(entry.id.clone(), Stored { entry, version });
        } else if entry.id.section() == ACCESS_TOKEN {
            let extended = self.access_tokens.by_key(entry.id.key()).is_some_and(|row| row.entity.extended.is_some());
            self.extended += usize::from(extended);
        }
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("access_tokens", &self.access_tokens.len())
            .field("refresh_tokens", &self.refresh_tokens.len())
            .field("id_tokens", &self.id_tokens.len())
            .field("accounts", &self.accounts.len())
            .field("app_metadata", &self.app_metadata.len())
            .field("foreign", &self.foreign.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
