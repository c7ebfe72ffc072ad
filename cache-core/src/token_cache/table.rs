//! The entries of one section.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::index::{Hashing, Index};
use crate::entry::{AccountRef, Entry, EntryId, Version};
use crate::schema::Entity;
use crate::secret::Blob;

/// One entry: the entity, and how it stands in the document.
#[derive(Clone)]
pub(crate) struct Row<E> {
    /// The key text, exactly as its writer spelled it.
    pub(crate) key: Arc<str>,
    pub(crate) entity: Arc<E>,
    /// The raw JSON that the entity was read from or is written as.
    pub(crate) json: Blob,
    /// What the store held when this cache was loaded; `None`: nothing under this key.
    pub(crate) version: Option<Version>,
}

/// Rows with two ways to find them: by key text, and by the hashes that [`Hashed`] names.
#[derive(Clone)]
pub(crate) struct Table<E> {
    rows: Vec<Option<Row<E>>>,
    free: Vec<u32>,
    by_key: HashMap<Arc<str>, u32, RandomState>,
    index: Index,
}

/// What an entity is found by.
pub(crate) trait Hashed: Entity {
    /// Calls `each` with every hash that a lookup of this entity may begin at.
    fn hashes(&self, hashing: &Hashing, each: impl FnMut(u64));
}

impl<E> Default for Table<E> {
    fn default() -> Self {
        Self { rows: Vec::new(), free: Vec::new(), by_key: HashMap::default(), index: Index::default() }
    }
}

impl<E: Hashed> Table<E> {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row<E>> {
        self.rows.iter().flatten()
    }

    pub(crate) fn by_key(&self, key: &str) -> Option<&Row<E>> {
        self.row(*self.by_key.get(key)?)
    }

    pub(crate) fn row(&self, at: u32) -> Option<&Row<E>> {
        self.rows.get(at as usize)?.as_ref()
    }

    pub(crate) fn version_mut(&mut self, key: &str) -> Option<&mut Option<Version>> {
        let at = *self.by_key.get(key)?;
        self.rows[at as usize].as_mut().map(|row| &mut row.version)
    }

    /// The places of the rows under a hash. Allocates nothing.
    pub(crate) fn places(&self, hash: u64) -> &[u32] {
        self.index.rows(hash)
    }

    /// The rows under a hash.
    pub(crate) fn under(&self, hash: u64) -> impl Iterator<Item = &Row<E>> + Clone {
        self.places(hash).iter().filter_map(|at| self.row(*at))
    }

    /// Inserts, or replaces the row with the same key text.
    pub(crate) fn put(&mut self, hashing: &Hashing, row: Row<E>) {
        self.remove(hashing, &row.key);
        let at = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            // Four thousand million entries of one partition do not fit any memory.
            u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
        });
        row.entity.hashes(hashing, |hash| self.index.insert(hash, at));
        self.by_key.insert(Arc::clone(&row.key), at);
        self.rows[at as usize] = Some(row);
    }

    pub(crate) fn remove(&mut self, hashing: &Hashing, key: &str) -> Option<Row<E>> {
        let at = self.by_key.remove(key)?;
        let row = self.rows[at as usize].take()?;
        row.entity.hashes(hashing, |hash| self.index.remove(hash, at));
        self.free.push(at);
        Some(row)
    }
}

impl<E: Entity> Row<E> {
    /// A row for a new or changed entity.
    pub(crate) fn written(key: Arc<str>, entity: E, version: Option<Version>) -> Self {
        let json = entity.write();
        Self { key, entity: Arc::new(entity), json, version }
    }

    pub(crate) fn id(&self) -> EntryId {
        EntryId::new(E::SECTION, Arc::clone(&self.key))
    }

    pub(crate) fn entry(&self) -> Entry {
        let account = self
            .entity
            .home_account_id()
            .filter(|id| !id.is_empty())
            .map(|id| AccountRef { home_account_id: id.into(), environment: self.entity.environment().into() });
        let (written_at, expires_on) = (self.entity.written_at(), self.entity.expires_on());
        Entry { id: self.id(), account, written_at, expires_on, json: self.json.clone() }
    }
}
