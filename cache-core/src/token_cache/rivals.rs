//! Which entries a new entity meets: those of its own meaning, and those that it evicts.

use std::collections::HashSet;

use super::TokenCache;
use super::hashed::Hashed;
use super::lookup::{bound, owner, refresh_owner, same_hash};
use super::row::Row;
use crate::schema::{AccessToken, Account, AppMetadata, Entity as _, ExtendedKey, IdToken, RefreshToken};
use crate::scopes;
use crate::text::eq_ignore_case;

/// An entity that is kept once per meaning.
pub(super) trait Kept: Hashed {
    /// The rows of this meaning, and those that this entity evicts when it is put.
    fn rivals(&self, cache: &TokenCache) -> Rivals<Self>;

    /// Takes over what a further twin knows that must not go with it.
    fn absorb(&mut self, _twin: &Self) {}
}

/// Rows that a new entity meets.
pub(super) struct Rivals<E> {
    /// Of the same meaning, the best first.
    pub(super) twins: Vec<Row<E>>,
    /// Of other meaning, but they must go.
    pub(super) evicted: Vec<Row<E>>,
}

impl Kept for AccessToken {
    fn rivals(&self, cache: &TokenCache) -> Rivals<Self> {
        let token = cache.hashing.token(owner(self), &self.client_id, &self.realm, bound(self));
        let mut seen = HashSet::new();
        let (mut twins, mut evicted) = (Vec::new(), Vec::new());
        for scope in scopes::significant(self.scopes()) {
            for &at in cache.access_tokens.places(token.with_scope(scope)) {
                let Some(row) = cache.access_tokens.row(at) else { continue };
                if !self.rivals_with(&row.entity, cache) || !seen.insert(at) {
                    continue;
                }
                let twin = scopes::same_set(&self.target, &row.entity.target);
                if twin { &mut twins } else { &mut evicted }.push(row.clone());
            }
        }
        twins.sort_by(|a, b| cache.rank_rows(b, a));
        Rivals { twins, evicted }
    }
}

impl AccessToken {
    /// Whether a new token takes this one's place: same identity, and scopes that intersect.
    fn rivals_with(&self, other: &Self, cache: &TokenCache) -> bool {
        let same_owner = match (&self.assertion_hash, &other.assertion_hash) {
            (Some(mine), Some(theirs)) => same_hash(mine.expose(), theirs.expose()),
            (None, None) => true,
            _ => false,
        };
        let same_extended = match (&self.extended, &other.extended) {
            (Some(mine), Some(theirs)) => theirs.matches(mine),
            (None, None) => true,
            _ => false,
        };
        same_owner
            && same_extended
            && self.home_account_id == other.home_account_id
            && eq_ignore_case(&self.client_id, &other.client_id)
            && eq_ignore_case(&self.realm, &other.realm)
            && eq_ignore_case(self.scheme(), other.scheme())
            && self.key_id == other.key_id
            && self.resource == other.resource
            && cache.environments.same(&self.environment, &other.environment)
            && scopes::intersect(&self.target, &other.target)
    }
}

impl Kept for RefreshToken {
    /// A new refresh token supersedes every other one of the user for the client, and for the family if it is of one.
    fn rivals(&self, cache: &TokenCache) -> Rivals<Self> {
        let owner = refresh_owner(self);
        let name = self.family_id.as_deref().unwrap_or(&self.client_id);
        let rows = cache.refresh_tokens.under(cache.hashing.pair(owner, name));
        let mut twins: Vec<_> = rows.filter(|row| self.supersedes(&row.entity, cache)).cloned().collect();
        twins.sort_by(|a, b| cache.rank_rows(b, a));
        Rivals { twins, evicted: Vec::new() }
    }
}

impl RefreshToken {
    fn supersedes(&self, other: &Self, cache: &TokenCache) -> bool {
        let same_owner = match (&self.assertion_hash, &other.assertion_hash) {
            (Some(mine), Some(theirs)) => same_hash(mine.expose(), theirs.expose()),
            (None, None) => true,
            _ => false,
        };
        let same_division = match (&self.extended, &other.extended) {
            (Some(mine), Some(theirs)) => ExtendedKey::matches(mine, theirs),
            (None, None) => true,
            _ => false,
        };
        let same_holder = match (&self.family_id, &other.family_id) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, None) => eq_ignore_case(&self.client_id, &other.client_id),
            _ => false,
        };
        same_owner
            && same_division
            && same_holder
            && self.home_account_id == other.home_account_id
            && cache.environments.same(&self.environment, &other.environment)
    }
}

impl Kept for IdToken {
    fn rivals(&self, cache: &TokenCache) -> Rivals<Self> {
        let rows = cache.id_tokens.under(cache.hashing.pair(&self.home_account_id, &self.client_id));
        ranked(cache, rows, |other| {
            self.home_account_id == other.home_account_id
                && eq_ignore_case(&self.client_id, &other.client_id)
                && eq_ignore_case(&self.realm, &other.realm)
                && cache.environments.same(&self.environment, &other.environment)
        })
    }
}

impl Kept for Account {
    fn rivals(&self, cache: &TokenCache) -> Rivals<Self> {
        let rows = cache.accounts.under(cache.hashing.pair(&self.home_account_id, ""));
        ranked(cache, rows, |other| {
            self.home_account_id == other.home_account_id
                && eq_ignore_case(&self.realm, &other.realm)
                && cache.environments.same(&self.environment, &other.environment)
        })
    }

    /// Twins of an account are the same account as two libraries know it.
    fn absorb(&mut self, twin: &Self) {
        self.inherit(twin);
    }
}

impl Kept for AppMetadata {
    fn rivals(&self, cache: &TokenCache) -> Rivals<Self> {
        let rows = cache.app_metadata.under(cache.hashing.pair("", &self.client_id));
        ranked(cache, rows, |other| {
            eq_ignore_case(&self.client_id, &other.client_id)
                && cache.environments.same(&self.environment, &other.environment)
        })
    }
}

fn ranked<'c, E: Hashed>(
    cache: &TokenCache,
    rows: impl Iterator<Item = &'c Row<E>>,
    same: impl Fn(&E) -> bool,
) -> Rivals<E> {
    let mut twins: Vec<_> = rows.filter(|row| same(&row.entity)).cloned().collect();
    twins.sort_by(|a, b| cache.rank_rows(b, a));
    Rivals { twins, evicted: Vec::new() }
}
