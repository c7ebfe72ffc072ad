//! Leases: one holder at a time of each name in each partition, over all handles.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_core::{CacheStore, Change, ErrorKind, Lease, PartitionKey};

use super::Setup;
use super::setup::{Gate, commit_to};
use crate::entries::refresh_token;

/// Longer than anybody here holds a lease.
const LONG: Duration = Duration::from_secs(60);

/// A lease that is held is not had by another; the refusal is `Busy` and names the store.
pub async fn a_held_lease_is_busy(setup: &Setup<'_>) {
    let held = take(setup, "refresh").await;
    expect_busy(setup.store(), setup.partition(), "refresh").await;
    held.release().await.expect("release");
}

/// The same on another handle, in both directions.
pub async fn a_held_lease_is_busy_for_another_handle(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let held = take(setup, "refresh").await;
    expect_busy(&*other, setup.partition(), "refresh").await;
    held.release().await.expect("release");
    let held = take_from(&*other, setup.partition(), "refresh").await;
    expect_busy(setup.store(), setup.partition(), "refresh").await;
    held.release().await.expect("release");
}

/// A lease that was released is free, for both handles.
pub async fn a_released_lease_is_free(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    for store in [setup.store(), &*other, setup.store()] {
        take_from(store, setup.partition(), "refresh").await.release().await.expect("release");
    }
}

/// A lease that was dropped is free.
pub async fn a_dropped_lease_is_free(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    for store in [setup.store(), &*other, setup.store()] {
        drop(take_from(store, setup.partition(), "refresh").await);
    }
}

/// Who waits gets the lease once it is free, also who would wait forever.
pub async fn a_waiter_gets_the_lease(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    for (waiting_store, wait) in [(setup.store(), LONG), (&*other, LONG), (setup.store(), Duration::MAX)] {
        let (ready, holders) = (Gate::default(), AtomicUsize::new(0));
        setup.on_threads(2, async |thread| {
            if thread == 0 {
                let held = take(setup, "refresh").await;
                holders.fetch_add(1, Ordering::SeqCst);
                ready.arrive();
                // The other waits now, or comes later: it must not hold before this.
                assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1, "two hold the lease");
                held.release().await.expect("release");
            } else {
                ready.wait_for(1);
                let held = waiting_store.lease(setup.partition(), "refresh", wait).await.expect("it comes free");
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold the lease");
                held.release().await.expect("release");
            }
        });
    }
}

/// Eight threads on two handles take the lease in turn: never two at once, and nobody starves.
pub async fn one_holder_at_a_time(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let handles: [&dyn CacheStore; 2] = [setup.store(), &*other];
    let (holders, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
    setup.on_threads(8, async |thread| {
        for _ in 0..5 {
            let held = take_from(handles[thread % 2], setup.partition(), "refresh").await;
            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold the lease");
            std::thread::yield_now();
            turns.fetch_add(1, Ordering::SeqCst);
            assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1, "two hold the lease");
            held.release().await.expect("release");
        }
    });
    assert_eq!(turns.into_inner(), 40);
}

/// Leases of other names in the same partition are free.
pub async fn another_name_is_free(setup: &Setup<'_>) {
    let held = take(setup, "refresh").await;
    for name in ["refresh 2", "Refresh", "refres", ""] {
        take(setup, name).await.release().await.expect("release");
    }
    expect_busy(setup.store(), setup.partition(), "refresh").await;
    held.release().await.expect("release");
}

/// A lease in one partition does not block another partition's.
pub async fn a_lease_is_bound_to_its_partition(setup: &Setup<'_>) {
    let (a, b) = (setup.partition_named("a"), setup.partition_named("b"));
    if a == b {
        return; // The place holds one partition only.
    }
    let held = take_from(setup.store(), &a, "refresh").await;
    take_from(setup.store(), &b, "refresh").await.release().await.expect("release");
    expect_busy(setup.store(), &a, "refresh").await;
    held.release().await.expect("release");
}

/// A lease hinders nobody from reading and writing, and needs no content to be taken.
pub async fn a_lease_does_not_block_commits(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let held = take(setup, "refresh").await;
    assert!(setup.store().load(setup.partition()).await.expect("load").is_none());
    assert_eq!(setup.stamp().await, None);
    let entry = refresh_token("rt").entry();
    commit_to(&*other, setup.partition(), vec![Change::put(entry.clone())]).await;
    setup.expect_only(&[&entry]).await;
    setup.store().remove(setup.partition()).await.expect("remove");
    expect_busy(&*other, setup.partition(), "refresh").await;
    held.release().await.expect("release");
}

/// A lease can be renewed while it is held, and says how long it lasts.
pub async fn a_held_lease_renews(setup: &Setup<'_>) {
    let mut held = take(setup, "refresh").await;
    let fence = held.fence();
    for _ in 0..3 {
        held.renew().await.expect("renew");
        assert_eq!(held.fence(), fence, "a renewal is no new lease");
        assert!(held.remaining().is_none_or(|left| !left.is_zero()), "a renewed lease has time left");
    }
    expect_busy(setup.store(), setup.partition(), "refresh").await;
    held.release().await.expect("release");
}

/// Fences of one name rise with every lease; they are zero where a lease cannot pass to another.
pub async fn fences_rise(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let mut fences = Vec::new();
    for store in [setup.store(), &*other, setup.store(), setup.store(), &*other] {
        let held = take_from(store, setup.partition(), "refresh").await;
        fences.push(held.fence());
        held.release().await.expect("release");
    }
    assert!(fences.iter().all(|&fence| fence == 0) || fences.is_sorted_by(|a, b| a < b), "fences {fences:?}");
}

async fn take(setup: &Setup<'_>, name: &str) -> Lease {
    take_from(setup.store(), setup.partition(), name).await
}

async fn take_from(store: &dyn CacheStore, partition: &PartitionKey, name: &str) -> Lease {
    store.lease(partition, name, LONG).await.expect("the lease comes free")
}

/// Refused at once, and after a wait.
async fn expect_busy(store: &dyn CacheStore, partition: &PartitionKey, name: &str) {
    for wait in [Duration::ZERO, Duration::from_millis(30)] {
        let error = store.lease(partition, name, wait).await.expect_err("the lease is held");
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert_eq!(error.store(), Some(store.name()), "{error}");
    }
}
