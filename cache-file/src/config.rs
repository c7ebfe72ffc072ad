//! How a file store is set up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Documents, Error, ErrorKind, Protector, Result};

use crate::layout::Place;
use crate::names::Folder;
use crate::store::{FileStore, Home, Inner};

/// How the files of a store are protected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Protection {
    /// Not at all, beyond the mode of the files: whoever can read them has the tokens. The MSAL libraries can share
    /// the file.
    Plaintext,
    /// By this protector: the files are of no use without its key.
    Protected(Arc<dyn Protector>),
}

impl Protection {
    /// `plaintext` or `protected`, for people to read.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Protected(_) => "protected",
        }
    }

    /// Whether a key is needed to read the files.
    pub fn is_protected(&self) -> bool {
        matches!(self, Self::Protected(_))
    }
}

/// Sets up a [`FileStore`]; begin with [`FileStore::at`] or [`FileStore::in_dir`].
///
/// Protection has no default: choose [`protector`](Self::protector) or [`plaintext`](Self::plaintext).
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built or opened"]
pub struct FileStoreBuilder {
    path: PathBuf,
    is_folder: bool,
    protection: Option<Protection>,
    lock_wait: Duration,
    migrate_plaintext: bool,
}

impl FileStoreBuilder {
    pub(crate) fn new(path: &Path, is_folder: bool) -> Self {
        Self {
            path: path.to_owned(),
            is_folder,
            protection: None,
            lock_wait: Duration::from_secs(10),
            migrate_plaintext: false,
        }
    }

    /// Protects the files with `protector`. Replaces an earlier choice.
    pub fn protector(mut self, protector: Arc<dyn Protector>) -> Self {
        self.protection = Some(Protection::Protected(protector));
        self
    }

    /// Keeps the files in plaintext, as the MSAL libraries of other languages do on Linux. Replaces an earlier choice.
    pub fn plaintext(mut self) -> Self {
        self.protection = Some(Protection::Plaintext);
        self
    }

    /// How long an operation waits for the lock of a file before it fails with `Busy`; 10 s if nothing is said.
    ///
    /// MSAL.NET polls each 100 ms and holds the lock over every access of its own, so waits of some seconds are normal
    /// beside many busy processes.
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Whether a plaintext document is read where a protected one belongs; off if nothing is said.
    ///
    /// For moving an existing cache under protection: the next write protects it. Switch it off afterwards, since as
    /// long as it is on, whoever can write the file can make this store read tokens of theirs.
    pub fn migrate_plaintext(mut self, migrate: bool) -> Self {
        self.migrate_plaintext = migrate;
        self
    }

    /// The store. Touches no file yet.
    ///
    /// `InvalidInput`: no protection was chosen, or no file can have this path.
    pub fn build(self) -> Result<FileStore> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message).in_store(crate::NAME);
        let Some(protection) = self.protection else {
            return Err(invalid(
                "no protection was chosen: call `protector` with a key to encrypt the files, or `plaintext` to leave \
                 them readable to whoever can open them"
                    .to_owned(),
            ));
        };
        // A change of the working directory must not lead to another cache.
        let path = std::path::absolute(&self.path)
            .map_err(|error| invalid(format!("{} cannot be a path: {error}", self.path.display())))?;
        let home = if self.is_folder {
            Home::Folder(Folder::new(&path).map_err(|error| error.in_store(crate::NAME))?)
        } else {
            Home::File(Arc::new(Place::new(&path, None).map_err(|error| error.in_store(crate::NAME))?))
        };
        Ok(FileStore::new(Inner::new(path, home, protection, self.lock_wait, self.migrate_plaintext)))
    }

    /// The store as a [`CacheStore`](cache_core::CacheStore), ready for use. Errors as [`build`](Self::build).
    pub fn open(self) -> Result<Documents<FileStore>> {
        Ok(Documents::new(self.build()?))
    }
}
