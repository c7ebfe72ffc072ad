//! A commit is one step: its changes apply in order, together, and again with the same result.

use cache_core::{Change, Changes, Entry, EntryId, Skip};

use super::Setup;
use super::removal::remove_account;
use super::setup::{ALICE, PUBLIC, now_plus, put_over, skip};
use crate::entries::{access_token, account, refresh_token};

/// No change: nothing happens.
pub async fn an_empty_commit_changes_nothing(setup: &Setup<'_>) {
    let done = setup.apply(Changes::default()).await;
    assert_eq!((done.before, done.after), (None, None));
    let entry = token("rt", "one");
    setup.given(&entry).await;
    let done = setup.apply(Changes::default()).await;
    assert_eq!(done.before, done.after);
    assert!(done.after.is_some());
    setup.expect_only(&[&entry]).await;
}

/// Several puts of one commit are all there, and make one new stamp.
pub async fn all_changes_apply_together(setup: &Setup<'_>) {
    let entries: Vec<Entry> = (0..50).map(|n| token(&format!("rt {n}"), "one")).collect();
    let done = setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    assert_eq!(done.after, setup.stamp().await);
    setup.expect_only(&entries.iter().collect::<Vec<_>>()).await;
}

/// A later change sees what an earlier one did.
pub async fn changes_apply_in_order(setup: &Setup<'_>) {
    let (one, two) = (token("rt", "one"), token("rt", "two"));
    setup.apply(vec![Change::put(one.clone()), Change::put(two.clone())]).await;
    setup.expect_only(&[&two]).await;
    setup.apply(vec![Change::put(one.clone()), Change::remove(one.id.clone())]).await;
    setup.expect_only(&[]).await;
    setup.apply(vec![Change::remove(one.id.clone()), Change::put(one.clone())]).await;
    setup.expect_only(&[&one]).await;
}

/// A put behind a removal meets nothing, so that no clock speaks against it.
pub async fn a_put_behind_a_removal_inserts(setup: &Setup<'_>) {
    setup.given(&refresh_token("rt").at(now_plus(0)).entry()).await;
    let older = refresh_token("rt").at(now_plus(-60)).secret("older").entry();
    setup.apply(vec![Change::remove(older.id.clone()), Change::put(older.clone())]).await;
    setup.expect_only(&[&older]).await;
}

/// A put that names the version that an earlier change replaced meets another version.
pub async fn a_version_is_used_up_by_an_earlier_change(setup: &Setup<'_>) {
    let seen = setup.given(&token("rt", "one")).await;
    let (two, three) = (token("rt", "two"), token("rt", "three"));
    let done = setup.commit(vec![put_over(&two, &seen), put_over(&three, &seen)]).await;
    assert_eq!(done.skipped, skip(&three, Skip::NewerPresent));
    setup.expect_only(&[&two]).await;
}

/// A sign-in that first clears the account leaves the account of the sign-in; a removal also takes what its own commit
/// put before.
pub async fn an_account_can_be_replaced_in_one_commit(setup: &Setup<'_>) {
    let old = [account("old").of(ALICE, PUBLIC[0]).entry(), refresh_token("old").of(ALICE, PUBLIC[1]).entry()];
    setup.apply(old.into_iter().map(Change::put).collect::<Vec<_>>()).await;
    let new = account("new").of(ALICE, PUBLIC[0]).entry();
    setup.apply(vec![remove_account(ALICE, &PUBLIC), Change::put(new.clone())]).await;
    setup.expect_only(&[&new]).await;
    let put_before = refresh_token("put before").of(ALICE, PUBLIC[1]).entry();
    setup.apply(vec![Change::put(put_before), remove_account(ALICE, &PUBLIC)]).await;
    setup.expect_only(&[]).await;
}

/// What does not apply is reported, in order, and does not keep the rest from applying.
pub async fn skipped_changes_are_reported_and_the_rest_applies(setup: &Setup<'_>) {
    let old = setup.given(&token("a", "old")).await;
    let newer = refresh_token("a").at(now_plus(0)).entry();
    setup.given(&newer).await;
    let (late, fresh) = (token("a", "late"), token("b", "fresh"));
    let removal = Change::Remove { id: newer.id.clone(), if_match: Some(old) };
    let done = setup.commit(vec![Change::put(late), Change::put(fresh.clone()), removal]).await;
    assert_eq!(done.skipped, [(newer.id.clone(), Skip::NewerPresent), (newer.id.clone(), Skip::NoMatch)]);
    setup.expect_only(&[&newer, &fresh]).await;
}

/// The same commit twice gives the same as once, so that a retry after a lost answer is safe.
pub async fn the_same_commit_twice_is_as_once(setup: &Setup<'_>) {
    let seen = setup.given(&token("replaced", "old")).await;
    setup.given(&token("removed", "old")).await;
    setup.given(&refresh_token("of the account").of(ALICE, PUBLIC[0]).entry()).await;
    let newer = refresh_token("newer").at(now_plus(0)).entry();
    setup.given(&newer).await;
    let (replaced, inserted) = (token("replaced", "new"), access_token("inserted").at(now_plus(0)).entry());
    let late = refresh_token("newer").at(now_plus(-1)).entry();
    let changes = Changes::new(vec![
        put_over(&replaced, &seen),
        Change::put(inserted.clone()),
        Change::put(late.clone()),
        Change::remove(EntryId::new("RefreshToken", "removed")),
        remove_account(ALICE, &PUBLIC),
    ])
    .with_fence("refresh", 1);
    let once = setup.commit(changes.clone()).await;
    setup.expect_only(&[&replaced, &inserted, &newer]).await;
    let twice = setup.commit(changes).await;
    setup.expect_only(&[&replaced, &inserted, &newer]).await;
    assert_eq!(once.skipped, skip(&late, Skip::NewerPresent));
    assert_eq!(twice.skipped, once.skipped);
    assert_eq!((&twice.before, &twice.after), (&once.after, &once.after));
}

/// The same with removals that name versions: what they removed is gone, and being gone is no mismatch.
pub async fn the_same_matching_removal_twice_is_as_once(setup: &Setup<'_>) {
    let (going, staying) = (token("going", "one"), token("staying", "one"));
    let version = setup.given(&going).await;
    setup.given(&staying).await;
    let removal = Changes::new(vec![Change::Remove { id: going.id, if_match: Some(version) }]);
    let once = setup.apply(removal.clone()).await;
    let twice = setup.apply(removal).await;
    assert_eq!(twice.after, once.after);
    setup.expect_only(&[&staying]).await;
}

fn token(key: &str, secret: &str) -> Entry {
    refresh_token(key).secret(secret).entry()
}
