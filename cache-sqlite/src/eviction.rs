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
    let limit = excess.saturating_add(i64::try_from(written.len()).unwrap_or(i64::MAX));
    let sql = "SELECT id, tag FROM entry WHERE partition = ?1 AND kind = ?2 ORDER BY expires_on LIMIT ?3";
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
