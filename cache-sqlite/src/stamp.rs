//! Stamps: what a no-change access costs.
//!
//! `PRAGMA data_version` changes whenever another connection has committed. As long as it does not, the stamps that this
//! connection has read are those of now. It is per connection and blind to the connection's own commits, which readers do
//! not make; so it is a gate before the stored stamp, never a stamp itself.

use cache_core::{PartitionKey, Version};
use cache_crypto::rows::PartitionTag;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::database::Database;
use crate::readers::{REMEMBERED, Reader};

/// The row of a partition, as far as stamps and commits need it.
#[derive(Clone, Copy)]
pub(crate) struct PartitionRow {
    pub(crate) id: i64,
    pub(crate) generation: i64,
    pub(crate) entries: i64,
}

impl PartitionRow {
    pub(crate) fn find(connection: &Connection, tag: PartitionTag) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached("SELECT id, generation, entries FROM partition WHERE tag = ?1")?
            .query_row((tag.0,), Self::read)
            .optional()
    }

    /// Of the columns id, generation and entries.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, generation: row.get(1)?, entries: row.get(2)? })
    }

    /// Deletes the row of a partition that is said to hold nothing; answers whether it does. A count that is wrong, as damage
    /// may leave it, is counted again: the entries of a partition without a row would be found by nobody.
    pub(crate) fn remove_empty(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let sql = "SELECT count(*) FROM entry INDEXED BY entry_in_partition WHERE partition = ?1";
        self.entries = connection.prepare_cached(sql)?.query_row((self.id,), |row| row.get(0))?;
        if self.entries == 0 {
            connection.prepare_cached("DELETE FROM partition WHERE id = ?1")?.execute((self.id,))?;
        } else {
            connection
                .prepare_cached("UPDATE partition SET entries = ?2 WHERE id = ?1")?
                .execute((self.id, self.entries))?;
        }
        Ok(self.entries == 0)
    }

    /// The id of the database, the number of the partition and its generation: no two moments with different content have
    /// the same.
    pub(crate) fn stamp(&self, database: &Database) -> Version {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&database.id);
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..].copy_from_slice(&self.generation.to_le_bytes());
        Version::new(&bytes)
    }
}

/// The partition's stamp; `None`: it holds nothing. If nothing has changed since the last call, the one allocation is the
/// key by which rusqlite takes a statement out of its cache (`StatementCache::get`).
pub(crate) fn stamp(
    database: &Database,
    reader: &mut Reader,
    partition: &PartitionKey,
) -> rusqlite::Result<Option<Version>> {
    let present: i64 = reader.connection.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))?;
    if present != reader.data_version {
        reader.stamps.clear();
        reader.data_version = present;
    }
    if let Some(stamp) = reader.stamps.get(partition) {
        return Ok(stamp.clone());
    }
    // Read after the gate: if the database changes in between, this is newer than the gate says, and is read again.
    let tag = reader.tag(&database.tags, partition);
    let row = PartitionRow::find(&reader.connection, tag)?;
    let stamp = row.map(|row| row.stamp(database));
    if reader.stamps.len() >= REMEMBERED {
        reader.stamps.clear();
    }
    reader.stamps.insert(partition.clone(), stamp.clone());
    Ok(stamp)
}
