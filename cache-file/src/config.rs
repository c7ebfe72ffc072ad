//! How a file store is set up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Documents, Error, ErrorKind, Profile, Protection, Protector, Result};

use crate::folder::Folder;
use crate::inner::{Home, Inner};
use crate::layout::Place;
use crate::presets::{Machine, Preset, ProductCache};
use crate::sharing::Sharing;
use crate::store::FileStore;

impl FileStore {
    /// One shared cache in the file `path`. Any partition but [`PartitionKey::Shared`](cache_core::PartitionKey::Shared) is `InvalidInput`.
    ///
    /// Folders that are missing are made at the first write, for their owner only.
    pub fn at(path: impl AsRef<Path>) -> FileStoreBuilder {
        FileStoreBuilder::new(path.as_ref(), false)
    }

    /// A file per partition in the folder `dir`, under names that do not tell whose they are.
    pub fn in_dir(dir: impl AsRef<Path>) -> FileStoreBuilder {
        FileStoreBuilder::new(dir.as_ref(), true)
    }

    /// The plaintext cache of a product on this machine, **read-only** until
    /// [`read_only(false)`](FileStoreBuilder::read_only) is said. Holds the shared partition.
    ///
    /// `Unsupported`: the product keeps its cache in something else than a plaintext file on this platform; the message
    /// says in what. `Unavailable`: the user's home folder is not known.
    pub fn preset(preset: Preset) -> Result<FileStoreBuilder> {
        preset.on(&Machine::here())?.store()
    }
}

impl ProductCache {
    /// A [`FileStore`] over the file, plaintext and read-only until
    /// [`read_only(false)`](FileStoreBuilder::read_only) is said;
    /// [shared with MSAL](FileStoreBuilder::shared_with_msal) then.
    ///
    /// `Unsupported`: on this platform no library keeps the cache in a plaintext file; the message says what they use.
    pub fn store(&self) -> Result<FileStoreBuilder> {
        if self.may_be_plaintext() {
            let store = FileStoreBuilder::new(self.path(), false).plaintext().read_only(true).product(self.clone());
            return Ok(store.shared_with_msal().absence_is_sign_out(!self.may_restore_missing()));
        }
        let message = format!(
            "the cache of {} ({}) is {}, which this store does not open; use a program of that product to read it",
            self.preset().product(),
            self.preset(),
            self.wrapped_in()
        );
        Err(Error::new(ErrorKind::Unsupported, message).in_store(crate::NAME))
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
    sharing: Option<Sharing>,
    profile: Profile,
    read_only: bool,
    product: Option<ProductCache>,
}

impl FileStoreBuilder {
    pub(crate) fn new(path: &Path, is_folder: bool) -> Self {
        Self {
            path: path.to_owned(),
            is_folder,
            protection: None,
            lock_wait: Duration::from_secs(10),
            migrate_plaintext: false,
            sharing: None,
            profile: Profile::default(),
            read_only: false,
            product: None,
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

    /// Shares the file with programs that use the MSAL libraries of other languages, and makes good what they do to our
    /// entries: see [Sharing with MSAL libraries](crate#sharing-with-msal-libraries). For [`FileStore::at`] only.
    pub fn shared_with_msal(mut self) -> Self {
        self.sharing.get_or_insert_default();
        self
    }

    /// Whether a copy of the last good document is kept beside a [shared](Self::shared_with_msal) file, to make good
    /// damage to all entries, not to ours of the last minutes alone; on if nothing is said. The copy holds tokens, under
    /// the protection of the cache itself.
    ///
    /// Shares the file if it was not shared yet.
    pub fn last_good_copy(mut self, keep: bool) -> Self {
        self.sharing.get_or_insert_default().keeps_copy = keep;
        self
    }

    /// Whether a [shared](Self::shared_with_msal) file that is gone means that everybody was signed out, as it does where
    /// Azure CLI logs out; off if nothing is said, by which our entries come back when somebody writes the file again.
    ///
    /// Shares the file if it was not shared yet.
    pub fn absence_is_sign_out(mut self, is: bool) -> Self {
        self.sharing.get_or_insert_default().absence_is_sign_out = is;
        self
    }

    /// The form in which documents are written: what the libraries that share the file can bear. Without it: as they are;
    /// a [preset](FileStore::preset) has the form of the libraries that take part.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Whether the store writes nothing at all: no lock file, no folder, no corrected mode. Off if nothing is said, except
    /// for a [preset](FileStore::preset).
    ///
    /// Every write, a lease included, is `Denied`. A read takes no lock: a document that another program is writing is
    /// looked at for up to a second, then what is there counts.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// The cache is this product's.
    pub(crate) fn product(mut self, product: ProductCache) -> Self {
        self.profile = product.profile();
        self.product = Some(product);
        self
    }

    /// The store. Touches no file yet.
    ///
    /// `InvalidInput`: no protection was chosen, no file can have this path, or a folder of partitions is to be shared
    /// with MSAL libraries, which know no such folders.
    pub fn build(self) -> Result<FileStore> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message).in_store(crate::NAME);
        let Some(protection) = self.protection else {
            return Err(invalid(
                "no protection was chosen: call `protector` with a key to encrypt the files, or `plaintext` to leave \
                 them readable to whoever can open them"
                    .to_owned(),
            ));
        };
        if self.is_folder && self.sharing.is_some() {
            return Err(invalid(
                "the MSAL libraries of other languages share single files: give the path of one by `FileStore::at`"
                    .to_owned(),
            ));
        }
        // A change of the working directory must not lead to another cache.
        let path = std::path::absolute(&self.path)
            .map_err(|error| invalid(format!("{} cannot be a path: {error}", self.path.display())))?;
        let home = if self.is_folder {
            Home::Folder(Folder::new(&path).map_err(|error| error.in_store(crate::NAME))?)
        } else {
            Home::File(Arc::new(Place::new(&path, None).map_err(|error| error.in_store(crate::NAME))?))
        };
        let inner = Inner::new(path, home, protection, self.lock_wait, self.migrate_plaintext, self.sharing);
        Ok(FileStore::new(inner.in_form_of(self.profile).of_product(self.product).read_only(self.read_only)))
    }

    /// The store as a [`CacheStore`](cache_core::CacheStore), ready for use. Errors as [`build`](Self::build).
    pub fn open(self) -> Result<Documents<FileStore>> {
        let profile = self.profile;
        Ok(Documents::new(self.build()?).with_profile(profile))
    }
}
