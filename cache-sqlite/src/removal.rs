//! Removing whole partitions.

use cache_core::{PartitionKey, Result};

use crate::connection::rows;
use crate::database::Database;
use crate::error::of_sqlite;
use crate::rows::delete;
use crate::stamp::PartitionRow;

const REMOVING: &str = "removing a partition";

/// Deletes the partition. Its leases and fences stay: their holders may still be at work.
pub(crate) fn remove(database: &Database, partition: &PartitionKey) -> Result<()> {
    let writer = database.writer()?;
    let transaction = writer.begin(REMOVING)?;
    let remove = || {
        let Some(row) = PartitionRow::find(&writer, database.tags.partition(partition))? else { return Ok(()) };
        let sql = "SELECT id, terms FROM entry WHERE partition = ?1";
        let found: Vec<(i64, Vec<u8>)> = rows(&writer, sql, (row.id,), |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (id, terms) in found {
            delete(&transaction, id, &terms)?;
        }
        transaction.prepared("DELETE FROM partition WHERE id = ?1")?.execute((row.id,))?;
        transaction.commit()
    };
    remove().map_err(|error| of_sqlite(REMOVING, error))
}
