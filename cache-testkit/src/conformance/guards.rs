//! Puts that apply only while something else is in the store: what keeps a late refresh from undoing a sign-out.

use cache_core::{Change, Entry, EntryId, Guard, Skip, Version};

use super::Setup;
use super::setup::{ALICE, BOB, CHINA, PUBLIC, hosts, now_plus, skip};
use crate::entries::{access_token, account, id_token, refresh_token};

/// Guarded by an account that is present: applies.
pub async fn a_put_applies_while_its_account_is_present(setup: &Setup<'_>) {
    let user = account("user").of(ALICE, PUBLIC[0]).entry();
    setup.given(&user).await;
    setup.apply(vec![guarded(&token(), by_account(ALICE, &PUBLIC))]).await;
    setup.expect_only(&[&user, &token()]).await;
}

/// Guarded by an account of which there is nothing: skipped.
pub async fn a_put_is_skipped_without_its_account(setup: &Setup<'_>) {
    let done = setup.commit(vec![guarded(&token(), by_account(ALICE, &PUBLIC))]).await;
    assert_eq!(done.skipped, skip(&token(), Skip::GuardGone));
    assert_eq!((done.before, done.after), (None, None));
    setup.expect_only(&[]).await;
}

/// An account that was written twice and then removed is gone, whatever else of the partition stays; also when all of
/// that and the put are one commit.
pub async fn an_account_that_was_replaced_and_removed_is_gone(setup: &Setup<'_>) {
    let other = account("other").of(BOB, PUBLIC[0]).entry();
    setup.given(&other).await;
    let user = |name: &str| Change::put(account("user").of(ALICE, PUBLIC[0]).secret(name).entry());
    let removed = || Change::remove(account("user").entry().id);
    let late = || guarded(&token(), by_account(ALICE, &PUBLIC));
    setup.apply(vec![user("once")]).await;
    setup.apply(vec![user("twice")]).await;
    setup.apply(vec![removed()]).await;
    for changes in [vec![late()], vec![user("once"), user("twice"), removed(), late()]] {
        let done = setup.commit(changes).await;
        assert_eq!(done.skipped, skip(&token(), Skip::GuardGone));
        setup.expect_only(&[&other]).await;
    }
}

/// Any of the guard's environments will do, ignoring case and port.
pub async fn an_account_under_another_host_of_the_cloud_counts(setup: &Setup<'_>) {
    let user = account("user").of(ALICE, "LOGIN.microsoftonline.com:443").entry();
    setup.given(&user).await;
    setup.apply(vec![guarded(&token(), by_account(ALICE, &PUBLIC))]).await;
    setup.expect_only(&[&user, &token()]).await;
}

/// An account that names no host is in any cloud.
pub async fn an_account_without_a_host_counts(setup: &Setup<'_>) {
    let user = account("user").of(ALICE, "").entry();
    setup.given(&user).await;
    setup.apply(vec![guarded(&token(), by_account(ALICE, &PUBLIC))]).await;
    setup.expect_only(&[&user, &token()]).await;
}

/// An account in another cloud is another account.
pub async fn an_account_in_another_cloud_does_not_count(setup: &Setup<'_>) {
    expect_guard_gone(setup, &account("user").of(ALICE, CHINA).entry()).await;
}

/// Another user's account does not count.
pub async fn another_account_does_not_count(setup: &Setup<'_>) {
    expect_guard_gone(setup, &account("user").of(BOB, PUBLIC[0]).entry()).await;
}

/// Home account ids are compared exactly.
pub async fn an_account_in_other_case_does_not_count(setup: &Setup<'_>) {
    expect_guard_gone(setup, &account("user").of(&ALICE.to_uppercase(), PUBLIC[0]).entry()).await;
}

/// Tokens of an account are not the account.
pub async fn tokens_of_the_account_do_not_count(setup: &Setup<'_>) {
    expect_guard_gone(setup, &refresh_token("other rt").of(ALICE, PUBLIC[0]).entry()).await;
}

/// A guard without environments names no account.
pub async fn a_guard_without_environments_never_holds(setup: &Setup<'_>) {
    let user = account("user").of(ALICE, PUBLIC[0]).entry();
    setup.given(&user).await;
    let done = setup.commit(vec![guarded(&token(), by_account(ALICE, &[]))]).await;
    assert_eq!(done.skipped, skip(&token(), Skip::GuardGone));
}

/// Guarded by an entry that is present, in whatever version: applies.
pub async fn a_put_applies_while_its_entry_is_present(setup: &Setup<'_>) {
    let spent = refresh_token("spent").of(ALICE, PUBLIC[0]).at(now_plus(-60)).entry();
    setup.given(&spent).await;
    let rotated = refresh_token("spent").of(ALICE, PUBLIC[0]).at(now_plus(0)).secret("rotated").entry();
    setup.given(&rotated).await;
    setup.apply(vec![guarded(&token(), Guard::Entry(spent.id))]).await;
    setup.expect_only(&[&rotated, &token()]).await;
}

/// Guarded by an entry that is gone: skipped.
pub async fn a_put_is_skipped_without_its_entry(setup: &Setup<'_>) {
    let spent = refresh_token("spent").of(ALICE, PUBLIC[0]).entry();
    setup.given(&spent).await;
    setup.apply(vec![Change::remove(spent.id.clone())]).await;
    let done = setup.commit(vec![guarded(&token(), Guard::Entry(spent.id))]).await;
    assert_eq!(done.skipped, skip(&token(), Skip::GuardGone));
    setup.expect_only(&[]).await;
}

/// The same key text in another section is another entry.
pub async fn an_entry_of_another_section_does_not_count(setup: &Setup<'_>) {
    let other = id_token("key").of(ALICE, PUBLIC[0]).entry();
    setup.given(&other).await;
    let guard = Guard::Entry(EntryId::new("RefreshToken", "key"));
    let done = setup.commit(vec![guarded(&token(), guard)]).await;
    assert_eq!(done.skipped, skip(&token(), Skip::GuardGone));
}

/// The guard is looked at before every other row: not even the version present, or the same content, passes it.
pub async fn a_guard_goes_before_every_other_row(setup: &Setup<'_>) {
    let seen: Version = setup.given(&token()).await;
    let next = access_token("at").of(ALICE, PUBLIC[0]).at(now_plus(0)).secret("next").entry();
    let guard = by_account(ALICE, &PUBLIC);
    let over_present = Change::Put { entry: next.clone(), replaces: Some(seen), guard: Some(guard.clone()) };
    let done = setup.commit(vec![over_present, guarded(&token(), guard)]).await;
    assert_eq!(done.skipped, [(next.id, Skip::GuardGone), (token().id, Skip::GuardGone)]);
    assert_eq!(done.before, done.after);
    setup.expect_only(&[&token()]).await;
}

/// A guard that holds does not pass an entry by the other rows.
pub async fn a_guard_that_holds_leaves_the_other_rows_to_decide(setup: &Setup<'_>) {
    let user = account("user").of(ALICE, PUBLIC[0]).entry();
    let newer = access_token("at").of(ALICE, PUBLIC[0]).at(now_plus(0)).secret("newer").entry();
    setup.given(&user).await;
    setup.given(&newer).await;
    let done = setup.commit(vec![guarded(&token(), by_account(ALICE, &PUBLIC))]).await;
    assert_eq!(done.skipped, skip(&token(), Skip::NewerPresent));
    setup.expect_only(&[&user, &newer]).await;
}

/// An account that an earlier change of the same commit puts counts, one that it removes does not.
pub async fn a_guard_sees_earlier_changes_of_its_commit(setup: &Setup<'_>) {
    let user = account("user").of(ALICE, PUBLIC[0]).entry();
    let put = guarded(&token(), by_account(ALICE, &PUBLIC));
    setup.apply(vec![Change::put(user.clone()), put.clone()]).await;
    setup.expect_only(&[&user, &token()]).await;
    let done = setup.commit(vec![Change::remove(token().id), Change::remove(user.id), put]).await;
    assert_eq!(done.skipped, skip(&token(), Skip::GuardGone));
    setup.expect_only(&[]).await;
}

fn token() -> Entry {
    access_token("at").of(ALICE, PUBLIC[0]).at(now_plus(-60)).entry()
}

fn by_account(home_account_id: &str, environments: &[&str]) -> Guard {
    Guard::Account { home_account_id: home_account_id.into(), environments: hosts(environments) }
}

fn guarded(entry: &Entry, guard: Guard) -> Change {
    Change::Put { entry: entry.clone(), replaces: None, guard: Some(guard) }
}

async fn expect_guard_gone(setup: &Setup<'_>, present: &Entry) {
    setup.given(present).await;
    let done = setup.commit(vec![guarded(&token(), by_account(ALICE, &PUBLIC))]).await;
    assert_eq!(done.skipped, skip(&token(), Skip::GuardGone));
    assert_eq!(done.before, done.after);
    setup.expect_only(&[present]).await;
}
