//! What the database shows without the key: how much there is of what, and when it expires.

use cache_core::{Result, UnixSeconds};
use cache_crypto::rows::section_of;

use crate::connection::rows;
use crate::error::reading;
use crate::inner::named;
use crate::store::SqliteStore;

/// What a partition holds, as far as it shows without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionInventory {
    /// The partition's number in this database. It is never used twice.
    pub number: i64,
    /// What there is of each section, those of the schema first.
    pub sections: Vec<SectionInventory>,
}

/// What there is of one section of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionInventory {
    /// The section's name, for example `AccessToken`; `None`: those that are not of the schema, together.
    pub section: Option<&'static str>,
    /// How many entries there are.
    pub entries: usize,
    /// How many of them may be dropped, since they have expired.
    pub expired: usize,
    /// When the next of the others expires; `None`: none of them ever does.
    pub next_expiry: Option<UnixSeconds>,
}

impl SqliteStore {
    /// What the database holds, **without its key**: a page of at most `limit` partitions, those with a higher number than
    /// `after` in the order of their numbers. `now` decides what has expired. An empty answer ends the list.
    ///
    /// Who the partitions belong to does not show; [`partitions`](cache_core::CacheStore::partitions) tells that with the
    /// key.
    pub async fn inventory(
        &self,
        after: Option<i64>,
        limit: usize,
        now: UnixSeconds,
    ) -> Result<Vec<PartitionInventory>> {
        self.run(move |inner| {
            let count = |connection: &rusqlite::Connection| {
                let sql = "SELECT partition, kind, count(*), count(*) FILTER (WHERE expires_on < ?3),
                                  min(expires_on) FILTER (WHERE expires_on >= ?3)
                           FROM entry INDEXED BY entry_in_partition
                           WHERE partition > ?1 AND partition <= coalesce(
                               (SELECT max(id) FROM (SELECT id FROM partition WHERE id > ?1 ORDER BY id LIMIT ?2)), ?1)
                           GROUP BY partition, kind ORDER BY partition, kind = 0, kind";
                let values = (after.unwrap_or(0), i64::try_from(limit).unwrap_or(i64::MAX), now.0);
                rows(connection, sql, values, |row| Ok((row.get(0)?, section(row)?)))
            };
            let found = inner.look(|connection| count(connection).map_err(reading)).map_err(named)?;
            let mut partitions: Vec<PartitionInventory> = Vec::new();
            for (number, section) in found.unwrap_or_default() {
                match partitions.last_mut() {
                    Some(last) if last.number == number => last.sections.push(section),
                    _ => partitions.push(PartitionInventory { number, sections: vec![section] }),
                }
            }
            Ok(partitions)
        })
        .await
    }
}

fn section(row: &rusqlite::Row<'_>) -> rusqlite::Result<SectionInventory> {
    let count = |column| Ok::<_, rusqlite::Error>(usize::try_from(row.get::<_, i64>(column)?).unwrap_or(0));
    Ok(SectionInventory {
        section: section_of(row.get(1)?),
        entries: count(2)?,
        expired: count(3)?,
        next_expiry: row.get::<_, Option<i64>>(4)?.map(UnixSeconds),
    })
}
