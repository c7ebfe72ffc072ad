//! A flat hash table of eight-byte postings: a probe of it nearly always touches one cache line. (`hashbrown` touches two,
//! which shows in lookups that touch five in all.) Clones share it but for what is changed.

use super::chunks::Chunks;

/// What stands under a hash.
#[derive(Clone, Copy)]
pub(super) struct Posting {
    pub(super) hash: Hash,
    /// What it means is the user's to say; [`FREE`] alone is none.
    pub(super) rows: u32,
}

/// A hash as an index keeps it. Half of 64 bits: what it lets pass by mistake is compared anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(u32);

type Slots = Chunks<Posting, 4096>;

/// Postings by hash. Several may have the same.
#[derive(Clone, Default)]
pub(super) struct Postings {
    /// As many as a power of two, or none. A posting stands at the place that its hash says, or behind others at the
    /// next free one.
    slots: Slots,
    taken: usize,
}

/// The rows of a slot that holds no posting.
const FREE: u32 = u32::MAX;

impl Default for Posting {
    /// A free slot.
    fn default() -> Self {
        Self { hash: Hash(0), rows: FREE }
    }
}

impl Hash {
    pub(super) fn of(hash: u64) -> Self {
        Self((hash ^ (hash >> 32)) as u32)
    }

    /// The place among so many: the share of them that this hash is of all hashes.
    fn home(self, places: usize) -> usize {
        ((u64::from(self.0) * places as u64) >> 32) as usize
    }
}

impl Postings {
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// The first posting with this hash whose rows are the ones.
    #[inline]
    pub(super) fn find(&self, hash: Hash, is: impl Fn(u32) -> bool) -> Option<&Posting> {
        self.place(hash, is).map(|(_, posting)| posting)
    }

    /// The same, to be changed; neither to another hash nor to [`FREE`].
    pub(super) fn find_mut(&mut self, hash: Hash, is: impl Fn(u32) -> bool) -> Option<&mut Posting> {
        let (at, _) = self.place(hash, is)?;
        self.slots.get_mut(at)
    }

    /// Adds a posting, whatever there is with its hash.
    pub(super) fn insert(&mut self, posting: Posting) {
        // At most three quarters are taken, so that free ones are near.
        if (self.taken + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.taken += 1;
        self.settle(posting);
    }

    /// Takes out the first posting with this hash whose rows are the ones, and answers them.
    pub(super) fn remove(&mut self, hash: Hash, is: impl Fn(u32) -> bool) -> Option<u32> {
        let (mut hole, &Posting { rows, .. }) = self.place(hash, is)?;
        self.taken -= 1;
        // Those behind it move up, as far as their hashes let them, so that none is cut off from its place.
        let mut at = self.after(hole);
        while let Some(&posting) = self.slots.get(at).filter(|posting| posting.rows != FREE) {
            let distance = |from: usize| at.wrapping_sub(from) & (self.slots.len() - 1);
            if distance(self.home(posting.hash)) >= distance(hole) {
                self.put(hole, posting);
                hole = at;
            }
            at = self.after(at);
        }
        self.put(hole, Posting::default());
        Some(rows)
    }

    #[inline]
    fn place(&self, hash: Hash, is: impl Fn(u32) -> bool) -> Option<(usize, &Posting)> {
        let mut at = self.home(hash);
        loop {
            let chunk = self.slots.rest_of_chunk(at);
            for (n, posting) in chunk.iter().enumerate() {
                if posting.rows == FREE {
                    return None;
                }
                if posting.hash == hash && is(posting.rows) {
                    return Some((at + n, posting));
                }
            }
            // An empty table has no chunk; in any other, a free slot ends the search.
            if chunk.is_empty() {
                return None;
            }
            at = self.after(at + chunk.len() - 1);
        }
    }

    /// The place that the hash says.
    fn home(&self, hash: Hash) -> usize {
        hash.home(self.slots.len())
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// Puts a posting into the first free slot. There is one.
    fn settle(&mut self, posting: Posting) {
        let mut at = self.home(posting.hash);
        while self.slots.get(at).is_some_and(|posting| posting.rows != FREE) {
            at = self.after(at);
        }
        self.put(at, posting);
    }

    fn put(&mut self, at: usize, posting: Posting) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = posting;
        }
    }

    fn grow(&mut self) {
        let length = (self.slots.len() * 2).max(8);
        let taken = self.slots.iter().filter(|posting| posting.rows != FREE);
        let larger = Slots::filled(length, |larger| {
            for posting in taken {
                let mut at = posting.hash.home(length);
                while let Some(slot) = larger.get_mut(at) {
                    if slot.rows == FREE {
                        *slot = *posting;
                        break;
                    }
                    at = (at + 1) & (length - 1);
                }
            }
        });
        self.slots = larger;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few hashes, so that many postings stand far from their places, and are moved when others go.
        #[test]
        fn a_table_is_a_map(steps in prop::collection::vec((any::<bool>(), 0_u32..24, 0_u32..4), 0..400)) {
            let (mut postings, mut model) = (Postings::default(), BTreeMap::new());
            for (insert, hash, row) in steps {
                // Some far apart, some next to each other.
                let hash = Hash(if hash < 12 { hash } else { hash << 26 });
                let is = |rows: u32| rows == row;
                if insert && postings.find(hash, is).is_none() {
                    postings.insert(Posting { hash, rows: row });
                    prop_assert!(model.insert((hash.0, row), row).is_none());
                } else if !insert {
                    prop_assert_eq!(postings.remove(hash, is), model.remove(&(hash.0, row)));
                }
                prop_assert_eq!(postings.len(), model.len());
                for &(hash, row) in model.keys() {
                    let found = postings.find(Hash(hash), |rows| rows == row);
                    prop_assert_eq!(found.map(|posting| posting.rows), Some(row));
                }
                prop_assert!(postings.taken * 4 <= postings.slots.len() * 3);
            }
        }
    }

    #[test]
    fn what_was_never_there_is_not_found() {
        let mut postings = Postings::default();
        assert!(postings.find(Hash(1), |_| true).is_none() && postings.remove(Hash(1), |_| true).is_none());
        for row in 0..1000 {
            postings.insert(Posting { hash: Hash(row << 20), rows: row });
        }
        assert!(postings.find(Hash(1), |_| true).is_none());
        for row in 0..1000 {
            assert_eq!(postings.remove(Hash(row << 20), |rows| rows == row), Some(row));
        }
        assert!(postings.len() == 0 && postings.slots.iter().all(|posting| posting.rows == FREE));
    }
}
