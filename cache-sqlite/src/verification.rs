//! Looking for damage before it is met.

use std::collections::HashMap;

use cache_core::{ErrorKind, Result};
use cache_crypto::rows::open_name;
use rusqlite::Connection;

use crate::NAME;
use crate::database::Database;
use crate::error::reading;
use crate::inner::named;
use crate::row::NamedRow;
use crate::store::SqliteStore;

/// What a look at the whole database has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// What SQLite finds wrong with the file, by page and table; empty if it is sound. Holds no content.
    pub problems: Vec<String>,
    /// How many entries can be read.
    pub entries: usize,
    /// How many entries are damaged, or stand where they do not belong.
    pub unreadable: usize,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.unreadable == 0
    }
}

impl SqliteStore {
    /// Looks at the whole database: its structure (`PRAGMA quick_check`), and every entry. Changes nothing; others go on
    /// reading and writing. A database that is not there is sound.
    ///
    /// Errors as a read has them, except for damage, which is the answer. [`recover`](Self::recover) mends it.
    pub async fn verify(&self) -> Result<Verified> {
        self.run(|inner| {
            let protector = inner.settings.protection.protector();
            let found = inner.read(|database| {
                let problems = database.readers.with(|reader| problems(&reader.connection))?;
                let mut verified = Verified { problems, ..Verified::default() };
                match verify_entries(database, protector, &mut verified) {
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        verified.problems.push(error.message().to_owned());
                        Ok(verified)
                    }
                    done => done.map(|()| verified),
                }
            });
            Ok(found.map_err(named)?.unwrap_or_default())
        })
        .await
    }
}

/// What SQLite finds wrong with the file.
pub(crate) fn problems(connection: &Connection) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let checked = connection.pragma(None, "quick_check", 100, |row| {
        problems.push(row.get::<_, String>(0)?);
        Ok(())
    });
    match checked.map_err(reading) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::Corrupt => problems.push(error.message().to_owned()),
        Err(error) => return Err(error),
    }
    problems.retain(|problem| problem != "ok");
    if problems.is_empty() {
        problems.extend(parted_indexes(connection).map_err(reading)?);
    }
    Ok(problems)
}

/// The indexes that do not fit their tables, which SQLite's quick check does not look at.
fn parted_indexes(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let entries = "SELECT count(*) FROM entry NOT INDEXED";
    let pairs = [
        ("entries by their ids", "SELECT count(*) FROM entry INDEXED BY sqlite_autoindex_entry_1", entries),
        ("entries by their partitions", "SELECT count(*) FROM entry INDEXED BY entry_in_partition", entries),
        (
            "entries by their accounts",
            "SELECT count(*) FROM entry INDEXED BY entry_of_account WHERE account IS NOT NULL",
            "SELECT count(*) FROM entry NOT INDEXED WHERE account IS NOT NULL",
        ),
        (
            "entries by what they are looked up by",
            "SELECT count(*) FROM term",
            "SELECT coalesce(sum(length(terms)), 0) / 16 FROM entry NOT INDEXED",
        ),
    ];
    let mut parted = Vec::new();
    for (what, index, table) in pairs {
        let count = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
        let (index, table) = (count(index)?, count(table)?);
        if index != table {
            parted.push(format!("the index of {what} has {index} rows for {table}"));
        }
    }
    let others: i64 = connection.query_row(OTHER_THAN_INDEXED, (), |row| row.get(0))?;
    if others > 0 {
        parted.push(format!("the index of entries by their partitions says something else of {others} entries"));
    }
    Ok(parted)
}

/// How many entries are other than `entry_in_partition` says, by which they are deleted.
const OTHER_THAN_INDEXED: &str =
    "SELECT count(*) FROM entry AS indexed INDEXED BY entry_in_partition LEFT JOIN entry ON entry.id = indexed.id
     WHERE (indexed.partition, indexed.kind, indexed.expires_on) IS NOT (entry.partition, entry.kind, entry.expires_on)";

fn verify_entries(
    database: &Database,
    protector: Option<&dyn cache_core::Protector>,
    verified: &mut Verified,
) -> Result<()> {
    const BATCH: i64 = 500;
    let (mut after, mut names) = (i64::MIN, HashMap::new());
    loop {
        let batch = NamedRow::batch(database, after, BATCH)?;
        let Some(last) = batch.last() else { return Ok(()) };
        after = last.row.id;
        for NamedRow { row, partition, name } in batch {
            let opened = name.and_then(|name| {
                let key = names.entry(partition).or_insert_with(|| open_name(NAME, protector, &name));
                let key = key.as_ref().ok()?;
                let partition = database.tags.partition(key);
                Some(row.open(protector, key, |entry| row.is_of(entry, &database.tags, partition)))
            });
            match opened {
                Some(Ok(_)) => verified.entries += 1,
                Some(Err(error)) if error.kind() != ErrorKind::Corrupt => return Err(error),
                Some(Err(_)) | None => verified.unreadable += 1,
            }
        }
    }
}
