//! The rows of a partition while a commit changes them.

use std::collections::HashMap;

use cache_core::merge::Facts;
use cache_core::{Entry, ErrorKind, PartitionKey, Protector, Result, UnixMillis, Version};
use cache_crypto::rows::{PartitionTag, Tag, kind, seal_name};
use rusqlite::OptionalExtension as _;

use crate::NAME;
use crate::connection::Transaction;
use crate::database::Database;
use crate::error::of_sqlite;
use crate::row::{StoredRow, select_rows};
use crate::stamp::PartitionRow;

/// What a commit is made with.
pub(crate) struct Commit<'a> {
    pub(crate) database: &'a Database,
    pub(crate) protector: Option<&'a dyn Protector>,
    pub(crate) partition: &'a PartitionKey,
    pub(crate) most_entries: Option<usize>,
    pub(crate) now: UnixMillis,
}

/// The rows of a partition while changes are merged into them.
pub(crate) struct Rows<'a, 't> {
    pub(crate) commit: &'a Commit<'a>,
    pub(crate) transaction: &'a Transaction<'t>,
    pub(crate) tag: PartitionTag,
    /// The partition's row; `None`: there is none yet.
    pub(crate) row: Option<PartitionRow>,
    /// The entries that were asked about, by tag.
    pub(crate) known: HashMap<Tag, Known>,
    /// The entry that was asked about last: the rules ask about the same one several times.
    pub(crate) named: Option<Named>,
}

/// An entry and its hashes.
pub(crate) struct Named {
    pub(crate) entry: Entry,
    tag: Tag,
    pub(crate) version: Tag,
}

/// An entry that was asked about: as the commit found it, and as it is now.
pub(crate) struct Known {
    pub(crate) before: Option<Tag>,
    pub(crate) now: Option<Present>,
    /// Also one that was damaged, and says again what it said: others have read the partition without it.
    pub(crate) is_written: bool,
}

/// The row of an entry, without its value.
#[derive(Clone)]
pub(crate) struct Present {
    pub(crate) id: i64,
    pub(crate) version: Tag,
    written_at: Option<UnixMillis>,
    account: Option<Tag>,
    terms: Vec<u8>,
}

impl<'a, 't> Rows<'a, 't> {
    /// The rows of the partition with this tag and row.
    pub(crate) fn new(
        commit: &'a Commit<'a>,
        transaction: &'a Transaction<'t>,
        tag: PartitionTag,
        row: Option<PartitionRow>,
    ) -> Self {
        Self { commit, transaction, tag, row, known: HashMap::new(), named: None }
    }

    /// Whether an entry is another than the commit has found.
    pub(crate) fn is_changed(&self) -> bool {
        let is_changed = |known: &Known| {
            let now = known.now.as_ref();
            known.before != now.map(|now| now.version) || known.is_written && now.is_some()
        };
        self.known.values().any(is_changed)
    }

    /// The tag of an entry and the version that it has here.
    pub(crate) fn named(&mut self, entry: &Entry) -> (Tag, Tag) {
        if let Some(named) = &self.named
            && named.entry == *entry
        {
            return (named.tag, named.version);
        }
        let tags = &self.commit.database.tags;
        let (tag, version) = (tags.entry(self.tag, &entry.id), tags.version(self.tag, entry));
        self.named = Some(Named { entry: entry.clone(), tag, version });
        (tag, version)
    }

    /// The entry with this tag as it is now.
    pub(crate) fn present(&mut self, tag: Tag) -> rusqlite::Result<&mut Known> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        match self.known.entry(tag) {
            Occupied(known) => Ok(known.into_mut()),
            Vacant(place) => {
                let sql = "SELECT id, version, written_at, account, terms FROM entry WHERE tag = ?1";
                let now = self.transaction.prepared(sql)?.query_row((tag,), Present::read).optional()?;
                Ok(place.insert(Known { before: now.as_ref().map(|now| now.version), now, is_written: false }))
            }
        }
    }

    pub(crate) fn accounts(&self, home_account_id: &str, environments: &[Box<str>]) -> Vec<Tag> {
        // An entry that names no host goes with its user in any cloud.
        let hosts = environments.iter().map(|environment| &**environment).chain([""]);
        hosts.map(|host| self.commit.database.tags.account(self.tag, home_account_id, host)).collect()
    }

    pub(crate) fn insert(&mut self, tag: Tag, new: &NewRow<'_>) -> Result<Present> {
        let partition = self.partition_row()?;
        partition.entries += 1;
        let partition = partition.id;
        let sql = "INSERT INTO entry (tag, partition, kind, account, written_at, expires_on, version, terms, value)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let entry = new.entry;
        let (written_at, expires_on) = (entry.written_at.map(|at| at.0), entry.expires_on.map(|at| at.0));
        let kind = kind(entry.id.section());
        let insert = || {
            self.transaction.prepared(sql)?.insert((
                tag,
                partition,
                kind,
                new.account,
                written_at,
                expires_on,
                new.version,
                &new.terms,
                new.value.expose(),
            ))
        };
        let id = insert().map_err(committing)?;
        self.set_terms(id, &[], &new.terms).map_err(committing)?;
        Ok(new.present(id))
    }

    pub(crate) fn replace(&mut self, old: &Present, new: &NewRow<'_>) -> rusqlite::Result<Present> {
        let entry = new.entry;
        let (written_at, expires_on) = (entry.written_at.map(|at| at.0), entry.expires_on.map(|at| at.0));
        if old.account == new.account {
            // Most writes: the index of accounts stays as it is.
            let sql =
                "UPDATE entry SET written_at = ?2, expires_on = ?3, version = ?4, terms = ?5, value = ?6 WHERE id = ?1";
            let values = (old.id, written_at, expires_on, new.version, &new.terms, new.value.expose());
            self.transaction.prepared(sql)?.execute(values)?;
        } else {
            let sql =
                "UPDATE entry SET account = ?2, written_at = ?3, expires_on = ?4, version = ?5, terms = ?6, value = ?7
                       WHERE id = ?1";
            let values = (old.id, new.account, written_at, expires_on, new.version, &new.terms, new.value.expose());
            self.transaction.prepared(sql)?.execute(values)?;
        }
        self.set_terms(old.id, &old.terms, &new.terms)?;
        Ok(new.present(old.id))
    }

    /// Whether the row is there and holds something else than it should. What cannot be told without a key is not.
    pub(crate) fn is_damaged(&self, id: i64) -> rusqlite::Result<bool> {
        let Commit { database, protector, partition, .. } = *self.commit;
        let mut sql = self.transaction.prepared(select_rows!(" FROM entry WHERE id = ?1"))?;
        let row = sql.query_row((id,), StoredRow::read)?;
        let opened = row.open(protector, partition, |entry| row.is_of(entry, &database.tags, self.tag));
        Ok(opened.is_err_and(|error| error.kind() == ErrorKind::Corrupt))
    }

    /// Deletes the row of an entry.
    pub(crate) fn delete(&mut self, tag: Tag) -> rusqlite::Result<()> {
        let Some(old) = self.present(tag)?.now.take() else { return Ok(()) };
        delete(self.transaction, old.id, &old.terms)?;
        if let Some(row) = &mut self.row {
            row.entries -= 1;
        }
        Ok(())
    }

    /// The partition's row, which is made for its first entry.
    fn partition_row(&mut self) -> Result<&mut PartitionRow> {
        let row = match self.row {
            Some(row) => row,
            None => {
                let name = seal_name(NAME, self.commit.protector, self.commit.partition)?;
                let sql = "INSERT INTO partition (tag, generation, entries, name) VALUES (?1, 0, 0, ?2)";
                let insert = || self.transaction.prepared(sql)?.insert((self.tag.0, name));
                PartitionRow { id: insert().map_err(committing)?, generation: 0, entries: 0 }
            }
        };
        Ok(self.row.insert(row))
    }

    fn set_terms(&self, id: i64, old: &[u8], new: &[u8]) -> rusqlite::Result<()> {
        let (old, new) = (old.as_chunks::<16>().0, new.as_chunks::<16>().0);
        if old == new {
            return Ok(());
        }
        for gone in old.iter().filter(|term| !new.contains(term)) {
            self.transaction.prepared(DELETE_TERM)?.execute((gone, id))?;
        }
        for come in new.iter().filter(|term| !old.contains(term)) {
            self.transaction
                .prepared("INSERT OR IGNORE INTO term (tag, entry) VALUES (?1, ?2)")?
                .execute((come, id))?;
        }
        Ok(())
    }
}

const DELETE_TERM: &str = "DELETE FROM term WHERE tag = ?1 AND entry = ?2";

/// Deletes the row of an entry and its terms.
pub(crate) fn delete(transaction: &Transaction<'_>, id: i64, terms: &[u8]) -> rusqlite::Result<()> {
    transaction.prepared("DELETE FROM entry WHERE id = ?1")?.execute((id,))?;
    for term in terms.as_chunks::<16>().0 {
        transaction.prepared(DELETE_TERM)?.execute((term, id))?;
    }
    Ok(())
}

/// A row to be written.
pub(crate) struct NewRow<'e> {
    pub(crate) entry: &'e Entry,
    pub(crate) account: Option<Tag>,
    pub(crate) version: Tag,
    pub(crate) terms: Vec<u8>,
    pub(crate) value: cache_core::Blob,
}

impl NewRow<'_> {
    pub(crate) fn present(&self, id: i64) -> Present {
        Present {
            id,
            version: self.version,
            written_at: self.entry.written_at,
            account: self.account,
            terms: self.terms.clone(),
        }
    }
}

impl Present {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            version: row.get(1)?,
            written_at: row.get::<_, Option<i64>>(2)?.map(UnixMillis),
            account: row.get(3)?,
            terms: row.get(4)?,
        })
    }

    /// Whether it says that it was written after `entry`.
    pub(crate) fn is_newer_than(&self, entry: &Entry) -> bool {
        self.written_at > entry.written_at
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts { written_at: self.written_at, version: Version::new(&self.version), same_content: false }
    }
}

pub(crate) const COMMITTING: &str = "committing";

pub(crate) fn committing(error: rusqlite::Error) -> cache_core::Error {
    of_sqlite(COMMITTING, error)
}
