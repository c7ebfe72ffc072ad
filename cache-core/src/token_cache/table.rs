//! The entries of one section.

use std::sync::Arc;

use super::chunks::Chunks;
use super::hashed::Hashed;
use super::index::{Hash, Hashing, Index, Keys, MOST_ROWS};
use super::layouts::Layouts;
use super::row::{Held, Presence, Row, Spelling, Standing};
use crate::entry::Version;
use crate::schema::layout::Layout;
use crate::schema::texts::Texts;
use crate::secret::{Blob, SecretBuffer};

/// Rows by place; one that was taken out leaves a gap.
type Rows<E> = Chunks<Option<Row<E>>, 256>;

/// Standings that rows share: two or three for each layout. Those of layouts that are gone make room.
const MOST_STANDINGS: usize = 16;

/// Rows with two ways to find them: by key text, and by the hashes that [`Hashed`] names.
#[derive(Clone)]
pub(super) struct Table<E> {
    rows: Rows<E>,
    free: Vec<u32>,
    by_key: Keys,
    index: Index,
    layouts: Layouts<E>,
    /// Those that rows share, of layouts in use.
    standings: Vec<Arc<Standing<E>>>,
    extended: usize,
    /// See [`Section::length`].
    length: usize,
}

/// A table, whatever its entities are.
pub(super) trait Section {
    /// How many entities there are.
    fn len(&self) -> usize;

    /// Writes the entities as members of an object, commas between them.
    fn write(&self, out: &mut SecretBuffer);

    /// How many bytes [`write`](Self::write) writes; a few more if a key has characters to escape.
    fn length(&self) -> usize;

    /// Reads an entity of a known layout from the beginning of `json`, which the store did not hold, and puts it; answers
    /// its length in bytes.
    fn read_laid(&mut self, hashing: &Hashing, texts: &mut Texts, key: &str, json: &[u8]) -> Option<usize>;

    /// Reads an entity that the store held in this version, and puts it; `false`: it is not understood.
    fn read(&mut self, hashing: &Hashing, texts: &mut Texts, key: &str, json: &[u8], version: Option<&Version>)
    -> bool;

    /// Takes out an entry; answers what it was.
    fn remove(&mut self, hashing: &Hashing, key: &str) -> Presence;

    /// What an entry is.
    fn presence(&self, hashing: &Hashing, key: &str) -> Presence;

    /// Notes that the store holds this version of an entry now; `false` if the entry is not here.
    fn set_version(&mut self, hashing: &Hashing, key: &str, version: &Version) -> bool;
}

impl<E: Hashed> Section for Table<E> {
    fn len(&self) -> usize {
        self.by_key.len()
    }

    fn write(&self, out: &mut SecretBuffer) {
        let mut comma = false;
        for row in self.iter() {
            if std::mem::replace(&mut comma, true) {
                out.push(b",");
            }
            row.write(out);
        }
    }

    fn length(&self) -> usize {
        self.length
    }

    fn read_laid(&mut self, hashing: &Hashing, texts: &mut Texts, key: &str, json: &[u8]) -> Option<usize> {
        let (layout, entity, length) = self.laid(texts, key, json)?;
        let row = self.laid_row(layout, entity, Held::Nothing);
        self.put(hashing, key, row);
        Some(length)
    }

    fn read(
        &mut self,
        hashing: &Hashing,
        texts: &mut Texts,
        key: &str,
        json: &[u8],
        version: Option<&Version>,
    ) -> bool {
        let held = version.map_or(Held::Nothing, |version| Held::of(version, json));
        let row = match self.laid(texts, key, json) {
            Some((layout, entity, length)) if length == json.len() => self.laid_row(layout, entity, held),
            _ => match self.parsed(texts, key, json, held) {
                Some(row) => row,
                None => return false,
            },
        };
        self.put(hashing, key, row);
        true
    }

    fn remove(&mut self, hashing: &Hashing, key: &str) -> Presence {
        self.take(hashing, hashing.key(key), key).as_ref().map_or(Presence::Absent, Row::presence)
    }

    fn presence(&self, hashing: &Hashing, key: &str) -> Presence {
        self.by_key(hashing, key).map_or(Presence::Absent, Row::presence)
    }

    fn set_version(&mut self, hashing: &Hashing, key: &str, version: &Version) -> bool {
        let Some(at) = self.place(hashing, key) else { return false };
        if let Some(Some(row)) = self.rows.get_mut(at as usize) {
            *row = row.clone().with_version(Some(version.clone()));
        }
        true
    }
}

impl<E> Default for Table<E> {
    fn default() -> Self {
        Self {
            rows: Chunks::default(),
            free: Vec::new(),
            by_key: Keys::default(),
            index: Index::default(),
            layouts: Layouts::default(),
            standings: Vec::new(),
            extended: 0,
            length: 0,
        }
    }
}

impl<E: Hashed> Table<E> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Row<E>> {
        self.rows.iter().flatten()
    }

    pub(super) fn by_key(&self, hashing: &Hashing, key: &str) -> Option<&Row<E>> {
        self.row(self.place(hashing, key)?)
    }

    pub(super) fn row(&self, at: u32) -> Option<&Row<E>> {
        self.rows.get(at as usize)?.as_ref()
    }

    /// The places of the rows under a hash. Allocates nothing.
    pub(super) fn places(&self, hash: Hash) -> &[u32] {
        self.index.rows(hash)
    }

    /// The rows under a hash.
    pub(super) fn under(&self, hash: Hash) -> impl Iterator<Item = &Row<E>> + Clone {
        self.places(hash).iter().filter_map(|at| self.row(*at))
    }

    /// How many entities are [extended](Hashed::is_extended).
    pub(super) fn extended(&self) -> usize {
        self.extended
    }

    fn place(&self, hashing: &Hashing, key: &str) -> Option<u32> {
        self.by_key.find(hashing.key(key), |at| stands(&self.rows, at, key))
    }

    /// An entity of a known layout, from the beginning of `json`, and its length in bytes.
    fn laid(&mut self, texts: &mut Texts, key: &str, json: &[u8]) -> Option<(Arc<Layout<E>>, E, usize)> {
        let last = self.rows.len().checked_sub(1).and_then(|last| self.rows.get(last)?.as_ref());
        let before = last.map(|row| &*row.entity);
        self.layouts.read(key, json, before, texts)
    }

    /// An entity of no layout that is known.
    fn parsed(&mut self, texts: &mut Texts, key: &str, json: &[u8], held: Held) -> Option<Row<E>> {
        // A copy of its own, so that an entry's secrets are wiped with the entry.
        let json = Blob::copy_of(json);
        let entity = E::read(key, &json)?;
        Some(match self.layouts.learn(key, &json, &entity, texts) {
            Some((layout, entity)) => self.laid_row(layout, entity, held),
            None => Row::new(entity, Spelling::Own { key: key.into(), json }, held),
        })
    }

    fn laid_row(&mut self, layout: Arc<Layout<E>>, entity: E, held: Held) -> Row<E> {
        let ordinary = entity.is_ordinary();
        let alike = self.standings.iter().find(|standing| standing.is_alike(&layout, &held, ordinary));
        if let Some(standing) = alike {
            return Row { entity: Arc::new(entity), standing: Arc::clone(standing) };
        }
        let is_of_one = matches!(held, Held::Version(_));
        let row = Row::new(entity, Spelling::Laid(layout), held);
        if !is_of_one {
            self.standings.truncate(MOST_STANDINGS - 1);
            self.standings.insert(0, Arc::clone(&row.standing));
        }
        row
    }

    /// Takes out the row under this key text, whose hash the caller has.
    fn take(&mut self, hashing: &Hashing, hash: Hash, key: &str) -> Option<Row<E>> {
        let rows = &self.rows;
        let at = self.by_key.remove(hash, |at| stands(rows, at, key))?;
        let row = self.rows.get_mut(at as usize)?.take()?;
        row.entity.hashes(hashing, |hash| self.index.remove(hash, at));
        self.extended -= usize::from(row.entity.is_extended());
        self.length -= row.length();
        self.free.push(at);
        Some(row)
    }

    /// Inserts, or replaces the row with the same key text.
    fn put(&mut self, hashing: &Hashing, key: &str, row: Row<E>) {
        let hash = hashing.key(key);
        self.take(hashing, hash, key);
        // Two thousand million entries of one partition do not fit any memory.
        assert!(self.rows.len() < MOST_ROWS, "a partition of two thousand million entries");
        let gap = self.free.pop();
        let at = gap.unwrap_or(self.rows.len() as u32);
        row.entity.hashes(hashing, |hash| self.index.insert(hash, at));
        self.by_key.insert(hash, at);
        self.extended += usize::from(row.entity.is_extended());
        self.length += row.length();
        match gap.and_then(|gap| self.rows.get_mut(gap as usize)) {
            Some(place) => *place = Some(row),
            None => {
                self.rows.push(Some(row));
            }
        }
    }
}

fn stands<E: Hashed>(rows: &Rows<E>, at: u32, key: &str) -> bool {
    rows.get(at as usize).and_then(Option::as_ref).is_some_and(|row| row.is_under(key))
}
