//! What another library changed in the document that it was given: two caches compared by the meaning of their entries.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::TokenCache;
use super::table::{Row, Table};
use super::write::Kept;
use crate::changes::{Change, Guard};
use crate::entry::{AccountRef, Entry, EntryId, Stored, Version};
use crate::json::same_entity;
use crate::schema::{Account, Entity, RefreshToken};
use crate::time::UnixMillis;

impl TokenCache {
    /// The changes that make of this cache, which a store held when `began`, what a library made of it.
    ///
    /// - Entries are paired by their meaning, never by key text, which libraries rewrite. A paired entry keeps our key
    ///   text, and the unknown fields that the library dropped.
    /// - Entries that are gone are removed if nobody else has changed them. Unknown data and app metadata are never
    ///   removed: libraries drop what they do not understand. An account with nothing left is removed as an account.
    /// - Entries of an account that was not here are put only with an access token cached since `began`: a library
    ///   lays a document over what it has in memory, which would bring back an account that was signed out elsewhere.
    pub(crate) fn difference(&self, theirs: &Self, began: UnixMillis, now: UnixMillis) -> Vec<Change> {
        let mut difference =
            Difference { base: self, theirs, began, now, changes: Vec::new(), welcome: HashMap::new() };
        let signed_out = difference.signed_out_accounts();
        difference.compare(&self.accounts, &theirs.accounts, &signed_out);
        difference.compare(&self.id_tokens, &theirs.id_tokens, &signed_out);
        difference.compare(&self.refresh_tokens, &theirs.refresh_tokens, &signed_out);
        difference.compare(&self.access_tokens, &theirs.access_tokens, &signed_out);
        difference.compare(&self.app_metadata, &theirs.app_metadata, &signed_out);
        difference.compare_foreign();
        difference.changes
    }
}

struct Difference<'c> {
    base: &'c TokenCache,
    theirs: &'c TokenCache,
    began: UnixMillis,
    now: UnixMillis,
    changes: Vec<Change>,
    /// Whether entries of an account may be put, by home account id.
    welcome: HashMap<Box<str>, bool>,
}

/// The home account ids of accounts that a library signed out.
type SignedOut = HashSet<Box<str>>;

/// Sets the time of writing where a type has one and the library sets none.
trait Timed {
    fn stamp(&mut self, now: UnixMillis);
}

impl Difference<'_> {
    /// Accounts of which the library left nothing: removed as a whole, together with what others wrote meanwhile.
    fn signed_out_accounts(&mut self) -> SignedOut {
        let theirs = self.theirs;
        let kept: HashSet<&str> = (theirs.access_tokens.iter().filter_map(|row| row.entity.home_account_id()))
            .chain(theirs.refresh_tokens.iter().map(|row| &*row.entity.home_account_id))
            .chain(theirs.id_tokens.iter().map(|row| &*row.entity.home_account_id))
            .chain(theirs.accounts.iter().map(|row| &*row.entity.home_account_id))
            .chain(theirs.foreign.values().filter_map(|stored| Some(&*stored.entry.account.as_ref()?.home_account_id)))
            .collect();
        let mut signed_out = SignedOut::new();
        for row in self.base.accounts.iter() {
            let account = &row.entity;
            if kept.contains(&*account.home_account_id) {
                continue;
            }
            self.changes.push(Change::RemoveAccount {
                home_account_id: (*account.home_account_id).into(),
                environments: self.base.environments.aliases(&account.environment),
            });
            signed_out.insert(account.home_account_id.clone());
        }
        signed_out
    }

    fn compare<E: Kept + Timed>(&mut self, base: &Table<E>, theirs: &Table<E>, signed_out: &SignedOut) {
        for row in theirs.iter() {
            let twins = row.entity.rivals(self.base).twins;
            let paired = twins.iter().find(|twin| twin.key == row.key).or(twins.first());
            match paired {
                Some(ours) => self.compare_pair(row, ours, &twins),
                None if self.is_welcome(&*row.entity) => self.put_new(row, base),
                None => {}
            }
        }
        if E::SECTION == crate::schema::section::APP_METADATA {
            return;
        }
        for row in base.iter() {
            let gone = row.entity.rivals(self.theirs).twins.is_empty();
            let by_account = row.entity.home_account_id().is_some_and(|id| signed_out.contains(id));
            if gone && !by_account {
                self.changes.push(Change::Remove { id: row.id(), if_match: row.version.clone() });
            }
        }
    }

    fn compare_pair<E: Kept + Timed>(&mut self, theirs: &Row<E>, ours: &Row<E>, twins: &[Row<E>]) {
        if same_entity(theirs.json.expose(), ours.json.expose()) {
            return;
        }
        let mut entity = (*theirs.entity).clone();
        entity.inherit(&ours.entity);
        // In the canonical form, so that what a library only spells in another way is no change.
        entity.environment_mut().clone_from(&Box::from(ours.entity.environment()));
        if entity.write() == ours.entity.write() {
            return;
        }
        if entity.written_at().is_none() || entity.written_at() == ours.entity.written_at() {
            entity.stamp(self.now);
        }
        for twin in twins.iter().filter(|twin| twin.key != ours.key) {
            self.changes.push(Change::Remove { id: twin.id(), if_match: twin.version.clone() });
        }
        self.put(Row::written(Arc::clone(&ours.key), entity, ours.version.clone()));
    }

    fn put_new<E: Kept + Timed>(&mut self, row: &Row<E>, base: &Table<E>) {
        // Another entry of ours may stand under this very key text; the library has overwritten it.
        let version = base.by_key(&row.key).and_then(|other| other.version.clone());
        if row.entity.written_at().is_some() {
            self.put(Row { version, ..row.clone() });
        } else {
            let mut entity = (*row.entity).clone();
            entity.stamp(self.now);
            self.put(Row::written(Arc::clone(&row.key), entity, version));
        }
    }

    fn put<E: Kept>(&mut self, row: Row<E>) {
        let entry = row.entry();
        let guard = self.guard(&entry);
        self.changes.push(Change::Put { entry, replaces: row.version, guard });
    }

    fn guard(&self, entry: &Entry) -> Option<Guard> {
        self.base.guard(entry.account.as_ref())
    }

    /// Whether an entry that was not here may be put.
    fn is_welcome(&mut self, entity: &impl Entity) -> bool {
        let Some(home_account_id) = entity.home_account_id().filter(|id| !id.is_empty()) else { return true };
        if let Some(known) = self.welcome.get(home_account_id) {
            return *known;
        }
        let account = AccountRef { home_account_id: home_account_id.into(), environment: entity.environment().into() };
        let welcome = self.base.guard(Some(&account)).is_some()
            || self.theirs.access_tokens.iter().any(|row| {
                let token = &row.entity;
                token.home_account_id.as_deref() == Some(home_account_id)
                    && token.cached_at.is_some_and(|received| received >= self.began.to_seconds())
                    && row.entity.rivals(self.base).twins.is_empty()
            });
        self.welcome.insert(home_account_id.into(), welcome);
        welcome
    }

    fn compare_foreign(&mut self) {
        for (id, Stored { entry, .. }) in &self.theirs.foreign {
            let ours = self.base.foreign.get(id);
            if ours.is_some_and(|ours| same_entity(ours.entry.json.expose(), entry.json.expose())) {
                continue;
            }
            // What the library read from us as an entry, and now writes as something else, is no unknown data.
            if self.base.holds(id) && ours.is_none() {
                continue;
            }
            let (entry, replaces) = (entry.clone(), ours.map(|ours| ours.version.clone()));
            let guard = self.guard(&entry);
            self.changes.push(Change::Put { entry, replaces, guard });
        }
    }
}

impl TokenCache {
    /// What the store held of an entry when this cache was loaded.
    pub(crate) fn version(&self, id: &EntryId) -> Option<Version> {
        use crate::schema::section::{ACCESS_TOKEN, ACCOUNT, APP_METADATA, ID_TOKEN, REFRESH_TOKEN};
        fn of<E: super::table::Hashed>(table: &Table<E>, key: &str) -> Option<Version> {
            table.by_key(key)?.version.clone()
        }
        let known = match id.section() {
            ACCESS_TOKEN => of(&self.access_tokens, id.key()),
            REFRESH_TOKEN => of(&self.refresh_tokens, id.key()),
            ID_TOKEN => of(&self.id_tokens, id.key()),
            ACCOUNT => of(&self.accounts, id.key()),
            APP_METADATA => of(&self.app_metadata, id.key()),
            _ => None,
        };
        known.or_else(|| self.foreign.get(id).map(|stored| stored.version.clone()))
    }

    fn holds(&self, id: &EntryId) -> bool {
        self.version(id).is_some()
    }
}

impl Timed for RefreshToken {
    fn stamp(&mut self, now: UnixMillis) {
        self.last_modification_time = Some(now);
    }
}

impl Timed for Account {
    fn stamp(&mut self, now: UnixMillis) {
        self.last_modification_time = Some(now);
    }
}

impl Timed for crate::schema::AccessToken {
    /// Its time is that of the response, which the library knows.
    fn stamp(&mut self, now: UnixMillis) {
        self.cached_at.get_or_insert(now.to_seconds());
    }
}

impl Timed for crate::schema::IdToken {
    fn stamp(&mut self, _: UnixMillis) {}
}

impl Timed for crate::schema::AppMetadata {
    fn stamp(&mut self, _: UnixMillis) {}
}
