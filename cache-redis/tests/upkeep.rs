//! What keeps partitions small: what has expired goes with later commits, and bounds evict.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::{
    CacheStore as _, Change, Changes, Committed, Entry, EntryId, ManualClock, PartitionKey, UnixMillis, UnixSeconds,
};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::entries::{access_token, account, refresh_token};
use cache_testkit::process::DEADLINE;
use cache_testkit::redis::{Server, is_installed};

use common::{SHARED, at, block_on};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const HOME_ACCOUNT_ID: &str = "uid.utid";
const HOST: &str = "login.windows.net";

fn token(key: &str, expires_in: i64) -> Entry {
    access_token(key).of(HOME_ACCOUNT_ID, HOST).expires(NOW.plus(expires_in)).entry()
}

/// What a user has beside access tokens.
fn user() -> [Entry; 2] {
    [account("user"), refresh_token("token")].map(|entry| entry.of(HOME_ACCOUNT_ID, HOST).entry())
}

fn commit(store: &RedisStore, entries: impl IntoIterator<Item = Entry>) -> Committed {
    let changes: Vec<Change> = entries.into_iter().map(Change::put).collect();
    block_on(store.commit(&SHARED, &Changes::new(changes))).expect("committed")
}

fn keys(store: &RedisStore) -> Vec<String> {
    let found = block_on(store.load(&SHARED)).expect("loaded").map_or_else(Vec::new, |snapshot| snapshot.entries);
    let mut keys: Vec<String> = found.iter().map(|stored| stored.entry.id.key().to_owned()).collect();
    keys.sort();
    keys
}

/// How many fields the only partition has, and how many expiries.
fn sizes(server: &Server) -> (String, String) {
    let all = server.command(&["KEYS", "token-cache:*:[hx]"]);
    let of = |end: &str, command: &str| {
        let key = all.items().iter().map(ToString::to_string).find(|key| key.ends_with(end)).expect("it is there");
        server.command(&[command, &key]).to_string()
    };
    (of(":h", "HLEN"), of(":x", "ZCARD"))
}

fn opened(
    server: &Server,
    with: impl FnOnce(RedisStoreBuilder) -> RedisStoreBuilder,
) -> (RedisStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    let store = with(at(server).insecure_plaintext().clock(Arc::clone(&clock) as Arc<_>)).open();
    (store.expect("a usable address"), clock)
}

#[test]
fn what_has_expired_goes_with_later_commits_and_all_else_stays() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (store, clock) = opened(&server, |store| store);
    commit(&store, user());
    commit(&store, (0..200).map(|n| token(&format!("stale {n}"), 10 + n % 5)).chain([token("fresh", 3600)]));
    assert_eq!(keys(&store).len(), 203);
    clock.set(UnixMillis((NOW.0 + 60) * 1000));

    for left in [136, 72, 8, 0] {
        let done = commit(&store, [token("other", 3600 + left)]);
        assert!(done.others_changed, "a copy of the partition is not what is stored");
        let left = usize::try_from(left).expect("a count");
        assert_eq!(keys(&store).iter().filter(|key| key.starts_with("stale")).count(), left);
    }
    assert!(!commit(&store, [token("other", 3700)]).others_changed, "nothing was left to drop");
    assert_eq!(keys(&store), ["fresh", "other", "token", "user"]);
    // The head has five fields; four entries, one account with two lists and a time; the terms of two tokens of one scope are
    // one. Two access tokens expire, and a refresh token.
    assert_eq!(sizes(&server), ("13".to_owned(), "3".to_owned()), "nothing is left of what has gone");

    // What has expired already is kept for the commit that brings it.
    assert!(!commit(&store, [token("late", -10)]).others_changed);
    assert_eq!(keys(&store), ["fresh", "late", "other", "token", "user"]);
}

#[test]
fn a_full_partition_evicts_access_tokens_that_expire_first() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (store, _) = opened(&server, |store| store.most_entries(5));
    commit(&store, user().into_iter().chain([token("late", 900), token("soon", 100), token("sooner", 50)]));
    let done = commit(&store, [token("soonest", 10)]);
    assert!(done.others_changed, "a copy of the partition is not what is stored");
    assert_eq!(keys(&store), ["late", "soon", "soonest", "token", "user"]);

    // What one commit writes stays, whatever the bound.
    commit(&store, (0..10).map(|n| token(&format!("t{n}"), 1000 + n)));
    assert_eq!(keys(&store).len(), 12);
    let all = (0..10).map(|n| Change::remove(EntryId::new("AccessToken", format!("t{n}"))));
    block_on(store.commit(&SHARED, &Changes::new(all.collect()))).expect("committed");
    assert_eq!(keys(&store), ["token", "user"]);
}

/// Refresh tokens may be kept for less long than access tokens live, and are not evicted all the same.
#[test]
fn access_tokens_are_found_behind_refresh_tokens_that_expire_before_them() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (store, _) = opened(&server, |store| store.most_entries(5).kept_for(Duration::from_secs(60)));
    let refresh = |n: usize| refresh_token(&format!("r{n:02}")).of(HOME_ACCOUNT_ID, HOST).entry();
    commit(&store, (0..40).map(refresh).chain([token("late", 900), token("soon", 600)]));
    assert!(commit(&store, [token("new", 700)]).others_changed);
    let left = keys(&store);
    assert_eq!((left.len(), &*left[0]), (41, "new"), "{left:?}");
}

/// However many there are, one commit comes down to the bound.
#[test]
fn one_commit_evicts_all_that_is_too_much() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let few = |store: RedisStoreBuilder| store.most_entries(100).kept_for(Duration::from_secs(60));
    let (store, _) = opened(&server, few);
    let refresh = |n: usize| refresh_token(&format!("r{n:02}")).of(HOME_ACCOUNT_ID, HOST).entry();
    commit(&store, (0..2).map(refresh).chain((0..200).map(|n| token(&format!("t{n:03}"), 600 + n))));
    assert!(commit(&store, [token("new", 700)]).others_changed);
    assert_eq!(keys(&store).len(), 100);
}

/// Lists of an account that has many tokens are not written again for each.
#[test]
fn a_commit_of_many_entries_of_one_account_is_one_list() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (store, _) = opened(&server, |store| store);
    commit(&store, (0..10_000).map(|n| token(&format!("t{n}"), 3600)));
    // Each of them anew, and one more.
    commit(&store, (0..10_000).map(|n| token(&format!("t{n}"), 3700)));
    commit(&store, [token("another", 3600)]);
    assert_eq!(keys(&store).len(), 10_001);
    let removal = Change::RemoveAccount { home_account_id: HOME_ACCOUNT_ID.into(), environments: [HOST.into()].into() };
    let done = block_on(store.commit(&SHARED, &Changes::new(vec![removal]))).expect("committed");
    assert_eq!((done.after, keys(&store)), (None, vec![]));
    let left = server.command(&["KEYS", "token-cache:*:[hx]"]);
    assert_eq!(left.items().len(), 0, "{left:?}");
}

/// The list of partitions has no time to live: whoever makes a partition looks after two old ones.
#[test]
fn what_is_gone_leaves_the_list_though_nobody_reads_it() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (store, _) = opened(&server, |store| store);
    let put = |n: usize| {
        let changes = Changes::new(vec![Change::put(token("token", 3600))]);
        block_on(store.commit(&PartitionKey::custom(&format!("partition {n}")), &changes)).expect("committed");
    };
    (0..300).for_each(put);
    // Each third is gone, and all were listed two days ago.
    for (n, key) in server.command(&["KEYS", "token-cache:*:h"]).items().iter().enumerate() {
        if n % 3 == 0 {
            server.command(&["DEL", &key.to_string()]);
        }
    }
    let listed = |of: &str| server.command(&["KEYS", &format!("token-cache:*:{of}")]);
    for times in listed("t").items() {
        let age = "for _, tag in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
                       redis.call('ZINCRBY', KEYS[1], -172800000, tag)
                   end";
        server.command(&["EVAL", age, "1", &times.to_string()]);
    }
    let count = || {
        let sizes = listed("p")
            .items()
            .iter()
            .map(|key| server.command(&["ZCARD", &key.to_string()]).to_string())
            .collect::<Vec<_>>();
        sizes.iter().map(|size| size.parse::<usize>().expect("a number")).sum::<usize>()
    };
    assert_eq!(count(), 300);
    // As many buckets are come upon as there are.
    let begin = Instant::now();
    let mut made = 300;
    while count() > made - 100 {
        assert!(begin.elapsed() < DEADLINE, "{} are listed of {}", count(), made - 100);
        (made..made + 50).for_each(put);
        made += 50;
    }
    assert_eq!(block_on(store.partitions(None, 10_000)).expect("listed").len(), made - 100);
}
