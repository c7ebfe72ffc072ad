//! How a SQLite store is set up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Error, ErrorKind, Protection, Protector, Result, SystemClock};

use crate::place::Place;
use crate::settings::{Durability, Settings};
use crate::store::SqliteStore;

impl SqliteStore {
    /// All partitions in the database `path`. Nothing is opened yet.
    ///
    /// The database, and folders that are missing, are made at the first write, for their owner only. SQLite keeps two more
    /// files beside it while it is open, `-wal` and `-shm`; they belong to it, the first of them with its content.
    pub fn at(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder {
            path: path.as_ref().to_owned(),
            protection: None,
            durability: Durability::default(),
            lock_wait: Duration::from_secs(10),
            most_entries: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Sets up a [`SqliteStore`]; begin with [`SqliteStore::at`].
///
/// Protection has no default: choose [`protector`](Self::protector) or [`plaintext`](Self::plaintext).
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until the store is opened"]
pub struct SqliteStoreBuilder {
    path: std::path::PathBuf,
    protection: Option<Protection>,
    durability: Durability,
    lock_wait: Duration,
    most_entries: Option<usize>,
    clock: Arc<dyn Clock>,
}

impl SqliteStoreBuilder {
    /// Protects each entry, and the name of each partition, with `protector`. Replaces an earlier choice.
    pub fn protector(mut self, protector: Arc<dyn Protector>) -> Self {
        self.protection = Some(Protection::Protected(protector));
        self
    }

    /// Keeps the entries in plaintext. Replaces an earlier choice.
    pub fn plaintext(mut self) -> Self {
        self.protection = Some(Protection::Plaintext);
        self
    }

    /// What a commit that has returned survives; [`Durability::Full`] if nothing is said.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long an operation waits for another process that writes before it fails with `Busy`; 10 s if nothing is said.
    /// Readers and writers do not wait for each other.
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How many entries a partition may have before a commit evicts access tokens, those first that expire first; as many
    /// as there are if nothing is said. What the commit itself writes stays, and entries of other kinds always do:
    /// a partition of refresh tokens alone may grow beyond it.
    pub fn most_entries(mut self, entries: usize) -> Self {
        self.most_entries = Some(entries);
        self
    }

    /// The clock that merging takes no entry to be newer than. Without it: the computer's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The store. Opens no file yet.
    ///
    /// `InvalidInput`: no protection was chosen, or no file can have this path.
    pub fn open(self) -> Result<SqliteStore> {
        let named = |error: Error| error.in_store(crate::NAME);
        let Some(protection) = self.protection else {
            let message = "no protection was chosen: call `protector` with a key to encrypt the entries, or `plaintext` to \
                           leave them readable to whoever can open the database";
            return Err(named(Error::new(ErrorKind::InvalidInput, message)));
        };
        let place = Place::new(&self.path).map_err(named)?;
        let Self { durability, lock_wait, most_entries, clock, .. } = self;
        Ok(SqliteStore::new(place, Settings { protection, durability, lock_wait, most_entries, clock }))
    }
}
