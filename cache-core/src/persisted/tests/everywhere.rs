//! Signing an account out of all partitions.

use super::*;

fn partitions() -> [PartitionKey; 4] {
    [PartitionKey::Shared, PartitionKey::user("a"), PartitionKey::obo("b"), PartitionKey::custom("c")]
}

fn signed_in(cache: &PersistedTokenCache) {
    for partition in &partitions() {
        sign_in(cache, partition, "uid.utid");
        sign_in(cache, partition, "other.utid");
    }
}

fn sign_in(cache: &PersistedTokenCache, partition: &PartitionKey, home_account_id: &str) {
    let account = Account {
        home_account_id: home_account_id.into(),
        environment: "login.windows.net".into(),
        ..Account::default()
    };
    let updated = pollster::block_on(cache.update(partition, |tokens| tokens.insert(account))).expect("updated");
    updated.value.expect("an account");
}

fn accounts(cache: &PersistedTokenCache, partition: &PartitionKey) -> usize {
    pollster::block_on(cache.read(partition, |tokens| tokens.accounts().len())).expect("read")
}

#[test]
fn the_account_goes_from_all_partitions_and_others_stay() {
    let cache = PersistedTokenCache::builder(MemoryStore::new()).build();
    signed_in(&cache);
    let removed = |account: &str, host: &str| pollster::block_on(cache.remove_account_everywhere(account, host));
    assert_eq!(removed("uid.utid", "login.partner.microsoftonline.cn").expect("nothing"), 0, "of another cloud");
    assert_eq!(removed("uid.utid", "login.microsoftonline.com").expect("removed"), 4);
    assert_eq!(partitions().map(|partition| accounts(&cache, &partition)), [1; 4]);
    assert_eq!(removed("other.utid", "login.windows.net").expect("removed"), 4);
    assert_eq!(pollster::block_on(cache.store().partitions(None, 10)).expect("listed"), []);
    assert_eq!(removed("uid.utid", "login.windows.net").expect("nothing"), 0);
}

#[test]
fn what_fails_in_one_partition_does_not_keep_it_in_the_others() {
    let store = Remote::over(MemoryStore::new());
    let cache = PersistedTokenCache::builder(Arc::clone(&store)).build();
    signed_in(&cache);
    *store.unwritable.lock().expect("no panic") = Some(PartitionKey::user("a"));
    let failed = pollster::block_on(cache.remove_account_everywhere("uid.utid", "login.windows.net"));
    assert_eq!(failed.expect_err("one of them failed").kind(), ErrorKind::Unavailable);
    assert_eq!(partitions().map(|partition| accounts(&cache, &partition)), [1, 2, 1, 1]);
    *store.unwritable.lock().expect("no panic") = None;
    let removed = pollster::block_on(cache.remove_account_everywhere("uid.utid", "login.windows.net"));
    assert_eq!(removed.expect("removed"), 1);
}

/// What the store does not hold any more, or never did, is in no list of it.
#[test]
fn nothing_of_the_account_is_left_in_memory() {
    let clock = clock();
    let store = Arc::new(Remote { queues: true, ..Remote::to(MemoryStore::new()) });
    let cache = over(Arc::clone(&store), &clock);
    let others = PartitionKey::user("bob");
    let sign_out = || pollster::block_on(cache.remove_account_everywhere("alice", "login.microsoftonline.com"));
    let resident = |partition| cache.0.resident.get(partition).is_some();

    sign_in(&cache, &others, "bob");
    insert(&cache, "one", "1");
    pollster::block_on(store.store.remove(&P)).expect("another node");
    assert!(find(&cache, "one").expect("within the window").is_some());
    assert_eq!(sign_out().expect("nothing there"), 0);
    assert!(find(&cache, "one").expect("reach").is_none(), "signed out");

    // What was queued, and dropped later.
    store.leave();
    let put = pollster::block_on(cache.update(&P, |tokens| tokens.insert(token("one", "1"))));
    assert!(put.expect_err("cut off").is_queued() && resident(&P));
    store.come_back();
    assert_eq!(sign_out().expect("nothing there"), 0);
    store.cut(true);
    assert_eq!(find(&cache, "one").expect_err("signed out").kind(), ErrorKind::Unavailable);

    // Nor of what cannot be listed.
    store.come_back();
    insert(&cache, "one", "1");
    assert_eq!(accounts(&cache, &others), 1);
    store.cut(true);
    assert_eq!(sign_out().expect_err("nothing can be listed").kind(), ErrorKind::Unavailable);
    assert_eq!((resident(&P), resident(&others)), (false, true));

    store.come_back();
    assert_eq!(accounts(&cache, &others), 1, "nobody else was signed out");
    for (account, stays) in [("alice", true), ("bob", false)] {
        cache.0.resident.forget_all(|loaded| loaded.holds_any_of(account, "login.microsoftonline.com"));
        assert_eq!(resident(&others), stays, "{account}");
    }
}
