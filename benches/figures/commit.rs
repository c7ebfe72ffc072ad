//! A commit to an encrypted file.

use std::sync::Arc;

use benches::disk::CommitParts;
use benches::measure::{interleaved, single};
use benches::{Population, fill, persisted, save_one_change};
use cache_core::Freshness;
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;

use crate::table::{Table, Target};

pub(crate) fn measure(table: &mut Table) {
    const TOKENS: usize = 1_000;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let envelope = Arc::new(Envelope::with_key(Key::generate().expect("the system's random numbers")));
    let store = FileStore::at(directory.path().join("cache")).protector(envelope.clone()).open();
    let cache = persisted(store.expect("a usable path"), Freshness::default());
    let content = Population::Users.cache(TOKENS);
    fill(&cache, &content);

    let parts = CommitParts::new(directory.path(), Some(&*envelope));
    let mut serial = 0;
    let [commit, parts] = interleaved(
        151,
        [
            single(|| {
                serial += 1;
                save_one_change(&cache, Population::Users, TOKENS, serial);
            }),
            single(|| parts.run(&content)),
        ],
    );
    table.times(
        "commit of one change, encrypted file, 1k tokens",
        "`PersistedTokenCache::update` that renews one token: lock, validate, merge, serialize, seal, write, fsync, rename; \
         limit: serialize, seal, write, fsync, rename of the same content by hand",
        [&commit, &parts],
        Target::AtMost(1.3),
    );
}
