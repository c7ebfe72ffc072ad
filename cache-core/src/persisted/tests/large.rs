//! Partitions that are too large to be resident, in a store that finds single entries: what is asked, what is kept, and
//! that every answer is the one of the whole partition.

use super::rows::Rows;
use super::*;
use crate::changes::Change;
use crate::entry::Entry;
use crate::schema::Entity as _;

/// Entries of the partitions here, and the bound: a quarter of them.
const ENTRIES: usize = 120;
const BOUND: usize = 30;

fn scope(n: usize) -> String {
    format!("api://{n}/Read")
}

/// A store with many tokens: the n-th has the scope n and the secret n.
fn filled(store: Arc<Rows>) -> Arc<Rows> {
    store.put((0..ENTRIES).map(|n| token(&scope(n), &n.to_string())));
    store
}

fn bounded(store: &Arc<Rows>, clock: &Arc<ManualClock>, entries: usize) -> PersistedTokenCache {
    let builder = PersistedTokenCache::builder(Arc::clone(store)).clock(Arc::clone(clock) as Arc<dyn Clock>);
    builder.resident_entries(entries).build()
}

fn secret(cache: &PersistedTokenCache, n: usize) -> Option<String> {
    find(cache, &scope(n)).expect("reach")
}

#[test]
fn a_repeated_lookup_asks_for_nothing_and_none_loads_the_partition() {
    for store in [Rows::near(), Rows::far()] {
        let store = filled(store);
        let cache = bounded(&store, &clock(), BOUND);
        for round in 0..3 {
            for n in 0..10 {
                assert_eq!(secret(&cache, n).as_deref(), Some(&*n.to_string()));
                // A miss is known too.
                assert_eq!(find(&cache, &format!("absent-{n}")).expect("reach"), None);
            }
            assert_eq!(store.asked(), (0, 1, 20), "round {round}");
        }
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.loads, stats.finds), (30, 30, 0, 20));
        assert_eq!(stats.resident_partitions, 1);
        assert!(stats.resident_bytes < 20_000, "{stats:?}");
    }
}

#[test]
fn a_partition_of_just_so_many_entries_is_resident_whole() {
    for (bound, asked) in [(ENTRIES, (0, 1, 0)), (ENTRIES - 1, (0, 1, 2))] {
        let store = filled(Rows::near());
        let cache = bounded(&store, &clock(), bound);
        for n in [1, 2] {
            assert!(secret(&cache, n).is_some());
        }
        assert_eq!(store.asked(), asked);
    }
}

#[test]
fn the_answers_are_those_of_the_whole_partition() {
    let store = filled(Rows::near());
    let of = |host: &str, target: &str, secret: &str, seconds| AccessToken {
        environment: host.into(),
        expires_on: Some(NOW.plus(seconds)),
        ..token(target, secret)
    };
    // As it is, host and all.
    let put = |key: &str, token: &AccessToken| {
        let id = EntryId::new(AccessToken::SECTION, key);
        store.write(vec![Change::put(Entry {
            id,
            account: None,
            written_at: None,
            expires_on: None,
            json: token.write(),
        })]);
    };
    let [public, alias, china] = ["login.windows.net", "sts.windows.net", "login.partner.microsoftonline.cn"];
    put("one", &of(public, "One Two", "expires soon", 400));
    put("two", &of(public, "two three", "expires last", 4000));
    put("ONE", &of(public, "two", "under capitals", 5000));
    put("alias", &of(alias, "two", "of an alias", 6000));
    put("china", &of(china, "two four", "of another cloud", 7000));
    put("expired", &of(public, "five", "expired", 10));
    put("bracket", &of(public, "a[b", "bracket", 4000));
    put("brace", &of(public, "a{b", "brace", 4000));
    put("app", &AccessToken { home_account_id: None, ..of(public, "two", "an app's", 4000) });
    put("behalf", &AccessToken { assertion_hash: Some("hash=".into()), ..of(public, "two", "on behalf", 4000) });
    put("pop", &AccessToken { token_type: Some("pop".into()), ..of(public, "two", "pop", 4000) });
    let clock = clock();
    let (large, whole) = (bounded(&store, &clock, BOUND), bounded(&store, &clock, usize::MAX));
    let user = |scopes| AccessTokenQuery::user("alice", "client", scopes).with_realm("HOME");
    let queries = [
        user("two"),
        user("TWO one"),
        user("three openid two"),
        user("one three"),
        user("two").with_environment("login.microsoftonline.com"),
        user("two").with_environment(china),
        user("two").with_margin(4500),
        user("two").with_margin(6500),
        user("four"),
        user("five"),
        user("five").with_margin(0),
        user("a[b"),
        user("a{b"),
        user("A[B"),
        user("absent two"),
        user("two").with_realm("other"),
        user("two").with_token_type("PoP", None),
        user(""),
        AccessTokenQuery::user("alice", "client", "two"),
        AccessTokenQuery::app("CLIENT", "two").with_realm("home"),
        AccessTokenQuery::on_behalf_of("hash", "client", "two"),
        AccessTokenQuery::on_behalf_of("hash", "client", "two").with_realm("other"),
    ];
    for round in 0..3 {
        for query in &queries {
            let answer =
                |cache: &PersistedTokenCache| pollster::block_on(cache.access_token(&P, query)).expect("reach");
            assert_eq!(answer(&large), answer(&whole), "round {round}: {query:?}");
        }
    }
    assert!(large.stats().finds >= 10 && whole.stats().finds == 0);
}

#[test]
fn a_change_by_another_is_seen_at_once() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    for n in 0..5 {
        assert!(secret(&cache, n).is_some());
    }
    store.put([token(&scope(1), "renewed")]);
    assert_eq!(secret(&cache, 1).as_deref(), Some("renewed"));
    assert_eq!(secret(&cache, 2).as_deref(), Some("2"));
    store.leave(ENTRIES / 2);
    let left = (0..ENTRIES).filter(|n| secret(&cache, *n).is_some()).count();
    assert_eq!(left, ENTRIES / 2);
    pollster::block_on(store.remove(&P)).expect("remove");
    for _ in 0..2 {
        assert_eq!(secret(&cache, 2), None);
    }
}

#[test]
fn within_the_window_a_part_is_served_and_a_miss_asks() {
    let (store, clock) = (filled(Rows::far()), clock());
    let cache = bounded(&store, &clock, BOUND);
    assert!(secret(&cache, 1).is_some() && find(&cache, "new").expect("reach").is_none());
    store.put([token(&scope(1), "renewed"), token("new", "new")]);
    assert_eq!(secret(&cache, 1).as_deref(), Some("1"), "within the window");
    assert_eq!(find(&cache, "new").expect("reach").as_deref(), Some("new"), "a miss is validated");
    assert_eq!(secret(&cache, 1).as_deref(), Some("renewed"), "the rest was seen to be old with it");
    clock.advance(Duration::from_secs(31));
    let asked = store.asked();
    assert_eq!(secret(&cache, 1).as_deref(), Some("renewed"));
    assert_eq!(store.asked(), asked, "the stamp alone");
}

#[test]
fn whoever_needs_the_whole_partition_gets_it_and_it_does_not_stay() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    let read = || pollster::block_on(cache.read(&P, TokenCache::len)).expect("read");
    assert_eq!(read(), ENTRIES, "nothing was resident");
    let bytes = cache.stats().resident_bytes;
    assert!(bytes < 2000, "{bytes}");
    assert!(secret(&cache, 1).is_some());
    assert_eq!(read(), ENTRIES, "a part was resident");
    assert_eq!(store.asked(), (2, 1, 1), "known to be large");
    assert!(secret(&cache, 1).is_some(), "still resident");
    assert_eq!(store.asked(), (2, 1, 1));

    let updated = pollster::block_on(cache.update(&P, |tokens| {
        assert_eq!(tokens.len(), ENTRIES);
        tokens.insert(token(&scope(1), "renewed"))
    }));
    updated.expect("update").value.expect("complete");
    assert_eq!(secret(&cache, 1).as_deref(), Some("renewed"));
    assert!(cache.stats().resident_bytes < 4000, "{:?}", cache.stats());

    let access = pollster::block_on(cache.before_access(&AccessContext::new(&P))).expect("before");
    let mut theirs = TokenCache::deserialize(access.document().expect("holds something")).expect("our document");
    assert_eq!(theirs.len(), ENTRIES);
    theirs.insert(token("theirs", "theirs")).expect("complete");
    let skipped = pollster::block_on(access.after_access(Some(theirs.serialize().expose()))).expect("after");
    assert_eq!(skipped, []);
    assert_eq!(find(&cache, "theirs").expect("reach").as_deref(), Some("theirs"));
    assert_eq!(read(), ENTRIES + 1);
}

#[test]
fn a_query_without_a_tenant_is_answered_by_the_whole_partition_which_does_not_stay() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    assert!(secret(&cache, 1).is_some());
    let scope = scope(2);
    let query = AccessTokenQuery::user("alice", "client", &scope);
    for loads in 1..3 {
        let found = pollster::block_on(cache.access_token(&P, &query)).expect("reach").expect("found");
        assert_eq!(found.secret.expose(), "2");
        assert_eq!(store.asked(), (loads, 1, 1));
    }
    assert!(secret(&cache, 1).is_some());
    assert_eq!(store.asked(), (2, 1, 1), "the part stayed");
}

#[test]
fn answers_are_bounded_and_the_newest_stays() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    let mut most = 0;
    for n in 0..ENTRIES {
        assert!(secret(&cache, n).is_some());
        let asked = store.asked();
        assert!(secret(&cache, n).is_some());
        assert_eq!(store.asked(), asked, "{n}");
        most = most.max(cache.stats().resident_bytes);
    }
    for n in 0..ENTRIES {
        assert_eq!(find(&cache, &format!("absent-{n}")).expect("reach"), None);
        most = most.max(cache.stats().resident_bytes);
    }
    let finds = cache.stats().finds;
    assert_eq!(find(&cache, "absent-0").expect("reach"), None);
    assert_eq!(cache.stats().finds, finds + 1, "it was long ago");
    let one = bounded(&store, &clock(), BOUND);
    assert!(secret(&one, 1).is_some());
    assert!(most <= one.stats().resident_bytes * BOUND as u64, "{most}");
    // One answer alone may be more than that.
    let none = bounded(&store, &clock(), 0);
    for _ in 0..2 {
        assert!(secret(&none, 1).is_some());
    }
    assert_eq!(none.stats().finds, 1);
}

#[test]
fn now_and_then_it_is_asked_whether_the_partition_is_still_large() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    for n in 0..100 {
        store.put([token(&scope(0), &format!("changed {n}"))]);
        assert_eq!(secret(&cache, 0), Some(format!("changed {n}")));
    }
    let (loads, asked, finds) = store.asked();
    assert!(loads == 0 && finds == 100 && (2..=4).contains(&asked), "{:?}", store.asked());

    store.leave(1);
    for n in 0..100 {
        store.put([token("new", &format!("changed {n}"))]);
        assert_eq!(find(&cache, "new").expect("reach"), Some(format!("changed {n}")));
    }
    assert!(store.asked().2 < 140, "it is loaded whole again: {:?}", store.asked());
}

#[test]
fn a_partition_that_a_read_finds_small_is_resident_again() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    assert!(secret(&cache, 0).is_some());
    store.leave(1);
    for _ in 0..2 {
        assert_eq!(pollster::block_on(cache.read(&P, TokenCache::len)).expect("read"), 1);
        assert_eq!(store.asked(), (1, 1, 1));
    }
}

#[test]
fn a_partition_that_a_find_finds_empty_is_known_to_be() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    assert!(secret(&cache, 0).is_some());
    pollster::block_on(store.remove(&P)).expect("remove");
    for n in 1..4 {
        assert_eq!(secret(&cache, n), None);
        assert_eq!(store.asked(), (0, 1, 2));
    }
    assert!(pollster::block_on(cache.read(&P, TokenCache::is_empty)).expect("read"));
    assert_eq!(store.asked(), (0, 1, 2));
}

#[test]
fn what_was_loaded_whole_meanwhile_stays() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    assert!(secret(&cache, 0).is_some());
    store.leave(BOUND);
    store.read_during_find(&cache);
    let left: Vec<usize> = (1..ENTRIES).filter(|n| secret(&cache, *n).is_some()).collect();
    assert!(left.len() >= BOUND - 1, "{left:?}");
    assert_eq!(store.asked(), (1, 1, 2), "the answers came from the whole");
}

#[test]
fn what_many_threads_find_at_once_is_all_kept() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    assert!(secret(&cache, BOUND).is_some());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                for n in (0..BOUND - 1).filter(|n| n % 8 == thread) {
                    assert_eq!(secret(cache, n), Some(n.to_string()));
                }
            });
        }
    });
    assert_eq!(store.asked(), (0, 1, BOUND));
    for n in 0..BOUND - 1 {
        assert_eq!(secret(&cache, n), Some(n.to_string()));
    }
    assert_eq!(store.asked(), (0, 1, BOUND));
}

#[test]
fn an_outage_serves_what_is_known_and_still_good() {
    let (store, clock) = (filled(Rows::far()), clock());
    let cache = bounded(&store, &clock, BOUND);
    assert!(secret(&cache, 1).is_some() && find(&cache, "absent").expect("reach").is_none());
    store.cut(true);
    clock.advance(Duration::from_secs(60));
    assert_eq!(secret(&cache, 1).as_deref(), Some("1"));
    for scope in [&*scope(2), "absent"] {
        assert_eq!(find(&cache, scope).expect_err("not a miss").kind(), ErrorKind::Unavailable);
    }
    assert_eq!(cache.stats().stale_hits, 1);
    assert!(pollster::block_on(cache.read(&P, TokenCache::len)).is_err(), "a part is not the whole");

    // What is known to be old is not served.
    store.cut(false);
    store.put([token("new", "new")]);
    assert!(find(&cache, "new").expect("reach").is_some());
    store.cut(true);
    clock.advance(Duration::from_secs(60));
    assert!(find(&cache, &scope(1)).is_err());
    assert!(find(&cache, "new").expect("served stale").is_some());
}

#[test]
fn what_was_seen_to_be_old_is_not_served_although_its_successor_was_not_found() {
    let (store, clock) = (filled(Rows::far()), clock());
    let cache = bounded(&store, &clock, BOUND);
    assert!(secret(&cache, 1).is_some());
    store.put([token("new", "new")]);
    // A read sees the new stamp.
    assert_eq!(pollster::block_on(cache.read(&P, TokenCache::len)).expect("read"), ENTRIES + 1);
    store.cut(true);
    assert!(find(&cache, &scope(1)).is_err());
}

#[test]
fn the_blocking_side_answers_the_same() {
    let store = filled(Rows::near());
    let cache = bounded(&store, &clock(), BOUND);
    let blocking = crate::blocking::PersistedTokenCache::new(cache);
    let scope = scope(7);
    let query = AccessTokenQuery::user("alice", "client", &scope).with_realm("home");
    for _ in 0..2 {
        let found = blocking.access_token(&P, &query).expect("reach").expect("found");
        assert_eq!(found.secret.expose(), "7");
        assert_eq!(store.asked(), (0, 1, 1));
    }
    assert_eq!(blocking.read(&P, TokenCache::len).expect("read"), ENTRIES);
    assert_eq!(blocking.stats().finds, 1);
}
