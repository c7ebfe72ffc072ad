//! The list of partitions, and partitions that a place cannot hold.

use std::collections::BTreeSet;
use std::time::Duration;

use cache_core::{AppPartition, CacheStore, Change, Changes, Entry, ErrorKind, PartitionKey};

use super::removal::remove_account;
use super::setup::{ALICE, BOB, CHINA, PUBLIC, commit_to, expect_only};
use super::{Partitions, Setup};
use crate::entries::refresh_token;

/// A thousand partitions are listed page by page, each once.
pub async fn a_thousand_are_listed_page_by_page(setup: &Setup<'_>) {
    if refuses_others(setup).await {
        return;
    }
    let all: BTreeSet<PartitionKey> = (0..1000).map(|n| PartitionKey::user(&format!("uid-{n}.utid"))).collect();
    for partition in &all {
        commit_to(setup.store(), partition, vec![Change::put(token())]).await;
    }
    for limit in [1, 7, 100, 999, 1000, 1001, usize::MAX] {
        if limit == 1 {
            let first = setup.store().partitions(None, 1).await.expect("partitions");
            assert_eq!(first.len(), 1);
            continue;
        }
        assert_eq!(listed(setup.store(), limit).await, all, "in pages of {limit}");
    }
}

/// Partitions of every kind are listed as they are.
pub async fn every_kind_is_listed(setup: &Setup<'_>) {
    if refuses_others(setup).await {
        return;
    }
    if setup.place().partitions() == Partitions::Keyed {
        let keyed = [PartitionKey::user("uid.utid"), PartitionKey::obo("assertion"), PartitionKey::custom("same")];
        return each_is_listed(setup, &keyed.into()).await;
    }
    let PartitionKey::App(app) = PartitionKey::app("client", Some("Tenant")) else { unreachable!("it is an app's") };
    let bound = |app: AppPartition| PartitionKey::from(app.with_pop_key_id("kid").with_extended_key_hash("HaSh"));
    let all = BTreeSet::from([
        PartitionKey::Shared,
        PartitionKey::user("same"),
        PartitionKey::app("same", None),
        PartitionKey::app("same", Some("")),
        PartitionKey::app("same", Some("tenant")),
        PartitionKey::App(app.clone()),
        bound(app),
        PartitionKey::obo("assertion"),
        PartitionKey::long_running("same"),
        PartitionKey::custom("same"),
    ]);
    each_is_listed(setup, &all).await;
}

async fn each_is_listed(setup: &Setup<'_>, all: &BTreeSet<PartitionKey>) {
    for (n, partition) in all.iter().enumerate() {
        commit_to(setup.store(), partition, vec![Change::put(numbered(n))]).await;
    }
    assert_eq!(listed(setup.store(), 3).await, *all);
    let other = setup.another_handle().await;
    assert_eq!(listed(&*other, 100).await, *all);
    for (n, partition) in all.iter().enumerate() {
        expect_only(&*other, partition, &[&numbered(n)]).await;
    }
}

/// Partitions that hold an account are listed with it, whenever it came to them and whatever its environment; and each that holds
/// anything is, which a store that does not know accounts answers.
pub async fn those_of_an_account_are_listed(setup: &Setup<'_>) {
    if refuses_others(setup).await {
        return;
    }
    let of = |account: &str, host: &str| Change::put(refresh_token(account).of(account, host).entry());
    let mut all: BTreeSet<PartitionKey> = (0..20).map(|n| PartitionKey::obo(&format!("assertion {n}"))).collect();
    all.extend([PartitionKey::user(ALICE), PartitionKey::custom("")]);
    for (n, partition) in all.iter().enumerate() {
        let host = [PUBLIC[0], PUBLIC[1], CHINA, ""][n % 4];
        if n % 3 == 0 {
            // It comes to a partition that is there.
            commit_to(setup.store(), partition, vec![of(BOB, host)]).await;
        }
        commit_to(setup.store(), partition, vec![of(ALICE, host)]).await;
    }
    commit_to(setup.store(), &PartitionKey::user(BOB), vec![of(BOB, CHINA)]).await;
    let other = setup.another_handle().await;
    for limit in [1, 5, 21, 22, 1000] {
        for store in [setup.store(), &*other] {
            let (mut found, mut after) = (BTreeSet::new(), None);
            loop {
                let page = store.partitions_with(ALICE, after.as_ref(), limit).await.expect("partitions");
                assert!(page.len() <= limit, "a page has more than {limit}");
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                for partition in page {
                    assert!(found.insert(partition), "a partition is listed twice");
                }
            }
            assert!(found.is_superset(&all), "in pages of {limit}");
        }
    }
    // One that it left and came back to.
    let (user, hosts) = (PartitionKey::user(ALICE), [PUBLIC[0], PUBLIC[1], CHINA]);
    commit_to(setup.store(), &user, vec![remove_account(ALICE, &hosts)]).await;
    commit_to(setup.store(), &user, vec![of(ALICE, CHINA)]).await;
    assert!(setup.store().partitions_with(ALICE, None, 1000).await.expect("partitions").contains(&user));
}

/// Partitions that hold nothing are not listed: those never written, emptied, or removed.
pub async fn empty_ones_are_not_listed(setup: &Setup<'_>) {
    let [kept, emptied, removed, never] =
        ["kept", "emptied", "removed", "never"].map(|name| setup.partition_named(name));
    assert_eq!(listed(setup.store(), 10).await, BTreeSet::new());
    let put = Changes::new(vec![Change::put(token())]);
    for partition in [&emptied, &removed] {
        commit_to(setup.store(), partition, put.clone()).await;
    }
    commit_to(setup.store(), &emptied, vec![Change::remove(token().id)]).await;
    setup.store().remove(&removed).await.expect("remove");
    commit_to(setup.store(), &never, vec![Change::remove(token().id)]).await;
    assert!(setup.store().load(&never).await.expect("load").is_none());
    assert_eq!(listed(setup.store(), 10).await, BTreeSet::new());
    commit_to(setup.store(), &kept, put).await;
    assert_eq!(listed(setup.store(), 10).await, BTreeSet::from([kept]));
}

/// A page holds no more than asked for, also nothing; behind the last there is nothing.
pub async fn a_page_has_its_limit(setup: &Setup<'_>) {
    let all: BTreeSet<PartitionKey> = ["a", "b", "c"].map(|name| setup.partition_named(name)).into();
    for partition in &all {
        commit_to(setup.store(), partition, vec![Change::put(token())]).await;
    }
    assert_eq!(setup.store().partitions(None, 0).await.expect("partitions"), []);
    let page = setup.store().partitions(None, 2).await.expect("partitions");
    assert_eq!(page.len(), all.len().min(2));
    let whole = setup.store().partitions(None, 10).await.expect("partitions");
    assert_eq!(setup.store().partitions(whole.last(), 10).await.expect("partitions"), []);
}

/// A walk goes on behind a partition that was removed meanwhile: what remains is neither repeated nor left out.
pub async fn a_walk_survives_removals(setup: &Setup<'_>) {
    if refuses_others(setup).await {
        return;
    }
    let all: BTreeSet<PartitionKey> = (0..20).map(|n| PartitionKey::custom(&n.to_string())).collect();
    for partition in &all {
        commit_to(setup.store(), partition, vec![Change::put(token())]).await;
    }
    let (mut seen, mut after) = (BTreeSet::new(), None);
    loop {
        let page = setup.store().partitions(after.as_ref(), 3).await.expect("partitions");
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        for partition in page {
            setup.store().remove(&partition).await.expect("remove");
            assert!(seen.insert(partition), "a partition comes twice");
        }
    }
    assert_eq!(seen, all);
}

/// A place that holds the shared partition only refuses every other in every operation; one of another library's keys refuses the
/// shared one; any other place refuses none.
pub async fn what_a_place_cannot_hold_is_invalid_input(setup: &Setup<'_>) {
    if setup.place().partitions() == Partitions::Keyed {
        expect_refused(setup.store(), &PartitionKey::Shared).await;
    }
    if !refuses_others(setup).await {
        for partition in others() {
            assert!(setup.store().load(&partition).await.expect("load").is_none());
        }
    }
}

/// Every partition listed, in pages of `limit`. No page comes twice.
async fn listed(store: &dyn CacheStore, limit: usize) -> BTreeSet<PartitionKey> {
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.partitions(after.as_ref(), limit).await.expect("partitions");
        assert!(page.len() <= limit, "a page has more than {limit}");
        let Some(last) = page.last() else { return all };
        after = Some(last.clone());
        for partition in page {
            assert!(all.insert(partition), "a partition is listed twice");
        }
    }
}

/// Whether the place holds the shared partition only; then every operation on another must say so.
async fn refuses_others(setup: &Setup<'_>) -> bool {
    if setup.place().partitions() != Partitions::SharedOnly {
        return false;
    }
    let store = setup.store();
    for other in &others() {
        expect_refused(store, other).await;
    }
    setup.given(&token()).await;
    assert_eq!(listed(store, 10).await, BTreeSet::from([PartitionKey::Shared]));
    true
}

/// Fails unless every operation on the partition is refused.
async fn expect_refused(store: &dyn CacheStore, other: &PartitionKey) {
    let changes = Changes::new(vec![Change::put(token())]);
    let refusals = [
        store.load(other).await.err(),
        store.get(other, &[token().id]).await.err(),
        store.commit(other, &changes).await.err(),
        store.remove(other).await.err(),
        store.stamp(other).await.err(),
        store.lease(other, "refresh", Duration::ZERO).await.err(),
    ];
    for (operation, refusal) in refusals.into_iter().enumerate() {
        let refusal = refusal.unwrap_or_else(|| panic!("operation {operation} takes {other:?}"));
        assert_eq!(refusal.kind(), ErrorKind::InvalidInput, "operation {operation}: {refusal}");
    }
    if let Some(now) = store.stamp_now(other) {
        assert_eq!(now.expect_err("stamp_now takes another partition").kind(), ErrorKind::InvalidInput);
    }
}

fn others() -> [PartitionKey; 5] {
    [
        PartitionKey::user("uid.utid"),
        PartitionKey::app("client", None),
        PartitionKey::obo("assertion"),
        PartitionKey::long_running("session"),
        PartitionKey::custom(""),
    ]
}

fn token() -> Entry {
    numbered(0)
}

fn numbered(n: usize) -> Entry {
    refresh_token("rt").secret(&n.to_string()).entry()
}
