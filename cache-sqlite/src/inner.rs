//! The store behind its handles: the database that is open now, and whether it is still the one at the path.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use cache_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

use crate::database::Database;
use crate::place::Place;
use crate::settings::Settings;
use crate::{NAME, connection, layout};

/// The store behind its handles.
pub(crate) struct Inner {
    pub(crate) place: Place,
    pub(crate) settings: Settings,
    open: RwLock<Option<Arc<Database>>>,
    began: Instant,
    /// When the path was last looked at, in milliseconds since `began`.
    looked: AtomicU64,
}

/// So long a reader relies on the path: a database that was deleted or replaced is noticed after it.
const RELIED_UPON: Duration = Duration::from_secs(1);

impl Inner {
    pub(crate) fn new(place: Place, settings: Settings) -> Self {
        Self { place, settings, open: RwLock::default(), began: Instant::now(), looked: AtomicU64::new(0) }
    }

    /// Calls `read` with the database; `None`: there is none, and so nothing is stored.
    ///
    /// If it fails because another database, or none, is at the path by now, it is called again.
    pub(crate) fn read<R>(&self, mut read: impl FnMut(&Database) -> Result<R>) -> Result<Option<R>> {
        let mut failed = None;
        let mut found = self.ready();
        loop {
            let database = match found.take() {
                Some(database) => database,
                None => match self.present()? {
                    Some(database) => database,
                    None => return Ok(None),
                },
            };
            let done = read(&database);
            let mut is_last = || failed.get_or_insert_with(Instant::now).elapsed() > self.settings.lock_wait;
            if done.is_ok() || is_last() || self.place.id()? == Some(database.file) {
                return done.map(Some);
            }
        }
    }

    /// Calls `look` with a connection on the database, for what needs no key; `None`: there is none.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Connection) -> Result<R>) -> Result<Option<R>> {
        if self.place.look()?.is_none() {
            return Ok(None);
        }
        let Settings { durability, lock_wait, .. } = self.settings;
        let opened = connection::open(&self.place.path, durability, lock_wait);
        let connection = opened.map_err(|error| self.place.judge(error))?;
        layout::owner(&connection)?;
        look(&connection).map(Some)
    }

    /// Calls `write` with the database, which is made if there is none.
    ///
    /// If it fails because another database, or none, is at the path by now, it is called again.
    pub(crate) fn write<R>(&self, mut write: impl FnMut(&Database) -> Result<R>) -> Result<R> {
        let began = Instant::now();
        loop {
            // A transaction looks at the path in any case.
            let found = match self.ready() {
                Some(database) => Some(database),
                None => self.present()?,
            };
            let Some(database) = found else {
                Database::create(&self.place, &self.settings)?;
                continue;
            };
            let done = write(&database);
            if done.is_ok() || self.place.id()? == Some(database.file) {
                return done;
            }
            self.forget();
            if began.elapsed() > self.settings.lock_wait {
                return Err(restless());
            }
        }
    }

    /// The database that is open, if its path was looked at not long ago. Waits for nobody: opening one may take long.
    pub(crate) fn ready(&self) -> Option<Arc<Database>> {
        let since = self.elapsed().saturating_sub(self.looked.load(Ordering::Relaxed));
        if Duration::from_millis(since) > RELIED_UPON {
            return None;
        }
        match self.open.try_read() {
            Ok(open) => open.clone(),
            Err(TryLockError::Poisoned(open)) => open.into_inner().clone(),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The database at the path, opened if it is not; `None`: there is none.
    pub(crate) fn present(&self) -> Result<Option<Arc<Database>>> {
        let looked = self.elapsed();
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(database) = open
            && self.place.id()? == Some(database.file)
        {
            self.looked.store(looked, Ordering::Relaxed);
            return Ok(Some(database));
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have opened it meanwhile.
        let there = self.place.id()?;
        if open.as_ref().is_none_or(|database| Some(database.file) != there) {
            *open = None;
            *open = Database::open(&self.place, &self.settings)?;
        }
        self.looked.store(looked, Ordering::Relaxed);
        Ok(open.clone())
    }

    /// Closes the database as soon as nobody uses it any more.
    pub(crate) fn forget(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn restless() -> Error {
    Error::new(ErrorKind::Busy, "the database is replaced again and again; look for the program that does it")
}

pub(crate) fn named(error: Error) -> Error {
    if error.store().is_some() { error } else { error.in_store(NAME) }
}
