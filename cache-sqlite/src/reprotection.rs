//! Another key for everything, while others read and write.

use std::collections::HashMap;

use cache_core::{Error, ErrorKind, PartitionKey, Protector, Result};
use cache_crypto::rows::{Tag, open_name, seal_index_key, seal_name};
use rusqlite::Row;

use crate::NAME;
use crate::connection::rows;
use crate::database::{Database, StoreRow, index_key};
use crate::error::of_sqlite;
use crate::error::reading;
use crate::inner::{Inner, named};
use crate::row::NamedRow;
use crate::store::SqliteStore;

/// Rows per transaction.
const BATCH: i64 = 200;

impl SqliteStore {
    /// Protects everything anew, with the key that the protector writes with now, and answers how many entries that were.
    /// After a key ring was rotated in every process and this has returned, the old key is needed no more.
    ///
    /// In batches: nobody waits, and what others write meanwhile is kept. What is stored does not change by it, nor does any
    /// stamp. `InvalidInput`: the store is plaintext. Another error: an entry could not be opened or written; those before it
    /// are done, and calling again does all.
    pub async fn reprotect(&self) -> Result<usize> {
        self.run(|inner| reprotect(inner).map_err(named)).await
    }
}

fn reprotect(inner: &Inner) -> Result<usize> {
    let Some(protector) = inner.settings.protection.protector() else {
        return Err(Error::new(ErrorKind::InvalidInput, "the database is plaintext; there is no key to change"));
    };
    protector.prepare(None)?;
    if inner.present()?.is_none() {
        return Ok(0);
    }
    // First what opens the rest: who has the new key alone can open the database from here on.
    inner.write(|database| reseal_index_key(inner, database))?;
    let names = inner.write(|database| reseal_names(database, protector))?;
    let (mut done, mut after) = (0, i64::MIN);
    loop {
        let batch = inner.write(|database| reseal_entries(database, protector, &names, after))?;
        let Some((last, resealed)) = batch else { return Ok(done) };
        done += resealed;
        after = last;
    }
}

fn reseal_index_key(inner: &Inner, database: &Database) -> Result<()> {
    let writer = database.writer()?;
    let row = StoreRow::read(&writer)?
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the head of the database is damaged: its one row is missing"))?;
    let protection = &inner.settings.protection;
    let index_key = seal_index_key(NAME, &index_key(&row, protection)?, protection)?;
    let transaction = writer.begin(REPROTECTING)?;
    let write = || {
        StoreRow { index_key, ..row }.write(&writer)?;
        transaction.commit()
    };
    write().map_err(reprotecting)
}

/// Reseals the names of all partitions and answers them by their numbers.
fn reseal_names(database: &Database, protector: &dyn Protector) -> Result<HashMap<i64, PartitionKey>> {
    let (mut names, mut after) = (HashMap::new(), i64::MIN);
    loop {
        let batch: Vec<(i64, Tag, Vec<u8>)> = database.readers.with(|reader| {
            let sql = "SELECT id, tag, name FROM partition WHERE id > ?1 ORDER BY id LIMIT ?2";
            let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            rows(&reader.connection, sql, (after, BATCH), read).map_err(reading)
        })?;
        let Some((last, ..)) = batch.last() else { return Ok(names) };
        after = *last;
        let mut resealed = Vec::with_capacity(batch.len());
        for (id, tag, name) in batch {
            let key = open_name(NAME, Some(protector), &name)?;
            // Under another's name its entries would look damaged, and stay under the old key without a word.
            if database.tags.partition(&key).0 != tag {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    "the name of a partition is another's; `SqliteStore::recover` keeps what can be read",
                ));
            }
            resealed.push((id, seal_name(NAME, Some(protector), &key)?));
            names.insert(id, key);
        }
        let writer = database.writer()?;
        let transaction = writer.begin(REPROTECTING)?;
        let write = || {
            for (id, name) in &resealed {
                transaction.prepared("UPDATE partition SET name = ?2 WHERE id = ?1")?.execute((id, name))?;
            }
            transaction.commit()
        };
        write().map_err(reprotecting)?;
    }
}

/// Reseals a batch of the entries behind `after`; answers the last one's number and how many were done, `None` at the end.
fn reseal_entries(
    database: &Database,
    protector: &dyn Protector,
    names: &HashMap<i64, PartitionKey>,
    after: i64,
) -> Result<Option<(i64, usize)>> {
    let batch = NamedRow::batch(database, after, BATCH)?;
    let Some(last) = batch.last().map(|last| last.row.id) else { return Ok(None) };
    let mut resealed = Vec::with_capacity(batch.len());
    for NamedRow { row, partition, name } in batch {
        let opened = match (names.get(&partition), name) {
            (Some(key), _) => key.clone(),
            (None, Some(name)) => open_name(NAME, Some(protector), &name)?,
            // Of a partition that is gone.
            (None, None) => continue,
        };
        match row.sealed_again(protector, &opened) {
            Ok(value) => resealed.push((row, value)),
            // What is damaged opens with no key.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    let writer = database.writer()?;
    let transaction = writer.begin(REPROTECTING)?;
    let write = || {
        let mut done = 0;
        for (row, value) in &resealed {
            // Not over what somebody has written meanwhile.
            let sql = "UPDATE entry SET value = ?3 WHERE id = ?1 AND value = ?2";
            done += transaction.prepared(sql)?.execute((row.id, row.value(), value))?;
        }
        transaction.commit()?;
        Ok(done)
    };
    Ok(Some((last, write().map_err(reprotecting)?)))
}

const REPROTECTING: &str = "protecting the database anew";

fn reprotecting(error: rusqlite::Error) -> Error {
    of_sqlite(REPROTECTING, error)
}
