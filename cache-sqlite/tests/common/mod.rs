//! What the tests of this crate share.
// Each test program uses a part of it.
#![allow(dead_code)]

pub(crate) mod slow;
pub(crate) mod users;

use std::ffi::OsString;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Error, PartitionKey, Protector, Result};
use cache_crypto::{Envelope, Key};
use cache_sqlite::{SqliteStore, SqliteStoreBuilder};
use cache_testkit::folder::{self, text};
use cache_testkit::promises::say;
use rusqlite::{Connection, OpenFlags};

pub(crate) const SHARED: PartitionKey = PartitionKey::Shared;

/// A temporary folder for a database.
pub(crate) struct Folder(folder::Folder);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(folder::Folder::new())
    }

    pub(crate) fn in_memory() -> Self {
        Self(folder::Folder::in_memory())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("tokens.db")
    }

    /// The same as text, for the arguments of a worker.
    pub(crate) fn argument(&self) -> String {
        text(&self.database())
    }

    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.database(), suffix)
    }

    pub(crate) fn at(&self) -> SqliteStoreBuilder {
        SqliteStore::at(self.database())
    }

    pub(crate) fn plaintext(&self) -> SqliteStore {
        self.at().plaintext().open().expect("a usable path")
    }

    pub(crate) fn protected(&self) -> SqliteStore {
        self.at().protector(protector()).open().expect("a usable path")
    }

    /// Deletes the database and what belongs to it, whether or not somebody has it open.
    pub(crate) fn delete_database(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.beside(suffix));
        }
    }
}

impl Deref for Folder {
    type Target = folder::Folder;

    fn deref(&self) -> &folder::Folder {
        &self.0
    }
}

/// The path of what lies beside a database: `-wal`, `-shm`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(suffix);
    path.into()
}

pub(crate) fn protector() -> Arc<dyn Protector> {
    protector_of(7)
}

pub(crate) fn protector_of(seed: u8) -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::from_bytes(&[seed; Key::LEN])))
}

/// A store at `path`, protected and with as much patience as a loaded machine needs.
pub(crate) fn patient(path: &str) -> SqliteStore {
    let store = SqliteStore::at(path).protector(protector()).lock_wait(Duration::from_secs(60));
    store.open().expect("a usable path")
}

/// A connection past the store.
pub(crate) fn connection(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).expect("a database is there");
    connection.busy_timeout(Duration::from_secs(60)).expect("set");
    connection
}

/// How many rows the table has.
pub(crate) fn rows(path: &Path, table: &str) -> usize {
    let count = connection(path).query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get::<_, i64>(0));
    usize::try_from(count.expect("a sound database")).expect("no less than none")
}

/// Alters the entry that was added last, past the store, as a failing disk may.
pub(crate) fn damage_last_entry(path: &Path) {
    let sql = "UPDATE entry SET value = CAST(substr(value, 1, length(value) - 2) || x'0102' AS BLOB)
               WHERE id = (SELECT max(id) FROM entry)";
    assert_eq!(connection(path).execute(sql, ()).expect("a sound database"), 1);
}

/// What SQLite says of every page and every index.
pub(crate) fn integrity(path: &Path) -> String {
    let connection = connection(path);
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut check = connection.prepare("PRAGMA integrity_check")?;
        check.query_map((), |row| row.get(0))?.collect()
    };
    check().map_or_else(|error| error.to_string(), |lines| lines.join("\n"))
}

pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.expect_err("this must not succeed")
}

/// Whether `strace` is there and may trace. Where it is not, that is said, and with `CI` set it is a failure.
pub(crate) fn can_trace() -> bool {
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let can_trace = command.status().is_ok_and(|status| status.success());
    if !can_trace {
        assert!(std::env::var_os("CI").is_none(), "strace is missing, or may not trace");
        say("strace is missing, or may not trace: this test shows nothing");
    }
    can_trace
}
