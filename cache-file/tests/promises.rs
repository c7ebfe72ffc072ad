//! The promises about processes that share one encrypted file, with real processes and real kills.
//!
//! Short by default; `TOKEN_CACHE_FULL_LENGTH=1` runs every test at the length that the project promises, and each prints
//! what it saw:
//!
//!     TOKEN_CACHE_FULL_LENGTH=1 cargo test --release -p cache-file --test promises -- --nocapture

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cache_core::schema::AccessToken;
use cache_core::{AccessContext, Documents, PersistedTokenCache, TokenCache, UnifiedDocument, blocking};
use cache_file::FileStore;
use cache_testkit::access_tokens::{secret_of, token};
use cache_testkit::folder::text;
use cache_testkit::process;
use cache_testkit::promises::{self, Kills, SignOuts, length, lost};
use cache_testkit::worker_name;

use common::{Folder, SHARED, protector};

fn open(path: &str) -> blocking::PersistedTokenCache {
    let store = FileStore::at(Path::new(path))
        .protector(protector())
        // The promise is about updates, not about patience: eight writers without a pause are no usual load.
        .lock_wait(Duration::from_secs(60))
        .build()
        .expect("a usable path");
    blocking::PersistedTokenCache::new(PersistedTokenCache::builder(Documents::new(store)).build())
}

fn add(cache: &blocking::PersistedTokenCache, name: &str) {
    let token = token(name, cache.as_async().now());
    let updated = cache.update(&SHARED, |tokens| tokens.insert(token)).expect("an update of a usable file");
    updated.value.expect("a complete token");
    assert!(updated.skipped.is_empty(), "nobody else writes this token: {:?}", updated.skipped);
}

/// The names of the tokens in the file, read by a handle that has not written it.
fn stored(path: &str) -> Vec<String> {
    let name = |(_, token): (_, &Arc<AccessToken>)| {
        token.secret.expose().strip_prefix(&secret_of("")).expect("a secret as it was written").to_owned()
    };
    open(path).read(&SHARED, |tokens| tokens.access_tokens().map(name).collect()).expect("a valid file")
}

#[test]
#[ignore = "a worker process of other tests"]
fn writer() {
    process::work(worker_name!(writer), |worker| promises::write(worker, open, add));
}

#[test]
#[ignore = "a worker process of other tests"]
fn paced_writer() {
    process::work(worker_name!(paced_writer), |worker| promises::write_what_is_heard(worker, open, add));
}

#[test]
fn eight_processes_lose_no_update() {
    let (runs, updates) = (length(10, 1), length(200, 25));
    for _ in 0..runs {
        let folder = Folder::new();
        let path = text(&folder.cache());
        promises::no_update_is_lost(worker_name!(writer), &path, 8, updates, || stored(&path));
    }
}

#[test]
fn a_killed_process_loses_nothing_and_blocks_nobody() {
    let count = length(200, 12);
    let folder = Folder::new();
    let path = text(&folder.cache());
    let mut kills = Kills::beside(worker_name!(paced_writer), &path);
    for kill in 1..=count {
        // Whoever comes next gets the lock, finds a valid file, and everything that was acknowledged.
        kills.kill(worker_name!(writer), |name| add(&open(&path), name));
        if kill % 20 == 0 || kill == count {
            assert_eq!(lost(&kills.take_acknowledged(), stored(&path)), 0, "after {kill} kills");
            // Keeps the file small: what was seen is taken out again, as everybody's right.
            let updated = open(&path).update(&SHARED, |tokens| {
                let ids: Vec<_> = tokens
                    .access_tokens()
                    .filter(|(_, token)| !token.target.contains("steady"))
                    .map(|(id, _)| id)
                    .collect();
                ids.iter().filter(|id| tokens.remove(id)).count()
            });
            assert!(updated.expect("an update").skipped.is_empty());
        }
    }
    let slowest = kills.assert_nothing_lost(|| stored(&path));
    let limit = Duration::from_secs(3);
    assert!(slowest < limit, "the lock of a killed process is recovered within {limit:?}");
    let left = folder.names();
    assert!(!left.iter().any(|name| name.contains("corrupt")), "the file was never damaged: {left:?}");
}

#[test]
#[ignore = "a worker process of other tests"]
fn refresher() {
    process::work(worker_name!(refresher), |worker| promises::refresh(worker, 10, open));
}

#[test]
fn a_removed_account_stays_removed_whoever_refreshes() {
    let mut sign_outs = SignOuts::default();
    for _ in 0..length(100, 6) {
        let folder = Folder::new();
        sign_outs.run(worker_name!(refresher), &text(&folder.cache()), open);
    }
    sign_outs.assert_nothing_left();
}

/// A library with a cache of its own, which only knows whole documents.
#[test]
#[ignore = "a worker process of other tests"]
fn library() {
    process::work(worker_name!(library), |worker| {
        promises::write(worker, open, |cache, name| {
            let access = cache.before_access(&AccessContext::new(&SHARED)).expect("a valid file");
            let mut memory = TokenCache::deserialize(access.document().unwrap_or_default()).expect("a sound document");
            memory.insert(token(name, cache.as_async().now())).expect("a complete token");
            let skipped = access.after_access(Some(memory.serialize().expose())).expect("an update of a usable file");
            assert!(skipped.is_empty(), "{skipped:?}");
        });
    });
}

#[test]
fn libraries_with_whole_documents_lose_nothing_over_processes() {
    let folder = Folder::new();
    let path = text(&folder.cache());
    promises::no_update_is_lost(worker_name!(library), &path, 2, length(100, 30), || stored(&path));
}

#[test]
fn what_is_in_the_file_is_a_unified_cache_document() {
    let folder = Folder::new();
    let path = text(&folder.cache());
    add(&open(&path), "one");
    let bytes = std::fs::read(&path).expect("the file");
    assert!(UnifiedDocument::parse(&bytes.into()).is_err(), "nobody reads it without the key");
    let document = open(&path).read(&SHARED, TokenCache::serialize).expect("a valid file");
    assert!(UnifiedDocument::parse(&document).is_ok());
}
