//! Every promise of a `CacheStore`, for one plaintext file and for a folder of protected partitions.

use std::path::Path;
use std::sync::Arc;

use cache_core::{CacheStore, Clock, Documents, Protector, Result, async_trait};
use cache_crypto::{Envelope, Key};
use cache_file::{FileStore, FileStoreBuilder};
use cache_testkit::conformance::{Partitions, Place};
use cache_testkit::folder::Folder;

/// A temporary folder for the files of one test.
struct Files {
    folder: Folder,
    clock: Arc<dyn Clock>,
    store: fn(&Path) -> FileStoreBuilder,
    partitions: Partitions,
}

impl Files {
    fn new(clock: Arc<dyn Clock>, partitions: Partitions, store: fn(&Path) -> FileStoreBuilder) -> Self {
        // Waiting for the disk proves nothing here.
        Self { folder: Folder::in_memory(), clock, store, partitions }
    }
}

#[async_trait]
impl Place for Files {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        let store = (self.store)(self.folder.path()).build()?;
        Ok(Arc::new(Documents::with_clock(store, Arc::clone(&self.clock))))
    }

    fn partitions(&self) -> Partitions {
        self.partitions
    }
}

fn protector() -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::from_bytes(&[7; Key::LEN])))
}

mod plaintext_file {
    use super::*;

    cache_testkit::conformance_suite!(|clock| Files::new(clock, Partitions::SharedOnly, |folder| {
        FileStore::at(folder.join("msal.cache")).plaintext()
    }));
}

mod protected_folder {
    use super::*;

    cache_testkit::conformance_suite!(|clock| Files::new(clock, Partitions::Any, |folder| {
        FileStore::in_dir(folder.join("caches")).protector(protector())
    }));
}

mod shared_with_msal {
    use super::*;

    cache_testkit::conformance_suite!(|clock| Files::new(clock, Partitions::SharedOnly, |folder| {
        FileStore::at(folder.join("msal.cache")).plaintext().shared_with_msal()
    }));
}

mod shared_and_protected {
    use super::*;

    cache_testkit::conformance_suite!(|clock| Files::new(clock, Partitions::SharedOnly, |folder| {
        FileStore::at(folder.join("msal.cache")).protector(protector()).shared_with_msal().last_good_copy(false)
    }));
}
