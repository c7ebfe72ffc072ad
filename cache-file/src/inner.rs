//! What all clones of a store share.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cache_core::{
    Blob, Consequence, Error, ErrorKind, Objection, Peer, Profile, Protection, Reason, Result, UnifiedDocument, Version,
};

use crate::folder::Folder;
use crate::last::Last;
use crate::layout::Place;
use crate::notes::{Note, Notes};
use crate::presets::ProductCache;
use crate::replace::LastSweep;
use crate::sharing::Sharing;
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
    /// The form of what is restored.
    pub(crate) profile: Profile,
    /// Whether nothing may be written, not even a lock file.
    pub(crate) is_read_only: bool,
    /// The product whose cache this is, if it is one's.
    pub(crate) product: Option<ProductCache>,
    /// Whether the user has heard that MSAL.NET deletes the file as it is.
    has_warned_of_hazard: AtomicBool,
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
            profile: Profile::default(),
            is_read_only: false,
            product: None,
            has_warned_of_hazard: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            last_sweep: LastSweep::default(),
            last: Last::default(),
        }
    }

    /// The same store, whose documents have this form.
    pub(crate) fn in_form_of(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// The same store of a product's cache.
    pub(crate) fn of_product(self, product: Option<ProductCache>) -> Self {
        Self { product, ..self }
    }

    /// The same store, for reading only or not.
    pub(crate) fn read_only(self, is_read_only: bool) -> Self {
        Self { is_read_only, ..self }
    }

    /// `Denied` if the store is read-only. Every operation that writes begins with this.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if !self.is_read_only {
            return Ok(());
        }
        let whose = self.product.as_ref().map(|product| format!(", which {} uses", product.preset().product()));
        let message = format!(
            "the store of {}{} is read-only; to write it all the same, say `read_only(false)` when it is opened",
            self.path.display(),
            whose.unwrap_or_default()
        );
        Err(Error::new(ErrorKind::Denied, message))
    }

    /// Notes, once for each store, that MSAL.NET would delete the file for what is in it.
    pub(crate) fn note_hazard(&self, place: &Place, document: Option<&Blob>, notes: &Notes) {
        let has_dotnet = self.product.as_ref().is_some_and(|product| product.has(Peer::DotNet));
        if !has_dotnet || self.protection.is_protected() || self.has_warned_of_hazard.load(Ordering::Relaxed) {
            return;
        }
        let Some(document) = document.and_then(|document| UnifiedDocument::parse(document).ok()) else { return };
        let objections = Profile::shared_with([Peer::DotNet]).objections(&document);
        let deletes = objections.iter().filter(|known| known.consequence() == Consequence::DeletesCache);
        let reasons: BTreeSet<Reason> = deletes.map(Objection::reason).collect();
        if !reasons.is_empty() {
            self.has_warned_of_hazard.store(true, Ordering::Relaxed);
            notes.add(Note::Hazard { path: place.path.clone(), reasons });
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
