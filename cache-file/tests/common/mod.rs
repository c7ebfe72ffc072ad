//! What the tests of this crate share.
// Each test program uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cache_core::{Committed, DocumentStore as _, Documents, Edit, Error, PartitionKey, Protector, Result};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;
use cache_testkit::{access_tokens, folder};

pub(crate) const SHARED: PartitionKey = PartitionKey::Shared;

/// A temporary folder for caches.
pub(crate) struct Folder(folder::Folder);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(folder::Folder::new())
    }

    pub(crate) fn in_memory() -> Self {
        Self(folder::Folder::in_memory())
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path().join("msal.cache")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path().join("msal.cache.lockfile")
    }

    /// A plaintext store in one file of this folder.
    pub(crate) fn plaintext(&self) -> FileStore {
        FileStore::at(self.cache()).plaintext().build().expect("a usable path")
    }

    /// The same, with little patience.
    pub(crate) fn impatient(&self) -> FileStore {
        FileStore::at(self.cache()).plaintext().lock_wait(Duration::from_millis(200)).build().expect("a usable path")
    }

    pub(crate) fn protected(&self) -> FileStore {
        FileStore::at(self.cache()).protector(protector()).build().expect("a usable path")
    }
}

impl Deref for Folder {
    type Target = folder::Folder;

    fn deref(&self) -> &folder::Folder {
        &self.0
    }
}

pub(crate) fn protector() -> Arc<dyn Protector> {
    protector_of(7)
}

pub(crate) fn protector_of(seed: u8) -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::from_bytes(&[seed; Key::LEN])))
}

pub(crate) fn documents(store: &FileStore) -> Documents<FileStore> {
    Documents::new(store.clone())
}

/// Puts an access token under this key text.
pub(crate) fn put(store: &FileStore, partition: &PartitionKey, key: &str) -> Result<Committed> {
    access_tokens::put(&documents(store), partition, key)
}

/// The key texts that are stored, sorted, whoever wrote what is under them.
pub(crate) fn keys(store: &FileStore, partition: &PartitionKey) -> Result<Vec<String>> {
    access_tokens::anybodys_keys(&documents(store), partition)
}

/// Calls `look` within the exclusive section, and adds nothing.
pub(crate) fn within_lock(
    store: &FileStore,
    partition: &PartitionKey,
    mut look: impl FnMut() + Send + 'static,
) -> Result<()> {
    let edit = move |_: Option<&cache_core::Blob>| {
        look();
        Ok(Edit::Keep)
    };
    pollster::block_on(store.modify(partition, Box::new(edit))).map(drop)
}

pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.expect_err("this must not succeed")
}

/// Makes a file look as if it was last written so long ago.
pub(crate) fn set_age(path: &Path, age: Duration) {
    let file = fs::File::options().write(true).open(path).expect("the file opens");
    file.set_modified(SystemTime::now() - age).expect("its time can be set");
}
