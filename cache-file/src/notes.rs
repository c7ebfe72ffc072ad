//! What the user should hear of. Events go to `tracing` when the lock is free again: their subscribers are the
//! caller's code, and no code of the caller's runs under the lock.

use std::cell::RefCell;
use std::path::PathBuf;

/// Collects notes, and hands them to `tracing` when it is dropped. Make it before the lock is taken.
#[derive(Debug, Default)]
pub(crate) struct Notes(RefCell<Vec<Note>>);

/// One thing that the user should hear of.
#[derive(Debug)]
pub(crate) enum Note {
    /// Others could open the file; now only its owner can.
    Tightened { path: PathBuf, mode: u32 },
    /// Others can open the file, and its mode cannot be changed.
    Wide { path: PathBuf, mode: u32 },
    /// Members of its group may put files into the folder.
    GroupWritable { path: PathBuf },
    /// The document is damaged; a read has answered what is left of it.
    Salvaged { path: PathBuf },
    /// The document was damaged; a write has moved it aside and gone on with what was left of it.
    SetAside { path: PathBuf, aside: PathBuf },
    /// A plaintext document stands where a protected one belongs, and was read since the caller allows it.
    Plaintext { path: PathBuf },
    /// The lock of a dead process was removed.
    LockRecovered { path: PathBuf, pid: Option<u32> },
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
                "others can open this file, and its mode cannot be changed"
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
            Self::LockRecovered { path, pid } => tracing::info!(
                path = %path.display(),
                pid,
                "removed the lock file of a process that is dead"
            ),
            Self::Disturbed { path } => tracing::debug!(
                path = %path.display(),
                "another program changed the cache or its lock file meanwhile; the change is merged again"
            ),
        }
    }
}
