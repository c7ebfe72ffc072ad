//! Every promise of a `CacheStore`, plaintext and protected.

use std::sync::Arc;

use cache_core::{CacheStore, Clock, Protector, Result, async_trait};
use cache_crypto::{Envelope, Key};
use cache_sqlite::{SqliteStore, SqliteStoreBuilder};
use cache_testkit::conformance::{Partitions, Place};
use cache_testkit::folder;

/// A temporary folder for the database of one test.
struct Folder {
    files: folder::Folder,
    clock: Arc<dyn Clock>,
    store: fn(SqliteStoreBuilder) -> SqliteStoreBuilder,
}

impl Folder {
    fn new(clock: Arc<dyn Clock>, store: fn(SqliteStoreBuilder) -> SqliteStoreBuilder) -> Self {
        // Waiting for the disk proves nothing here.
        Self { files: folder::Folder::in_memory(), clock, store }
    }
}

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        let store = SqliteStore::at(self.files.path().join("caches/tokens.db")).clock(Arc::clone(&self.clock));
        Ok(Arc::new((self.store)(store).open()?))
    }

    fn partitions(&self) -> Partitions {
        Partitions::Any
    }
}

fn protector() -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::from_bytes(&[7; Key::LEN])))
}

mod plaintext {
    use super::*;

    cache_testkit::conformance_suite!(|clock| Folder::new(clock, SqliteStoreBuilder::plaintext));
}

mod protected {
    use super::*;

    cache_testkit::conformance_suite!(|clock| Folder::new(clock, |store| store.protector(protector())));
}
