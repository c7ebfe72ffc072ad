//! A commit: the merge rules asked and answered row by row, in one transaction that reads only what the changes name.

use cache_core::merge::{Entries, Facts, Merged, merge};
use cache_core::schema::section;
use cache_core::{Changes, Committed, Entry, EntryId, Fence, Result, Version};
use cache_crypto::rows::{Tag, kind, seal_value};
use rusqlite::OptionalExtension as _;

use crate::NAME;
use crate::connection::{Transaction, rows};
use crate::eviction::evict;
use crate::rows::{COMMITTING, Commit, NewRow, Present, Rows, committing};
use crate::stamp::PartitionRow;

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
        let mut rows = Rows::new(self, transaction, tag, found);
        let Merged { skipped, written } = merge(&mut rows, changes, self.now)?;
        let (after, others_changed) = finish(rows)?;
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

/// Notes what was changed, and answers the partition's row as it is now, and whether entries beside the changes had to go.
fn finish(mut rows: Rows<'_, '_>) -> Result<(Option<PartitionRow>, bool)> {
    let is_changed = rows.is_changed();
    let evicted = if is_changed { evict(&mut rows).map_err(committing)? } else { 0 };
    let Some(row) = &mut rows.row else { return Ok((None, false)) };
    if row.entries <= 0 && row.remove_empty(rows.transaction.connection()).map_err(committing)? {
        return Ok((None, false));
    }
    if is_changed {
        row.generation += 1;
        let sql = "UPDATE partition SET generation = ?2, entries = ?3 WHERE id = ?1";
        let values = (row.id, row.generation, row.entries);
        rows.transaction.prepared(sql).and_then(|mut sql| sql.execute(values)).map_err(committing)?;
    }
    Ok((rows.row, evicted > 0))
}

impl Entries for Rows<'_, '_> {
    type Error = cache_core::Error;

    fn facts(&mut self, entry: &Entry) -> Result<Option<Facts>> {
        let (tag, version) = self.named(entry);
        let Some(present) = self.present(tag).map_err(committing)?.now.clone() else { return Ok(None) };
        let is_same = present.version == version;
        // A damaged entry is not what it says it is, neither its version nor its time: any put heals it. Read only where
        // it would make a difference.
        if (is_same || present.is_newer_than(entry)) && self.is_damaged(present.id).map_err(committing)? {
            return Ok(Some(Facts { written_at: None, ..present.facts() }));
        }
        Ok(Some(Facts { same_content: is_same, ..present.facts() }))
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
        let account = tags.account_of(self.tag, entry);
        let terms: Vec<Tag> = entry.lookup_terms().iter().map(|term| tags.term(self.tag, term)).collect();
        let new = NewRow {
            entry,
            account,
            version,
            terms: terms.concat(),
            value: seal_value(NAME, protector, partition, &tag, account.as_ref(), entry)?,
        };
        let present = match self.present(tag).map_err(committing)?.now.clone() {
            Some(old) => self.replace(&old, &new).map_err(committing)?,
            None => self.insert(tag, &new)?,
        };
        let known = self.present(tag).map_err(committing)?;
        (known.now, known.is_written) = (Some(present), true);
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
