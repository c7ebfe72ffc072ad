//! Two handles on one place, as two processes have: each sees at once what the other did.

use cache_core::{CacheStore, Change, Skip};

use super::Setup;
use super::removal::remove_account;
use super::setup::{ALICE, PUBLIC, commit_to, expect_only, put_over, skip};
use crate::entries::{account, refresh_token};

/// What one handle commits the other reads, in both directions.
pub async fn each_handle_reads_what_the_other_wrote(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let handles: [&dyn CacheStore; 2] = [setup.store(), &*other];
    let partition = setup.partition();
    for round in 0..6 {
        let entry = refresh_token("rt").secret(&round.to_string()).entry();
        let (writer, reader) = (handles[round % 2], handles[(round + 1) % 2]);
        let done = commit_to(writer, partition, vec![Change::put(entry.clone())]).await;
        expect_only(reader, partition, &[&entry]).await;
        assert_eq!(reader.stamp(partition).await.expect("stamp"), done.after);
        if let Some(now) = reader.stamp_now(partition) {
            assert_eq!(now.expect("stamp_now"), done.after);
        }
    }
}

/// What one handle removes is gone for the other.
pub async fn each_handle_misses_what_the_other_removed(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let entry = refresh_token("rt").of(ALICE, PUBLIC[0]).entry();
    for removal in [Change::remove(entry.id.clone()), remove_account(ALICE, &PUBLIC)] {
        setup.given(&entry).await;
        expect_only(&*other, setup.partition(), &[&entry]).await;
        commit_to(&*other, setup.partition(), vec![removal]).await;
        setup.expect_only(&[]).await;
    }
    setup.given(&entry).await;
    other.remove(setup.partition()).await.expect("remove");
    setup.expect_only(&[]).await;
    assert_eq!(setup.stamp().await, None);
}

/// A version that one handle saw serves the other, and is used up once either has written.
pub async fn versions_hold_over_handles(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let seen = setup.given(&refresh_token("rt").secret("one").entry()).await;
    let (two, three) = (refresh_token("rt").secret("two").entry(), refresh_token("rt").secret("three").entry());
    assert_eq!(commit_to(&*other, setup.partition(), vec![put_over(&two, &seen)]).await.skipped, []);
    let done = setup.commit(vec![put_over(&three, &seen)]).await;
    assert_eq!(done.skipped, skip(&three, Skip::NewerPresent));
    setup.expect_only(&[&two]).await;
}

/// A sign-out on one handle stops a guarded put on the other.
pub async fn guards_hold_over_handles(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let user = account("user").of(ALICE, PUBLIC[0]).entry();
    setup.given(&user).await;
    commit_to(&*other, setup.partition(), vec![remove_account(ALICE, &PUBLIC)]).await;
    let token = refresh_token("rt").of(ALICE, PUBLIC[0]).entry();
    let guard = cache_core::Guard::Entry(user.id);
    let put = Change::Put { entry: token.clone(), replaces: None, guard: Some(guard) };
    assert_eq!(setup.commit(vec![put]).await.skipped, skip(&token, Skip::GuardGone));
    setup.expect_only(&[]).await;
}
