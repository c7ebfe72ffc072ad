//! The in-memory cache: all entries of one partition, indexed for lookup. Plain data: no locks, no I/O, no clock.

mod accounts;
mod chunks;
mod difference;
mod hashed;
mod index;
mod journal;
mod layouts;
mod load;
mod lookup;
mod postings;
mod query;
mod rivals;
mod row;
mod save;
mod standing;
mod table;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::accounts::{AccountGroup, TenantProfile};
pub(crate) use self::lookup::owner;
pub(crate) use self::query::Owner;
pub use self::query::{AccessTokenQuery, RefreshTokenQuery, Scopes};
pub(crate) use self::standing::Standing;
pub use self::write::{Insertable, TokenResponse};

use self::index::Hashing;
use self::journal::Journal;
use self::row::Row;
use self::table::{Section, Table};
use crate::entry::{Entry, EntryId, Stored};
use crate::environment::Environments;
use crate::schema::{AccessToken, Account, AppMetadata, IdToken, RefreshToken, section};

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
    journal: Option<Journal>,
}

impl TokenCache {
    /// An empty cache with these environments.
    pub fn with_environments(environments: Environments) -> Self {
        Self { environments, ..Self::default() }
    }

    /// The cloud aliases that this cache compares environments by.
    pub fn environments(&self) -> &Environments {
        &self.environments
    }

    /// How many entries there are, those that are not understood included.
    pub fn len(&self) -> usize {
        self.sections().map(|(_, table)| table.len()).sum::<usize>() + self.foreign.len()
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
        /// A row, its entity and its places in the index, about.
        const ROW: usize = 512;
        let entities = self.sections().map(|(_, table)| table.length() + table.len() * ROW).sum::<usize>();
        entities + self.foreign.values().map(|stored| stored.entry.json.len() + ROW).sum::<usize>()
    }

    /// The tables by the names of their sections, in the order that they are written in.
    fn sections(&self) -> impl Iterator<Item = (&'static str, &dyn Section)> {
        section::ALL.into_iter().filter_map(|name| Some((name, self.section(name)?)))
    }

    /// The table of one of the five sections.
    fn section(&self, name: &str) -> Option<&dyn Section> {
        Some(match name {
            section::ACCESS_TOKEN => &self.access_tokens,
            section::REFRESH_TOKEN => &self.refresh_tokens,
            section::ID_TOKEN => &self.id_tokens,
            section::ACCOUNT => &self.accounts,
            section::APP_METADATA => &self.app_metadata,
            _ => return None,
        })
    }

    /// The same to be changed, and what it needs to hash.
    fn section_mut(&mut self, name: &str) -> Option<(&mut dyn Section, &Hashing)> {
        let table: &mut dyn Section = match name {
            section::ACCESS_TOKEN => &mut self.access_tokens,
            section::REFRESH_TOKEN => &mut self.refresh_tokens,
            section::ID_TOKEN => &mut self.id_tokens,
            section::ACCOUNT => &mut self.accounts,
            section::APP_METADATA => &mut self.app_metadata,
            _ => return None,
        };
        Some((table, &self.hashing))
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
