//! Where a lookup begins: from the hash of an identity, or of an identity and one scope, to the rows that have it.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::{FoldHasher, RandomState};
use hashbrown::HashTable;

use super::query::Owner;
use crate::schema::ExtendedKey;
use crate::text::{hash_exact, hash_ignore_case};

/// Rows by hash. Two identities may share a hash, so every row found is compared field by field.
#[derive(Clone, Default)]
pub(super) struct Index(HashTable<Posting>);

#[derive(Clone)]
struct Posting {
    hash: u64,
    rows: Rows,
}

/// Nearly every posting has one row.
#[derive(Clone)]
enum Rows {
    One(u32),
    Many(Vec<u32>),
}

impl Index {
    /// The rows under this hash, in no particular order. Allocates nothing.
    pub(super) fn rows(&self, hash: u64) -> &[u32] {
        match self.0.find(hash, |posting| posting.hash == hash) {
            Some(Posting { rows: Rows::One(row), .. }) => std::slice::from_ref(row),
            Some(Posting { rows: Rows::Many(rows), .. }) => rows,
            None => &[],
        }
    }

    /// Adds a row under this hash; a row that is there already stays once.
    pub(super) fn insert(&mut self, hash: u64, row: u32) {
        let entry = self.0.entry(hash, |posting| posting.hash == hash, |posting| posting.hash);
        match entry {
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert(Posting { hash, rows: Rows::One(row) });
            }
            hashbrown::hash_table::Entry::Occupied(occupied) => {
                let posting = occupied.into_mut();
                match &mut posting.rows {
                    Rows::One(first) if *first == row => {}
                    Rows::One(first) => posting.rows = Rows::Many(vec![*first, row]),
                    // A row is added under all its hashes at once, so that a repetition is the last one.
                    Rows::Many(rows) if rows.last() == Some(&row) => {}
                    Rows::Many(rows) => rows.push(row),
                }
            }
        }
    }

    /// Takes a row out from under this hash.
    pub(super) fn remove(&mut self, hash: u64, row: u32) {
        let Ok(mut entry) = self.0.find_entry(hash, |posting| posting.hash == hash) else { return };
        let empty = match &mut entry.get_mut().rows {
            Rows::One(only) => *only == row,
            Rows::Many(rows) => {
                if let Some(at) = rows.iter().position(|have| *have == row) {
                    rows.swap_remove(at);
                }
                rows.is_empty()
            }
        };
        if empty {
            entry.remove();
        }
    }
}

/// What a token is bound to beside its scopes: tokens of other keys and components do not stand under one hash.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) key_id: Option<&'a str>,
    pub(super) extended: Option<&'a ExtendedKey>,
}

/// Hashes identities. Seeded at random per process, so that no document can be made to collide.
#[derive(Clone, Default)]
pub(super) struct Hashing {
    state: RandomState,
}

impl Hashing {
    /// The part of an access token's identity that all its scopes share; [`with_scope`] makes the hash.
    ///
    /// Tokens of an assertion leave the realm out: they are few, and are asked for without one too.
    pub(super) fn token(&self, owner: Owner<'_>, client_id: &str, realm: &str, bound: Bound<'_>) -> FoldHasher<'_> {
        let mut hasher = self.state.build_hasher();
        match owner {
            Owner::User(home_account_id) => {
                hasher.write_u32(1);
                hash_exact(home_account_id, &mut hasher);
                hash_ignore_case(realm, &mut hasher);
            }
            Owner::App => {
                hasher.write_u32(2);
                hash_ignore_case(realm, &mut hasher);
            }
            Owner::Assertion(hash) => {
                hasher.write_u32(3);
                hash_exact(hash.trim_end_matches('='), &mut hasher);
            }
        }
        hash_ignore_case(client_id, &mut hasher);
        if let Some(key_id) = bound.key_id {
            hasher.write_u32(4);
            hash_exact(key_id, &mut hasher);
        }
        if let Some(extended) = bound.extended {
            hasher.write_u32(5);
            hash_ignore_case(extended.hash(), &mut hasher);
        }
        hasher
    }

    /// The hash of what an entity is looked up by: an exact part and a part that ignores case.
    pub(super) fn pair(&self, exact: &str, ignoring_case: &str) -> u64 {
        let mut hasher = self.state.build_hasher();
        hash_exact(exact, &mut hasher);
        hash_ignore_case(ignoring_case, &mut hasher);
        hasher.finish()
    }
}

/// The hash of an access token's identity and one of its scopes.
pub(super) fn with_scope(token: &FoldHasher<'_>, scope: &str) -> u64 {
    let mut hasher = token.clone();
    hash_ignore_case(scope, &mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_and_go() {
        let mut index = Index::default();
        for row in [1, 2, 2, 3] {
            index.insert(7, row);
        }
        index.insert(8, 1);
        index.insert(8, 1);
        assert_eq!(index.rows(7), [1, 2, 3]);
        assert_eq!(index.rows(8), [1]);
        index.remove(7, 1);
        assert_eq!(index.rows(7), [3, 2]);
        index.remove(8, 2);
        assert_eq!(index.rows(8), [1]);
        for row in [2, 3] {
            index.remove(7, row);
        }
        index.remove(8, 1);
        assert!(index.rows(7).is_empty() && index.rows(8).is_empty());
        assert_eq!(index.0.len(), 0);
    }

    #[test]
    fn an_owner_is_not_another() {
        let hashing = Hashing::default();
        let plain = Bound { key_id: None, extended: None };
        let hash = |owner, realm| with_scope(&hashing.token(owner, "Client", realm, plain), "User.Read");
        assert_eq!(hash(Owner::User("u"), "Tenant"), hash(Owner::User("u"), "tenant"));
        assert_ne!(hash(Owner::User("u"), "t"), hash(Owner::User("U"), "t"));
        assert_ne!(hash(Owner::User("u"), "t"), hash(Owner::Assertion("u"), "t"));
        assert_ne!(hash(Owner::User(""), "t"), hash(Owner::App, "t"));
        assert_eq!(hash(Owner::Assertion("h="), "a"), hash(Owner::Assertion("h"), "b"));
    }
}
