//! An open database: which file it is, its index key, and its connections.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::{Error, ErrorKind, Protection, Result};
use cache_crypto::rows::{IndexKey, IndexKeyBytes, open_index_key, random, seal_index_key};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension as _};

use crate::NAME;
use crate::connection::{self, Transaction};
use crate::error::of_sqlite;
use crate::layout::{self, Owner};
use crate::patience::Patience;
use crate::place::{FileId, Place};
use crate::readers::Readers;
use crate::settings::Settings;

/// A database that was found at the path and opened. Another file may be there by now.
pub(crate) struct Database {
    pub(crate) file: FileId,
    /// Random, and so unlike that of any other database that was or will be at the path.
    pub(crate) id: [u8; 8],
    pub(crate) tags: IndexKey,
    pub(crate) readers: Readers,
    writer: Mutex<Connection>,
    lock_wait: Duration,
    place: Place,
}

/// The connection that writes, until it is dropped.
pub(crate) struct Writer<'d> {
    connection: MutexGuard<'d, Connection>,
    database: &'d Database,
}

/// The one row of `store`.
pub(crate) struct StoreRow {
    pub(crate) id: [u8; 8],
    pub(crate) is_protected: bool,
    /// Sealed by the protector, or as it is in a plaintext store.
    pub(crate) index_key: Vec<u8>,
}

impl Database {
    /// Opens the database at the path; `None`: there is none. One of an older layout is brought to the present one.
    pub(crate) fn open(place: &Place, settings: &Settings) -> Result<Option<Arc<Self>>> {
        let mut patience = Patience::new(settings.lock_wait);
        let (connection, file, row) = loop {
            let Some(file) = place.look()? else { return Ok(None) };
            match open_connection(place, settings) {
                Ok((connection, row)) if place.is_settled(file)? => break (connection, file, row),
                // Another file came to the path meanwhile, or is about to.
                Ok(_) if place.id()? != Some(file) || patience.is_left() => {}
                Ok(_) => {
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        "a recovery of the database was interrupted, and its file has two names; call \
                         `SqliteStore::recover` again, or delete the copy beside it whose name ends with `.corrupt-` and a \
                         number",
                    ));
                }
                Err(_) if place.id()? != Some(file) => {}
                Err(error) => return Err(error),
            }
        };
        let key = index_key(&row, &settings.protection)?;
        let readers = Readers::new(place.clone(), file, settings.durability, settings.lock_wait);
        Ok(Some(Arc::new(Self {
            file,
            id: row.id,
            tags: IndexKey::new(&key),
            readers,
            writer: Mutex::new(connection),
            lock_wait: settings.lock_wait,
            place: place.clone(),
        })))
    }

    /// Makes a database with a new index key, where there is none.
    pub(crate) fn create(place: &Place, settings: &Settings) -> Result<()> {
        let key = IndexKey::generate()?;
        let row = StoreRow {
            id: new_id()?,
            is_protected: settings.protection.is_protected(),
            index_key: seal_index_key(NAME, &key, &settings.protection)?,
        };
        place.create(settings.lock_wait, |path| make(path, &row))
    }

    /// The connection that writes. One thread at a time; other processes wait at `BEGIN IMMEDIATE`.
    /// `Busy`: not had within the lock wait, as many threads as there may be in front.
    pub(crate) fn writer(&self) -> Result<Writer<'_>> {
        // A wait beyond what the clock can tell has no end.
        let connection = match Instant::now().checked_add(self.lock_wait) {
            Some(deadline) => self.writer.try_lock_until(deadline),
            None => Some(self.writer.lock()),
        };
        let Some(connection) = connection else {
            let message = "other threads of this process have been writing for longer than the lock wait; try again";
            return Err(Error::new(ErrorKind::Busy, message));
        };
        // A transaction that panicked has rolled back, or the next one to begin fails.
        Ok(Writer { connection, database: self })
    }
}

impl Writer<'_> {
    /// Begins a transaction that writes. `Unavailable`: another database, or none, is at the path by now; nothing that is
    /// written to this one would be found again.
    ///
    /// Whoever replaces a database has the right to write to it meanwhile. So what is committed after this look was there
    /// before the other database was, and is in it as far as anything is.
    pub(crate) fn begin(&self, action: &str) -> Result<Transaction<'_>> {
        let transaction = Transaction::write(self).map_err(|error| of_sqlite(action, error))?;
        if self.database.place.id()? != Some(self.database.file) {
            let message = "another database has taken the place of this one; try again";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(transaction)
    }
}

impl Deref for Writer<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl StoreRow {
    /// `None`: there is no row, or it is none of ours.
    pub(crate) fn read(connection: &Connection) -> Result<Option<Self>> {
        let found = connection
            .query_row("SELECT id, protected, index_key FROM store", (), |row| {
                Ok(Self { id: row.get(0)?, is_protected: row.get(1)?, index_key: row.get(2)? })
            })
            .optional();
        found.map_err(|error| of_sqlite("reading the head of the database", error))
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT INTO store (one, id, protected, index_key) VALUES (1, ?1, ?2, ?3)
                   ON CONFLICT (one) DO UPDATE SET protected = excluded.protected, index_key = excluded.index_key";
        connection.execute(sql, (self.id, self.is_protected, &self.index_key)).map(drop)
    }
}

/// Makes a database of this row in the empty file `path`.
pub(crate) fn make(path: &Path, row: &StoreRow) -> Result<()> {
    connection::create(path, |connection| row.write(connection))
}

/// A random id for a new database.
pub(crate) fn new_id() -> Result<[u8; 8]> {
    let mut id = [0; 8];
    random(&mut id)?;
    Ok(id)
}

/// The index key of the database. Errors as [`open_index_key`] has.
pub(crate) fn index_key(row: &StoreRow, protection: &Protection) -> Result<IndexKeyBytes> {
    open_index_key(NAME, &row.index_key, row.is_protected, protection)
}

fn open_connection(place: &Place, settings: &Settings) -> Result<(Connection, StoreRow)> {
    let opened = connection::open(&place.path, settings.durability, settings.lock_wait);
    let connection = opened.map_err(|error| place.judge(error))?;
    let row = prepare(&connection)?;
    Ok((connection, row))
}

/// Looks at whose database it is, and brings it to the present layout.
pub(crate) fn prepare(connection: &Connection) -> Result<StoreRow> {
    if let Owner::Older(_) = layout::owner(connection)? {
        let failed = |error| of_sqlite("bringing the database to the present layout", error);
        let transaction = Transaction::write(connection).map_err(failed)?;
        // Another process may have done it meanwhile.
        if let Owner::Older(version) = layout::owner(connection)? {
            layout::migrate(connection, version).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
    }
    StoreRow::read(connection)?
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the head of the database is damaged: its one row is missing"))
}
