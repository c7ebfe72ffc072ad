//! Commits under the fence of a lease: a holder whose lease has passed to another cannot write any more.

use cache_core::{CacheStore, Change, Changes, Entry, Lease, Skip};
use std::time::Duration;

use super::Setup;
use super::removal::remove_account;
use super::setup::{ALICE, PUBLIC, commit_to};
use crate::entries::{account, refresh_token};

/// The lease of every commit here that says no other.
const LEASE: &str = "refresh";

/// A fence lower than one seen: nothing of the commit applies.
pub async fn a_lower_fence_is_fenced_out(setup: &Setup<'_>) {
    let one = token("one");
    setup.apply(put(&one).with_fence(LEASE, 5)).await;
    let late = Changes::new(vec![Change::put(token("late")), Change::remove(one.id.clone())]).with_fence(LEASE, 4);
    let done = setup.commit(late).await;
    assert_eq!(done.skipped, [(one.id.clone(), Skip::Fenced), (one.id.clone(), Skip::Fenced)]);
    assert_eq!(done.before, done.after);
    setup.expect_only(&[&one]).await;
}

/// The same fence again, and a higher one, apply.
pub async fn the_same_fence_and_a_higher_one_apply(setup: &Setup<'_>) {
    for (fence, secret) in [(5, "one"), (5, "two"), (6, "three")] {
        setup.apply(put(&token(secret)).with_fence(LEASE, fence)).await;
        setup.expect_only(&[&token(secret)]).await;
    }
}

/// A commit without a fence is not fenced out, and does not open the way for lower ones.
pub async fn a_commit_without_a_fence_is_free(setup: &Setup<'_>) {
    setup.apply(put(&token("one")).with_fence(LEASE, 5)).await;
    setup.apply(put(&token("two"))).await;
    assert_eq!(setup.commit(put(&token("late")).with_fence(LEASE, 4)).await.skipped, [(token("").id, Skip::Fenced)]);
    setup.expect_only(&[&token("two")]).await;
}

/// A fence counts also when its own commit changed nothing.
pub async fn a_fence_is_seen_when_nothing_changes(setup: &Setup<'_>) {
    setup.given(&token("one")).await;
    setup.apply(Changes::default().with_fence(LEASE, 5)).await;
    assert_eq!(setup.commit(put(&token("late")).with_fence(LEASE, 4)).await.skipped, [(token("").id, Skip::Fenced)]);
}

/// Every kind of change is fenced out.
pub async fn removals_are_fenced_out_too(setup: &Setup<'_>) {
    let user = account("user").of(ALICE, PUBLIC[0]).entry();
    setup.apply(put(&user).with_fence(LEASE, 5)).await;
    let done = setup.commit(Changes::new(vec![remove_account(ALICE, &PUBLIC)]).with_fence(LEASE, 4)).await;
    assert_eq!(done.skipped.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(), [Skip::Fenced]);
    setup.expect_only(&[&user]).await;
}

/// A fence outlives the entries: a late holder cannot write into a partition that was emptied.
pub async fn a_fence_outlives_the_entries(setup: &Setup<'_>) {
    setup.apply(put(&token("one")).with_fence(LEASE, 5)).await;
    setup.apply(Changes::new(vec![Change::remove(token("one").id)]).with_fence(LEASE, 6)).await;
    let done = setup.commit(put(&token("late")).with_fence(LEASE, 5)).await;
    assert_eq!(done.skipped, [(token("").id, Skip::Fenced)]);
    setup.expect_only(&[]).await;
}

/// A fence is one lease's: holders of leases of other names work at the same time, and none shuts the other out.
pub async fn a_fence_is_bound_to_its_lease(setup: &Setup<'_>) {
    setup.apply(put(&token("one")).with_fence(LEASE, 5)).await;
    let done = setup.commit(put(&token("two")).with_fence("another lease", 4)).await;
    assert_eq!(done.skipped, []);
    setup.expect_only(&[&token("two")]).await;
    let late = setup.commit(put(&token("late")).with_fence(LEASE, 4)).await;
    assert_eq!(late.skipped, [(token("").id, Skip::Fenced)]);
}

/// A fence is one partition's.
pub async fn a_fence_is_bound_to_its_partition(setup: &Setup<'_>) {
    let (a, b) = (setup.partition_named("a"), setup.partition_named("b"));
    if a == b {
        return; // The place holds one partition only.
    }
    commit_to(setup.store(), &a, put(&token("one")).with_fence(LEASE, 5)).await;
    let done = commit_to(setup.store(), &b, put(&token("one")).with_fence(LEASE, 4)).await;
    assert_eq!(done.skipped, []);
}

/// The holder before is fenced out once the holder after has written, on another handle as on the same. Where death
/// alone frees a lease, it cannot pass, and both fences are zero.
pub async fn a_lease_that_has_passed_fences_its_holder_out(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let stores: [&dyn CacheStore; 2] = [setup.store(), &*other];
    let mut highest = 0;
    for (before, after) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let [early, late] = [take(setup, stores[before]).await, take(setup, stores[after]).await];
        if early == 0 && late == 0 {
            continue;
        }
        assert!(highest < early && early < late, "fences rise: {highest}, {early}, {late}");
        highest = late;
        let written = token(&format!("{late}"));
        commit_to(stores[after], setup.partition(), put(&written).with_fence(LEASE, late)).await;
        let done = commit_to(stores[before], setup.partition(), put(&token("late")).with_fence(LEASE, early)).await;
        assert_eq!(done.skipped, [(written.id.clone(), Skip::Fenced)]);
        setup.expect_only(&[&written]).await;
    }
}

/// The fence of a lease that is taken and given back.
async fn take(setup: &Setup<'_>, store: &dyn CacheStore) -> u64 {
    let lease: Lease = store.lease(setup.partition(), LEASE, Duration::from_secs(30)).await.expect("a free lease");
    let fence = lease.fence();
    lease.release().await.expect("release");
    fence
}

fn token(secret: &str) -> Entry {
    refresh_token("rt").secret(secret).entry()
}

fn put(entry: &Entry) -> Changes {
    Changes::new(vec![Change::put(entry.clone())])
}
