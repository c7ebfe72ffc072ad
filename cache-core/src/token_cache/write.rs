//! Writes: what a token response puts and evicts, what a removal takes along.

use std::sync::Arc;

use super::TokenCache;
use super::hashed::Hashed;
use super::journal::Journal;
use super::rivals::{Kept, Rivals};
use super::row::{Presence, Row};
use super::table::Table;
use crate::changes::{Change, Guard};
use crate::entry::{AccountRef, Entry, EntryId, Stored, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::texts::Texts;
use crate::schema::{AccessToken, Account, AppMetadata, Entity, IdToken, RefreshToken, key_suffix};
use crate::text::eq_ignore_case;
use crate::time::{UnixMillis, UnixSeconds};

/// The entities that one response of the identity provider brings.
#[derive(Debug, Clone, Default)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: Option<AccessToken>,
    /// The refresh token.
    pub refresh_token: Option<RefreshToken>,
    /// The ID token.
    pub id_token: Option<IdToken>,
    /// The account, from the ID token's claims and `client_info`.
    pub account: Option<Account>,
    /// What the response says of the application; written for every response, with no family if it names none.
    pub app_metadata: Option<AppMetadata>,
}

impl TokenResponse {
    /// The user whose response this is, and the host; `None`: the application's own.
    fn account(&self) -> Option<(&str, &str)> {
        fn of<E: Entity>(entity: Option<&E>) -> Option<(&str, &str)> {
            entity.and_then(|entity| Some((entity.home_account_id()?, entity.environment())))
        }
        of(self.account.as_ref())
            .or_else(|| of(self.refresh_token.as_ref()))
            .or_else(|| of(self.access_token.as_ref()))
            .or_else(|| of(self.id_token.as_ref()))
    }
}

impl TokenCache {
    /// Puts an entity.
    ///
    /// - An entity of the same meaning that is there already is updated in place, under its own key text and host, and
    ///   its unknown fields stay; twins of it under other key texts are removed.
    /// - A new access token evicts those of the same identity whose scopes intersect, the OpenID scopes aside.
    /// - A new entry is written under the host that the account's other entries stand under, else the cloud's preferred
    ///   one, with the canonical key.
    /// - The put is guarded by the account, if the store held that account: should it be removed meanwhile by another
    ///   process, the put does not bring it back. For the response of a sign-in, use [`sign_in`](Self::sign_in).
    ///
    /// `InvalidInput`: a required field is empty, or an ID token is not a JWT; nothing is changed then.
    pub fn insert<E: Insertable>(&mut self, entity: E) -> Result<()> {
        entity.insert_into(self, true)
    }

    /// Puts what the response of an interactive sign-in brought, whatever happened to the account meanwhile: a sign-in
    /// stands after a sign-out. Otherwise as [`insert`](Self::insert).
    pub fn sign_in(&mut self, response: TokenResponse) -> Result<()> {
        self.put_response(response, false)
    }

    /// Puts what the response to a refresh or any other silent request brought, each entity as
    /// [`insert`](Self::insert) does. Answers `false`, and puts nothing, if it is of a user of whom the cache holds neither
    /// an account nor a refresh token: the user was signed out while the request was under way.
    ///
    /// An account entry is brought up to date, never made: the user may be signed out step by step, and a request that
    /// is answered meanwhile is no sign-in.
    pub fn insert_response(&mut self, response: TokenResponse) -> Result<bool> {
        let account = response.account();
        if account.is_some_and(|(home_account_id, environment)| !self.knows(home_account_id, environment)) {
            return Ok(false);
        }
        let has_account = |account: &Account| self.holds_account(&account.home_account_id, &account.environment);
        let account = response.account.filter(has_account);
        self.put_response(TokenResponse { account, ..response }, true).map(|()| true)
    }

    /// Puts an entry as it is: for imports. An entry of the same meaning is not looked for; one under the same id is
    /// replaced.
    pub fn insert_entry(&mut self, entry: Entry) {
        let version = self.remove_entry(&entry.id).version();
        self.note_put(entry.clone(), version.clone(), None);
        self.load(entry, version.as_ref(), &mut Texts::default());
    }

    /// Removes the account from its cloud, whatever client and host alias its entries are of: access tokens, refresh
    /// tokens, families' included, ID tokens, accounts. App metadata stays. Answers whether anything was there.
    ///
    /// In a store this takes along what other processes have written for the account by then.
    pub fn remove_account(&mut self, home_account_id: &str, environment: &str) -> bool {
        let environments = self.environments.aliases(environment);
        let ids: Vec<EntryId> = self.ids_of_account(home_account_id, environment).collect();
        for id in &ids {
            self.remove_entry(id);
        }
        if let Some(journal) = &mut self.journal {
            journal.remove_account(home_account_id, environments, &ids);
        }
        !ids.is_empty()
    }

    /// Removes one entry; answers whether it was there.
    ///
    /// In a store it is removed only if nobody has changed it meanwhile.
    pub fn remove(&mut self, id: &EntryId) -> bool {
        let removed = self.remove_entry(id);
        if !removed.is_here() {
            return false;
        }
        if let Some(journal) = &mut self.journal {
            journal.remove(id.clone(), removed.version());
        }
        true
    }

    /// Removes the access tokens that have expired at `now`, those that still serve during outages excepted; answers how
    /// many.
    pub fn remove_expired(&mut self, now: UnixSeconds) -> usize {
        self.remove_access_tokens(|token| token.expires_on.max(token.extended_expires_on).is_none_or(|end| end < now))
    }

    /// Removes every token and the metadata of a client; accounts stay, and so do the refresh tokens of a family, which serve
    /// its other clients. Answers how many entries.
    pub fn remove_client(&mut self, client_id: &str) -> usize {
        let of = |client: &str| eq_ignore_case(client, client_id);
        let mut ids: Vec<EntryId> = Vec::new();
        ids.extend(self.access_tokens.iter().filter(|row| of(&row.entity.client_id)).map(Row::id));
        let own = self.refresh_tokens.iter().filter(|row| row.entity.family_id.is_none());
        ids.extend(own.filter(|row| of(&row.entity.client_id)).map(Row::id));
        ids.extend(self.id_tokens.iter().filter(|row| of(&row.entity.client_id)).map(Row::id));
        ids.extend(self.app_metadata.iter().filter(|row| of(&row.entity.client_id)).map(Row::id));
        ids.iter().filter(|id| self.remove(id)).count()
    }

    /// Removes expired extended access tokens. MSAL Node adds a twin beside such an entry and then fails on both, so
    /// they go with every write.
    fn remove_expired_extended(&mut self, now: UnixSeconds) {
        if self.access_tokens.extended() > 0 {
            self.remove_access_tokens(|token| token.extended.is_some() && token.expires_on.is_none_or(|end| end < now));
        }
    }

    /// What was changed since the cache was loaded from a store, made ready for it. From here on changes are remembered
    /// anew.
    pub(crate) fn take_changes(&mut self, now: UnixMillis) -> Vec<Change> {
        if self.journal.as_ref().is_none_or(Journal::is_empty) {
            return Vec::new();
        }
        self.remove_expired_extended(now.to_seconds());
        self.stamp_refresh_tokens(now);
        self.journal.replace(Journal::default()).map_or_else(Vec::new, Journal::into_changes)
    }

    /// Takes over the versions that the store gave to what was put.
    pub(crate) fn adopt(&mut self, written: Vec<(EntryId, Version)>) {
        for (id, version) in written {
            let table = self.section_mut(id.section());
            if table.is_some_and(|(table, hashing)| table.set_version(hashing, id.key(), &version)) {
                continue;
            }
            if let Some(stored) = self.foreign.get_mut(&id) {
                stored.version = version;
            }
        }
    }

    /// Gives every refresh token that was put without a time the present one: of two refreshes the newer must win.
    fn stamp_refresh_tokens(&mut self, now: UnixMillis) {
        let puts: Vec<EntryId> = self.journal.iter().flat_map(Journal::puts).cloned().collect();
        for id in puts.iter().filter(|id| id.section() == RefreshToken::SECTION) {
            let Some(row) = self.refresh_tokens.by_key(&self.hashing, id.key()) else { continue };
            if row.entity.last_modification_time.is_some() {
                continue;
            }
            let token =
                RefreshToken { last_modification_time: Some(now.to_seconds().to_millis()), ..(*row.entity).clone() };
            let version = row.version();
            let entry = Row::written(id.key_arc(), token, None).entry();
            if let Some(journal) = &mut self.journal {
                journal.amend(entry.clone());
            }
            self.load(entry, version.as_ref(), &mut Texts::default());
        }
    }

    /// Whether there is an account or a refresh token of this user in this cloud.
    fn knows(&self, home_account_id: &str, environment: &str) -> bool {
        let hash = self.hashing.pair(home_account_id, "");
        let same = |owner: &str, known: &str| owner == home_account_id && self.environments.same(known, environment);
        self.accounts.under(hash).any(|row| same(&row.entity.home_account_id, &row.entity.environment))
            || self.refresh_tokens.under(hash).any(|row| same(&row.entity.home_account_id, &row.entity.environment))
    }

    /// Whether there is anything that [`remove_account`](Self::remove_account) would remove.
    pub(crate) fn holds_any_of(&self, home_account_id: &str, environment: &str) -> bool {
        self.ids_of_account(home_account_id, environment).next().is_some()
    }

    fn ids_of_account(&self, home_account_id: &str, environment: &str) -> impl Iterator<Item = EntryId> {
        let foreign = self.foreign.values().filter_map(move |Stored { entry, .. }| {
            let account = entry.account.as_ref()?;
            let same = *account.home_account_id == *home_account_id
                && (account.environment.is_empty() || self.environments.same(&account.environment, environment));
            same.then(|| entry.id.clone())
        });
        self.ids_of_account_in(&self.access_tokens, home_account_id, environment)
            .chain(self.ids_of_account_in(&self.refresh_tokens, home_account_id, environment))
            .chain(self.ids_of_account_in(&self.id_tokens, home_account_id, environment))
            .chain(self.ids_of_account_in(&self.accounts, home_account_id, environment))
            .chain(foreign)
    }

    fn ids_of_account_in<E: Hashed>(
        &self,
        table: &Table<E>,
        home_account_id: &str,
        environment: &str,
    ) -> impl Iterator<Item = EntryId> {
        let of_account = table.iter().filter(move |row| {
            row.entity.home_account_id() == Some(home_account_id)
                && self.environments.same(row.entity.environment(), environment)
        });
        of_account.map(Row::id)
    }

    fn remove_access_tokens(&mut self, condition: impl Fn(&AccessToken) -> bool) -> usize {
        let ids: Vec<EntryId> = self.access_tokens.iter().filter(|row| condition(&row.entity)).map(Row::id).collect();
        ids.iter().filter(|id| self.remove(id)).count()
    }

    fn put_response(&mut self, response: TokenResponse, guarded: bool) -> Result<()> {
        // The checks come first, so that a response is put whole or not at all.
        let TokenResponse { access_token, refresh_token, id_token, account, app_metadata } = response;
        let normal = |mut token: AccessToken| {
            token.normalize();
            token
        };
        let access_token = access_token.map(normal);
        access_token.iter().try_for_each(check)?;
        refresh_token.iter().try_for_each(check)?;
        id_token.iter().try_for_each(check)?;
        account.iter().try_for_each(check)?;
        app_metadata.iter().try_for_each(check)?;
        // The account first: the others go under the host that it stands under.
        account.map_or(Ok(()), |account| account.insert_into(self, guarded))?;
        id_token.map_or(Ok(()), |token| token.insert_into(self, guarded))?;
        refresh_token.map_or(Ok(()), |token| token.insert_into(self, guarded))?;
        access_token.map_or(Ok(()), |token| token.insert_into(self, guarded))?;
        app_metadata.map_or(Ok(()), |metadata| metadata.insert_into(self, guarded))
    }

    /// The guard of a put for this account: what of it the store held when the cache was loaded.
    pub(super) fn guard(&self, account: Option<&AccountRef>) -> Option<Guard> {
        let AccountRef { home_account_id, environment } = account?;
        let in_cloud = |environment_: &str| self.environments.same(environment_, environment);
        let held = self.accounts.under(self.hashing.pair(home_account_id, "")).any(|row| {
            row.is_held() && *row.entity.home_account_id == **home_account_id && in_cloud(&row.entity.environment)
        });
        if held {
            let environments = self.environments.aliases(environment);
            return Some(Guard::Account { home_account_id: Arc::clone(home_account_id), environments });
        }
        let mut refresh_tokens = self.refresh_tokens.under(self.hashing.pair(home_account_id, ""));
        let held = refresh_tokens.find(|row| {
            let token = &row.entity;
            row.is_held() && *token.home_account_id == **home_account_id && in_cloud(&token.environment)
        });
        held.map(|row| Guard::Entry(row.id()))
    }

    fn note_put(&mut self, entry: Entry, replaces: Option<Version>, guard: Option<Guard>) {
        if let Some(journal) = &mut self.journal {
            journal.put(entry, replaces, guard);
        }
    }

    /// Takes an entry out without noting it; answers what it was.
    fn remove_entry(&mut self, id: &EntryId) -> Presence {
        if let Some((table, hashing)) = self.section_mut(id.section()) {
            let removed = table.remove(hashing, id.key());
            if removed.is_here() {
                return removed;
            }
        }
        self.foreign.remove(id).map_or(Presence::Absent, |stored| Presence::Held(stored.version))
    }

    /// The host that a new entry of this account goes under: where its other entries stand, else the preferred one.
    fn host_for(&self, home_account_id: Option<&str>, environment: &str) -> Arc<str> {
        let stands = home_account_id.and_then(|id| {
            let hash = self.hashing.pair(id, "");
            let accounts =
                self.accounts.under(hash).map(|row| &*row.entity).map(|of| (&of.home_account_id, &of.environment));
            let tokens = self.refresh_tokens.under(hash).map(|row| &row.entity);
            let tokens = tokens.map(|token| (&token.home_account_id, &token.environment));
            let mut known = accounts.chain(tokens).filter(|(owner, _)| ***owner == *id).map(|(_, known)| known);
            known.find(|known| self.environments.same(known, environment))
        });
        match stands {
            Some(known) => crate::environment::host_of(known).into(),
            None => self.environments.preferred(environment).into(),
        }
    }

    /// The canonical key of a new entity. Other libraries leave out of theirs what ours tells apart (assertion hash, key
    /// id): where an entity of another meaning stands under it, the key with a suffix, the same for every writer.
    pub(super) fn free_key<E: Entity>(&self, entity: &E) -> Arc<str> {
        let mut key = entity.key();
        while self.section(E::SECTION).is_some_and(|table| table.presence(&self.hashing, &key).is_here()) {
            let suffix = key.clone();
            key = key_suffix(key, [Some(&suffix), None, None]);
        }
        key.into()
    }
}

/// An entity that [`TokenCache::insert`] takes. Implemented by the five entity types.
pub trait Insertable: Entity {
    #[doc(hidden)]
    fn insert_into(self, cache: &mut TokenCache, guarded: bool) -> Result<()>;
}

impl<E: Kept> Insertable for E {
    fn insert_into(mut self, cache: &mut TokenCache, guarded: bool) -> Result<()> {
        self.normalize();
        check(&self)?;
        let Rivals { mut twins, evicted } = self.rivals(cache);
        let rest = twins.split_off(twins.len().min(1));
        // Twins and evicted entries go only in the version that was seen: another process may have renewed them.
        for row in rest.iter().chain(&evicted) {
            cache.remove(&row.id());
        }
        let (key, version) = match twins.pop() {
            Some(twin) => {
                *self.environment_mut() = twin.entity.environment().into();
                self.inherit(&twin.entity);
                for twin in &rest {
                    self.absorb(&twin.entity);
                }
                (twin.key(), twin.version())
            }
            None => {
                *self.environment_mut() = cache.host_for(self.home_account_id(), self.environment());
                (cache.free_key(&self), None)
            }
        };
        let guard = if guarded {
            let account = self
                .home_account_id()
                .map(|id| AccountRef { home_account_id: id.into(), environment: self.environment().into() });
            cache.guard(account.as_ref())
        } else {
            None
        };
        // An entity that could not be classified may stand under this very key; it is replaced.
        let id = EntryId::new(E::SECTION, Arc::clone(&key));
        let version = match cache.remove_entry(&id) {
            Presence::Absent => version,
            removed => removed.version(),
        };
        let entry = Row::written(key, self, None).entry();
        cache.note_put(entry.clone(), version.clone(), guard);
        cache.load(entry, version.as_ref(), &mut Texts::default());
        Ok(())
    }
}

fn check<E: Entity>(entity: &E) -> Result<()> {
    if entity.is_writable() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("this {} lacks a required field; see the documentation of its type", E::SECTION),
    ))
}
