//! What the user should hear of. Events go to `tracing` when the lock is free again: their subscribers are the
//! caller's code, and no code of the caller's runs under the lock.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use cache_core::{Error, Reason};

/// Collects notes, and hands them to `tracing` when it is dropped. Make it before the lock is taken.
#[derive(Debug, Default)]
pub(crate) struct Notes(RefCell<Vec<Note>>);

/// One thing that the user should hear of.
#[derive(Debug)]
pub(crate) enum Note {
    /// Others could open the file; now only its owner can.
    Tightened { path: PathBuf, mode: u32 },
    /// Others can open the file, and its mode cannot be changed, or must not be by a read-only store.
    Wide { path: PathBuf, mode: u32 },
    /// Members of its group may put files into the folder.
    GroupWritable { path: PathBuf },
    /// The document is damaged; a read has answered what is left of it.
    Salvaged { path: PathBuf },
    /// The document was damaged; a write has moved it aside and gone on with what was left of it.
    SetAside { path: PathBuf, aside: PathBuf },
    /// A plaintext document stands where a protected one belongs, and was read since the caller allows it.
    Plaintext { path: PathBuf },
    /// MSAL.NET shares the cache, and deletes a file with this in it.
    Hazard { path: PathBuf, reasons: BTreeSet<Reason> },
    /// The lock of a dead process was removed.
    LockRecovered { path: PathBuf, pid: Option<u32> },
    /// Other programs had dropped entries of ours; they are back.
    PutBack { path: PathBuf, entries: usize },
    /// The cache was wiped by damage; these entries came from the last good copy.
    Restored { path: PathBuf, entries: usize },
    /// Other programs had brought back what was signed out; it is gone again.
    RemovedAgain { path: PathBuf, entries: usize },
    /// What is missing could not be put back for now.
    NotPutBack { path: PathBuf, error: Error },
    /// The journal beside the cache cannot be read, and counts as empty.
    JournalUnreadable { path: PathBuf, error: Error },
    /// Somebody removed the lock file of this process, or wrote in spite of it; the change is made again.
    Disturbed { path: PathBuf },
}

impl Notes {
    pub(crate) fn add(&self, note: Note) {
        self.0.borrow_mut().push(note);
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        for note in self.0.take() {
            note.emit();
        }
    }
}

impl Note {
    fn emit(self) {
        match self {
            Self::Tightened { path, mode } => tracing::warn!(
                path = %path.display(),
                mode = %format_args!("{mode:04o}"),
                "others could open this file; its mode is 0600 now"
            ),
            Self::Wide { path, mode } => tracing::warn!(
                path = %path.display(),
                mode = %format_args!("{mode:04o}"),
                "others can open this file, and its mode stays as it is; take their rights away (chmod 600)"
            ),
            Self::GroupWritable { path } => tracing::warn!(
                path = %path.display(),
                "members of its group may put files into the folder of the cache; take that right away (chmod g-w)"
            ),
            Self::Salvaged { path } => tracing::warn!(
                path = %path.display(),
                "the cache file is damaged; what is left of it is used, and the next write repairs it"
            ),
            Self::SetAside { path, aside } => tracing::warn!(
                path = %path.display(),
                aside = %aside.display(),
                "the cache file was damaged; it was moved aside, and what was left of it written anew"
            ),
            Self::Plaintext { path } => tracing::warn!(
                path = %path.display(),
                "the cache file is plaintext; it is read once for migration, and the next write protects it"
            ),
            Self::Hazard { path, reasons } => {
                let reasons: Vec<String> = reasons.iter().map(Reason::to_string).collect();
                tracing::warn!(
                    path = %path.display(),
                    "MSAL.NET shares this cache and deletes it as it is, for {}; give applications and users caches of \
                     their own",
                    reasons.join(", ")
                );
            }
            Self::LockRecovered { path, pid } => tracing::info!(
                path = %path.display(),
                pid,
                "removed the lock file of a process that is dead"
            ),
            Self::PutBack { path, entries } => tracing::info!(
                path = %path.display(),
                entries,
                "another program had dropped entries of this one from the cache; they are back"
            ),
            Self::Restored { path, entries } => tracing::warn!(
                path = %path.display(),
                entries,
                "another program has emptied or damaged the cache; its entries were restored from the last good copy"
            ),
            Self::RemovedAgain { path, entries } => tracing::info!(
                path = %path.display(),
                entries,
                "another program had brought back entries of an account that was signed out; they are gone again"
            ),
            Self::NotPutBack { path, error } => tracing::warn!(
                path = %path.display(),
                %error,
                "entries that another program has dropped from the cache could not be put back; the next look tries again"
            ),
            Self::JournalUnreadable { path, error } => tracing::warn!(
                path = %path.display(),
                %error,
                "the journal beside the cache cannot be read; what other programs have dropped is not put back"
            ),
            Self::Disturbed { path } => tracing::debug!(
                path = %path.display(),
                "another program changed the cache or its lock file meanwhile; the change is merged again"
            ),
        }
    }
}
