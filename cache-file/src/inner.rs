//! What all clones of a store share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cache_core::{Result, Version};

use crate::folder::Folder;
use crate::journal::Sharing;
use crate::last::Last;
use crate::layout::Place;
use crate::protection::Protection;
use crate::replace::LastSweep;
use crate::stamp::{FileTime, Stat};

/// What all clones of a store share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) home: Home,
    pub(crate) protection: Protection,
    pub(crate) lock_wait: Duration,
    pub(crate) migrate_plaintext: bool,
    /// `Some`: careless writers share the cache.
    pub(crate) sharing: Option<Sharing>,
    /// Whether the user has heard that the folder is group-writable.
    pub(crate) has_warned: AtomicBool,
    pub(crate) last_sweep: LastSweep,
    pub(crate) last: Last,
}

/// Where the partitions are.
#[derive(Debug)]
pub(crate) enum Home {
    /// The shared partition alone, in this file.
    File(Arc<Place>),
    /// Any partition, each in a file of its own.
    Folder(Folder),
}

impl Inner {
    pub(crate) fn new(
        path: PathBuf,
        home: Home,
        protection: Protection,
        lock_wait: Duration,
        migrate_plaintext: bool,
        sharing: Option<Sharing>,
    ) -> Self {
        Self {
            path,
            home,
            protection,
            lock_wait,
            migrate_plaintext,
            sharing,
            has_warned: AtomicBool::new(false),
            last_sweep: LastSweep::default(),
            last: Last::default(),
        }
    }

    /// One stat, nothing else.
    pub(crate) fn stamp_at(&self, place: &Place) -> Result<Option<Version>> {
        Ok(place.stat()?.filter(|stat| self.holds_something(stat)).map(|stat| stat.version(FileTime::now())))
    }

    /// A plaintext file without a byte in it is as good as none: MSAL Node makes one when it starts.
    pub(crate) fn holds_something(&self, stat: &Stat) -> bool {
        stat.size > 0 || self.protection.is_protected()
    }
}
