//! One connection to the database, set up the same everywhere.

use std::path::Path;
use std::time::Duration;

use cache_core::Result;
use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, OpenFlags, Params, Row};

use crate::error::of_sqlite;
use crate::patience::Patience;
use crate::settings::Durability;

/// How many prepared statements a connection keeps: more than there are.
const STATEMENTS: usize = 64;

/// Opens an existing database. What it holds has not been looked at yet.
pub(crate) fn open(path: &Path, durability: Durability, wait: Duration) -> Result<Connection> {
    // Without a mutex of SQLite's own: each connection stands in one of ours.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opening = |error| of_sqlite("opening the database", error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(opening)?;
    set_up(&mut connection, durability, wait).map_err(opening)?;
    Ok(connection)
}

fn set_up(connection: &mut Connection, durability: Durability, wait: Duration) -> rusqlite::Result<()> {
    let mut patience = Patience::new(wait);
    connection.busy_handler(Some(move |calls| {
        if calls == 0 {
            patience = Patience::new(wait);
        }
        patience.is_left()
    }))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // The file may be somebody else's making: no SQL of its own runs, and what does not fit its format is an error.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // What is deleted is overwritten, and no file but the database and its log ever holds a row.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The log does not stay as long as its longest transaction was. Well above what it grows to between two checkpoints: a log
    // that is cut off grows again, and each commit would wait for the file system to note that.
    connection.pragma_update(None, "journal_size_limit", 32 << 20)?;
    // In KiB, if negative. The inner pages of a database of a million entries stay in memory.
    connection.pragma_update(None, "cache_size", -16 << 10)?;
    connection.pragma_update(None, "synchronous", durability.pragma())?;
    // The first look into the file, which tells whether it is a database at all.
    connection.pragma_query(None, "schema_version", |_| Ok(()))
}

/// Makes a new, empty database in the empty file `path`: `fill` runs in the transaction that makes the tables.
pub(crate) fn create(path: &Path, fill: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<()> {
    let failed = |error| of_sqlite("making the database", error);
    let mut connection = open(path, Durability::Full, Duration::ZERO)?;
    let make = |connection: &mut Connection| {
        // Before the first page is written.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        let transaction = connection.transaction()?;
        transaction.pragma_update(None, "application_id", crate::layout::APPLICATION_ID)?;
        crate::layout::migrate(&transaction, 0)?;
        fill(&transaction)?;
        transaction.commit()?;
        connection.pragma_update(None, "journal_mode", "WAL")
    };
    make(&mut connection).map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

/// The rows that a statement answers, which stays prepared.
pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(values, read)?.collect()
}

/// A transaction by statements that stay prepared. Dropped without [`commit`](Self::commit), it undoes everything.
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    is_open: bool,
}

impl<'c> Transaction<'c> {
    /// The right to write, at once: what is read in it is what is there when it commits.
    pub(crate) fn write(connection: &'c Connection) -> rusqlite::Result<Self> {
        Self::begin(connection, "BEGIN IMMEDIATE")
    }

    /// One moment of the database for several reads.
    pub(crate) fn read(connection: &'c Connection) -> rusqlite::Result<Self> {
        Self::begin(connection, "BEGIN")
    }

    /// Makes everything durable, as far as the [`Durability`] goes.
    pub(crate) fn commit(mut self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute(())?;
        self.is_open = false;
        Ok(())
    }

    pub(crate) fn prepared(&self, sql: &str) -> rusqlite::Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql)
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.connection
    }

    fn begin(connection: &'c Connection, sql: &str) -> rusqlite::Result<Self> {
        connection.prepare_cached(sql)?.execute(())?;
        Ok(Self { connection, is_open: true })
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // After some errors SQLite has rolled back by itself. What else could fail leaves the transaction open, and then
        // the next one that begins says so.
        if self.is_open && !self.connection.is_autocommit() {
            let _ = self.connection.prepare_cached("ROLLBACK").and_then(|mut rollback| rollback.execute(()));
        }
    }
}
