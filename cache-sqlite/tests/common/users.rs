//! Users with tokens as the core itself makes them.

use std::sync::Arc;

use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{
    CacheStore as _, Change, Changes, Entry, PartitionKey, PersistedTokenCache, Protector, TokenCache, UnixSeconds,
};
use cache_crypto::{Envelope, Key, KeyRing};
use cache_sqlite::SqliteStore;
use cache_testkit::access_tokens::{self, ALICE, HOST};
use pollster::block_on;

use super::Folder;

pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

pub(crate) fn with_keys(folder: &Folder, keys: &[u8]) -> SqliteStore {
    folder.at().protector(protector(keys)).open().expect("a usable path")
}

/// Protects with the first of these keys and opens with all.
pub(crate) fn protector(keys: &[u8]) -> Arc<dyn Protector> {
    let mut keys = keys.iter().map(|byte| KeyRing::from(Key::from_bytes(&[*byte; Key::LEN])));
    let first = keys.next().expect("a key");
    Arc::new(Envelope::with_key_ring(keys.fold(first, KeyRing::and)))
}

pub(crate) fn token(name: &str, expires_on: UnixSeconds) -> AccessToken {
    AccessToken { expires_on: Some(expires_on), ..access_tokens::token(name, NOW) }
}

/// The entries of a cache with these tokens, and a user.
pub(crate) fn entries(tokens: impl IntoIterator<Item = AccessToken>) -> Vec<Entry> {
    let mut cache = TokenCache::default();
    cache
        .insert(Account {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            realm: "home".into(),
            ..Account::default()
        })
        .expect("an account");
    cache
        .insert(RefreshToken {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            client_id: "client".into(),
            secret: "secret".into(),
            ..RefreshToken::default()
        })
        .expect("a refresh token");
    for token in tokens {
        cache.insert(token).expect("a token");
    }
    cache.entries().collect()
}

pub(crate) fn put_all(store: &SqliteStore, partition: &PartitionKey, entries: &[Entry]) {
    let changes: Vec<Change> = entries.iter().cloned().map(Change::put).collect();
    let done = block_on(store.commit(partition, &Changes::new(changes))).expect("committed");
    assert_eq!(done.skipped, []);
}

/// The secrets of the access tokens that the partition holds, in order.
pub(crate) fn tokens(store: &SqliteStore, partition: &PartitionKey) -> Vec<String> {
    let cache = PersistedTokenCache::builder(store.clone()).build();
    let names = |cache: &TokenCache| cache.access_tokens().map(|(_, token)| token.secret.expose().to_owned()).collect();
    let mut names: Vec<String> = block_on(cache.read(partition, names)).expect("read");
    names.sort();
    names
}

pub(crate) fn count(store: &SqliteStore, partition: &PartitionKey) -> usize {
    block_on(store.load(partition)).expect("loaded").map_or(0, |snapshot| snapshot.entries.len())
}

pub(crate) fn user(number: usize) -> PartitionKey {
    PartitionKey::user(&format!("{number}.utid"))
}
