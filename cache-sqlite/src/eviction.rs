//! The bound on a partition's size.

use std::collections::HashSet;

use cache_core::schema::section;

use crate::connection;
use crate::record::kind;
use crate::rows::Rows;
use crate::tags::Tag;

/// Evicts access tokens that the commit has not written, those first that expire first, until the bound is kept or none is
/// left; answers how many.
pub(crate) fn evict(rows: &mut Rows<'_, '_>) -> rusqlite::Result<usize> {
    let (Some(most), Some(row)) = (rows.commit.most_entries, rows.row) else { return Ok(0) };
    let excess = row.entries.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
    if excess <= 0 {
        return Ok(0);
    }
    let written: HashSet<i64> = rows.known.values().filter_map(|known| Some(known.now.as_ref()?.id)).collect();
    let limit = excess.saturating_add(i64::try_from(written.len()).unwrap_or(i64::MAX)).max(FEWEST);
    let mut oldest = loop {
        let oldest = first_due(rows, row.id, limit)?;
        // What is due before it expires goes where it belongs; then others come first.
        let early: Vec<i64> = oldest.iter().filter(|entry| entry.is_early).map(|entry| entry.id).collect();
        if early.is_empty() {
            break oldest;
        }
        for id in early {
            rows.transaction.prepared("UPDATE entry SET due = expires_on WHERE id = ?1")?.execute((id,))?;
        }
    };
    oldest.retain(|entry| !written.contains(&entry.id));
    oldest.truncate(usize::try_from(excess).unwrap_or(usize::MAX));
    for entry in &oldest {
        rows.delete(entry.tag)?;
    }
    Ok(oldest.len())
}

/// Entries that are looked at together.
const FEWEST: i64 = 64;

/// An access token that may be evicted.
struct Due {
    id: i64,
    tag: Tag,
    /// Whether it expires later than it is due.
    is_early: bool,
}

/// The access tokens of the partition that are due first, up to `limit`.
fn first_due(rows: &Rows<'_, '_>, partition: i64, limit: i64) -> rusqlite::Result<Vec<Due>> {
    let sql = "SELECT id, tag, due < expires_on FROM entry INDEXED BY entry_in_partition
               WHERE partition = ?1 AND kind = ?2 ORDER BY due LIMIT ?3";
    let values = (partition, kind(section::ACCESS_TOKEN), limit);
    connection::rows(rows.transaction.connection(), sql, values, |row| {
        let is_early = row.get::<_, Option<bool>>(2)?.unwrap_or(false);
        Ok(Due { id: row.get(0)?, tag: row.get(1)?, is_early })
    })
}
