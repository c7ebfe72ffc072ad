//! The bound on a partition's size.

use std::collections::HashSet;

use cache_core::schema::section;
use cache_crypto::rows::{Tag, kind};

use crate::connection;
use crate::rows::Rows;

/// Evicts access tokens that the commit has not written until the bound is kept or none is left: those first that expire
/// first, and before them those that do not say when, since nothing else ever drops them. Answers how many.
pub(crate) fn evict(rows: &mut Rows<'_, '_>) -> rusqlite::Result<usize> {
    let (Some(most), Some(row)) = (rows.commit.most_entries, rows.row) else { return Ok(0) };
    let excess = row.entries.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
    if excess <= 0 {
        return Ok(0);
    }
    let written: HashSet<i64> = rows.known.values().filter_map(|known| Some(known.now.as_ref()?.id)).collect();
    let limit = excess.saturating_add(i64::try_from(written.len()).unwrap_or(i64::MAX));
    // What the index says is asked of the table again: a refresh token is not evicted because of a damaged index.
    let sql = "SELECT entry.id, entry.tag FROM entry AS indexed INDEXED BY entry_in_partition
               CROSS JOIN entry ON entry.id = indexed.id AND entry.partition = ?1 AND entry.kind = ?2
               WHERE indexed.partition = ?1 AND indexed.kind = ?2 ORDER BY indexed.expires_on LIMIT ?3";
    let values = (row.id, kind(section::ACCESS_TOKEN), limit);
    let mut oldest: Vec<(i64, Tag)> =
        connection::rows(rows.transaction.connection(), sql, values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    oldest.retain(|(id, _)| !written.contains(id));
    oldest.truncate(usize::try_from(excess).unwrap_or(usize::MAX));
    for (_, tag) in &oldest {
        rows.delete(*tag)?;
    }
    Ok(oldest.len())
}
