//! Where a lookup begins: from the hash of an identity, or of an identity and one scope, to the rows that have it.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

pub(super) use super::postings::Hash;

use super::chunks::Chunks;
use super::postings::{Posting, Postings};
use super::query::Owner;
use crate::schema::ExtendedKey;
use crate::text::TextHasher;

/// Rows by hash. Two identities may share a hash, so every row found is compared field by field.
#[derive(Clone, Default)]
pub(super) struct Index {
    /// One for each hash: a row; or, with [`SEVERAL`] set, a place in `several`. Nearly every one has one row.
    postings: Postings,
    /// The rows of postings that have several.
    several: Chunks<Vec<u32>, 256>,
    /// Places in `several` that are not in use.
    unused: Vec<u32>,
}

const SEVERAL: u32 = 1 << 31;

/// The most rows that an index can tell apart.
pub(super) const MOST_ROWS: usize = SEVERAL as usize;

impl Index {
    /// The rows under this hash, in no particular order. Allocates nothing.
    #[inline]
    pub(super) fn rows(&self, hash: Hash) -> &[u32] {
        match self.postings.find(hash, |_| true) {
            Some(posting) if posting.rows & SEVERAL == 0 => std::slice::from_ref(&posting.rows),
            Some(posting) => self.several.get((posting.rows ^ SEVERAL) as usize).map_or(&[], Vec::as_slice),
            None => &[],
        }
    }

    /// Adds a row under this hash; a row that is there already stays once.
    pub(super) fn insert(&mut self, hash: Hash, row: u32) {
        let Some(posting) = self.postings.find_mut(hash, |_| true) else {
            self.postings.insert(Posting { hash, rows: row });
            return;
        };
        if posting.rows & SEVERAL != 0 {
            let several = self.several.get_mut((posting.rows ^ SEVERAL) as usize);
            // A row is added under all its hashes at once, so that a repetition is the last one.
            if let Some(rows) = several.filter(|rows| rows.last() != Some(&row)) {
                rows.push(row);
            }
        } else if posting.rows != row {
            let rows = vec![posting.rows, row];
            posting.rows = SEVERAL | self.unused.pop().unwrap_or_else(|| self.several.push(Vec::new()) as u32);
            if let Some(place) = self.several.get_mut((posting.rows ^ SEVERAL) as usize) {
                *place = rows;
            }
        }
    }

    /// Takes a row out from under this hash.
    pub(super) fn remove(&mut self, hash: Hash, row: u32) {
        let Some(posting) = self.postings.find_mut(hash, |_| true) else { return };
        if posting.rows & SEVERAL == 0 {
            if posting.rows == row {
                self.postings.remove(hash, |_| true);
            }
            return;
        }
        let place = posting.rows ^ SEVERAL;
        let Some(rows) = self.several.get_mut(place as usize) else { return };
        if let Some(at) = rows.iter().position(|have| *have == row) {
            rows.swap_remove(at);
        }
        if let [last] = rows[..] {
            posting.rows = last;
            *rows = Vec::new();
            self.unused.push(place);
        }
    }
}

/// Rows by their key text.
#[derive(Clone, Default)]
pub(super) struct Keys(Postings);

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The row whose key `is` the one with this hash.
    pub(super) fn find(&self, hash: Hash, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.0.find(hash, is).map(|posting| posting.rows)
    }

    /// Adds a row whose key is not there yet.
    pub(super) fn insert(&mut self, hash: Hash, row: u32) {
        self.0.insert(Posting { hash, rows: row });
    }

    /// Takes out the row whose key `is` the one with this hash.
    pub(super) fn remove(&mut self, hash: Hash, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.0.remove(hash, is)
    }
}

/// What a token is bound to beside its scopes: tokens of other keys and components do not stand under one hash.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) key_id: Option<&'a str>,
    pub(super) extended: Option<&'a ExtendedKey>,
}

/// Hashes identities. Seeded at random per cache, so that no document can be made to collide.
#[derive(Clone)]
pub(super) struct Hashing {
    state: RandomState,
    seeds: [u64; 3],
}

impl Default for Hashing {
    fn default() -> Self {
        let state = RandomState::default();
        // An odd factor loses nothing.
        let seeds = [1_u64, 2, 3].map(|number| state.hash_one(number) | 1);
        Self { state, seeds }
    }
}

/// The part of an identity that comes before the scope.
pub(super) struct Identity(TextHasher);

impl Hashing {
    /// The part of an access token's identity that all its scopes share.
    ///
    /// Tokens of an assertion leave the realm out: they are few, and are asked for without one too.
    #[inline]
    pub(super) fn token(&self, owner: Owner<'_>, client_id: &str, realm: &str, bound: Bound<'_>) -> Identity {
        let mut hasher = self.hasher();
        match owner {
            Owner::User(home_account_id) => {
                hasher.number(1);
                hasher.exact(home_account_id);
                hasher.ignoring_case(realm);
            }
            Owner::App => {
                hasher.number(2);
                hasher.ignoring_case(realm);
            }
            Owner::Assertion(hash) => {
                hasher.number(3);
                hasher.exact(hash.trim_end_matches('='));
            }
        }
        hasher.ignoring_case(client_id);
        if let Some(key_id) = bound.key_id {
            hasher.number(4);
            hasher.exact(key_id);
        }
        if let Some(extended) = bound.extended {
            hasher.number(5);
            hasher.ignoring_case(extended.hash());
        }
        Identity(hasher)
    }

    /// The hash of what an entity is looked up by: an exact part and a part that ignores case.
    pub(super) fn pair(&self, exact: &str, ignoring_case: &str) -> Hash {
        let mut hasher = self.hasher();
        hasher.exact(exact);
        hasher.ignoring_case(ignoring_case);
        Hash::of(hasher.finish())
    }

    /// The hash of a key text.
    pub(super) fn key(&self, key: &str) -> Hash {
        Hash::of(self.state.hash_one(key))
    }

    fn hasher(&self) -> TextHasher {
        TextHasher::new(self.seeds)
    }
}

impl Identity {
    /// The hash of this identity and one scope.
    #[inline]
    pub(super) fn with_scope(&self, scope: &str) -> Hash {
        let mut hasher = self.0;
        hasher.ignoring_case(scope);
        Hash::of(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_and_go() {
        let (seven, eight) = (Hash::of(7), Hash::of(8));
        let mut index = Index::default();
        for round in 1..3 {
            for row in [1, 2, 2, 3] {
                index.insert(seven, row);
            }
            index.insert(eight, 1);
            index.insert(eight, 1);
            assert_eq!(index.rows(seven), [1, 2, 3], "{round}");
            assert_eq!(index.rows(eight), [1]);
            index.remove(seven, 1);
            assert_eq!(index.rows(seven), [3, 2]);
            index.remove(eight, 2);
            assert_eq!(index.rows(eight), [1]);
            for row in [2, 3] {
                index.remove(seven, row);
            }
            index.remove(eight, 1);
            assert!(index.rows(seven).is_empty() && index.rows(eight).is_empty());
            assert_eq!(index.postings.len(), 0);
            assert_eq!(index.several.len(), 1, "places are used again");
        }
    }

    #[test]
    fn keys_that_share_a_hash_are_told_apart() {
        let texts = ["a", "b"];
        let mut keys = Keys::default();
        let hash = Hash::of(7);
        keys.insert(hash, 0);
        keys.insert(hash, 1);
        let find = |keys: &Keys, key: &str| keys.find(hash, |row| texts[row as usize] == key);
        assert_eq!((find(&keys, "a"), find(&keys, "b"), find(&keys, "c")), (Some(0), Some(1), None));
        assert_eq!(keys.remove(hash, |row| texts[row as usize] == "a"), Some(0));
        assert_eq!((find(&keys, "a"), find(&keys, "b"), keys.len()), (None, Some(1), 1));
    }

    #[test]
    fn an_owner_is_not_another() {
        let hashing = Hashing::default();
        let plain = Bound { key_id: None, extended: None };
        let hash = |owner, realm| hashing.token(owner, "Client", realm, plain).with_scope("User.Read");
        assert_eq!(hash(Owner::User("u"), "Tenant"), hash(Owner::User("u"), "tenant"));
        assert_ne!(hash(Owner::User("u"), "t"), hash(Owner::User("U"), "t"));
        assert_ne!(hash(Owner::User("u"), "t"), hash(Owner::Assertion("u"), "t"));
        assert_ne!(hash(Owner::User(""), "t"), hash(Owner::App, "t"));
        assert_eq!(hash(Owner::Assertion("h="), "a"), hash(Owner::Assertion("h"), "b"));
    }
}
