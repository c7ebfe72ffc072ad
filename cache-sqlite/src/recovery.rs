//! A new database out of what can be read of a damaged one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cache_core::{Error, ErrorKind, PartitionKey, Result};
use cache_crypto::rows::{IndexKey, Tag, open_name, seal_index_key};
use rusqlite::{Connection, Row};
use tracing::warn;

use crate::NAME;
use crate::connection::{self, Transaction};
use crate::database::{StoreRow, index_key, new_id, prepare};
use crate::error::of_sqlite;
use crate::inner::{Inner, named};
use crate::layout::{self, Owner};
use crate::patience::Patience;
use crate::row::{StoredRow, select_rows};
use crate::settings::Settings;
use crate::store::SqliteStore;
use crate::verification::problems;

/// What [`SqliteStore::recover`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Where the damaged database is now; `None`: nothing was wrong, and nothing was done.
    pub aside: Option<PathBuf>,
    /// How many entries the new database has of the damaged one.
    pub kept: usize,
    /// How many entries were seen that could not be read. Those that left no trace are not counted.
    pub lost: usize,
}

impl SqliteStore {
    /// Puts a new database in the place of a damaged one, with every entry that can be read still, and moves the damaged one
    /// aside, under the name that it answers. For a database that answers `Corrupt`, or that [`verify`](Self::verify) finds
    /// damaged. Where nothing is wrong, nothing is done.
    ///
    /// Others may go on: what they write while this runs waits for it, and goes to the new database. `Busy`: another process
    /// has been writing, or reading without an end, for longer than the lock wait. `Unsupported`: the file is another
    /// program's, or newer than this one; it stays. Errors about keys: as a read has them; it stays too.
    pub async fn recover(&self) -> Result<Recovered> {
        self.run(|inner| recover(inner).map_err(named)).await
    }
}

fn recover(inner: &Inner) -> Result<Recovered> {
    // Nothing is made where nothing is.
    if inner.place.id()?.is_none() {
        return Ok(Recovered::default());
    }
    let _turn = inner.place.turn(inner.settings.lock_wait)?;
    inner.forget();
    let there = match inner.place.look() {
        Ok(None) => return Ok(Recovered::default()),
        // Empty, for one.
        Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
        looked => looked.is_ok(),
    };
    let damaged = if there { open_damaged(inner)? } else { None };
    // Until the new database is in its place.
    let locked = damaged.as_ref().map(|damaged| lock(inner, damaged)).transpose()?;
    let salvage = match &damaged {
        Some(connection) => Salvage::take(inner, connection)?,
        None => Some(Salvage::nothing(inner)?),
    };
    let Some(salvage) = salvage else { return Ok(Recovered::default()) };
    let (kept, lost) = (salvage.entries.len(), salvage.lost);
    let now = inner.settings.clock.now().to_seconds().0;
    let build = |path: &Path| connection::create(path, |connection| salvage.write(connection));
    let aside = inner.place.replace(now, build)?;
    drop(locked);
    warn!(kept, lost, "a damaged database was moved aside; a new one has what could be read of it");
    Ok(Recovered { aside: Some(aside), kept, lost })
}

/// Keeps others from writing to the damaged database; `None`: its head is too damaged for anybody to begin a write.
fn lock<'c>(inner: &Inner, connection: &'c Connection) -> Result<Option<Transaction<'c>>> {
    let locking = |error| of_sqlite("locking the database", error);
    let transaction = match Transaction::write(connection).map_err(locking) {
        Ok(transaction) => transaction,
        Err(error) if error.kind() == ErrorKind::Busy => return Err(error),
        Err(_) => return Ok(None),
    };
    // Then all that was committed goes into the file itself: the file and its log cannot be moved at one moment, and a
    // process that dies in between must not part them.
    let Settings { durability, lock_wait, .. } = inner.settings;
    let Ok(other) = connection::open(&inner.place.path, durability, lock_wait) else { return Ok(Some(transaction)) };
    let mut patience = Patience::new(lock_wait);
    loop {
        let mut left = 0;
        let folded = other.pragma(None, "wal_checkpoint", "PASSIVE", |row| {
            left = row.get::<_, i64>(1)? - row.get::<_, i64>(2)?;
            Ok(())
        });
        match folded.map_err(locking) {
            Ok(()) if left <= 0 => return Ok(Some(transaction)),
            // The damage is in the way. What the log holds goes aside with it.
            Err(error) if error.kind() != ErrorKind::Busy => return Ok(Some(transaction)),
            _ if patience.is_left() => {}
            _ => {
                let message = "another process has been reading the database for longer than the lock wait; end it, then \
                               try again";
                return Err(Error::new(ErrorKind::Busy, message));
            }
        }
    }
}

/// A connection on the damaged database that keeps others from writing; `None`: it cannot even be opened.
fn open_damaged(inner: &Inner) -> Result<Option<Connection>> {
    let opened = connection::open(&inner.place.path, inner.settings.durability, inner.settings.lock_wait);
    let connection = match opened.map_err(|error| inner.place.judge(error)) {
        Ok(connection) => connection,
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
        Err(error) => return Err(error),
    };
    match layout::owner(&connection) {
        Ok(Owner::Present) => Ok(Some(connection)),
        // Its rows are read in the present layout. Where it cannot be brought to that, all stays as it is.
        Ok(Owner::Older(_)) => match prepare(&connection) {
            Ok(_) => Ok(Some(connection)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        },
        // A head that says nothing sensible of its version may stand before rows that can all be read.
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Some(connection)),
        Err(error) => Err(error),
    }
}

/// What could be read.
struct Salvage {
    store: StoreRow,
    partitions: BTreeMap<i64, (Tag, Vec<u8>)>,
    entries: Vec<SalvagedEntry>,
    leases: Vec<LeaseRow>,
    lost: usize,
}

/// Who holds a lease goes on holding it.
struct LeaseRow {
    tag: Tag,
    fence: i64,
    holder: Option<Tag>,
    process: Option<i64>,
    taken_at: i64,
    expires_at: i64,
}

impl LeaseRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            tag: row.get(0)?,
            fence: row.get(1)?,
            holder: row.get(2)?,
            process: row.get(3)?,
            taken_at: row.get(4)?,
            expires_at: row.get(5)?,
        })
    }
}

struct SalvagedEntry {
    row: StoredRow,
    partition: i64,
    terms: Vec<u8>,
}

impl Salvage {
    /// Nothing: a new, empty database.
    fn nothing(inner: &Inner) -> Result<Self> {
        let protection = &inner.settings.protection;
        let index_key = seal_index_key(NAME, &IndexKey::generate()?, protection)?;
        let store = StoreRow { id: new_id()?, is_protected: protection.is_protected(), index_key };
        Ok(Self { store, partitions: BTreeMap::new(), entries: Vec::new(), leases: Vec::new(), lost: 0 })
    }

    /// Everything that can be read, while nobody writes; `None`: nothing is wrong.
    fn take(inner: &Inner, connection: &Connection) -> Result<Option<Self>> {
        let store = match StoreRow::read(connection) {
            Ok(Some(store)) => store,
            // Without the index key nothing can be found again.
            Ok(None) => return Self::nothing(inner).map(Some),
            Err(error) if error.kind() == ErrorKind::Corrupt => return Self::nothing(inner).map(Some),
            Err(error) => return Err(error),
        };
        let key = match index_key(&store, &inner.settings.protection) {
            Ok(key) => key,
            Err(error) if error.kind() == ErrorKind::Corrupt => return Self::nothing(inner).map(Some),
            Err(error) => return Err(error),
        };
        let tags = IndexKey::new(&key);
        let is_sound = matches!(layout::owner(connection), Ok(Owner::Present)) && problems(connection)?.is_empty();
        let mut salvage = Self {
            // Stamps of the damaged database must not come back.
            store: StoreRow { id: new_id()?, ..store },
            partitions: partitions(connection),
            entries: Vec::new(),
            leases: readable(
                connection,
                "SELECT tag, fence, holder, process, taken_at, expires_at FROM lease",
                LeaseRow::read,
            ),
            lost: 0,
        };
        salvage.read_entries(inner, &tags, connection)?;
        Ok((!is_sound || salvage.lost > 0).then_some(salvage))
    }

    fn read_entries(&mut self, inner: &Inner, tags: &IndexKey, connection: &Connection) -> Result<()> {
        let protector = inner.settings.protection.protector();
        let mut names: BTreeMap<i64, PartitionKey> = BTreeMap::new();
        for (id, (_, name)) in &self.partitions {
            match open_name(NAME, protector, name) {
                Ok(key) => drop(names.insert(*id, key)),
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        self.partitions.retain(|id, _| names.contains_key(id));
        let sql = select_rows!(", entry.partition, entry.terms FROM entry NOT INDEXED WHERE id = ?1");
        for id in entry_ids(connection) {
            let read = connection.prepare_cached(sql).and_then(|mut sql| {
                sql.query_row((id,), |row| {
                    Ok(SalvagedEntry { row: StoredRow::read(row)?, partition: row.get(8)?, terms: row.get(9)? })
                })
            });
            let is_whole = match &read {
                Ok(entry) => match names.get(&entry.partition) {
                    Some(key) => {
                        match entry.row.open(protector, key, |found| entry.row.is_of(found, tags, tags.partition(key)))
                        {
                            Ok(_) => true,
                            Err(error) if error.kind() == ErrorKind::Corrupt => false,
                            Err(error) => return Err(error),
                        }
                    }
                    None => false,
                },
                Err(_) => false,
            };
            match read {
                Ok(entry) if is_whole => self.entries.push(entry),
                _ => self.lost += 1,
            }
        }
        Ok(())
    }

    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.store.write(connection)?;
        let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for SalvagedEntry { row, partition, terms } in &self.entries {
            // An index of the damaged database may have let an entry stand twice.
            if !seen.insert(row.tag) {
                continue;
            }
            *counts.entry(*partition).or_default() += 1;
            row.insert(connection, *partition, terms)?;
            for term in terms.as_chunks::<16>().0 {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO term (tag, entry) VALUES (?1, ?2)")?
                    .execute((term, row.id))?;
            }
        }
        for (id, entries) in counts {
            let Some((tag, name)) = self.partitions.get(&id) else { continue };
            connection
                .prepare_cached(
                    "INSERT INTO partition (id, tag, generation, entries, name) VALUES (?1, ?2, 1, ?3, ?4)",
                )?
                .execute((id, tag, entries, name))?;
        }
        for LeaseRow { tag, fence, holder, process, taken_at, expires_at } in &self.leases {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO lease (tag, fence, holder, process, taken_at, expires_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute((tag, fence, holder, process, taken_at, expires_at))?;
        }
        Ok(())
    }
}

fn partitions(connection: &Connection) -> BTreeMap<i64, (Tag, Vec<u8>)> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
    ["SELECT id, tag, name FROM partition ORDER BY id", "SELECT id, tag, name FROM partition ORDER BY id DESC"]
        .into_iter()
        .flat_map(|sql| readable(connection, sql, read))
        .collect()
}

/// The numbers of all entries that any way leads to: the table from both ends, and what its indexes know.
fn entry_ids(connection: &Connection) -> BTreeSet<i64> {
    let ways = [
        "SELECT id FROM entry NOT INDEXED ORDER BY id",
        "SELECT id FROM entry NOT INDEXED ORDER BY id DESC",
        "SELECT id FROM entry INDEXED BY sqlite_autoindex_entry_1 ORDER BY tag",
        "SELECT id FROM entry INDEXED BY sqlite_autoindex_entry_1 ORDER BY tag DESC",
        "SELECT id FROM entry INDEXED BY entry_in_partition ORDER BY partition, kind, expires_on",
    ];
    ways.into_iter().flat_map(|sql| readable(connection, sql, |row| row.get(0))).collect()
}

/// The rows up to the first that cannot be read.
fn readable<T>(connection: &Connection, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let Ok(mut sql) = connection.prepare(sql) else { return Vec::new() };
    let Ok(rows) = sql.query_map((), |row| read(row)) else { return Vec::new() };
    rows.map_while(rusqlite::Result::ok).collect()
}
