//! Signing an account out everywhere: the partitions that hold it are found without a look at the others.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    CacheStore as _, Change, Changes, Clock, Committed, Entry, ManualClock, PartitionKey, PersistedTokenCache,
    UnixMillis, UnixSeconds,
};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::{self, ALICE, HOST};
use cache_testkit::entries::{access_token, account, refresh_token};
use cache_testkit::redis::{Cluster, Server, is_installed};

use common::{at, block_on, fields, names, patient, protected, protector, runtime};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const BOB: &str = "bob.utid";

fn of(home_account_id: &str) -> [Entry; 2] {
    [account(home_account_id), refresh_token(home_account_id)].map(|entry| entry.of(home_account_id, HOST).entry())
}

fn token(expires_on: UnixSeconds) -> Entry {
    access_token("token").of(ALICE, HOST).expires(expires_on).entry()
}

fn put(store: &RedisStore, partition: &PartitionKey, entries: impl IntoIterator<Item = Entry>) -> Committed {
    let changes: Vec<Change> = entries.into_iter().map(Change::put).collect();
    block_on(store.commit(partition, &Changes::new(changes))).expect("committed")
}

fn partitions_with(store: &RedisStore, home_account_id: &str) -> BTreeSet<PartitionKey> {
    block_on(store.partitions_with(home_account_id, None, 10_000)).expect("listed").into_iter().collect()
}

/// The user's own, those of two assertions, a session, and one that all share.
fn partitions_of_alice() -> BTreeSet<PartitionKey> {
    BTreeSet::from([
        PartitionKey::user(ALICE),
        PartitionKey::obo("one"),
        PartitionKey::obo("two"),
        PartitionKey::long_running("session"),
        PartitionKey::Shared,
    ])
}

fn sign_out_everywhere(store: &RedisStore) {
    let others: Vec<PartitionKey> = (0..50).map(|n| PartitionKey::user(&format!("user {n}"))).collect();
    for other in &others {
        put(store, other, of(BOB));
    }
    for partition in partitions_of_alice() {
        put(store, &partition, of(ALICE));
    }
    put(store, &PartitionKey::Shared, of(BOB));
    assert_eq!(partitions_with(store, ALICE), partitions_of_alice(), "no others are looked into");

    let cache = PersistedTokenCache::builder(store.clone()).build();
    assert_eq!(block_on(cache.remove_account_everywhere(ALICE, HOST)).expect("removed"), 5);
    for partition in partitions_of_alice() {
        let left = block_on(store.load(&partition)).expect("loaded");
        let left: Vec<Entry> =
            left.map_or_else(Vec::new, |left| left.entries.into_iter().map(|one| one.entry).collect());
        assert!(left.iter().all(|entry| entry.account.as_ref().is_some_and(|of| &*of.home_account_id == BOB)));
        assert_eq!(left.len(), if partition == PartitionKey::Shared { 2 } else { 0 });
    }
    assert_eq!(partitions_with(store, BOB).len(), 51, "nobody else was signed out");
    assert_eq!(block_on(cache.remove_account_everywhere(ALICE, HOST)).expect("removed"), 0);
}

#[test]
fn an_account_is_signed_out_of_all_partitions_and_no_other_is() {
    if is_installed() {
        sign_out_everywhere(&protected(&Server::start()));
    }
}

#[test]
fn the_same_holds_in_a_cluster() {
    if is_installed() {
        let cluster = Cluster::start();
        let store = patient(RedisStore::cluster(cluster.urls())).runtime(runtime());
        sign_out_everywhere(&store.protector(protector()).open().expect("usable addresses"));
    }
}

/// A refresh that began before the sign-out is guarded in each partition; nothing of it stands afterwards.
#[test]
fn refreshes_meanwhile_bring_nothing_back() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let partitions: Vec<PartitionKey> = (0..20).map(|n| PartitionKey::obo(&n.to_string())).collect();
    let nodes: Vec<PersistedTokenCache> =
        (0..4).map(|_| PersistedTokenCache::builder(protected(&server)).build()).collect();
    for round in 0..5 {
        for partition in &partitions {
            put(&protected(&server), partition, of(ALICE));
        }
        block_on(async {
            let refreshes = nodes.iter().enumerate().map(|(node, cache)| {
                let (cache, partitions) = (cache.clone(), partitions.clone());
                tokio::spawn(async move {
                    for partition in &partitions {
                        let refreshed = |tokens: &mut cache_core::TokenCache| {
                            // Whoever finds the account gone has nothing to refresh.
                            if !tokens.accounts().is_empty() {
                                let refreshed = access_tokens::token(&format!("{node} {round}"), NOW);
                                tokens.insert(refreshed).expect("complete");
                            }
                        };
                        let _ = cache.update(partition, refreshed).await.expect("updated");
                    }
                })
            });
            let refreshes: Vec<_> = refreshes.collect();
            nodes[0].remove_account_everywhere(ALICE, HOST).await.expect("removed");
            for refresh in refreshes {
                refresh.await.expect("it ends");
            }
        });
        for partition in &partitions {
            let left = block_on(protected(&server).load(partition)).expect("loaded");
            assert!(left.is_none(), "in round {round}: {left:?}");
        }
    }
}

/// A store in a server of its own, with a clock of the test's.
fn with_clock() -> (Server, RedisStore, Arc<ManualClock>) {
    let (server, clock) = (Server::start(), Arc::new(ManualClock::at(NOW)));
    let store = at(&server).protector(protector()).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let store = store.kept_for(Duration::from_secs(90 * DAY.unsigned_abs())).open().expect("a usable address");
    (server, store, clock)
}

/// The field that says until when a partition is listed with its only account, in ms.
fn listed_until(server: &Server) -> i64 {
    let all = fields(server, &common::only_partition(server, "token-cache"));
    let until: Vec<_> = all.iter().filter(|(field, _)| field.len() == 17 && field[0] == b'i').collect();
    let [(_, until)] = until[..] else { panic!("one account: {}", until.len()) };
    std::str::from_utf8(until).expect("a number").parse().expect("a number")
}

/// A session that is refreshed for years is found for years, and is not listed with each refresh.
#[test]
fn a_session_that_goes_on_is_listed_anew_before_it_is_forgotten() {
    if !is_installed() {
        return;
    }
    let (server, store, clock) = with_clock();
    let user = PartitionKey::user(ALICE);
    let mut listings = BTreeSet::new();
    for day in 0..1_000 {
        let now = NOW.plus(day * DAY);
        clock.set(UnixMillis(now.0 * 1000));
        put(&store, &user, [refresh_token("token").of(ALICE, HOST).secret(&day.to_string()).entry()]);
        listings.insert(listed_until(&server));
        assert!(listed_until(&server) >= (now.0 + 90 * DAY) * 1000, "it is not listed as long as it stays");
    }
    assert!((40..=50).contains(&listings.len()), "listed {} times in 1,000 days", listings.len());
    assert_eq!(partitions_with(&store, ALICE), BTreeSet::from([user]));
}

/// A partition for an hour does not stand in the list for months, nor does the list.
#[test]
fn the_list_of_an_account_forgets_what_has_gone() {
    if !is_installed() {
        return;
    }
    let (server, store, clock) = with_clock();
    for hour in 0..200 {
        let now = NOW.plus(hour * HOUR);
        clock.set(UnixMillis(now.0 * 1000));
        put(&store, &PartitionKey::obo(&hour.to_string()), [token(now.plus(HOUR))]);
    }
    let [list] = &names(&server, "token-cache:{*}:i")[..] else { panic!("one account") };
    let listed: usize = server.command(&["ZCARD", list]).to_string().parse().expect("a number");
    assert!(listed <= 4, "{listed} are listed of two that are there");
    let left: i64 = server.command(&["PTTL", list]).to_string().parse().expect("a number");
    assert!((HOUR * 1000..3 * HOUR * 1000).contains(&left), "{left} ms");
}

/// Others keep the partition alive, and nobody renews Alice's tokens: she is in the list as long as any of hers is there.
#[test]
fn tokens_do_not_outlive_their_account_in_the_list() {
    if !is_installed() {
        return;
    }
    let (_server, store, clock) = with_clock();
    put(&store, &PartitionKey::Shared, of(ALICE));
    let is_there = || {
        let ids = [refresh_token(ALICE).entry().id];
        block_on(store.get(&PartitionKey::Shared, &ids)).expect("read")[0].is_some()
    };
    let mut last = 0;
    // Also in such steps that a commit prolongs the partition just before hers is due.
    for day in (0..89).chain([89, 178, 179, 200, 250, 300]) {
        clock.set(UnixMillis(NOW.plus(day * DAY).0 * 1000));
        if is_there() {
            last = day;
            assert!(!partitions_with(&store, ALICE).is_empty(), "on day {day}");
        }
        put(&store, &PartitionKey::Shared, [refresh_token("b").of(BOB, HOST).secret(&day.to_string()).entry()]);
    }
    assert!(!is_there() && last == 178, "until day {last}");
    assert!(partitions_with(&store, BOB).contains(&PartitionKey::Shared));
}

/// With the last entry of an account, the partition forgets that it was listed with it.
#[test]
fn an_account_that_comes_back_is_listed_again() {
    if !is_installed() {
        return;
    }
    let (server, store, _) = with_clock();
    put(&store, &PartitionKey::Shared, of(BOB));
    let before = fields(&server, &common::only_partition(&server, "token-cache")).len();
    for _ in 0..3 {
        put(&store, &PartitionKey::Shared, of(ALICE));
        let removal = Change::RemoveAccount { home_account_id: ALICE.into(), environments: [HOST.into()].into() };
        block_on(store.commit(&PartitionKey::Shared, &Changes::new(vec![removal]))).expect("committed");
        let after = fields(&server, &common::only_partition(&server, "token-cache"));
        assert_eq!(after.len(), before, "something of the account is left");
        // Whoever empties the lists by hand empties them for a while only.
        for list in names(&server, "token-cache:{*}:i") {
            server.command(&["DEL", &list]);
        }
        put(&store, &PartitionKey::Shared, of(ALICE));
        assert_eq!(partitions_with(&store, ALICE), BTreeSet::from([PartitionKey::Shared]));
    }
}
