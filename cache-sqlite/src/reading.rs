//! Reads: whole partitions, single entries, entries by what they are looked up by.

use std::collections::HashSet;

use cache_core::{EntryId, ErrorKind, Extent, LookupTerm, PartitionKey, Protector, Result, Snapshot, Stored};
use cache_crypto::rows::{SealedEntry, Tag, open_name};
use rusqlite::{Connection, OptionalExtension as _};

use crate::NAME;
use crate::connection::{Transaction, rows};
use crate::database::Database;
use crate::error::reading;
use crate::row::{SELECT_SEALED, StoredRow, open_all, read_sealed, select_rows};
use crate::stamp::PartitionRow;

/// What reads are made with.
pub(crate) struct Reading<'a> {
    pub(crate) database: &'a Database,
    pub(crate) protector: Option<&'a dyn Protector>,
    pub(crate) partition: &'a PartitionKey,
}

impl Reading<'_> {
    /// All entries, or the stamp alone of a partition that has more than `limit`.
    pub(crate) fn load_within(&self, limit: usize) -> Result<Option<Extent>> {
        let found = self.at_one_moment(|connection, row| {
            if usize::try_from(row.entries).is_ok_and(|entries| entries > limit) {
                return Ok(None);
            }
            let mut sql = connection.prepare_cached(select_rows!(" FROM entry WHERE partition = ?1"))?;
            let rows: rusqlite::Result<Vec<_>> = sql.query_map((row.id,), StoredRow::read)?.collect();
            rows.map(Some)
        })?;
        let Some((row, rows)) = found else { return Ok(None) };
        let stamp = row.stamp(self.database);
        Ok(Some(match rows {
            Some(rows) => Extent::Whole(self.open(rows, stamp)?),
            None => Extent::Large(stamp),
        }))
    }

    /// The entries that have one of these terms.
    pub(crate) fn find(&self, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        let tag = self.database.tags.partition(self.partition);
        let terms: HashSet<Tag> = terms.iter().map(|term| self.database.tags.term(tag, term)).collect();
        let found = self.at_one_moment(|connection, _| {
            let sql = select_rows!(" FROM term JOIN entry ON entry.id = term.entry WHERE term.tag = ?1");
            let mut sql = connection.prepare_cached(sql)?;
            let (mut rows, mut seen) = (Vec::new(), HashSet::new());
            for term in &terms {
                for row in sql.query_map((term,), StoredRow::read)? {
                    let row = row?;
                    if seen.insert(row.id) {
                        rows.push(row);
                    }
                }
            }
            Ok(rows)
        })?;
        found.map(|(row, rows)| self.open(rows, row.stamp(self.database))).transpose()
    }

    /// The entries with these ids. One that is damaged is left out, as [`load_within`](Self::load_within) does; damage within
    /// plaintext is not looked for here.
    pub(crate) fn get(&self, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        let rows: Vec<_> = self.database.readers.with(|reader| {
            let tag = reader.tag(&self.database.tags, self.partition);
            let row_of = |connection: &Connection, id: &EntryId| -> rusqlite::Result<Option<(Tag, SealedEntry)>> {
                let tag = self.database.tags.entry(tag, id);
                let sealed = connection.prepare_cached(SELECT_SEALED)?.query_row((tag,), read_sealed).optional()?;
                Ok(sealed.map(|sealed| (tag, sealed)))
            };
            let connection = &reader.connection;
            let read = || match ids {
                // One statement is one moment.
                [one] => Ok(vec![row_of(connection, one)?]),
                several => {
                    let moment = Transaction::read(connection)?;
                    let rows = several.iter().map(|id| row_of(connection, id)).collect::<rusqlite::Result<_>>()?;
                    moment.commit()?;
                    Ok(rows)
                }
            };
            read().map_err(reading)
        })?;
        let open = |(row, id): (Option<(Tag, SealedEntry)>, &EntryId)| {
            let Some((tag, sealed)) = row else { return Ok(None) };
            match sealed.open(NAME, self.protector, self.partition, &tag, Some(id), |entry| entry.id == *id) {
                Ok(stored) => Ok(Some(stored)),
                Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
                Err(error) => Err(error),
            }
        };
        rows.into_iter().zip(ids).map(open).collect()
    }

    /// Reads within one transaction; `None`: the partition holds nothing.
    fn at_one_moment<R>(
        &self,
        read: impl FnOnce(&Connection, PartitionRow) -> rusqlite::Result<R>,
    ) -> Result<Option<(PartitionRow, R)>> {
        self.database.readers.with(|reader| {
            let tag = reader.tag(&self.database.tags, self.partition);
            let within = || {
                let moment = Transaction::read(&reader.connection)?;
                let Some(row) = PartitionRow::find(&reader.connection, tag)? else { return Ok(None) };
                let found = read(&reader.connection, row)?;
                moment.commit()?;
                Ok(Some((row, found)))
            };
            within().map_err(reading)
        })
    }

    /// Opens rows after the connection was given back: it may take long.
    fn open(&self, rows: Vec<StoredRow>, stamp: cache_core::Version) -> Result<Snapshot> {
        open_all(self.database, self.protector, self.partition, rows, stamp)
    }
}

/// A page of the partitions, in the order of their tags.
pub(crate) fn partitions(
    database: &Database,
    protector: Option<&dyn Protector>,
    after: Option<&PartitionKey>,
    limit: usize,
) -> Result<Vec<PartitionKey>> {
    let after = after.map(|after| database.tags.partition(after).0);
    let names: Vec<Vec<u8>> = database.readers.with(|reader| {
        let sql = "SELECT name FROM partition WHERE tag > coalesce(?1, x'') ORDER BY tag LIMIT ?2";
        let values = (after, i64::try_from(limit).unwrap_or(i64::MAX));
        rows(&reader.connection, sql, values, |row| row.get(0)).map_err(reading)
    })?;
    names.iter().map(|name| open_name(NAME, protector, name)).collect()
}
