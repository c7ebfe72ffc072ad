//! A commit: the merge rules asked and answered row by row, in one transaction that reads only what the changes name.

use std::collections::HashMap;

use cache_core::merge::{Entries, Facts, Merged, merge};
use cache_core::schema::section;
use cache_core::{
    Changes, Committed, Entry, EntryId, ErrorKind, Fence, PartitionKey, Protector, Result, UnixMillis, Version,
};
use rusqlite::OptionalExtension as _;

use crate::connection::{Transaction, rows};
use crate::database::Database;
use crate::error::of_sqlite;
use crate::eviction::evict;
use crate::name::seal_name;
use crate::record::kind;
use crate::row::{StoredRow, seal, select_rows};
use crate::stamp::PartitionRow;
use crate::tags::{PartitionTag, Tag};

/// What a commit is made with.
pub(crate) struct Commit<'a> {
    pub(crate) database: &'a Database,
    pub(crate) protector: Option<&'a dyn Protector>,
    pub(crate) partition: &'a PartitionKey,
    pub(crate) most_entries: Option<usize>,
    pub(crate) now: UnixMillis,
}

impl Commit<'_> {
    /// Merges `changes` in a transaction of its own.
    pub(crate) fn run(&self, changes: &Changes) -> Result<Committed> {
        let writer = self.database.writer()?;
        let transaction = writer.begin(COMMITTING)?;
        let done = self.within(&transaction, changes)?;
        transaction.commit().map_err(committing)?;
        Ok(done)
    }

    fn within(&self, transaction: &Transaction<'_>, changes: &Changes) -> Result<Committed> {
        let tag = self.database.tags.partition(self.partition);
        let found = PartitionRow::find(transaction.connection(), tag).map_err(committing)?;
        let before = found.map(|row| row.stamp(self.database));
        if let Some(fence) = changes.fence()
            && is_late(transaction, self.database.tags.lease(tag, &fence.lease), fence).map_err(committing)?
        {
            let Merged { skipped, written } = Merged::fenced(changes);
            return Ok(Committed { after: before.clone(), before, skipped, written, others_changed: false });
        }
        let mut rows = Rows { commit: self, transaction, tag, row: found, known: HashMap::new(), named: None };
        let Merged { skipped, written } = merge(&mut rows, changes, self.now)?;
        let (after, others_changed) = rows.finish()?;
        Ok(Committed { before, after: after.map(|row| row.stamp(self.database)), skipped, written, others_changed })
    }
}

/// Whether a higher fence of this lease was given out or seen; remembers the highest.
fn is_late(transaction: &Transaction<'_>, lease: Tag, fence: &Fence) -> rusqlite::Result<bool> {
    let number = i64::try_from(fence.number).unwrap_or(i64::MAX);
    let highest: Option<i64> = transaction
        .prepared("SELECT fence FROM lease WHERE tag = ?1")?
        .query_row((lease,), |row| row.get(0))
        .optional()?;
    if highest.is_none_or(|highest| highest < number) {
        transaction
            .prepared(
                "INSERT INTO lease (tag, fence, taken_at, expires_at) VALUES (?1, ?2, 0, 0)
                 ON CONFLICT (tag) DO UPDATE SET fence = excluded.fence",
            )?
            .execute((lease, number))?;
    }
    Ok(highest.is_some_and(|highest| number < highest))
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
    named: Option<Named>,
}

/// An entry and its hashes.
struct Named {
    entry: Entry,
    tag: Tag,
    version: Tag,
}

/// An entry that was asked about: as the commit found it, and as it is now.
pub(crate) struct Known {
    before: Option<Tag>,
    pub(crate) now: Option<Present>,
}

/// The row of an entry, without its value.
#[derive(Clone)]
pub(crate) struct Present {
    pub(crate) id: i64,
    version: Tag,
    written_at: Option<UnixMillis>,
    account: Option<Tag>,
    terms: Vec<u8>,
}

impl Rows<'_, '_> {
    /// Notes what was changed, and answers the partition's row as it is now, and whether entries beside the changes had
    /// to go.
    fn finish(mut self) -> Result<(Option<PartitionRow>, bool)> {
        let is_changed = self.known.values().any(|known| known.before != known.now.as_ref().map(|now| now.version));
        let evicted = if is_changed { evict(&mut self).map_err(committing)? } else { 0 };
        let Some(row) = &mut self.row else { return Ok((None, false)) };
        if row.entries == 0 {
            let sql = "DELETE FROM partition WHERE id = ?1";
            self.transaction.prepared(sql).and_then(|mut sql| sql.execute((row.id,))).map_err(committing)?;
            return Ok((None, false));
        }
        if is_changed {
            row.generation += 1;
            let sql = "UPDATE partition SET generation = ?2, entries = ?3 WHERE id = ?1";
            let values = (row.id, row.generation, row.entries);
            self.transaction.prepared(sql).and_then(|mut sql| sql.execute(values)).map_err(committing)?;
        }
        Ok((self.row, evicted > 0))
    }

    /// The tag of an entry and the version that it has here.
    fn named(&mut self, entry: &Entry) -> (Tag, Tag) {
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
    fn present(&mut self, tag: Tag) -> rusqlite::Result<&mut Known> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        match self.known.entry(tag) {
            Occupied(known) => Ok(known.into_mut()),
            Vacant(place) => {
                let sql = "SELECT id, version, written_at, account, terms FROM entry WHERE tag = ?1";
                let now = self.transaction.prepared(sql)?.query_row((tag,), Present::read).optional()?;
                Ok(place.insert(Known { before: now.as_ref().map(|now| now.version), now }))
            }
        }
    }

    fn accounts(&self, home_account_id: &str, environments: &[Box<str>]) -> Vec<Tag> {
        // An entry that names no host goes with its user in any cloud.
        let hosts = environments.iter().map(|environment| &**environment).chain([""]);
        hosts.map(|host| self.commit.database.tags.account(self.tag, home_account_id, host)).collect()
    }

    fn insert(&mut self, tag: Tag, new: &NewRow<'_>) -> Result<Present> {
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

    fn replace(&mut self, old: &Present, new: &NewRow<'_>) -> rusqlite::Result<Present> {
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

    /// Whether the row holds what it should.
    fn is_readable(&self, id: i64) -> Result<bool> {
        let Commit { database, protector, partition, .. } = *self.commit;
        let read = || {
            let mut sql = self.transaction.prepared(select_rows!(" FROM entry WHERE id = ?1"))?;
            sql.query_row((id,), StoredRow::read)
        };
        let row = read().map_err(committing)?;
        match row.open(protector, partition, |entry| row.is_of(entry, &database.tags, self.tag)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
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
                let name = seal_name(self.commit.protector, self.commit.partition)?;
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

impl Entries for Rows<'_, '_> {
    type Error = cache_core::Error;

    fn facts(&mut self, entry: &Entry) -> Result<Option<Facts>> {
        let (tag, version) = self.named(entry);
        let Some(present) = self.present(tag).map_err(committing)?.now.clone() else { return Ok(None) };
        // A damaged entry is not what it was, whatever its version says: it is written again.
        let same_content = present.version == version && self.is_readable(present.id)?;
        Ok(Some(Facts { same_content, ..present.facts() }))
    }

    fn facts_of(&mut self, id: &EntryId) -> Result<Option<Facts>> {
        let tag = self.commit.database.tags.entry(self.tag, id);
        Ok(self.present(tag).map_err(committing)?.now.as_ref().map(Present::facts))
    }

    fn holds_account(&mut self, home_account_id: &str, environments: &[Box<str>]) -> Result<bool> {
        let sql = "SELECT 1 FROM entry WHERE account = ?1 AND kind = ?2 LIMIT 1";
        let account = kind(section::ACCOUNT);
        for tag in self.accounts(home_account_id, environments) {
            let holds = || self.transaction.prepared(sql)?.exists((tag, account));
            if holds().map_err(committing)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn put(&mut self, entry: &Entry) -> Result<()> {
        let Commit { database, protector, partition, .. } = *self.commit;
        let (tag, version) = self.named(entry);
        let tags = &database.tags;
        let account = entry.account.as_ref();
        let account = account.map(|of| tags.account(self.tag, &of.home_account_id, &of.environment));
        let terms: Vec<Tag> = entry.lookup_terms().iter().map(|term| tags.term(self.tag, term)).collect();
        let new = NewRow {
            entry,
            account,
            version,
            terms: terms.concat(),
            value: seal(protector, partition, &tag, account.as_ref(), entry)?,
        };
        let present = match self.present(tag).map_err(committing)?.now.clone() {
            Some(old) => self.replace(&old, &new).map_err(committing)?,
            None => self.insert(tag, &new)?,
        };
        self.present(tag).map_err(committing)?.now = Some(present);
        Ok(())
    }

    fn remove(&mut self, id: &EntryId) -> Result<()> {
        let tag = self.commit.database.tags.entry(self.tag, id);
        self.delete(tag).map_err(committing)
    }

    fn remove_account(&mut self, home_account_id: &str, environments: &[Box<str>]) -> Result<()> {
        for account in self.accounts(home_account_id, environments) {
            let sql = "SELECT tag FROM entry WHERE account = ?1";
            let found = rows(self.transaction.connection(), sql, (account,), |row| row.get(0));
            for tag in found.map_err(committing)? {
                self.delete(tag).map_err(committing)?;
            }
        }
        Ok(())
    }

    fn version(&self, entry: &Entry) -> Version {
        match &self.named {
            Some(named) if named.entry == *entry => Version::new(&named.version),
            _ => Version::new(&self.commit.database.tags.version(self.tag, entry)),
        }
    }
}

/// A row to be written.
struct NewRow<'e> {
    entry: &'e Entry,
    account: Option<Tag>,
    version: Tag,
    terms: Vec<u8>,
    value: cache_core::Blob,
}

impl NewRow<'_> {
    fn present(&self, id: i64) -> Present {
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

    fn facts(&self) -> Facts {
        Facts { written_at: self.written_at, version: Version::new(&self.version), same_content: false }
    }
}

const COMMITTING: &str = "committing";

pub(crate) fn committing(error: rusqlite::Error) -> cache_core::Error {
    of_sqlite(COMMITTING, error)
}
