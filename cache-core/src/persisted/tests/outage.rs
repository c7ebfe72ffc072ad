//! What stays in memory when a commit fails: whatever may still be handed out, and nothing that was signed out.

use super::*;
use crate::changes::Change;
use crate::entry::Entry;
use crate::secret::Blob;

/// A cache that holds the token `one`, over a store that answers once more.
fn about_to_be_cut_off(queues: bool) -> (PersistedTokenCache, Arc<Remote>, Arc<ManualClock>) {
    let clock = clock();
    let remote = Arc::new(Remote { queues, ..Remote::to(MemoryStore::new()) });
    let cache = over(Arc::clone(&remote), &clock);
    let sign_in = |tokens: &mut TokenCache| tokens.insert(account());
    pollster::block_on(cache.update(&P, sign_in)).expect("update").value.expect("complete");
    insert(&cache, "one", "1");
    assert!(find(&cache, "one").expect("reach").is_some());
    remote.leave();
    (cache, remote, clock)
}

fn update(cache: &PersistedTokenCache, change: impl FnOnce(&mut TokenCache)) -> Result<()> {
    pollster::block_on(cache.update(&P, change)).map(drop)
}

fn put(target: &str, secret: &str) -> impl FnOnce(&mut TokenCache) {
    let token = token(target, secret);
    |tokens| tokens.insert(token).expect("complete")
}

fn sign_out(tokens: &mut TokenCache) {
    tokens.remove_account("alice", "login.windows.net");
}

#[test]
fn a_put_that_failed_leaves_the_others_to_be_served() {
    let (cache, remote, _) = about_to_be_cut_off(false);
    assert!(!update(&cache, put("two", "2")).expect_err("cut off").is_queued());
    assert_eq!(find(&cache, "one").expect("served stale").as_deref(), Some("1"));
    assert_eq!(cache.stats().stale_hits, 1, "nobody knows what the commit did");
    assert_eq!(find(&cache, "two").expect_err("not said to be written").kind(), ErrorKind::Unavailable);
    remote.come_back();
    let asked = remote.asked();
    assert!(find(&cache, "one").expect("reach").is_some());
    assert_eq!(remote.asked() - asked, 1, "the stamp, and nothing else: nothing has changed");
}

#[test]
fn a_put_whose_caller_is_gone_leaves_the_others_to_be_served() {
    let clock = clock();
    let store = MemoryStore::new();
    let cache = over(Remote::over(store.clone()), &clock);
    insert(&cache, "one", "1");
    let id = EntryId::new("Section", "");
    let entry = Entry { id: id.clone(), account: None, written_at: None, expires_on: None, json: Blob::copy_of(b"{}") };
    let put = Changes::new(vec![Change::put(entry.clone())]);
    for (change, stays) in [(Change::put(entry), true), (Change::remove(id), false)] {
        drop(cache.0.resident.write(&P).of(&Changes::new(vec![change])));
        assert_eq!(cache.0.resident.get(&P).is_some(), stays);
    }
    // One that is written is in the store, and not here.
    insert(&cache, "one", "1");
    let first = cache.0.resident.write(&P).of(&put);
    let second = cache.0.resident.write(&P).of(&put);
    first.adopt(Loaded::new(P, TokenCache::with_environments(Environments::default()), None, cache.0.as_of(&P)));
    assert!(cache.0.resident.get(&P).is_none());
    drop(second);
}

#[test]
fn a_sign_out_that_failed_serves_nothing() {
    let (cache, remote, _) = about_to_be_cut_off(false);
    update(&cache, sign_out).expect_err("cut off");
    assert_eq!(find(&cache, "one").expect_err("signed out, or not").kind(), ErrorKind::Unavailable);
    remote.come_back();
    assert!(find(&cache, "one").expect("reach").is_some(), "it has failed");
}

#[test]
fn what_is_queued_is_seen_by_lookups_until_the_store_is_back() {
    let (cache, remote, clock) = about_to_be_cut_off(true);
    assert!(update(&cache, put("two", "2")).expect_err("cut off").is_queued());
    clock.advance(Duration::from_secs(60));
    for (scope, secret) in [("one", "1"), ("two", "2")] {
        assert_eq!(find(&cache, scope).expect("served stale").as_deref(), Some(secret));
    }
    assert!(pollster::block_on(cache.read(&P, |_| ())).is_err(), "nothing else is taken from it");
    // Also if it leaves again before it is asked for more than the stamp.
    remote.cut(false);
    assert_eq!(find(&cache, "two").expect("served stale").as_deref(), Some("2"));
    remote.come_back();
    assert!(find(&cache, "two").expect("reach").is_none(), "what counts is what the store holds");
    assert!(find(&cache, "one").expect("reach").is_some());
    insert(&cache, "three", "3");
}

#[test]
fn a_sign_out_that_is_queued_is_seen_by_lookups() {
    let (cache, remote, _) = about_to_be_cut_off(true);
    assert!(update(&cache, sign_out).expect_err("cut off").is_queued());
    assert_eq!(find(&cache, "one").expect_err("signed out").kind(), ErrorKind::Unavailable);
    remote.come_back();
    assert!(find(&cache, "one").expect("reach").is_some(), "what counts is what the store holds");
}

/// The content that was changed is from before the sign-out.
#[test]
fn a_put_that_is_queued_behind_a_sign_out_brings_nothing_back() {
    let (cache, remote, _) = about_to_be_cut_off(true);
    let put_late = |tokens: &mut TokenCache| {
        remote.come_back();
        remote.leave();
        assert!(update(&cache, sign_out).expect_err("cut off").is_queued());
        put("two", "2")(tokens);
    };
    assert!(update(&cache, put_late).expect_err("cut off").is_queued());
    assert_eq!(find(&cache, "one").expect_err("signed out").kind(), ErrorKind::Unavailable);
}

#[test]
fn what_a_library_wrote_in_vain_leaves_the_others_to_be_served() {
    let (cache, _, _) = about_to_be_cut_off(true);
    let access = pollster::block_on(cache.before_access(&AccessContext::new(&P))).expect("before");
    let mut theirs = TokenCache::deserialize(access.document().expect("a document")).expect("our document");
    theirs.insert(token("two", "2")).expect("complete");
    let error = pollster::block_on(access.after_access(Some(theirs.serialize().expose()))).expect_err("cut off");
    assert!(error.is_queued());
    assert_eq!(find(&cache, "one").expect("served stale").as_deref(), Some("1"));
}

/// It is the store's by then, and not what is in memory.
#[test]
fn what_a_library_wrote_is_not_served_before_it_is_loaded() {
    let clock = clock();
    let remote = Remote::over(MemoryStore::new());
    let cache = over(Arc::clone(&remote), &clock);
    insert(&cache, "one", "1");
    let access = pollster::block_on(cache.before_access(&AccessContext::new(&P))).expect("before");
    let mut theirs = TokenCache::deserialize(access.document().expect("a document")).expect("our document");
    theirs.insert(token("one", "other")).expect("complete");
    pollster::block_on(access.after_access(Some(theirs.serialize().expose()))).expect("after");
    remote.cut(true);
    assert_eq!(find(&cache, "one").expect_err("not the old one").kind(), ErrorKind::Unavailable);
}

#[test]
fn what_is_queued_for_an_empty_partition_is_not_taken_for_the_store_s() {
    let clock = clock();
    let remote = Arc::new(Remote { queues: true, ..Remote::to(MemoryStore::new()) });
    let cache = over(Arc::clone(&remote), &clock);
    remote.leave();
    assert!(update(&cache, put("one", "1")).expect_err("cut off").is_queued());
    assert_eq!(find(&cache, "one").expect("served stale").as_deref(), Some("1"));
    remote.come_back();
    assert!(find(&cache, "one").expect("reach").is_none());
}

#[test]
fn a_partition_whose_removal_failed_is_not_served() {
    let (cache, remote, _) = about_to_be_cut_off(true);
    remote.cut(true);
    pollster::block_on(cache.remove_partition(&P)).expect_err("cut off");
    assert_eq!(find(&cache, "one").expect_err("removed, or not").kind(), ErrorKind::Unavailable);
}
