//! A lookup that hits allocates nothing, whatever the size of the cache.

use std::sync::Arc;

use cache_core::schema::{AccessToken, ExtendedKey};
use cache_core::{
    AccessTokenQuery, Clock, ManualClock, MemoryStore, PartitionKey, PersistedTokenCache, TokenCache, UnixSeconds,
};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn token(owner: Option<&str>, n: usize) -> AccessToken {
    AccessToken {
        home_account_id: owner.map(Into::into),
        environment: "login.windows.net".into(),
        client_id: "client".into(),
        realm: "tenant".into(),
        target: format!("api://{n}/Read api://{n}/Write openid profile").into(),
        secret: "eyJ0eXAi".into(),
        cached_at: Some(NOW),
        expires_on: Some(NOW.plus(3600)),
        ..AccessToken::default()
    }
}

fn fill(cache: &mut TokenCache) {
    for n in 0..2_000 {
        for owner in [Some("alice"), None] {
            cache.insert(token(owner, n)).expect("complete");
        }
    }
}

/// The allocations of one call, its result dropped outside of the measurement.
fn allocations<T>(call: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let measured = allocation_counter::measure(|| result = Some(call()));
    (result.expect("was called"), measured.count_total)
}

#[test]
fn a_lookup_allocates_nothing() {
    let mut cache = TokenCache::default();
    fill(&mut cache);
    let extended = ExtendedKey::new([("fmi_path", "p")]);
    let user = AccessTokenQuery::user("alice", "CLIENT", "api://7/read openid").with_environment("login.microsoft.com");
    let app = AccessTokenQuery::app("client", "api://7/Write api://7/Read").with_realm("TENANT");
    for (query, hit) in [
        (user.with_realm("tenant"), true),
        (app, true),
        (app.with_realm("other"), false),
        (app.with_extended(&extended), false),
        (user.with_realm("tenant").with_margin(4000), false),
        (user, true),
    ] {
        let (found, count) = allocations(|| cache.access_token(&query, NOW).map(Arc::clone));
        assert_eq!((found.is_some(), count), (hit, 0), "{query:?}");
    }
}

#[test]
fn a_resident_hit_allocates_nothing() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let cache = PersistedTokenCache::builder(MemoryStore::with_clock(Arc::clone(&clock))).clock(clock).build();
    let partition = PartitionKey::user("alice");
    let updated = pollster::block_on(cache.update(&partition, fill)).expect("update");
    assert!(updated.skipped.is_empty());
    let query = AccessTokenQuery::user("alice", "client", "api://1999/Read").with_realm("tenant");
    // The first call sets up what a thread needs once.
    for expected in [None, Some(0), Some(0)] {
        let (found, count) = allocations(|| pollster::block_on(cache.access_token(&partition, &query)));
        assert!(found.expect("reach").is_some());
        assert!(expected.is_none_or(|expected| expected == count), "{count} allocations");
    }
}
