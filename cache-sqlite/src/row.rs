//! Entries as rows: sealed on the way in, opened on the way out.

use cache_core::{
    Blob, Entry, ErrorKind, PartitionKey, Protector, Result, Snapshot, Stored, UnixMillis, UnixSeconds, Version,
};
use cache_crypto::rows::{IndexKey, PartitionTag, SealedEntry, Tag, unreadable_id};
use rusqlite::{Connection, Row};

use crate::NAME;
use crate::connection::rows;
use crate::database::Database;
use crate::error::reading;

/// A query for the columns of [`StoredRow`], in its order, and for what follows.
macro_rules! select_rows {
    ($rest:literal) => {
        concat!(
            "SELECT entry.account, entry.written_at, entry.expires_on, entry.version, entry.value, \
             entry.id, entry.tag, entry.kind",
            $rest
        )
    };
}
pub(crate) use select_rows;

/// Finds what a row holds of its entry by the entry's tag.
pub(crate) const SELECT_SEALED: &str =
    "SELECT account, written_at, expires_on, version, value FROM entry WHERE tag = ?1";

/// What a row holds of its entry.
pub(crate) fn read_sealed(row: &Row<'_>) -> rusqlite::Result<SealedEntry> {
    Ok(SealedEntry {
        account: row.get(0)?,
        written_at: row.get::<_, Option<i64>>(1)?.map(UnixMillis),
        expires_on: row.get::<_, Option<i64>>(2)?.map(UnixSeconds),
        version: row.get(3)?,
        value: Blob::copy_of(row.get_ref(4)?.as_blob()?),
    })
}

/// A row as it was read, not opened yet.
pub(crate) struct StoredRow {
    pub(crate) id: i64,
    pub(crate) tag: Tag,
    kind: i64,
    sealed: SealedEntry,
}

impl StoredRow {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { sealed: read_sealed(row)?, id: row.get(5)?, tag: row.get(6)?, kind: row.get(7)? })
    }

    /// The entry. Errors as [`SealedEntry::open`] has.
    pub(crate) fn open(
        &self,
        protector: Option<&dyn Protector>,
        key: &PartitionKey,
        belongs: impl FnOnce(&Entry) -> bool,
    ) -> Result<Stored> {
        self.sealed.open(NAME, protector, key, &self.tag, None, belongs)
    }

    /// The value as it is stored.
    pub(crate) fn value(&self) -> &[u8] {
        self.sealed.value.expose()
    }

    /// Puts the row into another database, as it is.
    pub(crate) fn insert(&self, connection: &Connection, partition: i64, terms: &[u8]) -> rusqlite::Result<()> {
        let sql = "INSERT INTO entry (id, tag, partition, kind, account, written_at, expires_on, version, terms, value)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let SealedEntry { account, written_at, expires_on, version, value } = &self.sealed;
        let (written_at, expires_on) = (written_at.map(|at| at.0), expires_on.map(|at| at.0));
        let values =
            (self.id, self.tag, partition, self.kind, account, written_at, expires_on, version, terms, value.expose());
        connection.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// Whether the tags of this row are those of the entry, the one of its content included.
    pub(crate) fn is_of(&self, entry: &Entry, tags: &IndexKey, partition: PartitionTag) -> bool {
        self.sealed.is_of(&self.tag, entry, tags, partition)
    }

    /// The same value under another key of the same protector.
    pub(crate) fn sealed_again(&self, protector: &dyn Protector, key: &PartitionKey) -> Result<Vec<u8>> {
        self.sealed.sealed_again(NAME, protector, key, &self.tag)
    }
}

/// A row and the partition that it stands in.
pub(crate) struct NamedRow {
    pub(crate) row: StoredRow,
    pub(crate) partition: i64,
    /// The partition's name as its row keeps it; `None`: it has no row.
    pub(crate) name: Option<Vec<u8>>,
}

impl NamedRow {
    /// Up to `limit` rows of the whole database, those with a higher number than `after`, in the order of their numbers.
    pub(crate) fn batch(database: &Database, after: i64, limit: i64) -> Result<Vec<Self>> {
        let sql = select_rows!(
            ", entry.partition, partition.name FROM entry NOT INDEXED LEFT JOIN partition
             ON partition.id = entry.partition WHERE entry.id > ?1 ORDER BY entry.id LIMIT ?2"
        );
        let read = |row: &Row<'_>| Ok(Self { row: StoredRow::read(row)?, partition: row.get(8)?, name: row.get(9)? });
        database.readers.with(|reader| rows(&reader.connection, sql, (after, limit), read).map_err(reading))
    }
}

/// Opens rows of one partition. Damaged ones are told apart; a key that is not at hand fails all of it, since what it
/// protects is not gone.
pub(crate) fn open_all(
    database: &Database,
    protector: Option<&dyn Protector>,
    key: &PartitionKey,
    rows: Vec<StoredRow>,
    stamp: Version,
) -> Result<Snapshot> {
    let partition = database.tags.partition(key);
    let mut snapshot = Snapshot { entries: Vec::with_capacity(rows.len()), unreadable: Vec::new(), stamp };
    for row in rows {
        match row.open(protector, key, |entry| row.is_of(entry, &database.tags, partition)) {
            Ok(stored) => snapshot.entries.push(stored),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                snapshot.unreadable.push(unreadable_id(row.kind, &row.tag));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(snapshot)
}
