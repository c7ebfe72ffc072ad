//! Dropping what has expired, in small transactions, so that nobody waits for it.

use cache_core::{Result, UnixSeconds};
use rusqlite::Row;

use crate::connection::{Transaction, rows};
use crate::error::of_sqlite;
use crate::inner::{Inner, named};
use crate::rows::delete;
use crate::stamp::PartitionRow;
use crate::store::SqliteStore;

/// Entries per transaction.
const BATCH: i64 = 500;
const PRUNING: &str = "deleting what has expired";
/// Free pages that are given back to the file system after each: about what a batch frees.
const PAGES: i64 = 1000;

impl SqliteStore {
    /// Deletes the entries that may be dropped at `now`, which are access tokens that have expired, and gives their room
    /// back to the file system; answers how many there were.
    ///
    /// In batches, between which others write. An entry that is renewed meanwhile stays. Another error than a read has: a
    /// batch failed, and those before it are done.
    pub async fn prune(&self, now: UnixSeconds) -> Result<usize> {
        self.run(move |inner| prune(inner, now).map_err(named)).await
    }
}

fn prune(inner: &Inner, now: UnixSeconds) -> Result<usize> {
    let failed = |error| of_sqlite(PRUNING, error);
    let (mut pruned, mut after) = (0, Found { partition: 0, kind: 0, expires_on: i64::MIN, id: 0 });
    // No database is made to delete something from it.
    while inner.present()?.is_some() {
        // Looked for without the right to write. From the index alone, partition by partition.
        let found = inner.read(|database| {
            database.readers.with(|reader| {
                let sql = "SELECT partition, kind, expires_on, id FROM entry INDEXED BY entry_in_partition
                           WHERE (partition, kind, expires_on, id) > (?1, ?2, ?3, ?4) AND expires_on < ?5
                           ORDER BY partition, kind, expires_on, id LIMIT ?6";
                let values = (after.partition, after.kind, after.expires_on, after.id, now.0, BATCH);
                rows(&reader.connection, sql, values, Found::read).map_err(failed)
            })
        })?;
        let found: Vec<Found> = found.unwrap_or_default();
        let Some(last) = found.last() else { break };
        // Always onward: an index that does not fit its table would be read in circles.
        after = *last;
        pruned += inner.write(|database| {
            let writer = database.writer()?;
            let transaction = writer.begin(PRUNING)?;
            let prune = || {
                let pruned = drop_expired(&transaction, &found, now)?;
                transaction.commit()?;
                writer.pragma(None, "incremental_vacuum", PAGES, |_| Ok(()))?;
                Ok(pruned)
            };
            prune().map_err(failed)
        })?;
    }
    Ok(pruned)
}

/// An entry that had expired, as the index names it.
#[derive(Clone, Copy)]
struct Found {
    partition: i64,
    kind: i64,
    expires_on: i64,
    id: i64,
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { partition: row.get(0)?, kind: row.get(1)?, expires_on: row.get(2)?, id: row.get(3)? })
    }
}

/// Drops those of these entries, each with its partition, that are expired still.
fn drop_expired(transaction: &Transaction<'_>, found: &[Found], now: UnixSeconds) -> rusqlite::Result<usize> {
    let mut dropped = 0;
    for of_partition in found.chunk_by(|one, other| one.partition == other.partition) {
        let mut count = 0;
        for Found { id, partition, .. } in of_partition {
            let sql = "SELECT terms FROM entry WHERE id = ?1 AND partition = ?2 AND expires_on < ?3";
            let found: Vec<Vec<u8>> = rows(transaction.connection(), sql, (id, partition, now.0), |row| row.get(0))?;
            for terms in found {
                delete(transaction, *id, &terms)?;
                count += 1;
            }
        }
        if let (Some(Found { partition, .. }), 1..) = (of_partition.first(), count) {
            transaction
                .prepared("UPDATE partition SET entries = entries - ?2, generation = generation + 1 WHERE id = ?1")?
                .execute((partition, count))?;
            let sql = "SELECT id, generation, entries FROM partition WHERE id = ?1 AND entries <= 0";
            for mut row in rows(transaction.connection(), sql, (partition,), PartitionRow::read)? {
                row.remove_empty(transaction.connection())?;
            }
        }
        dropped += usize::try_from(count).unwrap_or(0);
    }
    Ok(dropped)
}
