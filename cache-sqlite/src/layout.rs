//! The tables, and how a database of an older version becomes one of the present.

use cache_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

use crate::error::of_sqlite;

/// Tells our databases from everybody else's, in the header of the file: `MTKC`.
pub(crate) const APPLICATION_ID: i32 = 0x4D54_4B43;

/// Each brings a database of the version before it to the next one; the first makes it out of nothing.
const MIGRATIONS: [&str; VERSION as usize] = [VERSION_1];

/// The version that this code reads and writes.
pub(crate) const VERSION: i32 = 1;

/// - `store`, one row: the random id of this file, which stamps carry, and the index key, by which everything is named.
///   The key is sealed by the protector; in a plaintext store it lies open.
/// - `partition`: its number is never used twice (`AUTOINCREMENT`) and its generation rises with every change, so that
///   both together are a stamp that never repeats, also after removal. The row is there while the partition holds
///   something.
/// - `entry`: small columns first, the value last, since SQLite reads a row from its front. `terms` are the tags that the
///   entry stands under in `term`, one after the other.
/// - `entry_in_partition` serves loading, eviction, pruning and counting without touching a value; refreshing a token in
///   place moves its entry within one page of it.
/// - `lease`: a lease, its present or last holder, and the highest fence that was given out or seen.
const VERSION_1: &str = "
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id BLOB NOT NULL,
    protected INTEGER NOT NULL,
    index_key BLOB NOT NULL
) STRICT;
CREATE TABLE partition (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag BLOB NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    name BLOB NOT NULL
) STRICT;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    tag BLOB NOT NULL UNIQUE,
    partition INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    account BLOB,
    written_at INTEGER,
    expires_on INTEGER,
    version BLOB NOT NULL,
    terms BLOB NOT NULL,
    value BLOB NOT NULL
) STRICT;
CREATE INDEX entry_in_partition ON entry (partition, kind, expires_on);
CREATE INDEX entry_of_account ON entry (account, kind) WHERE account IS NOT NULL;
CREATE TABLE term (
    tag BLOB NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (tag, entry)
) STRICT, WITHOUT ROWID;
CREATE TABLE lease (
    tag BLOB PRIMARY KEY,
    fence INTEGER NOT NULL,
    holder BLOB,
    process INTEGER,
    taken_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Whose database this is.
pub(crate) enum Owner {
    /// Ours, of the present version.
    Present,
    /// Ours, of this older version.
    Older(i32),
}

/// Finds out whose database this is. `Unsupported`: another program's, or of a newer version. `Corrupt`: of no version.
pub(crate) fn owner(connection: &Connection) -> Result<Owner> {
    let number = |pragma: &str| {
        let number = connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        number.map_err(|error| of_sqlite("looking at the head of the database", error))
    };
    if number("application_id")? != APPLICATION_ID {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this is another program's SQLite database; give a path of its own to the token cache",
        ));
    }
    match number("user_version")? {
        VERSION => Ok(Owner::Present),
        newer if newer > VERSION => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the database has the layout of version {newer}, this program knows {VERSION}; update the program"),
        )),
        older if older > 0 => Ok(Owner::Older(older)),
        // No database is ever seen before its tables are in it.
        _ => Err(Error::new(ErrorKind::Corrupt, "the head of the database is damaged: it names no layout")),
    }
}

/// Brings a database of version `from` to the present one; for the caller's transaction.
pub(crate) fn migrate(connection: &Connection, from: i32) -> rusqlite::Result<()> {
    for step in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(0)) {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", VERSION)
}
