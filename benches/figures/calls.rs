//! Whole calls through the persisted cache.

use std::sync::Arc;

use benches::disk::stat;
use benches::measure::{async_passes, interleaved, passes};
use benches::{Asked, PARTITION, Population, Remote, fill, hit, persisted, probes};
use cache_core::{Freshness, MemoryStore, blocking};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;

use crate::BLOCK;
use crate::table::{Table, Target};

const TOKENS: usize = 1_000;
const ROUNDS: usize = 201;

pub(crate) fn measure(table: &mut Table) {
    let content = Population::Users.cache(TOKENS);
    let probes = probes(Population::Users, TOKENS, Asked::Exact);

    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("cache");
    let key = Key::generate().expect("the system's random numbers");
    let file = FileStore::at(&path).protector(Arc::new(Envelope::with_key(key))).open().expect("a usable path");
    let file = persisted(file, Freshness::default());
    fill(&file, &content);
    let same_file = blocking::PersistedTokenCache::new(file.clone());
    let remote = persisted(Remote(MemoryStore::new()), Freshness::default());
    fill(&remote, &content);
    let loads = [file.stats().loads, remote.stats().loads];

    let [memory, stat_and_memory, asynchronous, blocking, window] = interleaved(
        ROUNDS,
        [
            passes(&probes, BLOCK, |probe| probe.look_up(&content).expect("a hit")),
            passes(&probes, BLOCK, |probe| (stat(&path), probe.look_up(&content).expect("a hit"))),
            async_passes(&probes, BLOCK, async |probe| hit(&file, probe).await),
            passes(&probes, BLOCK, |probe| {
                same_file.access_token(&PARTITION, &probe.query()).expect("reach").expect("a hit")
            }),
            async_passes(&probes, BLOCK, async |probe| hit(&remote, probe).await),
        ],
    );
    assert_eq!(loads, [file.stats().loads, remote.stats().loads], "something changed under the measurement");

    let measured = "`PersistedTokenCache::access_token`, exact hits among 1k user tokens in an encrypted file that nobody \
                    changes, each call compares the file's stamp; limit: one stat of the file and the in-memory hit";
    table.times("whole call over a file, async", measured, [&asynchronous, &stat_and_memory], Target::AtMost(1.5));
    table.times("whole call over a file, blocking", measured, [&blocking, &stat_and_memory], Target::AtMost(1.5));
    table.times(
        "whole call within the freshness window",
        "the same over a store that is asked by a future, so that the window of 30 s saves the question; limit: the \
         in-memory hit",
        [&window, &memory],
        Target::AtMost(2.0),
    );
}
