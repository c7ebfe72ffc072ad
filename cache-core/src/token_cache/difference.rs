//! What another library changed in the document that it was given: two caches compared by the meaning of their entries.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::TokenCache;
use super::rivals::Kept;
use super::row::Row;
use super::table::Table;
use crate::changes::{Change, Guard};
use crate::entry::{AccountRef, Entry, EntryId, Stored, Version};
use crate::json::same_entity;
use crate::partition::PartitionKey;
use crate::schema::{AccessToken, Account, AppMetadata, Entity, IdToken, RefreshToken, section};
use crate::secret::Secret;
use crate::time::UnixMillis;

impl TokenCache {
    /// The changes that make of this cache, which a store held when `began`, what a library made of it.
    ///
    /// - Entries are paired by their secret, or else by their meaning, never by key text, which libraries rewrite. A paired
    ///   entry keeps our key text, what tells it apart (assertion hash, key id, components), and the unknown fields that
    ///   the library dropped.
    /// - Entries that are gone are removed if nobody else has changed them. Not removed are unknown data and app metadata,
    ///   since libraries drop what they do not understand, and an entry whose twin the library has kept. An account with
    ///   nothing left is removed as an account.
    /// - Entries of an account that was not here are put only with an access token cached since `began`: a library lays a
    ///   document over what it has in memory, which would bring back an account that was signed out elsewhere. Entries of
    ///   other users are not put into a user's partition.
    pub(crate) fn difference(
        &self,
        theirs: &Self,
        partition: &PartitionKey,
        began: UnixMillis,
        now: UnixMillis,
    ) -> Vec<Change> {
        let user = match partition {
            PartitionKey::User(home_account_id) => Some(&**home_account_id),
            _ => None,
        };
        let mut difference = Difference {
            base: self,
            theirs,
            user,
            now,
            fresh: fresh_accounts(self, theirs, began),
            puts: Vec::new(),
            removals: Vec::new(),
        };
        let signed_out = difference.signed_out_accounts();
        difference.compare(&self.accounts, &theirs.accounts, &signed_out);
        difference.compare(&self.id_tokens, &theirs.id_tokens, &signed_out);
        difference.compare(&self.refresh_tokens, &theirs.refresh_tokens, &signed_out);
        difference.compare(&self.access_tokens, &theirs.access_tokens, &signed_out);
        difference.compare(&self.app_metadata, &theirs.app_metadata, &signed_out);
        difference.compare_foreign();
        // Puts first: a removal may take away the very entry that guards a put.
        let Difference { mut puts, removals, .. } = difference;
        puts.extend(removals);
        puts
    }
}

struct Difference<'c> {
    base: &'c TokenCache,
    theirs: &'c TokenCache,
    /// The user whose partition this is.
    user: Option<&'c str>,
    now: UnixMillis,
    fresh: HashSet<Arc<str>>,
    puts: Vec<Change>,
    removals: Vec<Change>,
}

/// The home account ids of accounts that a library signed out.
type SignedOut = HashSet<Arc<str>>;

/// What the comparison needs of an entity type.
trait Compared: Kept {
    /// The secret, which tells an entry whatever a library made of its other fields.
    fn secret(&self) -> Option<&Secret>;

    /// Takes over what tells `ours` apart from entries of other meaning.
    fn keep_identity(&mut self, ours: &Self);

    /// Sets the time of writing where the type has one and the library sets none.
    fn stamp(&mut self, now: UnixMillis);
}

/// The users for whom the library has an access token that is new since `began`.
fn fresh_accounts(base: &TokenCache, theirs: &TokenCache, began: UnixMillis) -> HashSet<Arc<str>> {
    let known: HashSet<&str, RandomState> = base.access_tokens.iter().map(|row| row.entity.secret.expose()).collect();
    let tokens = theirs.access_tokens.iter().map(|row| &row.entity);
    let fresh = tokens.filter(|token| {
        token.cached_at.is_some_and(|received| received >= began.to_seconds()) && !known.contains(token.secret.expose())
    });
    fresh.filter_map(|token| token.home_account_id.clone()).collect()
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
            self.removals.push(Change::RemoveAccount {
                home_account_id: (*account.home_account_id).into(),
                environments: self.base.environments.aliases(&account.environment),
            });
            signed_out.insert(account.home_account_id.clone());
        }
        signed_out
    }

    fn compare<E: Compared>(&mut self, base: &Table<E>, theirs: &Table<E>, signed_out: &SignedOut) {
        let pairs = Pairs::of(base, theirs, self.base);
        for (row, pair) in theirs.iter().zip(&pairs.theirs) {
            match pair {
                Pair::Changed(ours) => self.put_changed(row, ours, &pairs.ours),
                Pair::New if self.is_welcome(&*row.entity) => self.put_new(row, base, &pairs.ours),
                Pair::Same | Pair::New => {}
            }
        }
        if E::SECTION == section::APP_METADATA {
            return;
        }
        for row in base.iter().filter(|row| !pairs.ours.contains(&*row.key())) {
            let by_account = row.entity.home_account_id().is_some_and(|id| signed_out.contains(id));
            if !by_account && row.entity.rivals(self.theirs).twins.is_empty() {
                self.remove(row);
            }
        }
    }

    /// A paired entry of ours that the library renewed or changed. Twins of it that the library did not keep go.
    fn put_changed<E: Compared>(&mut self, theirs: &Row<E>, ours: &Row<E>, paired: &HashSet<Arc<str>, RandomState>) {
        let mut entity = (*theirs.entity).clone();
        entity.keep_identity(&ours.entity);
        entity.inherit(&ours.entity);
        *entity.environment_mut() = ours.entity.environment().into();
        // In the canonical form, what a library only spells in another way is no change.
        if same_entity(entity.write().expose(), ours.entity.write().expose()) {
            return;
        }
        if entity.written_at().is_none() || entity.written_at() == ours.entity.written_at() {
            entity.stamp(self.now);
        }
        if entity.secret() != ours.entity.secret() {
            for twin in ours.entity.rivals(self.base).twins {
                let key = twin.key();
                if !ours.is_under(&key) && !paired.contains(&key) {
                    self.remove(&twin);
                }
            }
        }
        let row = Row::written(ours.key(), entity, ours.version());
        let guard = self.guard(&row.entry()).map(|guard| match guard {
            // Of what the put replaces, nothing else needs to be there.
            Guard::Entry(_) if E::SECTION == section::REFRESH_TOKEN => Guard::Entry(row.id()),
            guard => guard,
        });
        self.puts.push(Change::Put { entry: row.entry(), replaces: row.version(), guard });
    }

    fn put_new<E: Compared>(&mut self, theirs: &Row<E>, base: &Table<E>, paired: &HashSet<Arc<str>, RandomState>) {
        let mut row = theirs.clone().with_version(None);
        if row.entity.written_at().is_none() {
            let mut entity = (*row.entity).clone();
            entity.stamp(self.now);
            row = Row::written(row.key(), entity, None);
        }
        match base.by_key(&self.base.hashing, &row.key()) {
            // An entry of other meaning, which the library has kept under another key, stands under this one.
            Some(other) if paired.contains(&other.key()) => row = row.under(self.base.free_key(&*row.entity)),
            Some(other) => row = row.with_version(other.version()),
            None => {}
        }
        let guard = self.guard(&row.entry());
        self.puts.push(Change::Put { entry: row.entry(), replaces: row.version(), guard });
    }

    fn remove<E: Compared>(&mut self, row: &Row<E>) {
        self.removals.push(Change::Remove { id: row.id(), if_match: row.version() });
    }

    fn guard(&self, entry: &Entry) -> Option<Guard> {
        self.base.guard(entry.account.as_ref())
    }

    /// Whether an entry that was not here may be put.
    fn is_welcome(&self, entity: &impl Entity) -> bool {
        let Some(home_account_id) = entity.home_account_id() else { return true };
        self.is_welcome_of(&AccountRef {
            home_account_id: home_account_id.into(),
            environment: entity.environment().into(),
        })
    }

    fn is_welcome_of(&self, account: &AccountRef) -> bool {
        let home_account_id = &*account.home_account_id;
        self.user.is_none_or(|user| user == home_account_id)
            && (self.fresh.contains(home_account_id) || self.base.guard(Some(account)).is_some())
    }

    fn compare_foreign(&mut self) {
        for (id, Stored { entry, .. }) in &self.theirs.foreign {
            let ours = self.base.foreign.get(id);
            if ours.is_some_and(|ours| same_entity(ours.entry.json.expose(), entry.json.expose())) {
                continue;
            }
            // What the library read from us as an entry, and now writes as something else, is no unknown data.
            let was_an_entry = ours.is_none() && self.base.version(id).is_some();
            if was_an_entry || entry.account.as_ref().is_some_and(|account| !self.is_welcome_of(account)) {
                continue;
            }
            let (entry, replaces) = (entry.clone(), ours.map(|ours| ours.version.clone()));
            let guard = self.guard(&entry);
            self.puts.push(Change::Put { entry, replaces, guard });
        }
    }
}

/// Which entry of ours each entry of theirs is.
struct Pairs<E> {
    /// In the order of their table.
    theirs: Vec<Pair<E>>,
    /// The keys of our entries that are paired.
    ours: HashSet<Arc<str>, RandomState>,
}

enum Pair<E> {
    Same,
    Changed(Row<E>),
    New,
}

impl<E: Compared> Pairs<E> {
    fn of(base: &Table<E>, theirs: &Table<E>, cache: &TokenCache) -> Self {
        let mut by_secret: HashMap<&str, Vec<&Row<E>>, RandomState> = HashMap::default();
        for row in base.iter() {
            if let Some(secret) = row.entity.secret() {
                by_secret.entry(secret.expose()).or_default().push(row);
            }
        }
        let mut ours = HashSet::default();
        // What has a secret of ours, or is the same under the same key, is that entry, whatever else stands there now.
        let known = theirs.iter().map(|row| {
            let same_user = |other: &&&Row<E>| row.entity.home_account_id() == other.entity.home_account_id();
            let found = match row.entity.secret() {
                Some(secret) => {
                    let rows = by_secret.get(secret.expose()).map_or(&[][..], Vec::as_slice);
                    rows.iter().filter(same_user).max_by_key(|other| other.is_under(&row.key())).copied()
                }
                None => {
                    let other = base.by_key(&cache.hashing, &row.key());
                    other.filter(|other| same_entity(row.json().expose(), other.json().expose()))
                }
            };
            ours.extend(found.map(Row::key));
            found
        });
        let known: Vec<_> = known.collect();
        let theirs = theirs.iter().zip(known).map(|(row, known)| {
            let found = known.cloned().or_else(|| {
                let mut twins = row.entity.rivals(cache).twins;
                twins.retain(|twin| !ours.contains(&twin.key()));
                let like =
                    |twin: &Row<E>| (twin.is_under(&row.key()), twin.entity.environment() == row.entity.environment());
                // Of equals the first, which is the best.
                let best = (0..twins.len()).rev().max_by_key(|at| like(&twins[*at]))?;
                Some(twins.swap_remove(best))
            });
            match found {
                Some(found) => {
                    ours.insert(found.key());
                    let same = same_entity(row.json().expose(), found.json().expose());
                    if same { Pair::Same } else { Pair::Changed(found) }
                }
                None => Pair::New,
            }
        });
        let theirs = theirs.collect();
        Self { theirs, ours }
    }
}

impl TokenCache {
    /// What the store held of an entry when this cache was loaded.
    pub(crate) fn version(&self, id: &EntryId) -> Option<Version> {
        let known = self.section(id.section()).and_then(|table| table.presence(&self.hashing, id.key()).version());
        known.or_else(|| self.foreign.get(id).map(|stored| stored.version.clone()))
    }
}

impl Compared for RefreshToken {
    fn secret(&self) -> Option<&Secret> {
        Some(&self.secret)
    }

    fn keep_identity(&mut self, ours: &Self) {
        self.assertion_hash.clone_from(&ours.assertion_hash);
        self.extended.clone_from(&ours.extended);
    }

    fn stamp(&mut self, now: UnixMillis) {
        self.last_modification_time = Some(now.to_seconds().to_millis());
    }
}

impl Compared for Account {
    fn secret(&self) -> Option<&Secret> {
        None
    }

    fn keep_identity(&mut self, _: &Self) {}

    fn stamp(&mut self, now: UnixMillis) {
        self.last_modification_time = Some(now.to_seconds().to_millis());
    }
}

impl Compared for AccessToken {
    fn secret(&self) -> Option<&Secret> {
        Some(&self.secret)
    }

    fn keep_identity(&mut self, ours: &Self) {
        self.assertion_hash.clone_from(&ours.assertion_hash);
        self.extended.clone_from(&ours.extended);
        self.key_id.clone_from(&ours.key_id);
        self.resource.clone_from(&ours.resource);
    }

    /// Its time is that of the response, which the library knows.
    fn stamp(&mut self, now: UnixMillis) {
        self.cached_at.get_or_insert(now.to_seconds());
    }
}

impl Compared for IdToken {
    fn secret(&self) -> Option<&Secret> {
        Some(&self.secret)
    }

    fn keep_identity(&mut self, _: &Self) {}

    fn stamp(&mut self, _: UnixMillis) {}
}

impl Compared for AppMetadata {
    fn secret(&self) -> Option<&Secret> {
        None
    }

    fn keep_identity(&mut self, _: &Self) {}

    fn stamp(&mut self, _: UnixMillis) {}
}
